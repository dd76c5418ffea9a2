//! Pages onto paper.

use krilla::color::rgb;
use krilla::destination::XyzDestination;
use krilla::geom::{PathBuilder, Point, Rect, Size, Transform};
use krilla::metadata::{DateTime, Metadata};
use krilla::num::NormalizedF32;
use krilla::outline::{Outline, OutlineNode};
use krilla::page::PageSettings;
use krilla::paint::Fill;
use krilla::surface::Surface;
use krilla::{Document, geom};

use super::flow::{Backdrop, Mark, Page, Piece};
use super::typeset::Typesetter;
use super::{BOTTOM_PT, Ink, PAGE_PT, SIDE_PT, WIDTH_PT};
use crate::error::CaseError;

/// A report that is ready to be drawn.
pub(super) struct Report<'a> {
    pub(super) title: String,
    pub(super) exported_at: &'a str,
    pub(super) pages: Vec<Page>,
    /// The foot of each page.
    pub(super) feet: Vec<Piece>,
}

/// A control point this far out makes a quarter of a circle of a cubic curve.
const CIRCLE: f32 = 0.552_285;
/// Width of the bar of a backdrop.
const BAR_PT: f32 = 2.4;

/// The file's bytes.
pub(super) fn document(report: &Report<'_>, typesetter: &Typesetter) -> Result<Vec<u8>, CaseError> {
    let broken = |reason: String| CaseError::Document { format: "PDF", reason };
    let size =
        || PageSettings::from_wh(PAGE_PT[0], PAGE_PT[1]).ok_or_else(|| broken("no page size".to_owned()));
    let mut document = Document::new();
    let mut outline = Outline::new();
    for (page_idx, page) in report.pages.iter().enumerate() {
        let mut paper = document.start_page_with(size()?);
        let mut surface = paper.surface();
        for (backdrop, top, height) in &page.backdrops {
            behind(&mut surface, *backdrop, *top, *height);
        }
        for (top, piece) in &page.pieces {
            put(&mut surface, *top, piece, typesetter).map_err(broken)?;
            if let Some(heading) = &piece.heading {
                let place = XyzDestination::new(page_idx, Point::from_xy(SIDE_PT, (*top - 12.0).max(0.0)));
                outline.push_child(OutlineNode::new(heading.clone(), place));
            }
        }
        if let Some(foot) = report.feet.get(page_idx) {
            put(&mut surface, PAGE_PT[1] - BOTTOM_PT, foot, typesetter).map_err(broken)?;
        }
        surface.finish();
        paper.finish();
    }
    document.set_outline(outline);
    let mut metadata = Metadata::new().title(report.title.clone()).creator("Eosin".to_owned());
    if let Some(date) = date(report.exported_at) {
        metadata = metadata.creation_date(date);
    }
    document.set_metadata(metadata);
    document.finish().map_err(|error| broken(format!("{error:?}")))
}

fn date(at: &str) -> Option<DateTime> {
    let number = |from: usize, to: usize| at.get(from..to)?.parse::<u16>().ok();
    let small = |from: usize| number(from, from + 2)?.try_into().ok();
    Some(
        DateTime::new(number(0, 4)?)
            .month(small(5)?)
            .day(small(8)?)
            .hour(small(11)?)
            .minute(small(14)?)
            .utc_offset_hour(0),
    )
}

fn behind(surface: &mut Surface<'_>, backdrop: Backdrop, top: f32, height: f32) {
    if let Some(ink) = backdrop.fill {
        rectangle(surface, [SIDE_PT, top, WIDTH_PT, height], solid(ink), backdrop.radius);
    }
    if let Some(ink) = backdrop.bar {
        rectangle(surface, [SIDE_PT, top, BAR_PT, height], solid(ink), (BAR_PT / 2.0).min(backdrop.radius));
    }
}

fn put(surface: &mut Surface<'_>, top: f32, piece: &Piece, typesetter: &Typesetter) -> Result<(), String> {
    for mark in &piece.marks {
        match mark {
            Mark::Words { baseline_pt, run } => {
                let Some(font) = typesetter.font(run.font) else { continue };
                surface.set_fill(Some(solid(run.ink)));
                let start = Point::from_xy(run.left_pt, top + baseline_pt);
                surface.draw_glyphs(start, &run.glyphs, font.clone(), &run.text, run.size_pt, false);
            }
            Mark::Fill { rect, ink, radius } => rectangle(surface, down(*rect, top), solid(*ink), *radius),
            Mark::Shade { rect, radius } => {
                let opacity = NormalizedF32::new(0.62).unwrap_or(NormalizedF32::ONE);
                let veil = Fill { opacity, ..solid([0x14, 0x10, 0x18]) };
                rectangle(surface, down(*rect, top), veil, *radius);
            }
            Mark::Picture { rect, png } => {
                let ([left, y, width, height], Some(png)) = (down(*rect, top), png) else { continue };
                let image = krilla::image::Image::from_png(png.clone().into(), true)?;
                let Some(size) = Size::from_wh(width, height) else { continue };
                surface.push_transform(&Transform::from_translate(left, y));
                surface.draw_image(image, size);
                surface.pop();
            }
        }
    }
    Ok(())
}

fn down([left, y, width, height]: [f32; 4], top: f32) -> [f32; 4] {
    [left, y + top, width, height]
}

fn solid(ink: Ink) -> Fill {
    Fill { paint: rgb::Color::new(ink[0], ink[1], ink[2]).into(), ..Fill::default() }
}

/// A filled rectangle with round corners, where it has room for them.
fn rectangle(surface: &mut Surface<'_>, [left, top, width, height]: [f32; 4], fill: Fill, radius: f32) {
    if let Some(path) = outline_of([left, top, width, height], radius) {
        surface.set_fill(Some(fill));
        surface.draw_path(&path);
    }
}

fn outline_of([left, top, width, height]: [f32; 4], radius: f32) -> Option<geom::Path> {
    let mut path = PathBuilder::new();
    let radius = radius.min(width / 2.0).min(height / 2.0);
    if radius < 0.1 {
        path.push_rect(Rect::from_xywh(left, top, width, height)?);
        return path.finish();
    }
    let (right, bottom, near) = (left + width, top + height, radius * (1.0 - CIRCLE));
    path.move_to(left + radius, top);
    path.line_to(right - radius, top);
    path.cubic_to(right - near, top, right, top + near, right, top + radius);
    path.line_to(right, bottom - radius);
    path.cubic_to(right, bottom - near, right - near, bottom, right - radius, bottom);
    path.line_to(left + radius, bottom);
    path.cubic_to(left + near, bottom, left, bottom - near, left, bottom - radius);
    path.line_to(left, top + radius);
    path.cubic_to(left, top + near, left + near, top, left + radius, top);
    path.close();
    path.finish()
}
