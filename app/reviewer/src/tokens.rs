//! Colours, spacing and sizes, read from `assets/tokens.toml`: no other file of this crate states a colour.
//!
//! The file is part of the program, so reading it cannot fail at run time; the test below reads it, and checks
//! that text can be told from its ground as WCAG asks (4.5 : 1).

use std::sync::LazyLock;

use eframe::egui::{self, Color32};
use serde::{Deserialize, Deserializer};

/// All of `assets/tokens.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// By day.
    pub light: Palette,
    /// By night.
    pub dark: Palette,
    /// On tissue, day and night.
    pub mark: MarkPalette,
    /// Distances.
    pub space: Space,
    /// Corners.
    pub radius: Radius,
    /// Letters.
    pub text: TextSizes,
}

/// The colours of one theme, by what they are for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Palette {
    /// Behind everything.
    #[serde(deserialize_with = "color")]
    pub ground: Color32,
    /// Bars and panels.
    #[serde(deserialize_with = "color")]
    pub panel: Color32,
    /// Text.
    #[serde(deserialize_with = "color")]
    pub ink: Color32,
    /// Text that stands back.
    #[serde(deserialize_with = "color")]
    pub quiet: Color32,
    /// Borders.
    #[serde(deserialize_with = "color")]
    pub line: Color32,
    /// What is chosen, and the main action.
    #[serde(deserialize_with = "color")]
    pub accent: Color32,
    /// Text on the accent.
    #[serde(deserialize_with = "color")]
    pub accent_ink: Color32,
    /// The ground of answers and of what the pointer is on.
    #[serde(deserialize_with = "color")]
    pub accent_soft: Color32,
    /// Behind the slide.
    #[serde(deserialize_with = "color")]
    pub stage: Color32,
    /// What failed.
    #[serde(deserialize_with = "color")]
    pub danger: Color32,
    /// The ground of what failed.
    #[serde(deserialize_with = "color")]
    pub danger_soft: Color32,
    /// What is done.
    #[serde(deserialize_with = "color")]
    pub good: Color32,
    /// Around icons that lie on the stage of the page; read, so that the file is the same for both windows.
    #[serde(deserialize_with = "color")]
    #[expect(dead_code, reason = "the page's own")]
    pub halo: Color32,
    /// Curves, in order.
    #[serde(deserialize_with = "colors")]
    pub series: Vec<Color32>,
}

/// The colours of what is drawn over tissue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkPalette {
    /// Annotations without a class.
    #[serde(deserialize_with = "color")]
    pub ink: Color32,
    /// Around every line.
    #[serde(deserialize_with = "color")]
    pub halo: Color32,
    /// The ruler.
    #[serde(deserialize_with = "color")]
    pub measure: Color32,
    /// What a search or an answer points at.
    #[serde(deserialize_with = "color")]
    pub found: Color32,
}

/// Distances in points.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Space {
    /// Between parts of one thing.
    pub tiny: f32,
    /// Between things.
    pub small: f32,
    /// Between groups.
    pub gap: f32,
    /// At the edge of a panel.
    pub wide: f32,
    /// Between sections.
    pub section: f32,
}

/// Corner radii in points.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Radius {
    /// Of buttons.
    pub small: u8,
    /// Of cards.
    pub card: u8,
}

/// Sizes of letters in points.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSizes {
    /// Remarks.
    pub small: f32,
    /// Most of it.
    pub body: f32,
    /// Titles of panels of the page; read, so that the file is the same for both windows.
    #[expect(dead_code, reason = "the page's own")]
    pub title: f32,
    /// Titles of empty pages.
    pub display: f32,
}

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    toml::from_str(include_str!("../../../assets/tokens.toml"))
        .expect("the file is part of the program, and a test reads it")
});

/// The tokens.
pub fn tokens() -> &'static Tokens {
    &TOKENS
}

/// The colours of the theme that `ui` is drawn in.
pub fn palette(ui: &egui::Ui) -> &'static Palette {
    palette_of(ui.visuals().dark_mode)
}

fn palette_of(dark: bool) -> &'static Palette {
    if dark { &TOKENS.dark } else { &TOKENS.light }
}

/// A colour as the file writes it: `#rrggbb`.
fn parse(text: &str) -> Option<Color32> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    let channel = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    Some(Color32::from_rgb(channel(0)?, channel(2)?, channel(4)?))
}

fn color<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Color32, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no colour like #a3246f")))
}

fn colors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Color32>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let wrong = |text: &String| serde::de::Error::custom(format!("`{text}` is no colour like #a3246f"));
    texts.iter().map(|text| parse(text).ok_or_else(|| wrong(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance after WCAG 2.
    fn luminance(color: Color32) -> f64 {
        let [r, g, b, _] = color.to_array().map(|channel| {
            let share = f64::from(channel) / 255.0;
            if share <= 0.040_45 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    #[test]
    fn text_can_be_read_on_its_ground() {
        let tokens = tokens();
        let check = |name: &str, ink: Color32, ground: Color32, least: f64| {
            let (a, b) = (luminance(ink), luminance(ground));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= least, "{name}: {contrast:.2}");
        };
        for (theme, palette) in [("light", &tokens.light), ("dark", &tokens.dark)] {
            for (name, ground) in [("panel", palette.panel), ("ground", palette.ground)] {
                check(&format!("{theme} ink on {name}"), palette.ink, ground, 7.0);
                check(&format!("{theme} quiet on {name}"), palette.quiet, ground, 4.5);
                check(&format!("{theme} danger on {name}"), palette.danger, ground, 4.5);
            }
            check(&format!("{theme} ink on accent-soft"), palette.ink, palette.accent_soft, 7.0);
            check(&format!("{theme} accent-ink on accent"), palette.accent_ink, palette.accent, 4.5);
            check(&format!("{theme} danger on danger-soft"), palette.danger, palette.danger_soft, 4.5);
            for series in &palette.series {
                check(&format!("{theme} curve {series:?}"), *series, palette.panel, 3.0);
            }
        }
    }

    #[test]
    fn what_is_no_colour_is_refused() {
        assert_eq!(parse("#a3246f"), Some(Color32::from_rgb(0xa3, 0x24, 0x6f)));
        for text in ["a3246f", "#a3246", "#a3246g", "#ä3246", ""] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
