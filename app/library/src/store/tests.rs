//! What every store does, tried on each: SQLite in a folder, and a real PostgreSQL server where one is installed.

use std::path::PathBuf;
use std::sync::Arc;

use eosin_core::{Embedding, SlideId};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::item::{EntryState, ItemKind, Place, Recipe};

#[cfg(unix)]
#[path = "../../../../tests/support/postgres.rs"]
mod postgres_server;

const D_EMBED: usize = 16;

fn model(name: &str) -> ModelId {
    ModelId { name: name.to_owned(), hash: format!("sha256:{name}").into(), d_embed: D_EMBED }
}

fn vectors(n: usize, seed: u64) -> Vec<Embedding> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let hash = model("m").hash;
    let mut vector = || (0..D_EMBED).map(|_| random.random_range(-1.0_f32..1.0)).collect();
    (0..n).map(|_| Embedding::new(hash.clone(), vector()).unwrap()).collect()
}

fn item(idx: u32, kind: ItemKind, tags: &[&str], embedding: &Embedding) -> NewItem {
    let place = Place { origin_base_px: [idx * 448, 7], size_px: [224, 200], downsample: 2.0 };
    let tags = tags.iter().map(ToString::to_string).collect();
    NewItem { key: format!("tile {idx}"), kind, place, tags, embedding: embedding.clone() }
}

fn tile(idx: u32, embedding: &Embedding) -> NewItem {
    item(idx, ItemKind::Tile, &[], embedding)
}

fn source(path: &str, tags: &[&str]) -> NewSource {
    let tags = tags.iter().map(ToString::to_string).collect();
    NewSource { path: PathBuf::from(path), recipe: Recipe::default(), tags }
}

fn draft(source: SourceId, path: &str, slide: &str, stain: Stain) -> EntryDraft {
    let (path, slide) = (PathBuf::from(path), SlideId(slide.to_owned()));
    EntryDraft { source, path, slide, base_um_per_px: Some(0.25), stain }
}

fn end(state: EntryState) -> EntryEnd {
    let (reason, plan_hash) = (Some("a \"reason\" — gründe".to_owned()), "plan".to_owned());
    EntryEnd { state, reason, n_byte: 5_000_000_000, modified_ns: 1_700_000_000_123_456_789, plan_hash }
}

/// An empty library of a name; the same name opens the same library.
type Open<'a> = &'a dyn Fn(&str) -> Arc<dyn Library>;

fn behave(open: Open<'_>) {
    empty_and_of_one_model(open);
    files_and_items_come_and_go(open);
    filters_and_tags(open);
    thousands_are_found(open);
    two_at_a_time(open);
}

fn empty_and_of_one_model(open: Open<'_>) {
    let library = open("model");
    let query = &vectors(1, 1)[0];
    assert_eq!(library.opening(), Opening::Fresh);
    assert_eq!((library.model(), library.nearest(query, 5, &Filter::default()).unwrap()), (None, vec![]));
    let place = library.add_source(&source("/a", &[])).unwrap();
    let entry = library.begin_entry(&draft(place, "/a/1", "s1", Stain::He)).unwrap();
    assert!(matches!(library.add_items(entry, &[tile(1, query)]), Err(LibraryError::Empty)));
    library.claim(&model("m")).unwrap();
    library.claim(&model("m")).unwrap();
    assert!(matches!(library.claim(&model("n")), Err(LibraryError::OtherModel { .. })));
    assert_eq!(library.model(), Some(model("m")));
    let other = Embedding::new("sha256:n".into(), vec![1.0; D_EMBED]).unwrap();
    let short = Embedding::new(model("m").hash, vec![1.0; 3]).unwrap();
    for embedding in [&other, &short] {
        let added = library.add_items(entry, &[tile(1, embedding)]);
        assert!(matches!(added, Err(LibraryError::OtherModel { .. })));
        let found = library.nearest(embedding, 5, &Filter::default());
        assert!(matches!(found, Err(LibraryError::OtherModel { .. })));
    }
    assert!(library.nearest(query, 5, &Filter::default()).unwrap().is_empty());
    assert!(!library.place().contains("trust") && library.status().unwrap().n_item == 0);
    drop(library);
    assert_eq!(open("model").opening(), Opening::Whole);
}

fn files_and_items_come_and_go(open: Open<'_>) {
    let library = open("items");
    library.claim(&model("m")).unwrap();
    let place = library.add_source(&source("/slides", &["b", "a"])).unwrap();
    let coarse =
        NewSource { recipe: Recipe { um_per_px: 1.0, ..Recipe::default() }, ..source("/slides", &["c "]) };
    assert_eq!(library.add_source(&coarse).unwrap(), place);
    let sources = library.sources().unwrap();
    assert_eq!(
        (sources.len(), &*sources[0].path, sources[0].recipe),
        (1, Path::new("/slides"), coarse.recipe)
    );
    assert_eq!(sources[0].tags, ["a", "b", "c"]);

    let vectors = vectors(8, 2);
    let entry = library.begin_entry(&draft(place, "/slides/ü😐.svs", "s1", Stain::Ihc)).unwrap();
    let items: Vec<NewItem> = (0..6).map(|idx| tile(idx, &vectors[idx as usize])).collect();
    library.add_items(entry, &items[..4]).unwrap();
    library.add_items(entry, &items[2..]).unwrap();
    assert_eq!(library.item_keys(entry).unwrap().len(), 6);
    let known = library.entries(None).unwrap();
    assert_eq!(
        (known[0].state, known[0].n_item, &*known[0].path),
        (EntryState::Partial, 6, Path::new("/slides/ü😐.svs"))
    );
    library.end_entry(entry, &end(EntryState::Done)).unwrap();
    let known = &library.entries(Some(place)).unwrap()[0];
    let expected = end(EntryState::Done);
    assert_eq!(
        (known.n_byte, known.modified_ns, &known.reason),
        (expected.n_byte, expected.modified_ns, &expected.reason)
    );
    assert_eq!(
        (known.state, known.slide.clone(), known.stain),
        (EntryState::Done, Some(SlideId("s1".into())), Stain::Ihc)
    );

    // Exact to the bit, with all that is known.
    let hit = &library.nearest(&vectors[3], 3, &Filter::default()).unwrap()[0];
    assert_eq!(library.embedding(hit.item).unwrap().unwrap().values(), vectors[3].values());
    assert!((hit.score - 1.0).abs() < 1e-5 && hit.um_per_px == Some(0.5) && hit.tags == ["a", "b", "c"]);
    let region = hit.region.clone().unwrap();
    assert_eq!(
        (region.origin_base_px, region.size_px, region.slide.0.as_str()),
        ([3 * 448, 7], [224, 200], "s1")
    );

    // Again with the same content: the items stay. With another: they go.
    assert_eq!(library.begin_entry(&draft(place, "/slides/ü😐.svs", "s1", Stain::He)).unwrap(), entry);
    assert_eq!(library.item_keys(entry).unwrap().len(), 6);
    library.remove_items(entry, &["tile 0".into(), "absent".into()]).unwrap();
    assert_eq!(
        library.item_keys(entry).unwrap(),
        (1..6).map(|idx| format!("tile {idx}")).collect::<Vec<_>>()
    );
    assert!(library.nearest(&vectors[0], 1, &Filter::default()).unwrap()[0].score < 0.999);
    assert_eq!(library.begin_entry(&draft(place, "/slides/ü😐.svs", "s2", Stain::He)).unwrap(), entry);
    assert!(library.item_keys(entry).unwrap().is_empty());
    assert!(library.nearest(&vectors[3], 3, &Filter::default()).unwrap().is_empty());

    // A file that fails has no items and a reason; one that vanished is not found until it is back.
    library.add_items(entry, &items).unwrap();
    assert_eq!(
        library.fail_entry(place, Path::new("/slides/ü😐.svs"), &end(EntryState::Failed)).unwrap(),
        entry
    );
    assert!(library.item_keys(entry).unwrap().is_empty());
    let second = library.begin_entry(&draft(place, "/slides/b.svs", "s3", Stain::Other)).unwrap();
    library.add_items(second, &items).unwrap();
    library.end_entry(second, &end(EntryState::Done)).unwrap();
    library.mark_vanished(&[second], &[]).unwrap();
    for filter in [Filter::default(), Filter { slide: Some(SlideId("s3".into())), ..Filter::default() }] {
        assert!(library.nearest(&vectors[3], 3, &filter).unwrap().is_empty());
    }
    let status = library.status().unwrap();
    assert_eq!((status.n_failed, status.n_vanished, status.n_done, status.n_item), (1, 1, 0, 6));
    library.mark_vanished(&[], &[second]).unwrap();
    assert_eq!(library.nearest(&vectors[3], 3, &Filter::default()).unwrap().len(), 3);
    drop(library);

    // Opened again, with an index and without a saved one.
    let library = open("items");
    assert_eq!(library.nearest(&vectors[3], 1, &Filter::default()).unwrap()[0].entry, second);
    library.flush().unwrap();
    assert_eq!(library.remove_entries(&[second]).unwrap(), 6);
    assert_eq!(library.entries(None).unwrap().len(), 1);
    let third = library.begin_entry(&draft(place, "/slides/c.svs", "s4", Stain::Other)).unwrap();
    library.add_items(third, &items).unwrap();
    assert_eq!(library.remove_source(place).unwrap(), 6);
    assert!(matches!(library.remove_source(place), Err(LibraryError::Unknown { .. })));
    assert!(library.entries(None).unwrap().is_empty() && library.sources().unwrap().is_empty());
    assert!(library.nearest(&vectors[3], 3, &Filter::default()).unwrap().is_empty());
    assert!(library.status().unwrap().tags.is_empty(), "tags go with what they were on");
    let gone = library.add_items(third, &items);
    assert!(matches!(gone, Err(LibraryError::Unknown { .. })));
    assert!(matches!(library.end_entry(third, &end(EntryState::Done)), Err(LibraryError::Unknown { .. })));
}

fn filters_and_tags(open: Open<'_>) {
    let library = open("filters");
    library.claim(&model("m")).unwrap();
    let vectors = vectors(30, 3);
    let places = [("/one", vec!["cohort 1"]), ("/two", vec![])]
        .map(|(path, tags)| library.add_source(&source(path, &tags)).unwrap());
    // Two slides in each place; in each an annotation.
    let mut entries = Vec::new();
    for (idx, stain) in [Stain::He, Stain::Ihc, Stain::He, Stain::Other].into_iter().enumerate() {
        let path = format!("/x/{idx}");
        let draft = draft(places[idx / 2], &path, &format!("s{idx}"), stain);
        let entry = library.begin_entry(&draft).unwrap();
        let mut items: Vec<NewItem> =
            (0..5).map(|tile_idx| tile(tile_idx, &vectors[idx * 6 + tile_idx as usize])).collect();
        items.push(item(9, ItemKind::Annotation, &["Tumor", "it's \"odd\""], &vectors[idx * 6 + 5]));
        library.add_items(entry, &items).unwrap();
        library.end_entry(entry, &end(EntryState::Done)).unwrap();
        entries.push(entry);
    }
    let tags = |tags: &[&str]| tags.iter().map(ToString::to_string).collect::<Vec<_>>();
    library.set_tags(TagOwner::Entry(entries[3]), &tags(&["  to  review ", "", "to review"])).unwrap();
    library.set_stain(entries[3], Some(Stain::Fluorescence)).unwrap();
    let check = |filter: Filter, n_expected: usize| {
        let hits = library.nearest(&vectors[0], 100, &filter).unwrap();
        assert_eq!(hits.len(), n_expected, "{filter:?}");
        assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
        hits
    };
    let slide = |idx: usize| Some(SlideId(format!("s{idx}")));
    let none = Filter::default;
    check(none(), 24);
    check(Filter { tags: tags(&["cohort 1"]), ..none() }, 12);
    check(Filter { tags: tags(&["Tumor"]), ..none() }, 4);
    check(Filter { tags: tags(&["Tumor", "cohort 1"]), ..none() }, 2);
    check(Filter { tags: tags(&["it's \"odd\"", "to review"]), ..none() }, 1);
    check(Filter { tags: tags(&["absent"]), ..none() }, 0);
    check(Filter { stain: Some(Stain::He), ..none() }, 12);
    check(Filter { stain: Some(Stain::Other), ..none() }, 0);
    let stated = check(Filter { stain: Some(Stain::Fluorescence), ..none() }, 6);
    assert!(stated.iter().all(|hit| hit.stain_stated && hit.tags.contains(&"to review".to_owned())));
    check(Filter { slide: slide(1), ..none() }, 6);
    check(Filter { except_slide: slide(1), ..none() }, 18);
    check(Filter { kind: Some(ItemKind::Annotation), ..none() }, 4);
    let both = Filter { kind: Some(ItemKind::Annotation), stain: Some(Stain::He), ..none() };
    assert!(!check(both.clone(), 2)[0].stain_stated);
    let status = library.status().unwrap();
    let expected = [("Tumor", 4), ("cohort 1", 12), ("it's \"odd\"", 4), ("to review", 6)];
    assert_eq!(status.tags, expected.map(|(name, n)| (name.to_owned(), n)));
    assert_eq!(status.stains[0], (Stain::He, 2));
    // What is taken back is no longer found.
    library.set_stain(entries[3], None).unwrap();
    library.set_tags(TagOwner::Entry(entries[3]), &[]).unwrap();
    library.set_tags(TagOwner::Source(places[0]), &[]).unwrap();
    check(Filter { stain: Some(Stain::Fluorescence), ..none() }, 0);
    check(Filter { tags: tags(&["to review"]), ..none() }, 0);
    check(Filter { tags: tags(&["cohort 1"]), ..none() }, 0);
    let hit = &check(none(), 24)[0];
    library.set_tags(TagOwner::Item(hit.item), &tags(&["mine"])).unwrap();
    assert_eq!(check(Filter { tags: tags(&["mine"]), ..none() }, 1)[0].item, hit.item);
    assert!(matches!(library.set_stain(EntryId(-1), None), Err(LibraryError::Unknown { .. })));
}

fn thousands_are_found(open: Open<'_>) {
    let library = open("many");
    library.claim(&model("m")).unwrap();
    let vectors = vectors(3000, 4);
    let place = library.add_source(&source("/many", &[])).unwrap();
    let entries = ["s1", "s2"].map(|slide| {
        library.begin_entry(&draft(place, &format!("/many/{slide}"), slide, Stain::He)).unwrap()
    });
    for (chunk_idx, chunk) in vectors.chunks(500).enumerate() {
        let item = |(idx, vector): (usize, &Embedding)| tile((chunk_idx * 500 + idx) as u32, vector);
        let items: Vec<NewItem> = chunk.iter().enumerate().map(item).collect();
        library.add_items(entries[chunk_idx % 2], &items).unwrap();
    }
    library.flush().unwrap();
    let queries = self::vectors(40, 5);
    let mut n_right = 0;
    for query in &queries {
        let mut exact: Vec<(f32, usize)> =
            vectors.iter().enumerate().map(|(idx, vector)| (query.cosine(vector).unwrap(), idx)).collect();
        exact.sort_by(|a, b| b.0.total_cmp(&a.0));
        let hits = library.nearest(query, 10, &Filter::default()).unwrap();
        assert_eq!(hits.len(), 10);
        for hit in &hits {
            let idx = hit.region.as_ref().unwrap().origin_base_px[0] as usize / 448;
            n_right += usize::from(exact[..10].iter().any(|(_, exact_idx)| *exact_idx == idx));
            assert!((hit.score - query.cosine(&vectors[idx]).unwrap()).abs() < 1e-5);
        }
        let one = Filter { slide: Some(SlideId("s2".into())), ..Filter::default() };
        let hits = library.nearest(query, 10, &one).unwrap();
        assert!(hits.len() == 10 && hits.iter().all(|hit| hit.entry == entries[1]));
    }
    assert!(n_right >= 392, "{n_right} of 400");
}

/// Two programs with the same library: each sees what the other did.
fn two_at_a_time(open: Open<'_>) {
    let (one, two) = (open("two"), open("two"));
    one.claim(&model("m")).unwrap();
    let vectors = vectors(20, 6);
    let place = two.add_source(&source("/two", &[])).unwrap();
    let entry = one.begin_entry(&draft(place, "/two/a", "s1", Stain::He)).unwrap();
    let query = |library: &dyn Library, idx: usize| {
        let hits = library.nearest(&vectors[idx], 1, &Filter::default()).unwrap();
        hits.first().is_some_and(|hit| hit.score > 0.9999)
    };
    for idx in 0..10 {
        let library = [&one, &two][idx % 2];
        library.add_items(entry, &[tile(idx as u32, &vectors[idx])]).unwrap();
        assert!(query(&*one, idx) && query(&*two, idx), "{idx}");
    }
    two.remove_items(entry, &["tile 3".into()]).unwrap();
    assert!(!query(&*one, 3) && !query(&*two, 3) && query(&*one, 4));
    // At the very same time.
    std::thread::scope(|scope| {
        for (library, idxs) in [(&one, 10..15), (&two, 15..20)] {
            let vectors = &vectors;
            scope.spawn(move || {
                for idx in idxs {
                    library.add_items(entry, &[tile(idx as u32, &vectors[idx])]).unwrap();
                    library.nearest(&vectors[idx], 3, &Filter::default()).unwrap();
                }
            });
        }
    });
    for library in [&one, &two] {
        assert_eq!(library.item_keys(entry).unwrap().len(), 19);
        assert!((10..20).all(|idx| query(&**library, idx)));
    }
}

#[test]
fn sqlite_behaves() {
    let folder = tempfile::tempdir().unwrap();
    behave(&|name| open_library(folder.path().join(name).to_str().unwrap(), None).unwrap());
}

#[cfg(unix)]
#[test]
fn postgres_behaves_alike() {
    let Some(server) = postgres_server::Server::start() else { return };
    behave(&|name| open_library(&format!("{}#{name}", server.address()), None).unwrap());
    // What cannot be opened says why, and never says a password.
    let told = |address: &str| {
        let error = open_library(address, None).unwrap_err();
        assert!(eosin_core::Hint::hint(&error).is_some() || address.contains("nowhere"), "{error}");
        eosin_core::error_chain(&error)
    };
    for address in [
        "postgres://u:secret@host:port/db",
        "postgres://u:secret@/db#Schema; DROP",
        "postgres://u:secret@%2Fnowhere/db",
    ] {
        let told = told(address);
        assert!(!told.contains("secret"), "{told}");
    }
    let library = open_library(&server.address(), Some(&model("m"))).unwrap();
    assert!(library.place().contains("(eosin)"), "{}", library.place());
    let other = open_library(&server.address(), Some(&model("n")));
    assert!(matches!(other, Err(LibraryError::OtherModel { .. })));
}
