//! The repository's own rules, which no other tool knows: they hold because this fails when they do not.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Who may depend on whom among our own crates (normal dependencies); anything else fails.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    ("eosin-core", &[]),
    ("eosin-slide", &["eosin-core"]),
    ("eosin-weights", &["eosin-core"]),
    ("eosin-kernels", &["eosin-core", "eosin-weights"]),
    ("eosin-model", &["eosin-core", "eosin-weights", "eosin-kernels"]),
    ("eosin-session", &["eosin-core", "eosin-weights", "eosin-kernels", "eosin-model"]),
    ("eosin-index", &["eosin-core"]),
    ("eosin-casebook", &["eosin-core"]),
    ("eosin-library", &["eosin-core", "eosin-index", "eosin-session", "eosin-slide"]),
    ("eosin-workbench", &["eosin-core", "eosin-session", "eosin-slide", "eosin-casebook", "eosin-library"]),
    (
        "eosin-desktop",
        &["eosin-core", "eosin-session", "eosin-slide", "eosin-casebook", "eosin-library", "eosin-workbench"],
    ),
    (
        "eosin-reviewer",
        &["eosin-core", "eosin-session", "eosin-slide", "eosin-casebook", "eosin-library", "eosin-workbench"],
    ),
    (
        "eosin-training",
        &["eosin-core", "eosin-weights", "eosin-kernels", "eosin-model", "eosin-session", "eosin-slide"],
    ),
    (
        "eosin",
        &[
            "eosin-core",
            "eosin-weights",
            "eosin-kernels",
            "eosin-model",
            "eosin-session",
            "eosin-slide",
            "eosin-training",
            "eosin-casebook",
            "eosin-library",
            "eosin-workbench",
            "eosin-desktop",
            "eosin-reviewer",
        ],
    ),
    (
        "eosin-tests",
        &[
            "eosin-core",
            "eosin-weights",
            "eosin-kernels",
            "eosin-model",
            "eosin-session",
            "eosin-slide",
            "eosin-training",
            "eosin-index",
            "eosin-casebook",
            "eosin-library",
            "eosin-workbench",
        ],
    ),
    ("xtask", &[]),
];

/// A source file longer than this should be split, or say why in its header ("This file is long").
const MOST_LINES: usize = 600;
/// A file larger than this belongs under `assets/` or not into the repository.
const MOST_BYTES: u64 = 400_000;

/// Checks every rule and reports all that is broken, not only the first.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    eprintln!("xtask: tidy");
    let files = tracked_files(root)?;
    let mut faults = Vec::new();
    let architecture = read(&root.join("ARCHITECTURE.md"))?;
    for manifest in
        files.iter().filter(|path| path.ends_with("Cargo.toml") && path.parent() != Some(Path::new("")))
    {
        check_manifest(root, manifest, &architecture, &mut faults)?;
    }
    for path in &files {
        check_file(root, path, &mut faults)?;
    }
    if faults.is_empty() { Ok(()) } else { Err(format!("tidy found:\n  {}", faults.join("\n  "))) }
}

fn check_manifest(
    root: &Path,
    manifest: &Path,
    architecture: &str,
    faults: &mut Vec<String>,
) -> Result<(), String> {
    let text = read(&root.join(manifest))?;
    let at = manifest.display();
    let value_of = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_prefix('"')?.strip_suffix('"'))
    };
    let Some(name) = value_of("name =") else { return Ok(()) };
    let Some((_, allowed)) = DEPENDENCIES.iter().find(|(krate, _)| *krate == name) else {
        // Fuzz targets and stand-ins for foreign crates live in the tree but not in the house.
        return Ok(());
    };
    if !architecture.contains(&format!("`{name}`")) {
        faults.push(format!("ARCHITECTURE.md does not name `{name}`"));
    }
    if !text.contains("[lints]\nworkspace = true") {
        faults.push(format!("{at}: `[lints] workspace = true` is missing"));
    }
    if name != "xtask" && !root.join(manifest).with_file_name("README.md").exists() {
        faults.push(format!("{at}: no README.md beside it"));
    }
    for dependency in normal_dependencies(&text) {
        if dependency.starts_with("eosin") && !allowed.contains(&dependency) {
            faults.push(format!("{at}: `{name}` must not depend on `{dependency}`"));
        }
    }
    Ok(())
}

/// Names in `[dependencies]`; development dependencies may point anywhere.
fn normal_dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    manifest.lines().filter_map(move |line| {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
            return None;
        }
        let name = line.split(['.', '=', ' ']).next()?;
        (inside && !name.is_empty()).then_some(name)
    })
}

fn check_file(root: &Path, path: &Path, faults: &mut Vec<String>) -> Result<(), String> {
    let full = root.join(path);
    let Ok(metadata) = std::fs::metadata(&full) else { return Ok(()) };
    let at = path.display();
    if metadata.len() > MOST_BYTES && !path.starts_with("assets") && !path.ends_with("Cargo.lock") {
        faults.push(format!("{at}: {} bytes; large files live under assets/", metadata.len()));
    }
    if path.extension().is_none_or(|extension| extension != "rs") {
        return Ok(());
    }
    let text = read(&full)?;
    if !text.starts_with("//!") {
        faults.push(format!("{at}: opens without saying what it is (`//!`)"));
    }
    let n_line = text.lines().count();
    if n_line > MOST_LINES && !text.contains("//! This file is long") {
        faults.push(format!("{at}: {n_line} lines; split it, or say why in its header"));
    }
    if path.file_name().is_some_and(|name| name == "mod.rs") {
        faults.push(format!("{at}: use `foo.rs` beside `foo/`"));
    }
    Ok(())
}

/// Files that git tracks or would track; a tree without git is walked by nobody.
fn tracked_files(root: &Path) -> Result<Vec<PathBuf>, String> {
    let list = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output();
    match list {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect())
        }
        _ => Err("tidy needs git, and a clone rather than an archive".to_owned()),
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_normal_dependencies_count() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\neosin-core.workspace = true\nhalf = \"2\"\n\n[dev-dependencies]\neosin-tests = \"1\"\n";
        assert_eq!(normal_dependencies(manifest).collect::<Vec<_>>(), ["eosin-core", "half"]);
    }
}
