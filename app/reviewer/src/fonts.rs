//! Letters: the system's sans serif where it has one, and its Chinese, Japanese and Korean where text asks.
//!
//! Nothing is bundled beyond what egui brings and nothing is fetched. A font is found by the names that
//! systems install it under; where none is there, egui's own letters stay, and a character that no font has
//! shows as a box. The big file of CJK letters is read only when the first such character comes up. Held true
//! by the test below.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use eframe::egui::{self, FontData, FontDefinitions, FontFamily};
use egui::epaint::text::{FallbackRequest, FontInsert, FontProvider};

/// Family of the letters of titles.
pub const STRONG: &str = "strong";

/// No font file is larger.
const MAX_FONT_BYTES: u64 = 64 << 20;

/// Which letters a window takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lettering {
    /// The system's where it has them.
    System,
    /// egui's own: the same on every machine, for pictures that are compared.
    BuiltIn,
}

/// Plain and strong cuts of the same sans serif, the better liked first.
const SANS: &[(&str, &str)] = &[
    ("inter/Inter-Regular.ttf", "inter/Inter-SemiBold.ttf"),
    ("truetype/noto/NotoSans-Regular.ttf", "truetype/noto/NotoSans-Bold.ttf"),
    ("noto/NotoSans-Regular.ttf", "noto/NotoSans-Bold.ttf"),
    ("google-noto/NotoSans-Regular.ttf", "google-noto/NotoSans-Bold.ttf"),
    ("truetype/liberation2/LiberationSans-Regular.ttf", "truetype/liberation2/LiberationSans-Bold.ttf"),
    ("truetype/liberation/LiberationSans-Regular.ttf", "truetype/liberation/LiberationSans-Bold.ttf"),
    ("segoeui.ttf", "seguisb.ttf"),
    ("opentype/urw-base35/NimbusSans-Regular.otf", "opentype/urw-base35/NimbusSans-Bold.otf"),
    ("truetype/dejavu/DejaVuSans.ttf", "truetype/dejavu/DejaVuSans-Bold.ttf"),
    ("Supplemental/Arial.ttf", "Supplemental/Arial Bold.ttf"),
];

/// Files with Chinese, Japanese and Korean letters, and the face within the file for simplified Chinese.
const CJK: &[(&str, u32)] = &[
    ("opentype/noto/NotoSansCJK-Regular.ttc", 2),
    ("noto-cjk/NotoSansCJK-Regular.ttc", 2),
    ("google-noto-sans-cjk-fonts/NotoSansCJK-Regular.ttc", 2),
    ("opentype/noto/NotoSerifCJK-Regular.ttc", 2),
    ("opentype/noto/NotoSerifCJK-Bold.ttc", 2),
    ("truetype/wqy/wqy-microhei.ttc", 0),
    ("truetype/wqy/wqy-zenhei.ttc", 0),
    ("truetype/droid/DroidSansFallbackFull.ttf", 0),
    ("msyh.ttc", 0),
    ("PingFang.ttc", 0),
    ("Hiragino Sans GB.ttc", 0),
];

/// Where systems keep fonts.
fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = [
        "/usr/share/fonts",
        "/usr/local/share/fonts",
        "/System/Library/Fonts",
        "/Library/Fonts",
        "C:\\Windows\\Fonts",
    ]
    .map(PathBuf::from)
    .into();
    folders.extend(std::env::home_dir().map(|home| home.join(".local/share/fonts")));
    folders
}

fn find(name: &str) -> Option<PathBuf> {
    folders().into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn load(path: &Path) -> Option<Vec<u8>> {
    let whole = std::fs::metadata(path).ok()?;
    // A font that cannot be read is one that is not there.
    if whole.len() > MAX_FONT_BYTES { None } else { std::fs::read(path).ok() }
}

/// Gives a context its letters.
pub fn install(ctx: &egui::Context, lettering: Lettering) {
    let mut fonts = FontDefinitions::default();
    let plain = fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
    fonts.families.insert(FontFamily::Name(STRONG.into()), plain);
    if lettering == Lettering::System {
        add_sans(&mut fonts);
        ctx.add_font_provider(Arc::new(Cjk));
    }
    ctx.set_fonts(fonts);
}

fn add_sans(fonts: &mut FontDefinitions) {
    let cuts = SANS.iter().find_map(|(plain, strong)| {
        let plain = load(&find(plain)?)?;
        Some((plain, find(strong).and_then(|path| load(&path))))
    });
    let Some((plain, strong)) = cuts else { return };
    let mut add = |name: &str, bytes: Vec<u8>, families: &[FontFamily]| {
        fonts.font_data.insert(name.to_owned(), Arc::new(FontData::from_owned(bytes)));
        for family in families {
            fonts.families.entry(family.clone()).or_default().insert(0, name.to_owned());
        }
    };
    let strong_family = FontFamily::Name(STRONG.into());
    add("system-plain", plain, &[FontFamily::Proportional, strong_family.clone()]);
    if let Some(strong) = strong {
        add("system-strong", strong, &[strong_family]);
    }
}

/// Finds letters for characters of East Asian scripts.
struct Cjk;

impl FontProvider for Cjk {
    fn font_for(&self, request: &FallbackRequest<'_>) -> Option<FontInsert> {
        let first = request.cluster.chars().next()?;
        if !is_cjk(first) {
            return None;
        }
        CJK.iter().find_map(|(name, face)| {
            let mut data = FontData::from_owned(load(&find(name)?)?);
            data.index = *face;
            Some(FontInsert::new("system-cjk", data, Vec::new()))
        })
    }
}

/// Whether a character belongs to Chinese, Japanese or Korean text.
fn is_cjk(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x11ff | 0x2e80..=0x9fff | 0xac00..=0xd7ff | 0xf900..=0xfaff | 0xfe30..=0xfe4f
        | 0xff00..=0xffef | 0x2_0000..=0x3_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_east_asian_text_asks_for_the_big_file() {
        for (c, expected) in
            [('中', true), ('あ', true), ('한', true), ('，', true), ('a', false), ('µ', false)]
        {
            assert_eq!(is_cjk(c), expected, "{c}");
        }
        let family = FontFamily::Proportional;
        assert!(Cjk.font_for(&FallbackRequest { cluster: "a", family: &family }).is_none());
        let found = Cjk.font_for(&FallbackRequest { cluster: "病", family: &family });
        if CJK.iter().any(|(name, _)| find(name).is_some()) {
            assert!(found.is_some());
        } else {
            println!("no CJK font on this machine: skipped");
        }
    }
}
