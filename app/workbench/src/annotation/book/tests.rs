//! Edits are on the disk at once, can be taken back, and survive full disks, torn files and other programs.

use std::collections::BTreeSet;

use eosin_core::annotation::{AnnotationClass, Shape};

use super::*;
use crate::annotation::new_annotation_id;

fn slide() -> SlideId {
    SlideId("0123abcd".into())
}

fn open(folder: &Path) -> AnnotationBook {
    let (book, opening) = AnnotationBook::open(folder, &slide()).unwrap();
    assert!(matches!(opening, Opening::Fresh | Opening::Whole), "{opening:?}");
    book
}

fn square(left: f64) -> Annotation {
    Annotation {
        id: new_annotation_id(),
        shape: Shape::Rectangle { origin: [left, 10.0], size: [5.0, 5.0] },
        class: Some(AnnotationClass { name: "Tumor".into(), color: [200, 0, 0] }),
        title: String::new(),
        note: "one\ntwo".into(),
        color: None,
    }
}

fn ids(book: &AnnotationBook) -> Vec<AnnotationId> {
    book.list().map(|annotation| annotation.id.clone()).collect()
}

#[test]
fn every_edit_is_on_the_disk_and_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("data/annotations");
    let mut book = open(&place);
    let (a, b) = (square(1.0), square(2.0));
    let saved = |book: &AnnotationBook| {
        assert!(matches!(book.state(), SaveState::Saved));
        let again = open(&place);
        assert_eq!(again.features(), book.features(), "the file is what the book is");
    };
    book.apply(Edit::Add(a.clone())).unwrap();
    saved(&book);
    book.apply(Edit::Add(b.clone())).unwrap();
    let changed = Annotation { note: "other".into(), ..a.clone() };
    book.apply(Edit::Change(changed.clone())).unwrap();
    book.apply(Edit::Remove(b.id.clone())).unwrap();
    saved(&book);
    assert_eq!(book.list().collect::<Vec<_>>(), [&changed]);
    // A change that changes nothing is no step.
    book.apply(Edit::Change(changed.clone())).unwrap();
    assert_eq!((book.n_undo(), book.n_redo()), (4, 0));

    assert!(book.undo());
    assert_eq!(ids(&book), [a.id.clone(), b.id.clone()]);
    saved(&book);
    assert!(book.undo() && book.undo() && book.undo() && !book.undo());
    assert_eq!(ids(&book), []);
    saved(&book);
    while book.redo() {}
    assert_eq!(book.list().collect::<Vec<_>>(), [&changed]);
    assert!(book.undo());
    book.apply(Edit::Remove(a.id.clone())).unwrap();
    assert_eq!(book.n_redo(), 0, "a new edit ends what could be done again");

    // Several as one, which see each other.
    let c = square(3.0);
    let moved = Annotation { shape: Shape::Point { at: [1.0, 1.000_000_1] }, ..c.clone() };
    book.apply(Edit::All(vec![Edit::Add(c.clone()), Edit::Change(moved), Edit::Remove(b.id.clone())]))
        .unwrap();
    saved(&book);
    assert_eq!(book.get(&c.id).unwrap().annotation.shape, Shape::Point { at: [1.0, 1.0] });
    assert!(book.undo());
    assert_eq!(ids(&book), std::slice::from_ref(&b.id));

    for (edit, expected) in [
        (Edit::Add(b.clone()), "already"),
        (Edit::Change(square(0.0)), "there is no annotation"),
        (Edit::Remove(new_annotation_id()), "there is no annotation"),
        (
            Edit::Add(Annotation { shape: Shape::Line { points: vec![[0.0, 0.0]] }, ..square(0.0) }),
            "cannot be drawn",
        ),
        (
            Edit::All(vec![Edit::Add(square(9.0)), Edit::Remove(new_annotation_id())]),
            "there is no annotation",
        ),
    ] {
        let error = book.apply(edit).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(ids(&book), std::slice::from_ref(&b.id), "a refused edit changes nothing");
    }
}

#[test]
fn many_edits_come_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut book = open(folder.path());
    // A walk of edits from a seed, each state remembered.
    let mut state = 11_u32;
    let mut random = |n: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % n
    };
    let mut states = vec![book.features().to_vec()];
    for step in 0..60 {
        let known = ids(&book);
        let edit = match random(3) {
            0 if !known.is_empty() => Edit::Remove(known[random(known.len())].clone()),
            1 if !known.is_empty() => {
                Edit::Change(Annotation { id: known[random(known.len())].clone(), ..square(f64::from(step)) })
            }
            _ => Edit::Add(square(f64::from(step))),
        };
        book.apply(edit).unwrap();
        states.push(book.features().to_vec());
    }
    for expected in states.iter().rev().skip(1) {
        assert!(book.undo());
        assert_eq!(book.features(), expected);
    }
    for expected in states.iter().skip(1) {
        assert!(book.redo());
        assert_eq!(book.features(), expected);
    }
}

#[test]
fn a_save_that_fails_is_told_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("annotations");
    let mut book = open(&place);
    // A file where the folder should be: nothing can be written there, by any user.
    std::fs::write(&place, b"in the way").unwrap();
    let a = square(1.0);
    let state = book.apply(Edit::Add(a.clone())).unwrap().clone();
    let SaveState::Unsaved(error) = state else { panic!("nothing can be saved there") };
    assert!(error.to_string().contains("cannot save"), "{error}");
    assert_eq!(ids(&book), std::slice::from_ref(&a.id), "the edit holds");
    assert!(matches!(book.save(), SaveState::Unsaved(_)));
    std::fs::remove_file(&place).unwrap();
    assert!(matches!(book.save(), SaveState::Saved));
    assert_eq!(ids(&open(&place)), [a.id]);
}

#[test]
fn a_torn_file_is_kept_aside_and_what_is_left_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut book = open(folder.path());
    let all = [square(1.0), square(2.0), square(3.0)];
    for annotation in &all {
        book.apply(Edit::Add(annotation.clone())).unwrap();
    }
    let path = book.path().to_path_buf();
    let whole = std::fs::read(&path).unwrap();
    // The copy has the first two; the torn file only the first.
    let second = whole.windows(all[1].id.0.len()).position(|part| part == all[1].id.0.as_bytes()).unwrap();
    std::fs::write(&path, &whole[..second]).unwrap();
    let (book, opening) = AnnotationBook::open(folder.path(), &slide()).unwrap();
    let Opening::Repaired { kept_aside, n_kept, n_from_backup, n_refused, .. } = opening else { panic!() };
    assert_eq!((n_kept, n_from_backup, n_refused), (2, 1, 0));
    assert_eq!(std::fs::read(kept_aside.unwrap()).unwrap(), &whole[..second]);
    assert_eq!(ids(&book), [all[0].id.clone(), all[1].id.clone()]);
    // The repair is on the disk: the next opening finds nothing to repair.
    let (_, opening) = AnnotationBook::open(folder.path(), &slide()).unwrap();
    assert_eq!(opening, Opening::Whole);

    // A file of another program's making, in which one feature makes no sense.
    let odd = String::from_utf8(std::fs::read(&path).unwrap()).unwrap().replacen("[1,10]", "[1]", 1);
    std::fs::write(&path, odd).unwrap();
    let (book, opening) = AnnotationBook::open(folder.path(), &slide()).unwrap();
    assert!(matches!(opening, Opening::Repaired { n_refused: 1, .. }), "{opening:?}");
    let expected: BTreeSet<_> = all[..2].iter().map(|annotation| annotation.id.clone()).collect();
    assert_eq!(ids(&book).into_iter().collect::<BTreeSet<_>>(), expected, "the copy has it whole");

    std::fs::remove_file(&path).unwrap();
    let (book, opening) = AnnotationBook::open(folder.path(), &slide()).unwrap();
    assert!(matches!(opening, Opening::Repaired { kept_aside: None, .. }), "{opening:?}");
    assert!(!ids(&book).is_empty());
}

#[test]
fn a_file_that_cannot_be_read_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0123abcd.geojson");
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(AnnotationBook::open(folder.path(), &slide()), Err(AnnotationError::Read { .. })));
    std::fs::remove_dir(&path).unwrap();
    std::fs::File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    assert!(matches!(AnnotationBook::open(folder.path(), &slide()), Err(AnnotationError::TooLarge { .. })));
}

#[test]
fn what_another_program_saves_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ours, mut theirs) = (open(folder.path()), open(folder.path()));
    let (a, b, c) = (square(1.0), square(2.0), square(3.0));
    ours.apply(Edit::Add(a.clone())).unwrap();
    theirs.apply(Edit::Add(b.clone())).unwrap();
    assert_eq!(ids(&theirs), [a.id.clone(), b.id.clone()]);
    ours.apply(Edit::Add(c.clone())).unwrap();
    assert_eq!(ids(&ours), [a.id.clone(), b.id.clone(), c.id.clone()]);
    assert!(theirs.refresh() && !theirs.refresh());
    assert_eq!(theirs.features(), ours.features());
}

#[test]
fn imports_are_one_step_and_repeat_without_doubling() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(&folder.path().join("first"));
    for left in [1.0, 2.0, 3.0] {
        first.apply(Edit::Add(square(left))).unwrap();
    }
    let file = folder.path().join("out.geojson");
    first.export(&file).unwrap();
    let mut second = open(&folder.path().join("second"));
    let imported = second.import(&file).unwrap();
    assert_eq!((imported.n_added, imported.n_replaced, imported.n_unchanged), (3, 0, 0));
    assert_eq!(second.features(), first.features());
    let changed = Annotation { note: String::new(), ..first.features()[1].annotation.clone() };
    second.apply(Edit::Change(changed)).unwrap();
    let imported = second.import(&file).unwrap();
    assert_eq!((imported.n_added, imported.n_replaced, imported.n_unchanged), (0, 1, 2));
    assert_eq!(second.n_undo(), 3);
    while second.undo() {}
    assert_eq!(second.list().len(), 0);

    std::fs::write(&file, b"{\"type\":\"FeatureCollection\",\"features\":[").unwrap();
    assert!(matches!(second.import(&file), Err(AnnotationError::NotGeoJson { .. })));
    assert!(matches!(second.import(&folder.path().join("absent")), Err(AnnotationError::Read { .. })));
    let odd = SlideId("../../etc/passwd".into());
    let (book, _) = AnnotationBook::open(folder.path(), &odd).unwrap();
    assert_eq!(book.path().parent(), Some(folder.path()), "an odd name stays in the folder");
}
