//! Pieces one below the other, broken into pages.
//!
//! A piece is never broken itself. One that is kept goes to the next page together with the one behind it, so that a
//! heading does not stand alone at the foot of a page; a run of kept pieces that is higher than a page is broken
//! anyway. Held true by the tests below.

use std::sync::Arc;

use super::Ink;
use super::typeset::{Line, Run};

/// What is drawn, at a place of its piece: from the page's left edge, from the piece's top.
#[derive(Clone, Debug)]
pub(super) enum Mark {
    /// Words.
    Words { baseline_pt: f32, run: Run },
    /// A filled rectangle: left, top, width, height.
    Fill { rect: [f32; 4], ink: Ink, radius: f32 },
    /// A dark veil, for letters on a picture.
    Shade { rect: [f32; 4], radius: f32 },
    /// A picture; none where it could not be prepared.
    Picture { rect: [f32; 4], png: Option<Arc<Vec<u8>>> },
}

/// Something that stands in the text at full width.
#[derive(Clone, Debug, Default)]
pub(super) struct Piece {
    pub(super) height_pt: f32,
    pub(super) marks: Vec<Mark>,
    /// Stays with the piece behind it.
    pub(super) keep: bool,
    /// Is left out where a page begins.
    pub(super) skip_at_top: bool,
    /// What is drawn behind it and its neighbours of the same backdrop.
    pub(super) backdrop: Option<usize>,
    /// Its line in the table of contents.
    pub(super) heading: Option<String>,
}

impl Piece {
    pub(super) fn new(height_pt: f32) -> Self {
        Self { height_pt, ..Self::default() }
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        self.marks.push(mark);
    }

    pub(super) fn mark_line(&mut self, left_pt: f32, top_pt: f32, line: &Line) {
        for run in &line.runs {
            let run = Run { left_pt: left_pt + run.left_pt, ..run.clone() };
            self.marks.push(Mark::Words { baseline_pt: top_pt + line.baseline_pt, run });
        }
    }
}

/// What is behind pieces: a tint, a bar on the left, or both.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Backdrop {
    pub(super) fill: Option<Ink>,
    pub(super) bar: Option<Ink>,
    pub(super) radius: f32,
}

/// A page: backdrops, then pieces, each with its top.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    /// Backdrop, top, height.
    pub(super) backdrops: Vec<(Backdrop, f32, f32)>,
    pub(super) pieces: Vec<(f32, Piece)>,
}

/// Pieces in reading order.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    pieces: Vec<Piece>,
    backdrops: Vec<Backdrop>,
}

impl Flow {
    pub(super) fn push(&mut self, piece: Piece) {
        self.pieces.push(piece);
    }

    /// Air, which no page begins with. It stays with what is above it.
    pub(super) fn space(&mut self, height_pt: f32) {
        let keep = self.pieces.last().is_some_and(|piece| piece.keep);
        self.pieces.push(Piece { height_pt, skip_at_top: true, keep, ..Piece::default() });
    }

    /// Keeps the last piece with what comes next.
    pub(super) fn keep_last(&mut self) {
        if let Some(piece) = self.pieces.last_mut() {
            piece.keep = true;
        }
    }

    /// Lets the last piece go without what comes next.
    pub(super) fn let_last_go(&mut self) {
        if let Some(piece) = self.pieces.last_mut() {
            piece.keep = false;
        }
    }

    pub(super) fn backdrop(&mut self, backdrop: Backdrop) -> usize {
        self.backdrops.push(backdrop);
        self.backdrops.len() - 1
    }

    /// Breaks everything into pages between `top_pt` and `bottom_pt`; there is one page at least.
    pub(super) fn into_pages(self, top_pt: f32, bottom_pt: f32) -> Vec<Page> {
        let mut pages = vec![Page::default()];
        let mut at = top_pt;
        let mut pieces = self.pieces.into_iter().peekable();
        while let Some(first) = pieces.next() {
            let mut group = vec![first];
            while group.last().is_some_and(|piece| piece.keep)
                && let Some(next) = pieces.next()
            {
                group.push(next);
            }
            let height: f32 = group.iter().map(|piece| piece.height_pt).sum();
            if at + height > bottom_pt && at > top_pt && height <= bottom_pt - top_pt {
                pages.push(Page::default());
                at = top_pt;
            }
            for piece in group {
                if at + piece.height_pt > bottom_pt && at > top_pt {
                    pages.push(Page::default());
                    at = top_pt;
                }
                if piece.skip_at_top && at <= top_pt {
                    continue;
                }
                let height_pt = piece.height_pt;
                // There is always a page: the list begins with one and only grows.
                if let Some(page) = pages.last_mut() {
                    page.pieces.push((at, piece));
                }
                at += height_pt;
            }
        }
        for page in &mut pages {
            page.backdrops = behind(&page.pieces, &self.backdrops);
        }
        if pages.len() > 1 && pages.last().is_some_and(|page| page.pieces.is_empty()) {
            pages.pop();
        }
        pages
    }
}

/// One backdrop behind each run of neighbours that share it.
fn behind(pieces: &[(f32, Piece)], backdrops: &[Backdrop]) -> Vec<(Backdrop, f32, f32)> {
    let mut found: Vec<(usize, f32, f32)> = Vec::new();
    for (top, piece) in pieces {
        let Some(backdrop) = piece.backdrop else { continue };
        match found.last_mut() {
            Some((last, start, height)) if *last == backdrop => *height = top + piece.height_pt - *start,
            _ => found.push((backdrop, *top, piece.height_pt)),
        }
    }
    found.into_iter().filter_map(|(idx, top, height)| Some((*backdrops.get(idx)?, top, height))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(flow: &[(f32, bool, bool)]) -> Flow {
        let mut out = Flow::default();
        for (height_pt, keep, air) in flow {
            if *air {
                out.space(*height_pt);
            } else {
                out.push(Piece { height_pt: *height_pt, keep: *keep, ..Piece::default() });
            }
        }
        out
    }

    #[test]
    fn what_is_kept_stays_together() {
        let check = |flow: &[(f32, bool, bool)], expected: &[usize]| {
            let pages = pieces(flow).into_pages(0.0, 100.0);
            assert_eq!(pages.iter().map(|page| page.pieces.len()).collect::<Vec<_>>(), expected, "{flow:?}");
        };
        check(&[], &[0]);
        check(&[(60.0, false, false), (60.0, false, false)], &[1, 1]);
        check(&[(60.0, false, false), (30.0, true, false), (30.0, false, false)], &[1, 2]);
        // Air at a page's top is left out, at its foot too.
        check(&[(95.0, false, false), (10.0, false, true), (30.0, false, false)], &[1, 1]);
        // Higher than a page, and kept for longer than a page: drawn all the same.
        check(&[(150.0, false, false), (10.0, false, false)], &[1, 1]);
        check(&[(60.0, true, false), (60.0, true, false), (60.0, false, false)], &[1, 1, 1]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_leaves_the_page(
            flow in prop::collection::vec((1.0_f32..90.0, any::<bool>(), any::<bool>()), 0..60)
        ) {
            let n_solid = flow.iter().filter(|piece| !piece.2).count();
            let pages = pieces(&flow).into_pages(10.0, 110.0);
            let placed: Vec<_> = pages.iter().flat_map(|page| &page.pieces).collect();
            prop_assert_eq!(placed.iter().filter(|(_, piece)| !piece.skip_at_top).count(), n_solid);
            for page in &pages {
                let mut at = 10.0;
                for (top, piece) in &page.pieces {
                    prop_assert!((top - at).abs() < 1e-3);
                    at = top + piece.height_pt;
                    prop_assert!(at <= 110.01);
                }
            }
        }
    }
}
