//! Builds the page before the window that embeds it.
//!
//! `tauri-cli` is not needed: plain cargo installs the page's packages when they are absent and bundles it
//! when a source is newer than the bundle.

use std::path::Path;
use std::process::Command;

const UI: &str = "ui";
const SOURCES: &[&str] = &[
    "ui/index.html",
    "ui/package.json",
    "ui/package-lock.json",
    "ui/tsconfig.json",
    "ui/vite.config.ts",
    "ui/src",
];

fn main() {
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    if !Path::new("ui/node_modules/.package-lock.json").exists() {
        npm(&["ci", "--no-audit", "--no-fund"]);
    }
    npm(&["run", "build"]);
    let commands = &["startup", "model", "open_dialog", "open_path", "ask", "stop"];
    let manifest = tauri_build::AppManifest::new().commands(commands);
    if let Err(error) = tauri_build::try_build(tauri_build::Attributes::new().app_manifest(manifest)) {
        eprintln!("the window's manifest cannot be built: {error:#}");
        std::process::exit(1);
    }
}

/// Runs npm in the page's folder; its own words explain a failure best.
fn npm(args: &[&str]) {
    let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
    match Command::new(program).args(args).current_dir(UI).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            eprintln!("npm {} failed in app/desktop/ui:", args.join(" "));
            eprintln!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            std::process::exit(1);
        }
        Err(error) => {
            eprintln!("npm cannot be started ({error}): install Node.js 20 or newer");
            std::process::exit(1);
        }
    }
}
