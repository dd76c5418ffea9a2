//! Builds the demonstration model into the program where the repository has it.

use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(eosin_demo)");
    let demo = "../../assets/demo/vlm/manifest.toml";
    println!("cargo::rerun-if-changed={demo}");
    if Path::new(demo).is_file() {
        println!("cargo::rustc-cfg=eosin_demo");
    }
}
