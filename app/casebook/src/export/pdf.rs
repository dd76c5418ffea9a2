//! A case as a report on A4.
//!
//! Three steps: words become lines of glyphs (`typeset`), lines and pictures become pieces that are broken into pages
//! (`flow`), pages are drawn (`draw`). This file says what the report says and how it looks. Colours are few: ink, a
//! grey for what is beside the point, one accent for structure.

mod draw;
mod flow;
mod typeset;

use std::sync::Arc;

use eosin_core::RgbTile;
use image::imageops::FilterType;

use self::draw::Report;
use self::flow::{Backdrop, Flow, Mark, Piece};
use self::typeset::{Style, Typesetter, Weight};
use super::labels::fill;
use super::phrase::HashLength;
use super::{Case, phrase};
use crate::chat::{Answer, Picture, Turn};
use crate::error::CaseError;
use crate::picture;

/// A4 in points.
const PAGE_PT: [f32; 2] = [595.28, 841.89];
/// Left and right margin.
const SIDE_PT: f32 = 58.0;
/// First line of a page, and the last.
const TOP_PT: f32 = 56.0;
const BOTTOM_PT: f32 = 70.0;
/// Width of the text.
const WIDTH_PT: f32 = PAGE_PT[0] - 2.0 * SIDE_PT;
/// A single picture at most; several stand in two columns.
const SINGLE_PT: [f32; 2] = [330.0, 250.0];
const COLUMN_GAP_PT: f32 = 14.0;
const COLUMN_HEIGHT_PT: f32 = 190.0;
/// Longest side of a picture on paper: 300 dots an inch over the widest place.
const MOST_DOTS: u32 = 1400;
/// Words are cut here: more is no report. JSON has them all.
const MOST_CHARS: usize = 200_000;

/// A colour, red green blue.
type Ink = [u8; 3];
const INK: Ink = [0x1d, 0x1b, 0x26];
const GREY: Ink = [0x6a, 0x67, 0x75];
const FAINT: Ink = [0xdd, 0xda, 0xe3];
const ACCENT: Ink = [0xa8, 0x32, 0x6b];
const TINT: Ink = [0xfb, 0xf2, 0xf7];
const WARN: Ink = [0x8a, 0x4b, 0x08];
const WARN_TINT: Ink = [0xfe, 0xf6, 0xe7];
const FAULT: Ink = [0xa6, 0x22, 0x1c];
const WHITE: Ink = [0xff; 3];

const TITLE: Style = Style { size_pt: 21.0, leading: 1.22, weight: Weight::Bold, ink: INK };
const BRAND: Style = Style { size_pt: 8.0, leading: 1.3, weight: Weight::Bold, ink: ACCENT };
const SUMMARY: Style = Style { size_pt: 8.5, leading: 1.4, weight: Weight::Plain, ink: GREY };
const NOTICE: Style = Style { size_pt: 8.5, leading: 1.4, weight: Weight::Plain, ink: WARN };
const LABEL: Style = Style { size_pt: 8.0, leading: 1.4, weight: Weight::Bold, ink: ACCENT };
const LABEL_GREY: Style = Style { size_pt: 7.5, leading: 1.4, weight: Weight::Bold, ink: GREY };
const QUESTION: Style = Style { size_pt: 12.5, leading: 1.34, weight: Weight::Bold, ink: INK };
const BODY: Style = Style { size_pt: 10.5, leading: 1.45, weight: Weight::Plain, ink: INK };
const OPTION: Style = Style { size_pt: 9.5, leading: 1.4, weight: Weight::Plain, ink: INK };
const OPTION_BOLD: Style = Style { weight: Weight::Bold, ..OPTION };
const REASONING: Style = Style { size_pt: 8.5, leading: 1.45, weight: Weight::Plain, ink: GREY };
const CAPTION: Style = Style { size_pt: 7.5, leading: 1.38, weight: Weight::Plain, ink: GREY };
const CAPTION_BOLD: Style = Style { weight: Weight::Bold, ink: INK, ..CAPTION };
const SMALL: Style = Style { size_pt: 7.0, leading: 1.42, weight: Weight::Plain, ink: GREY };
const SMALL_BOLD: Style = Style { weight: Weight::Bold, ..SMALL };
const CAVEAT: Style = Style { size_pt: 8.5, leading: 1.4, weight: Weight::Plain, ink: FAULT };
const SCALE: Style = Style { size_pt: 7.0, leading: 1.2, weight: Weight::Bold, ink: WHITE };

/// The document.
pub(super) fn write(case: &Case) -> Result<Vec<u8>, CaseError> {
    let mut writer = Writer { case, typesetter: Typesetter::new(), flow: Flow::default(), n_figure: 0 };
    let shown = case.chat.shown();
    writer.front(shown.len());
    for (turn_idx, turn) in shown.iter().enumerate() {
        writer.turn(turn_idx, turn);
    }
    writer.end();
    let Writer { mut typesetter, flow, .. } = writer;
    let pages = flow.into_pages(TOP_PT, PAGE_PT[1] - BOTTOM_PT);
    let n_page = pages.len().to_string();
    let feet = (1..=pages.len()).map(|page| {
        let number = fill(&case.labels.page, &[("n", &page.to_string()), ("m", &n_page)]);
        foot(&mut typesetter, &case.labels.foot, &number)
    });
    let feet: Vec<Piece> = feet.collect();
    draw::document(
        &Report { title: phrase::title(case), exported_at: &case.exported_at, pages, feet },
        &typesetter,
    )
}

/// The foot of a page, hung from the bottom margin.
fn foot(typesetter: &mut Typesetter, words: &str, number: &str) -> Piece {
    let mut piece = Piece::new(BOTTOM_PT);
    piece.mark(Mark::Fill { rect: [SIDE_PT, 14.0, WIDTH_PT, 0.6], ink: FAINT, radius: 0.0 });
    let number = typesetter.line(number, SMALL);
    piece.mark_line(SIDE_PT + WIDTH_PT - number.width_pt, 21.0, &number);
    if let Some(words) = typesetter.paragraph(words, SMALL, WIDTH_PT - number.width_pt - 20.0).first() {
        piece.mark_line(SIDE_PT, 21.0, words);
    }
    piece
}

struct Writer<'a> {
    case: &'a Case,
    typesetter: Typesetter,
    flow: Flow,
    n_figure: usize,
}

impl Writer<'_> {
    fn front(&mut self, n_question: usize) {
        let labels = &self.case.labels;
        self.text("EOSIN", BRAND, 0.0, None);
        self.flow.space(6.0);
        self.text(&phrase::title(self.case), TITLE, 0.0, None);
        self.flow.space(4.0);
        self.text(&phrase::summary(self.case, n_question), SUMMARY, 0.0, None);
        self.flow.space(12.0);
        let notice = Backdrop { fill: Some(WARN_TINT), bar: Some(WARN), radius: 3.0 };
        self.boxed(notice, 7.0, |writer, backdrop| writer.text(&labels.notice, NOTICE, 12.0, Some(backdrop)));
        self.flow.space(10.0);
    }

    fn turn(&mut self, turn_idx: usize, turn: &Turn) {
        let labels = &self.case.labels;
        let heading = fill(&labels.question, &[("n", &(turn_idx + 1).to_string())]);
        let mut rule = Piece::new(22.0);
        if turn_idx > 0 {
            rule.mark(Mark::Fill { rect: [SIDE_PT, 10.0, WIDTH_PT, 0.6], ink: FAINT, radius: 0.0 });
        }
        rule.keep = true;
        rule.skip_at_top = true;
        self.flow.push(rule);
        let (name, date) =
            (self.typesetter.line(&heading, LABEL), self.typesetter.line(&phrase::minute(&turn.at), SMALL));
        let mut head = Piece::new(name.height_pt + 3.0);
        head.keep = true;
        head.heading = Some(format!("{heading} · {}", excerpt(&turn.question)));
        head.mark_line(SIDE_PT, 0.0, &name);
        let drop_pt = name.baseline_pt - date.baseline_pt;
        head.mark_line(SIDE_PT + WIDTH_PT - date.width_pt, drop_pt, &date);
        self.flow.push(head);
        self.kept_text(&turn.question, QUESTION);
        if let Some(system) = turn.system.as_ref().filter(|system| !system.trim().is_empty()) {
            self.flow.space(6.0);
            self.kept_text(&labels.instructions, LABEL_GREY);
            self.text(system, REASONING, 0.0, None);
        }
        self.pictures(&turn.images);
        self.options(turn);
        if let Some(answer) = turn.shown() {
            self.answer(turn, answer);
        }
    }

    fn pictures(&mut self, images: &[Picture]) {
        if images.is_empty() {
            return;
        }
        self.flow.space(9.0);
        if let [image] = images {
            self.row(&[(image, SIDE_PT, SINGLE_PT[0])], SINGLE_PT[1], WIDTH_PT);
            return;
        }
        let width_pt = (WIDTH_PT - COLUMN_GAP_PT) / 2.0;
        for pair in images.chunks(2) {
            let places: Vec<_> = pair
                .iter()
                .enumerate()
                .map(|(idx, image)| (image, SIDE_PT + idx as f32 * (width_pt + COLUMN_GAP_PT), width_pt))
                .collect();
            self.row(&places, COLUMN_HEIGHT_PT, width_pt);
            self.flow.space(6.0);
        }
    }

    /// Pictures side by side, their captions below.
    fn row(&mut self, places: &[(&Picture, f32, f32)], most_height_pt: f32, caption_width_pt: f32) {
        let labels = &self.case.labels;
        let mut piece = Piece::new(0.0);
        let heights = places.iter().map(|(image, _, width_pt)| {
            let drawn = self.case.pixels.contains_key(&image.hash);
            if drawn { fitted(image.size_px, [*width_pt, most_height_pt]) } else { [*width_pt, 26.0] }
        });
        let sizes: Vec<[f32; 2]> = heights.collect();
        for ((image, left, _), [width_pt, height_pt]) in places.iter().zip(sizes) {
            self.n_figure += 1;
            let rect = [*left, 0.0, width_pt, height_pt];
            if let Some(tile) = self.case.pixels.get(&image.hash) {
                piece.mark(Mark::Picture { rect, png: for_paper(tile) });
                self.scale_bar(&mut piece, image, rect);
            } else {
                piece.mark(Mark::Fill { rect, ink: [0xf3, 0xf2, 0xf6], radius: 2.0 });
                let words = self.typesetter.line(&labels.picture_left_out, CAPTION);
                piece.mark_line(left + 9.0, (height_pt - words.height_pt) / 2.0, &words);
            }
            let mut top = height_pt + 5.0;
            let figure = fill(&labels.figure, &[("n", &self.n_figure.to_string())]);
            let figure = self.typesetter.line(&format!("{figure}  "), CAPTION_BOLD);
            let first_width_pt = caption_width_pt - figure.width_pt - 4.0;
            piece.mark_line(*left, top, &figure);
            for line in
                self.typesetter.paragraph(&unbroken(&phrase::extent(image, labels)), CAPTION, first_width_pt)
            {
                piece.mark_line(left + figure.width_pt + 4.0, top, &line);
                top += line.height_pt;
            }
            for line in self.typesetter.paragraph(
                &unbroken(&phrase::origin(image, labels)),
                CAPTION,
                caption_width_pt,
            ) {
                piece.mark_line(*left, top, &line);
                top += line.height_pt;
            }
            piece.height_pt = piece.height_pt.max(top);
        }
        self.flow.push(piece);
    }

    /// A bar of a round length, over the picture where it is dark enough to be read on any tissue.
    fn scale_bar(&mut self, piece: &mut Piece, image: &Picture, rect: [f32; 4]) {
        let Some(scale) = image.um_per_px.filter(|scale| scale.is_finite() && *scale > 0.0) else { return };
        let um_per_pt = f64::from(image.size_px[0]) * scale / f64::from(rect[2]);
        let um = round_length(f64::from(rect[2]) * 0.28 * um_per_pt);
        let width_pt = (um / um_per_pt) as f32;
        let words = self.typesetter.line(&phrase::length(um), SCALE);
        let box_width_pt = width_pt.max(words.width_pt) + 10.0;
        let box_height_pt = words.height_pt + 8.0;
        if box_width_pt > rect[2] - 8.0 || box_height_pt > rect[3] - 8.0 {
            return;
        }
        let (left, top) = (rect[0] + 4.0, rect[1] + rect[3] - box_height_pt - 4.0);
        piece.mark(Mark::Shade { rect: [left, top, box_width_pt, box_height_pt], radius: 2.0 });
        piece.mark_line(left + (box_width_pt - words.width_pt) / 2.0, top + 2.0, &words);
        let bar = [left + (box_width_pt - width_pt) / 2.0, top + box_height_pt - 4.5, width_pt, 1.8];
        piece.mark(Mark::Fill { rect: bar, ink: WHITE, radius: 0.0 });
    }

    fn options(&mut self, turn: &Turn) {
        if turn.choices.is_empty() {
            return;
        }
        let labels = &self.case.labels;
        let probabilities = turn.shown().and_then(|answer| answer.option_probabilities.as_deref());
        let probabilities = probabilities.filter(|values| values.len() == turn.choices.len());
        self.flow.space(9.0);
        let heading = if probabilities.is_some() { &labels.probabilities } else { &labels.options };
        self.kept_text(heading, LABEL_GREY);
        self.flow.space(2.0);
        let best = probabilities.and_then(phrase::most_probable);
        let bar_left_pt = SIDE_PT + WIDTH_PT * 0.62;
        let bar_width_pt = WIDTH_PT * 0.28;
        let words_width_pt = if probabilities.is_some() { WIDTH_PT * 0.58 - 18.0 } else { WIDTH_PT - 18.0 };
        for (choice_idx, choice) in turn.choices.iter().enumerate() {
            let chosen = best == Some(choice_idx);
            let style = if chosen { OPTION_BOLD } else { OPTION };
            let letter =
                self.typesetter.line(&phrase::letter(choice_idx), Style { ink: ACCENT, ..OPTION_BOLD });
            let lines = self.typesetter.paragraph(choice, style, words_width_pt);
            let mut piece =
                Piece::new(lines.iter().map(|line| line.height_pt).sum::<f32>().max(letter.height_pt) + 2.0);
            piece.mark_line(SIDE_PT, 0.0, &letter);
            let mut top = 0.0;
            for line in &lines {
                piece.mark_line(SIDE_PT + 18.0, top, line);
                top += line.height_pt;
            }
            if let Some(value) = probabilities.map(|values| values[choice_idx]) {
                let share = if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
                let middle = letter.height_pt / 2.0 - 2.5;
                piece.mark(Mark::Fill {
                    rect: [bar_left_pt, middle, bar_width_pt, 5.0],
                    ink: [0xee, 0xec, 0xf2],
                    radius: 2.5,
                });
                if share > 0.002 {
                    let ink = if chosen { ACCENT } else { [0xb9, 0xb4, 0xc4] };
                    let rect = [bar_left_pt, middle, bar_width_pt * share, 5.0];
                    piece.mark(Mark::Fill { rect, ink, radius: 2.5 });
                }
                let percent = self.typesetter.line(&format!("{:.1} %", share * 100.0), style);
                piece.mark_line(SIDE_PT + WIDTH_PT - percent.width_pt, 0.0, &percent);
            }
            self.flow.push(piece);
        }
    }

    fn answer(&mut self, turn: &Turn, answer: &Answer) {
        let labels = &self.case.labels;
        if !answer.reasoning.trim().is_empty() {
            self.flow.space(10.0);
            let bar = Backdrop { fill: None, bar: Some(FAINT), radius: 0.0 };
            let heading = phrase::reasoning(answer, labels);
            self.boxed(bar, 1.0, |writer, backdrop| {
                writer.heading(&heading, LABEL_GREY, 10.0, backdrop);
                writer.text(&answer.reasoning, REASONING, 10.0, Some(backdrop));
            });
        }
        self.flow.space(10.0);
        let card = Backdrop { fill: Some(TINT), bar: Some(ACCENT), radius: 3.0 };
        let heading = match phrase::version(turn, answer, labels) {
            Some(version) => format!("{} · {version}", labels.answer),
            None => labels.answer.clone(),
        };
        self.boxed(card, 9.0, |writer, backdrop| {
            writer.heading(&heading, LABEL, 12.0, backdrop);
            writer.text(phrase::words(answer, labels), BODY, 12.0, Some(backdrop));
            if let Some(caveat) = phrase::caveat(answer, labels) {
                writer.flow.keep_last();
                writer.text(&caveat, CAVEAT, 12.0, Some(backdrop));
            }
        });
        // Who answered belongs to what was answered.
        self.flow.keep_last();
        self.flow.space(7.0);
        for (name, words) in phrase::provenance(answer, labels, HashLength::Short) {
            self.pair(&name, &words);
        }
        self.flow.let_last_go();
    }

    /// A name, and words beside it.
    fn pair(&mut self, name: &str, words: &str) {
        let indent_pt = 48.0;
        let name = self.typesetter.line(name, SMALL_BOLD);
        for (line_idx, line) in
            self.typesetter.paragraph(&unbroken(words), SMALL, WIDTH_PT - indent_pt).iter().enumerate()
        {
            let mut piece = Piece::new(line.height_pt);
            piece.keep = true;
            if line_idx == 0 {
                piece.mark_line(SIDE_PT, 0.0, &name);
            }
            piece.mark_line(SIDE_PT + indent_pt, 0.0, line);
            self.flow.push(piece);
        }
    }

    fn end(&mut self) {
        // Not alone on a page.
        self.flow.keep_last();
        let mut rule = Piece::new(24.0);
        rule.keep = true;
        rule.mark(Mark::Fill { rect: [SIDE_PT, 12.0, WIDTH_PT, 0.6], ink: FAINT, radius: 0.0 });
        self.flow.push(rule);
        for model in phrase::models(self.case) {
            self.kept_text(&model, SMALL);
        }
        self.text(&phrase::audit(self.case), SMALL, 0.0, None);
    }

    /// Lines on a backdrop, which has a margin above and below them.
    fn boxed(&mut self, backdrop: Backdrop, margin_pt: f32, lines: impl FnOnce(&mut Self, usize)) {
        let backdrop = self.flow.backdrop(backdrop);
        let margin = |keep: bool| {
            let mut piece = Piece::new(margin_pt);
            (piece.keep, piece.backdrop) = (keep, Some(backdrop));
            piece
        };
        self.flow.push(margin(true));
        lines(self, backdrop);
        // The margin below belongs to the last line.
        self.flow.keep_last();
        self.flow.push(margin(false));
    }

    fn heading(&mut self, text: &str, style: Style, indent_pt: f32, backdrop: usize) {
        self.text(text, style, indent_pt, Some(backdrop));
        self.flow.keep_last();
        let mut gap = Piece::new(2.0);
        (gap.keep, gap.backdrop) = (true, Some(backdrop));
        self.flow.push(gap);
    }

    fn kept_text(&mut self, text: &str, style: Style) {
        self.text(text, style, 0.0, None);
        self.flow.keep_last();
    }

    /// Words as lines; the first two and the last two of a paragraph stay together.
    fn text(&mut self, text: &str, style: Style, indent_pt: f32, backdrop: Option<usize>) {
        let text = cut(text);
        let lines = self.typesetter.marked_up(&text, style, WIDTH_PT - 2.0 * indent_pt);
        let n_line = lines.len();
        for (line_idx, line) in lines.iter().enumerate() {
            let mut piece = Piece::new(line.height_pt);
            piece.mark_line(SIDE_PT + indent_pt, 0.0, line);
            piece.backdrop = backdrop;
            piece.keep = (line_idx == 0 || line_idx + 2 == n_line) && line_idx + 1 < n_line;
            self.flow.push(piece);
        }
    }
}

/// A picture's size on paper: as large as fits, and never larger than its pixels can bear.
fn fitted(size_px: [u32; 2], most_pt: [f32; 2]) -> [f32; 2] {
    let [width_px, height_px] = size_px.map(|side| side.max(1) as f32);
    // 72 points of a picture from 72 pixels is as coarse as it may get.
    let scale = (most_pt[0] / width_px).min(most_pt[1] / height_px).min(1.0);
    [(width_px * scale).max(8.0), (height_px * scale).max(8.0)]
}

/// The pixels as they are printed: without loss, but no finer than paper.
fn for_paper(tile: &RgbTile) -> Option<Arc<Vec<u8>>> {
    let [width_px, height_px] = tile.size_px();
    let longest = width_px.max(height_px);
    if longest <= MOST_DOTS {
        return picture::encode(tile).ok().map(Arc::new);
    }
    let scale = f64::from(MOST_DOTS) / f64::from(longest);
    let [to_width, to_height] = [width_px, height_px].map(|side| ((f64::from(side) * scale) as u32).max(1));
    let whole = image::RgbImage::from_raw(width_px, height_px, tile.pixels().to_vec())?;
    let small = image::imageops::resize(&whole, to_width, to_height, FilterType::CatmullRom);
    let small = RgbTile::new([to_width, to_height], small.into_raw()).ok()?;
    picture::encode(&small).ok().map(Arc::new)
}

/// The largest of 1, 2, 5 × 10ⁿ that is not above `most`.
fn round_length(most: f64) -> f64 {
    let decade = 10_f64.powf(most.max(1e-6).log10().floor());
    [5.0, 2.0, 1.0].into_iter().map(|factor| factor * decade).find(|length| *length <= most).unwrap_or(decade)
}

/// Keeps each part of a list on one line: it is broken between parts only.
fn unbroken(list: &str) -> String {
    let parts: Vec<String> = list.split(" · ").map(|part| part.replace(' ', "\u{a0}")).collect();
    parts.join(" · ")
}

fn excerpt(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 60 {
        line
    } else {
        format!("{}…", line.chars().take(60).collect::<String>())
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(size_pt: [f32; 2], expected: [f32; 2]) {
        assert!(
            size_pt.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3),
            "{size_pt:?} is not {expected:?}"
        );
    }

    #[test]
    fn lengths_are_round_and_pictures_fit() {
        for (most, expected) in
            [(100.0, 100.0), (99.0, 50.0), (30.0, 20.0), (1.9, 1.0), (0.7, 0.5), (4999.0, 2000.0)]
        {
            assert!((round_length(most) - expected).abs() < 1e-9, "{most}: {}", round_length(most));
        }
        same(fitted([1000, 500], [330.0, 250.0]), [330.0, 165.0]);
        same(fitted([100, 100], [330.0, 250.0]), [100.0, 100.0]);
        same(fitted([100_000, 1], [330.0, 250.0]), [330.0, 8.0]);
        same(fitted([0, 0], [330.0, 250.0]), [8.0, 8.0]);
    }
}
