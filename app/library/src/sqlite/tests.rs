//! Damage, locks, and an index that disagrees with its database.

use eosin_core::SlideId;

use super::*;
use crate::item::{ItemKind, Place, Recipe};

fn model() -> ModelId {
    ModelId { name: "m".into(), hash: "sha256:m".into(), d_embed: 8 }
}

fn vector(idx: usize) -> Embedding {
    let values = (0..8).map(|at| ((idx * 7 + at * 13) % 29) as f32 - 14.0).collect();
    Embedding::new(model().hash, values).unwrap()
}

/// A library of 300 items of three files.
fn filled(folder: &Path) -> SqliteLibrary {
    let library = SqliteLibrary::open(folder).unwrap();
    library.claim(&model()).unwrap();
    let source = NewSource { path: "/s".into(), recipe: Recipe::default(), tags: vec!["t".into()] };
    let source = library.add_source(&source).unwrap();
    for file in 0..3 {
        let path = PathBuf::from(format!("/s/{file}"));
        let slide = SlideId(file.to_string());
        let draft = EntryDraft { source, path, slide, base_um_per_px: None, stain: Stain::He };
        let entry = library.begin_entry(&draft).unwrap();
        let item = |idx: usize| NewItem {
            key: format!("tile {idx}"),
            kind: ItemKind::Tile,
            place: Place { origin_base_px: [idx as u32, 0], size_px: [1, 1], downsample: 1.0 },
            tags: Vec::new(),
            embedding: vector(file * 100 + idx),
        };
        library.add_items(entry, &(0..100).map(item).collect::<Vec<_>>()).unwrap();
        let end = EntryEnd {
            state: EntryState::Done,
            reason: None,
            n_byte: 1,
            modified_ns: 1,
            plan_hash: "p".into(),
        };
        library.end_entry(entry, &end).unwrap();
    }
    library.flush().unwrap();
    library
}

fn finds(library: &SqliteLibrary, idx: usize) -> bool {
    let hits = library.nearest(&vector(idx), 1, &Filter::default()).unwrap();
    hits.first().is_some_and(|hit| hit.score > 0.999)
}

#[test]
fn an_index_that_lags_is_caught_up() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("library");
    drop(filled(&folder));
    let index = folder.join(INDEX);
    #[cfg(unix)]
    for (path, mode) in [(folder.clone(), 0o700), (folder.join(DATABASE), 0o600), (index.clone(), 0o600)] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
    }
    let saved = std::fs::read(&index).unwrap();
    let check = |expected: Opening| {
        let library = SqliteLibrary::open(&folder).unwrap();
        assert_eq!(library.opening(), expected);
        assert!([0, 150, 299].into_iter().all(|idx| finds(&library, idx)));
    };
    check(Opening::Whole);
    std::fs::remove_file(&index).unwrap();
    check(Opening::IndexRebuilt { n_added: 300 });
    for damaged in
        [&saved[..100], b"", b"EOSINIDX and more that makes no sense, for some fifty bytes and more"]
    {
        std::fs::write(&index, damaged).unwrap();
        check(Opening::IndexRebuilt { n_added: 300 });
    }
    // Items that came and went after the index was written.
    std::fs::write(&index, &saved).unwrap();
    let library = SqliteLibrary::open(&folder).unwrap();
    let entry = library.entries(None).unwrap()[0].id;
    let keys: Vec<String> = (0..10).map(|idx| format!("tile {idx}")).collect();
    library.remove_items(entry, &keys).unwrap();
    drop(library);
    let library = SqliteLibrary::open(&folder).unwrap();
    assert_eq!(library.status().unwrap().n_item, 290);
    assert!(finds(&library, 11) && library.index.lock().unwrap().as_ref().unwrap().index.n_vector() == 290);
}

/// The index file changes under an open library: it notices and makes it again.
#[test]
fn an_index_that_is_damaged_while_open_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("library");
    drop(filled(&folder));
    let library = SqliteLibrary::open(&folder).unwrap();
    let index = folder.join(INDEX);
    let n_byte = std::fs::metadata(&index).unwrap().len();
    // The same file, not another of its name: the exact vectors are read from it.
    let file = std::fs::OpenOptions::new().write(true).open(&index).unwrap();
    file.set_len(n_byte / 2).unwrap();
    assert!([0, 150, 299].into_iter().all(|idx| finds(&library, idx)));
}

#[test]
fn a_damaged_database_is_put_aside_and_what_can_be_read_is_kept() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("library");
    drop(filled(&folder));
    let database = folder.join(DATABASE);
    let whole = std::fs::read(&database).unwrap();
    let mut n_kept_most = 0;
    // A page in the middle, the end, the beginning, everything.
    for (from, to) in [
        (whole.len() / 2, whole.len() / 2 + 4096),
        (whole.len() - 9000, whole.len()),
        (0, 100),
        (0, whole.len()),
    ] {
        let mut damaged = whole.clone();
        damaged[from..to].fill(0x5a);
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&database, &damaged).unwrap();
        let library = match SqliteLibrary::open(&folder) {
            Ok(library) => library,
            Err(error) => panic!("{from}..{to}: {}", eosin_core::error_chain(&error)),
        };
        let Opening::Rebuilt { backup, n_kept, .. } = library.opening() else {
            panic!("{from}..{to}: {:?}", library.opening());
        };
        assert_eq!(std::fs::read(backup).unwrap(), damaged, "the damaged file is kept");
        n_kept_most = n_kept_most.max(n_kept);
        assert_eq!(library.status().unwrap().n_item, n_kept);
        assert_eq!(library.status().unwrap().n_done, 0, "what may lack something is looked at again");
        // It goes on.
        library.claim(&model()).unwrap();
        drop(library);
        let again = SqliteLibrary::open(&folder).unwrap();
        assert!(matches!(again.opening(), Opening::Whole | Opening::IndexRebuilt { .. }));
    }
    assert!(n_kept_most > 50, "{n_kept_most}");
}

#[test]
fn a_cut_database_and_others_files_are_told() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("library");
    drop(filled(&folder));
    let database = folder.join(DATABASE);
    let connection = Connection::open(&database).unwrap();
    connection.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(connection);
    assert!(matches!(SqliteLibrary::open(&folder), Err(LibraryError::Newer { format: 99, .. })));
    let connection = Connection::open(&database).unwrap();
    connection.execute_batch("PRAGMA application_id = 7").unwrap();
    drop(connection);
    assert!(matches!(SqliteLibrary::open(&folder), Err(LibraryError::BadPlace { .. })));
    let file = outer.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(SqliteLibrary::open(&file), Err(LibraryError::Io { .. })));
}

#[test]
fn a_locked_library_is_told() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("library");
    let library = filled(&folder);
    library.connection().busy_timeout(std::time::Duration::from_millis(20)).unwrap();
    let other = Connection::open(folder.join(DATABASE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let outcome = library.set_tags(TagOwner::Source(SourceId(1)), &["x".into()]);
    assert!(matches!(outcome, Err(LibraryError::Locked)));
    // Reading goes on meanwhile.
    assert!(finds(&library, 7));
    other.execute_batch("COMMIT").unwrap();
    library.set_tags(TagOwner::Source(SourceId(1)), &["x".into()]).unwrap();
}
