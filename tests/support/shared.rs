//! Where references and real data lie that are not part of the repository.

use std::path::{Path, PathBuf};

/// A folder or file of the shared references: in `EOSIN_SHARED`, else in `shared` beside the workspace. `None` where
/// it is not there, after saying that a test skips. As the program tells paths: without links and steps back.
pub(crate) fn shared(part: &str) -> Option<PathBuf> {
    let beside = || {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .find(|folder| folder.join("Cargo.lock").is_file())
            .expect("a test lies in the workspace");
        workspace.join("../shared")
    };
    let root = std::env::var_os("EOSIN_SHARED").map_or_else(beside, PathBuf::from);
    let found = root.join(part).canonicalize().ok();
    if found.is_none() {
        eprintln!("skipped: no {part} on this machine (set EOSIN_SHARED)");
    }
    found
}
