//! What the machine must have before anything builds: Debian's packages and Node.
//!
//! Held true by every fresh machine: CI starts from one.

use std::path::Path;
use std::process::{Command, Stdio};

/// Debian packages and a file that each brings: the file, not the package database, decides, so that a
/// library installed another way counts too.
const BUILD: &[(&str, &[&str])] = &[
    ("build-essential", &["/usr/bin/cc"]),
    ("pkg-config", &["/usr/bin/pkg-config"]),
    ("libwebkit2gtk-4.1-dev", &["/usr/include/webkitgtk-4.1/webkit2/webkit2.h"]),
    ("libopenslide-dev", &["/usr/include/openslide/openslide.h", "/usr/local/include/openslide/openslide.h"]),
    ("libclang-dev", &["/usr/lib/llvm-*/lib/libclang.so", "/usr/lib/x86_64-linux-gnu/libclang-*.so"]),
];
const TEST: &[(&str, &[&str])] = &[
    ("webkit2gtk-driver", &["/usr/bin/WebKitWebDriver"]),
    ("xvfb", &["/usr/bin/Xvfb"]),
    ("xauth", &["/usr/bin/xauth"]),
    ("dbus", &["/usr/bin/dbus-daemon"]),
    ("mesa-vulkan-drivers", &["/usr/share/vulkan/icd.d/lvp_icd*.json"]),
    ("libvulkan1", &["/usr/lib/*/libvulkan.so.1", "/usr/lib/libvulkan.so.1"]),
];

/// What a task needs of the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Building the binary.
    Build,
    /// Building it and running every test.
    Test,
}

/// Installs the missing Debian packages where that is allowed, otherwise says exactly what to install.
pub(crate) fn prepare(need: Need) -> Result<(), String> {
    let wanted = BUILD.iter().chain(if need == Need::Test { TEST } else { &[] });
    let missing: Vec<&str> = wanted
        .filter(|(_, files)| !files.iter().any(|pattern| exists(pattern)))
        .map(|(package, _)| *package)
        .collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    for tool in ["node", "npm"] {
        if !succeeds(Command::new(tool).arg("--version")) {
            return Err(format!(
                "{tool} is missing: install Node.js 20 or newer (https://nodejs.org), it builds the window"
            ));
        }
    }
    Ok(())
}

fn install(packages: &[&str]) -> Result<(), String> {
    let by_hand = format!("apt-get install {}", packages.join(" "));
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(format!("these Debian packages or their like are missing: {}", packages.join(" ")));
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.starts_with(b"0\n"));
    let prefix: &[&str] = if root {
        &[]
    } else if succeeds(Command::new("sudo").args(["-n", "true"])) {
        &["sudo", "-n"]
    } else {
        return Err(format!("system packages are missing; run as root: {by_hand}"));
    };
    let apt = |args: &[&str]| {
        let words: Vec<&str> = prefix
            .iter()
            .copied()
            .chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"])
            .chain(args.iter().copied())
            .collect();
        eprintln!("xtask: {}", words.join(" "));
        Command::new(words[0])
            .args(&words[1..])
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let install: Vec<&str> = ["install", "-y", "-q", "--no-install-recommends"]
        .into_iter()
        .chain(packages.iter().copied())
        .collect();
    // The package lists of a fresh machine are often empty or old: refresh, but try without them too.
    let refreshed = apt(&["update", "-q"]);
    if apt(&install) {
        Ok(())
    } else {
        let why = if refreshed { "" } else { " (the package lists could not be refreshed)" };
        Err(format!("installing system packages failed{why}; run as root: {by_hand}"))
    }
}

/// Whether a path exists; `*` stands for any run of characters within one component.
pub(crate) fn exists(pattern: &str) -> bool {
    let mut found = vec![std::path::PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = found.iter().flat_map(|folder| matches(folder, part)).collect();
    }
    !found.is_empty()
}

fn matches(folder: &Path, part: &str) -> Vec<std::path::PathBuf> {
    let Some((head, tail)) = part.split_once('*') else {
        return Some(folder.join(part)).filter(|path| path.exists()).into_iter().collect();
    };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let fits =
        |name: &str| name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail);
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(fits))
        .map(|entry| entry.path())
        .collect()
}

/// Whether a command can be started and succeeds, silently.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
