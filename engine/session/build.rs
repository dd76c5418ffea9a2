//! Builds the demonstration models into the program where the repository has them.

use std::path::Path;

fn main() {
    for (flag, demo) in [
        ("eosin_demo", "../../assets/demo/vlm/manifest.toml"),
        ("eosin_demo_clip", "../../assets/demo/clip/manifest.toml"),
    ] {
        println!("cargo::rustc-check-cfg=cfg({flag})");
        println!("cargo::rerun-if-changed={demo}");
        if Path::new(demo).is_file() {
            println!("cargo::rustc-cfg={flag}");
        }
    }
}
