//! Builds the page before the window that embeds it.
//!
//! `tauri-cli` is not needed: plain cargo installs the page's packages when they are absent and bundles it
//! when a source is newer than the bundle.
//!
//! `src/command/list.txt` names every command of the page once. The handler and the permissions come from it, so
//! that none can be callable without being granted, or granted without being there.

use std::path::Path;
use std::process::Command;

const UI: &str = "ui";
const COMMANDS: &str = "src/command/list.txt";
const CAPABILITY: &str = "capabilities/workbench.json";
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
    let commands = commands();
    if let Err(error) = write_handler(&commands).and_then(|()| write_capability(&commands)) {
        eprintln!("the table of commands cannot be written: {error}");
        std::process::exit(1);
    }
    let names = commands.iter().map(|path| name(path).to_owned().leak() as &'static str).collect::<Vec<_>>();
    let attributes = tauri_build::Attributes::new()
        .capabilities_path_pattern(out("capabilities/*").leak())
        .app_manifest(tauri_build::AppManifest::new().commands(names.leak()));
    if let Err(error) = tauri_build::try_build(attributes) {
        eprintln!("the window's manifest cannot be built: {error:#}");
        std::process::exit(1);
    }
}

/// Paths of the commands under `crate::command`, from their list.
fn commands() -> Vec<String> {
    println!("cargo:rerun-if-changed={COMMANDS}");
    println!("cargo:rerun-if-changed={CAPABILITY}");
    let list = std::fs::read_to_string(COMMANDS).unwrap_or_default();
    list.split_whitespace().map(str::to_owned).collect()
}

/// The function's own name.
fn name(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

/// A path in cargo's folder for what a build makes.
fn out(path: &str) -> String {
    format!("{}/{path}", std::env::var("OUT_DIR").unwrap_or_default())
}

/// The expression that `lib.rs` includes.
fn write_handler(commands: &[String]) -> std::io::Result<()> {
    let paths =
        commands.iter().map(|path| format!("    crate::command::{path},\n")).collect::<Vec<_>>().concat();
    std::fs::write(out("handler.rs"), format!("tauri::generate_handler![\n{paths}]\n"))
}

/// The capability of the one window, with a permission for each command.
fn write_capability(commands: &[String]) -> std::io::Result<()> {
    let allow = |path: &String| format!("\"allow-{}\",\n    ", name(path).replace('_', "-"));
    let allowed: String = commands.iter().map(allow).collect();
    let opening = "\"permissions\": [";
    let capability =
        std::fs::read_to_string(CAPABILITY)?.replacen(opening, &format!("{opening}{allowed}"), 1);
    std::fs::create_dir_all(out("capabilities"))?;
    std::fs::write(out("capabilities/workbench.json"), capability)
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
