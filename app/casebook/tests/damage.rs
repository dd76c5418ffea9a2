//! Damaged books open: copied aside as they were found, and whole again with all that can be read.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

#[path = "support/sample.rs"]
mod sample;

use std::path::{Path, PathBuf};

use eosin_casebook::{CaseBook, CaseError, ChatId, NewTurn, Opening};
use eosin_core::Hint as _;
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};

/// A folder with a book of several chats, closed, all of it in one file.
fn closed_book() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("casebook.sqlite");
    let book = sample::open(&path);
    sample::case(&book);
    for number in 0..25 {
        let chat = book.new_chat(&format!("Case number {number}")).unwrap();
        let mut parent = None;
        for question in ["What is shown?", "这是什么组织？", "Why?"] {
            parent =
                Some(sample::ask(&book, chat, parent, &format!("{question} {}", "Longer. ".repeat(60))).1);
        }
    }
    drop(book);
    assert!(!folder.path().join("casebook.sqlite-wal").exists(), "closing leaves one file");
    (folder, path)
}

/// A copy of what belongs to a book, in a folder of its own, with other bytes in the book itself.
fn copy_with(original: &Path, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("casebook.sqlite");
    std::fs::write(&path, bytes).unwrap();
    std::fs::copy(
        original.with_file_name("casebook.sqlite.audit-head"),
        folder.path().join("casebook.sqlite.audit-head"),
    )
    .unwrap();
    (folder, path)
}

/// Everything in the book can be read, without an error; gives how many answers there are.
fn read_all(book: &CaseBook) -> u64 {
    let mut n_answer = 0;
    for summary in book.chats(usize::MAX).unwrap() {
        let chat = book.chat(summary.id).unwrap();
        chat.shown();
        n_answer += chat.turns.iter().map(|turn| turn.answers.len() as u64).sum::<u64>();
        for image in chat.turns.iter().flat_map(|turn| &turn.images) {
            // A lost picture is an error of its own, not of the chat.
            let _ = book.pixels(&image.hash);
        }
    }
    book.search("longer", 1000).unwrap();
    n_answer
}

/// Opens what was damaged, and works on.
fn open_damaged(path: &Path) -> (CaseBook, Opening) {
    let found = std::fs::read(path).unwrap();
    let (book, opening) = CaseBook::open(path).unwrap();
    if let Opening::Rebuilt { backup, n_kept, .. } = &opening {
        assert_eq!(std::fs::read(backup).unwrap(), found, "the damaged file is kept as it was found");
        let verified = book.verify().unwrap();
        let entry = book.audit().unwrap().into_iter().rfind(|entry| entry.action == "rebuilt").unwrap();
        assert!(entry.detail.contains(&format!("\"n_kept\":{n_kept}")), "{entry:?}");
        assert_eq!(verified.n_entry, book.audit().unwrap().len() as u64);
    }
    read_all(&book);
    (book, opening)
}

#[test]
fn pages_overwritten_with_noise_cost_their_rows_and_no_others() {
    let (_folder, original) = closed_book();
    let whole = std::fs::read(&original).unwrap();
    let n_whole = read_all(&sample::open(&original));
    let mut n_rebuilt = 0;
    let mut n_answer = 0;
    for seed in 0..16_u64 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut damaged = whole.clone();
        for _ in 0..=seed % 4 {
            // Never the first page: that one has a test of its own.
            let start = random.random_range(4096..damaged.len() - 1);
            let end = (start + random.random_range(1..9000)).min(damaged.len());
            random.fill_bytes(&mut damaged[start..end]);
        }
        let (_folder, path) = copy_with(&original, &damaged);
        let (book, opening) = open_damaged(&path);
        n_answer += read_all(&book);
        let chat = book.new_chat("work goes on").unwrap();
        sample::ask(&book, chat, None, "and on");
        drop(book);
        // Damage to pictures is met when they are read, and mended on the next opening.
        let (book, again) = open_damaged(&path);
        n_rebuilt +=
            u64::from([opening, again].iter().any(|opening| matches!(opening, Opening::Rebuilt { .. })));
        assert!(book.chat(chat).is_ok());
        drop(book);
        assert_eq!(CaseBook::open(&path).unwrap().1, Opening::Whole, "seed {seed}");
    }
    assert!(n_rebuilt >= 13, "damage was found in {n_rebuilt} of 16");
    let share = n_answer as f64 / (16 * n_whole) as f64;
    eprintln!("{n_rebuilt} of 16 rebuilt, {:.1} % of the answers kept", share * 100.0);
    assert!(share > 0.7, "{share} of the answers were kept");
}

#[test]
fn a_file_cut_off_keeps_what_is_left() {
    let (_folder, path) = closed_book();
    let whole = std::fs::read(&path).unwrap();
    for share in [0.999, 0.9, 0.5, 0.2, 0.05] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("casebook.sqlite");
        let n_byte = (whole.len() as f64 * share) as usize;
        std::fs::write(&path, &whole[..n_byte]).unwrap();
        let (_, opening) = open_damaged(&path);
        let Opening::Rebuilt { n_kept, n_lost, .. } = opening else { panic!("{share}: {opening:?}") };
        eprintln!("cut to {share}: {n_kept} rows kept, {n_lost} lost");
    }
}

#[test]
fn a_lost_first_page_costs_nothing() {
    let (_folder, original) = closed_book();
    let whole = std::fs::read(&original).unwrap();
    let n_whole = read_all(&sample::open(&original));
    for n_byte in [16, 100, 4096] {
        let mut damaged = whole.clone();
        StdRng::seed_from_u64(n_byte as u64).fill_bytes(&mut damaged[..n_byte]);
        let (_folder, path) = copy_with(&original, &damaged);
        let (book, opening) = open_damaged(&path);
        assert!(matches!(opening, Opening::Rebuilt { n_lost: 0, .. }), "{n_byte}: {opening:?}");
        assert_eq!(read_all(&book), n_whole);
        assert_eq!(
            book.verify().unwrap().declared,
            [] as [String; 0],
            "nothing was lost, and the trail proves it"
        );
    }
}

#[test]
fn what_is_no_book_at_all_is_kept_aside() {
    let mut noise = vec![0; 10_000];
    StdRng::seed_from_u64(1).fill_bytes(&mut noise);
    for bytes in [noise, b"dear diary".to_vec(), vec![0; 8192], b"SQLite format 3\0".to_vec()] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("casebook.sqlite");
        std::fs::write(&path, &bytes).unwrap();
        let (book, opening) = open_damaged(&path);
        assert!(matches!(opening, Opening::Rebuilt { n_kept: 0, .. }), "{opening:?}");
        book.new_chat("new").unwrap();
    }
}

#[test]
fn somebody_elses_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.sqlite");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine');").unwrap();
    drop(connection);
    let before = std::fs::read(&path).unwrap();
    let error = CaseBook::open(&path).unwrap_err();
    assert!(matches!(error, CaseError::Foreign { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("left as it is"));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_later_version_is_refused_and_left_alone() {
    let (_folder, path) = closed_book();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(connection);
    let error = CaseBook::open(&path).unwrap_err();
    assert!(error.to_string().starts_with("the case book has version 99, this program knows 1"), "{error}");
    assert!(error.hint().unwrap().contains("version of eosin"));
}

#[test]
fn a_damaged_picture_is_met_when_it_is_read_and_mended_on_the_next_opening() {
    let (_folder, path) = closed_book();
    let book = sample::open(&path);
    let image = book.chat(ChatId(1)).unwrap().turns[0].images[0].clone();
    drop(book);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let query = "UPDATE image SET png = zeroblob(length(png)) WHERE hash = ?1";
    connection.execute(query, [&image.hash.0]).unwrap();
    drop(connection);
    // Opening does not read all pictures.
    let (book, opening) = CaseBook::open(&path).unwrap();
    assert_eq!(opening, Opening::Whole);
    assert!(book.pixels(&image.hash).is_err());
    let options = eosin_casebook::ExportOptions::default();
    let folder = tempfile::tempdir().unwrap();
    book.export(ChatId(1), eosin_casebook::Format::Pdf, &options, &folder.path().join("case.pdf")).unwrap();
    drop(book);
    let (book, opening) = CaseBook::open(&path).unwrap();
    assert!(matches!(opening, Opening::Rebuilt { n_lost: 1, .. }), "{opening:?}");
    assert_eq!(
        book.pixels(&image.hash).unwrap_err().to_string(),
        format!("the case book has no picture {}", image.hash)
    );
    book.verify().unwrap();
    // The same question asked again brings the picture back.
    let turn = NewTurn { images: vec![sample::image([640, 480], 1, "again")], ..NewTurn::default() };
    book.add_turn(ChatId(1), None, &turn).unwrap();
    book.pixels(&image.hash).unwrap();
}

#[cfg(unix)]
#[test]
fn a_book_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/eosin/casebook.sqlite");
    let book = sample::open(&path);
    sample::case(&book);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for item in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let item = item.unwrap().path();
        assert_eq!(mode(&item), 0o600, "{}", item.display());
    }
}
