//! Where a picture that a row names lies on disk: inside its folder, or nowhere.
//!
//! Rows come from strangers. A row that says `../../.ssh/id` must not have that file read, hashed or
//! trained on, so a name may climb no higher than the folder of pictures; whoever means the whole disk says
//! `images = "/"`. The check is by name: links inside the folder are the owner's own.

use std::path::{Component, Path, PathBuf};

/// The path that `name` means inside `folder`, or why it means none.
pub(crate) fn inside(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let name = name.strip_prefix("file://").unwrap_or(name).trim();
    if name.is_empty() {
        return Err("an image without a name".into());
    }
    if name.starts_with("http://") || name.starts_with("https://") {
        return Err("an image on the network, which is never opened".into());
    }
    if name.contains('\0') {
        return Err("a name that no file can have".into());
    }
    let outside = || format!("the image lies outside its folder ({name}); set `images` to allow it");
    let path = Path::new(name);
    if path.is_absolute() {
        let (path, folder) = (tidy(path), absolute(folder));
        return match (path, folder.as_deref().and_then(tidy)) {
            (Some(path), Some(folder)) if path.starts_with(&folder) => Ok(path),
            _ => Err(outside()),
        };
    }
    let inner = tidy(path).ok_or_else(outside)?;
    Ok(folder.join(inner))
}

fn absolute(folder: &Path) -> Option<PathBuf> {
    std::path::absolute(folder).ok()
}

/// The path without `.` and `..`; none where it climbs above its start.
fn tidy(path: &Path) -> Option<PathBuf> {
    let mut tidied = PathBuf::new();
    let mut depth = 0_usize;
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                depth = depth.checked_sub(1)?;
                tidied.pop();
            }
            Component::Normal(name) => {
                depth += 1;
                tidied.push(name);
            }
            Component::Prefix(_) | Component::RootDir => tidied.push(part),
        }
    }
    Some(tidied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_inside_its_folder() {
        let check = |name: &str, expected: Option<&str>| {
            let path = inside(Path::new("/data/set"), name).ok();
            assert_eq!(path.as_deref(), expected.map(Path::new), "{name}");
        };
        check("a.png", Some("/data/set/a.png"));
        check("./x/../a.png", Some("/data/set/a.png"));
        check("file:///data/set/b.png", Some("/data/set/b.png"));
        check("/data/set/x/b.png", Some("/data/set/x/b.png"));
        for name in [
            "",
            "../a.png",
            "x/../../a.png",
            "/data/other/a.png",
            "/data/set/../a.png",
            "/data/settee/a.png",
            "https://example.org/a.png",
            "a\0.png",
        ] {
            check(name, None);
        }
        assert!(inside(Path::new("/"), "/anywhere/a.png").is_ok());
    }
}
