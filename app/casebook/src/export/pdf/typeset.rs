//! Words into lines of glyphs, with the machine's fonts.
//!
//! A sans serif that is likely to be there is asked for by name; scripts that it lacks (Chinese first) come from the
//! fonts that the machine has for them. One small font is built in, so that a report can be made where none is
//! installed. `**bold**`, bullets and headings, which models like to write, are set; other marks stay as they are.

use std::collections::HashMap;
use std::sync::Arc;

use cosmic_text::{Attrs, Buffer, Family, FontSystem, Metrics, Shaping, fontdb};
use krilla::text::{Font, GlyphId, KrillaGlyph, Tag};

use super::Ink;

/// Families to choose from, the finest first; the last is built in.
const FAMILIES: [&str; 13] = [
    "Inter",
    "Source Sans 3",
    "Source Sans Pro",
    "Noto Sans",
    "Open Sans",
    "Segoe UI",
    "Helvetica Neue",
    "Liberation Sans",
    "Nimbus Sans",
    "Arial",
    "Cantarell",
    "DejaVu Sans",
    "Ubuntu",
];

/// The middle of a letter is this far above where it stands, as a share of its size.
const CENTRE: f32 = 0.35;

/// How heavy letters are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Weight {
    Plain,
    Bold,
}

/// How words look.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Style {
    pub(super) size_pt: f32,
    /// Line height as a multiple of the size.
    pub(super) leading: f32,
    pub(super) weight: Weight,
    pub(super) ink: Ink,
}

/// Glyphs of one font in a row.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) left_pt: f32,
    pub(super) font: FontKey,
    pub(super) size_pt: f32,
    pub(super) ink: Ink,
    /// The words that the glyphs stand for, for search and copying.
    pub(super) text: Arc<str>,
    pub(super) glyphs: Vec<KrillaGlyph>,
}

/// A line that is ready to be drawn.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) runs: Vec<Run>,
    pub(super) width_pt: f32,
    pub(super) height_pt: f32,
    /// From the line's top down to where letters stand.
    pub(super) baseline_pt: f32,
}

/// A face at a weight: the weight matters where one file holds all of them.
pub(super) type FontKey = (fontdb::ID, u16);

/// The fonts of this machine.
pub(super) struct Typesetter {
    system: FontSystem,
    family: String,
    fonts: HashMap<FontKey, Option<Font>>,
}

impl Typesetter {
    /// All of them, and the one that is built in.
    pub(super) fn new() -> Self {
        Self::with(FontSystem::new_with_fonts([built_in()]))
    }

    fn with(system: FontSystem) -> Self {
        let there = |name: &str| {
            // A family of which only odd faces are there (a narrow one, a light one) is none to set a page in.
            system.db().faces().any(|face| {
                face.families.iter().any(|(family, _)| family == name)
                    && face.style == fontdb::Style::Normal
                    && face.stretch == fontdb::Stretch::Normal
                    && (300..=500).contains(&face.weight.0)
            })
        };
        let family = FAMILIES.into_iter().find(|name| there(name)).unwrap_or("Ubuntu").to_owned();
        Self { system, family, fonts: HashMap::new() }
    }

    /// A font that a line names; none where its file went away in the meantime.
    pub(super) fn font(&self, key: FontKey) -> Option<&Font> {
        self.fonts.get(&key).and_then(Option::as_ref)
    }

    /// Words on one line, however long.
    pub(super) fn line(&mut self, text: &str, style: Style) -> Line {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.set(&[(text.as_str(), style.weight)], style, None).into_iter().next().unwrap_or_default()
    }

    /// Words broken into lines of a width.
    pub(super) fn paragraph(&mut self, text: &str, style: Style, width_pt: f32) -> Vec<Line> {
        self.set(&[(text, style.weight)], style, Some(width_pt))
    }

    /// Words with a little Markdown, broken into lines of a width.
    pub(super) fn marked_up(&mut self, text: &str, style: Style, width_pt: f32) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut blank = false;
        for row in text.trim().lines() {
            let row = row.trim_end();
            if row.is_empty() {
                blank = !lines.is_empty();
                continue;
            }
            if std::mem::take(&mut blank) {
                lines.push(Line { height_pt: style.size_pt * 0.5, ..Line::default() });
            }
            let (row, indent_pt, bullet) = bulleted(row, style);
            let (row, weight) = match row.trim_start_matches('#') {
                rest if rest.len() < row.len() && rest.starts_with(' ') => (rest.trim_start(), Weight::Bold),
                _ => (row, style.weight),
            };
            let spans = spans(row, weight);
            let spans: Vec<(&str, Weight)> =
                spans.iter().map(|(text, weight)| (text.as_str(), *weight)).collect();
            let mut set = self.set(&spans, style, Some((width_pt - indent_pt).max(40.0)));
            for line in &mut set {
                line.runs.iter_mut().for_each(|run| run.left_pt += indent_pt);
                line.width_pt += indent_pt;
            }
            if let (Some(bullet), Some(first)) = (bullet, set.first_mut()) {
                let mark = self.line(bullet, style);
                let left_pt = (indent_pt - style.size_pt * 1.1).max(0.0);
                first
                    .runs
                    .extend(mark.runs.into_iter().map(|run| Run { left_pt: run.left_pt + left_pt, ..run }));
            }
            lines.extend(set);
        }
        lines
    }

    fn set(&mut self, spans: &[(&str, Weight)], style: Style, width_pt: Option<f32>) -> Vec<Line> {
        let metrics = Metrics::new(style.size_pt, style.size_pt * style.leading);
        let mut buffer = Buffer::new(&mut self.system, metrics);
        buffer.set_size(width_pt, None);
        let family = self.family.clone();
        let attributes = |weight: Weight| {
            let weight = match weight {
                Weight::Plain => fontdb::Weight::NORMAL,
                Weight::Bold => fontdb::Weight::BOLD,
            };
            Attrs::new().family(Family::Name(&family)).weight(weight)
        };
        let clean: Vec<(String, Weight)> =
            spans.iter().map(|(text, weight)| (printable(text), *weight)).collect();
        let pieces = clean.iter().map(|(text, weight)| (text.as_str(), attributes(*weight)));
        buffer.set_rich_text(pieces, &attributes(style.weight), Shaping::Advanced, None);
        buffer.shape_until_scroll(&mut self.system, false);
        let mut lines = Vec::new();
        for layout in buffer.layout_runs() {
            let text: Arc<str> = layout.text.into();
            let mut runs: Vec<Run> = Vec::new();
            let mut end_pt = 0.0_f32;
            for glyph in layout.glyphs {
                let font = (glyph.font_id, glyph.font_weight.0);
                let size = glyph.font_size;
                let joins =
                    runs.last().is_some_and(|run| run.font == font && (end_pt - glyph.x).abs() < 0.01);
                if !joins {
                    let run = Run {
                        left_pt: glyph.x,
                        font,
                        size_pt: size,
                        ink: style.ink,
                        text: text.clone(),
                        glyphs: Vec::new(),
                    };
                    runs.push(run);
                }
                if let Some(run) = runs.last_mut() {
                    run.glyphs.push(KrillaGlyph::new(
                        GlyphId::new(u32::from(glyph.glyph_id)),
                        glyph.w / size,
                        glyph.x_offset,
                        glyph.y_offset,
                        0.0,
                        glyph.start..glyph.end,
                        None,
                    ));
                }
                end_pt = glyph.x + glyph.w;
            }
            lines.push(Line {
                runs,
                width_pt: layout.line_w,
                height_pt: layout.line_height,
                // Of the style, not of the fonts: words of two scripts beside each other stand on one line.
                baseline_pt: style.size_pt * (style.leading / 2.0 + CENTRE),
            });
        }
        for run in lines.iter().flat_map(|line| &line.runs) {
            self.load(run.font);
        }
        lines
    }

    /// Keeps a font for drawing. Shaping has mapped its file already.
    fn load(&mut self, key: FontKey) {
        if self.fonts.contains_key(&key) {
            return;
        }
        let (id, weight) = key;
        let _ = self.system.get_font(id, fontdb::Weight(weight));
        let font = self.system.db().face(id).and_then(|face| {
            let data = match &face.source {
                fontdb::Source::Binary(data) | fontdb::Source::SharedFile(_, data) => data.clone(),
                fontdb::Source::File(_) => return None,
            };
            let varies = cosmic_text::skrifa::FontRef::from_index((*data).as_ref(), face.index)
                .is_ok_and(|font| has_weights(&font));
            let weights = [(Tag::new(b"wght"), f32::from(weight))];
            Font::new_variable(data.into(), face.index, if varies { &weights } else { &[] })
        });
        self.fonts.insert(key, font);
    }
}

fn built_in() -> fontdb::Source {
    fontdb::Source::Binary(Arc::new(epaint_default_fonts::UBUNTU_LIGHT))
}

fn has_weights(font: &cosmic_text::skrifa::FontRef<'_>) -> bool {
    use cosmic_text::skrifa::MetadataProvider as _;
    font.axes().iter().any(|axis| axis.tag() == cosmic_text::skrifa::Tag::new(b"wght"))
}

/// Text without the characters that are no letters: they would be printed as boxes.
fn printable(text: &str) -> String {
    let kept = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    kept.map(|c| if c == '\t' { ' ' } else { c }).collect()
}

/// A row's words, how far they are indented, and the mark before them.
fn bulleted(row: &str, style: Style) -> (&str, f32, Option<&'static str>) {
    let depth = row.chars().take_while(|c| *c == ' ').count() / 2;
    let indent_pt = depth.min(4) as f32 * style.size_pt * 1.1;
    let words = row.trim_start();
    for mark in ["- ", "* ", "• ", "+ "] {
        if let Some(rest) = words.strip_prefix(mark) {
            return (rest.trim_start(), indent_pt + style.size_pt * 1.1, Some("•"));
        }
    }
    (words, indent_pt, None)
}

/// Cuts `**bold**` out of a row; a mark without its other is text.
fn spans(row: &str, weight: Weight) -> Vec<(String, Weight)> {
    let mut spans = Vec::new();
    let mut rest = row;
    while let Some((before, behind)) = rest.split_once("**") {
        let Some((bold, after)) = behind.split_once("**").filter(|(bold, _)| !bold.trim().is_empty()) else {
            break;
        };
        spans.push((before.to_owned(), weight));
        spans.push((bold.to_owned(), Weight::Bold));
        rest = after;
    }
    spans.push((rest.to_owned(), weight));
    spans.retain(|(text, _)| !text.is_empty());
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style { size_pt: 10.0, leading: 1.4, weight: Weight::Plain, ink: [0; 3] };

    #[test]
    fn a_little_markdown_is_understood() {
        let check = |row: &str, expected: &[(&str, Weight)]| {
            let expected: Vec<(String, Weight)> =
                expected.iter().map(|(text, weight)| ((*text).to_owned(), *weight)).collect();
            assert_eq!(spans(row, Weight::Plain), expected);
        };
        check("a **b** c", &[("a ", Weight::Plain), ("b", Weight::Bold), (" c", Weight::Plain)]);
        check("a ** b", &[("a ** b", Weight::Plain)]);
        check("****", &[("****", Weight::Plain)]);
        check("2**3", &[("2**3", Weight::Plain)]);
        assert_eq!(bulleted("- x", STYLE), ("x", 11.0, Some("•")));
        assert_eq!(bulleted("  * x", STYLE), ("x", 22.0, Some("•")));
        assert_eq!(bulleted("-x", STYLE), ("-x", 0.0, None));
        assert_eq!(printable("a\u{1b}[1m\tb"), "a[1m b");
    }

    #[test]
    fn words_are_broken_into_lines_that_fit() {
        let mut typesetter = Typesetter::new();
        let text = "Glands with crowded, pencillate nuclei. 腺体结构紊乱，细胞核拥挤。 ".repeat(8);
        let lines = typesetter.marked_up(&text, STYLE, 200.0);
        assert!(lines.len() > 5, "{}", lines.len());
        assert!(lines.iter().all(|line| line.width_pt <= 200.5), "{lines:?}");
        assert!(lines.iter().flat_map(|line| &line.runs).all(|run| typesetter.font(run.font).is_some()));
        // One word that is wider than the line is broken too.
        let long = typesetter.paragraph(&"m".repeat(200), STYLE, 100.0);
        assert!(long.len() > 5 && long.iter().all(|line| line.width_pt <= 100.5));
        // Where nothing is installed, the built-in font is there.
        let mut fonts = fontdb::Database::new();
        fonts.load_font_source(built_in());
        let mut bare = Typesetter::with(FontSystem::new_with_locale_and_db("en".to_owned(), fonts));
        let lines = bare.marked_up("Glands, **bold**. 腺体", STYLE, 200.0);
        let runs: Vec<&Run> = lines.iter().flat_map(|line| &line.runs).collect();
        assert!(!runs.is_empty() && runs.iter().all(|run| bare.font(run.font).is_some()));
        assert!(
            runs[0].glyphs.iter().all(|glyph| glyph.glyph_id.to_u32() != 0),
            "letters are drawn, not boxes"
        );
        for empty in ["", " \n ", "\u{0}"] {
            let _ = typesetter.line(empty, STYLE);
            let _ = typesetter.marked_up(empty, STYLE, 100.0);
        }
    }
}
