//! The page's colours and sizes are those of `assets/tokens.toml`: `ui/src/styles/tokens.css` is written from it, by
//! the first test below, and nothing is hard to read, by the second.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

type Table = BTreeMap<String, toml::Value>;

fn tokens() -> BTreeMap<String, Table> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/tokens.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn colors(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::Array(all) => all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        other => other.as_str().map(str::to_owned).into_iter().collect(),
    }
}

fn css(tokens: &BTreeMap<String, Table>) -> String {
    let mut text = String::from(
        "/* Written from assets/tokens.toml by the test of app/desktop/src/tokens.rs; do not edit. */\n:root {\n",
    );
    for (name, light) in &tokens["light"] {
        let (light, dark) = (colors(light), colors(&tokens["dark"][name]));
        assert_eq!(light.len(), dark.len(), "{name}");
        for (at, (light, dark)) in light.iter().zip(&dark).enumerate() {
            let number =
                if light.len() > 1 && name == "series" { format!("-{}", at + 1) } else { String::new() };
            writeln!(text, "  --{name}{number}: light-dark({light}, {dark});").unwrap();
        }
    }
    for (name, color) in &tokens["mark"] {
        writeln!(text, "  --mark-{name}: {};", color.as_str().unwrap()).unwrap();
    }
    for group in ["space", "radius", "text"] {
        for (name, size) in &tokens[group] {
            let px = size.as_float().or_else(|| size.as_integer().map(|px| px as f64)).unwrap();
            writeln!(text, "  --{group}-{name}: {px}px;").unwrap();
        }
    }
    text + "}\n"
}

/// Run with `EOSIN_BINDINGS=write` to bring the page's tokens up to date.
#[test]
fn the_pages_tokens_are_up_to_date() {
    let text = css(&tokens());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/src/styles/tokens.css");
    if std::env::var_os("EOSIN_BINDINGS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, text, "run `EOSIN_BINDINGS=write cargo test -p eosin-desktop tokens`");
}

/// Relative luminance as WCAG 2 defines it.
fn luminance(color: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

/// WCAG 2, level AA: 4.5 for text, 3 for what only marks a control.
#[test]
fn nothing_is_hard_to_read_in_either_theme() {
    let tokens = tokens();
    for theme in ["light", "dark"] {
        let check = |ink: &str, ground: &str, least: f64| {
            let color = |name: &str| luminance(tokens[theme][name].as_str().unwrap());
            let (a, b) = (color(ink), color(ground));
            let ratio = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(ratio >= least, "{ink} on {ground} in {theme}: {ratio:.2}");
        };
        for ground in ["ground", "panel", "accent-soft", "stage"] {
            check("ink", ground, 4.5);
        }
        for ground in ["ground", "panel"] {
            check("quiet", ground, 4.5);
            check("accent", ground, 4.5);
            check("danger", ground, 4.5);
            check("good", ground, 4.5);
        }
        check("accent-ink", "accent", 4.5);
        check("danger", "danger-soft", 4.5);
        check("quiet", "accent-soft", 4.5);
        check("quiet", "stage", 4.5);
        check("accent", "accent-soft", 3.0);
    }
}
