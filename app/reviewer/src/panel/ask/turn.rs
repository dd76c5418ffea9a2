//! One question with its answer as it grows.

use std::time::Instant;

use eframe::egui::{self, Frame, Margin, RichText, Sense, Stroke, TextureHandle, Ui, vec2};
use eosin_casebook::TurnId;
use eosin_core::Hint as _;
use eosin_session::{Channel, StopReason, StreamEvent};
use eosin_workbench::{SlideKey, ViewRect};

use super::{Kept, Seen};
use crate::icon::{Chosen, Icon, icon_button_sized};
use crate::theme;
use crate::tokens::{palette, tokens};
use crate::words::{text, text_with};

/// How an answer ended.
#[derive(Clone, PartialEq, Debug)]
enum Ending {
    Done {
        reason: StopReason,
        n_token: usize,
        token_per_sec: f32,
        first_secs: f32,
        n_context: usize,
        n_used: usize,
    },
    Failed {
        message: String,
        hint: Option<String>,
    },
}

/// Whether the model has time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Model {
    /// Another answer could be made.
    Idle,
    /// An answer is being made.
    Busy,
}

/// What a question asks of the panel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TurnWish {
    /// Show its place.
    Show,
    /// Answer it once more.
    Again,
}

/// One version of an answer.
struct Version {
    kept: Kept,
    reasoning: String,
    answer: String,
    begun: Instant,
    prefilled_secs: Option<f32>,
    reasoned_secs: Option<f32>,
    ending: Option<Ending>,
}

impl Version {
    fn new() -> Self {
        Self {
            kept: None,
            reasoning: String::new(),
            answer: String::new(),
            begun: Instant::now(),
            prefilled_secs: None,
            reasoned_secs: None,
            ending: None,
        }
    }
}

/// A question and its answers.
pub(super) struct Turn {
    question: String,
    choices: Vec<String>,
    pub(super) slide: SlideKey,
    pub(super) view: ViewRect,
    pub(super) picture: Option<(TextureHandle, Seen)>,
    /// Its name in the case book.
    pub(super) kept: Option<TurnId>,
    versions: Vec<Version>,
    shown: usize,
}

impl Turn {
    pub(super) fn new(question: String, choices: Vec<String>, slide: SlideKey, view: ViewRect) -> Self {
        let versions = vec![Version::new()];
        Self { question, choices, slide, view, picture: None, kept: None, versions, shown: 0 }
    }

    /// Begins another version of the answer, which is shown from now on; gives its number.
    pub(super) fn begin_version(&mut self) -> usize {
        self.versions.push(Version::new());
        self.shown = self.versions.len() - 1;
        self.shown
    }

    /// The words of the answer that is shown.
    pub(super) fn answer(&self) -> &str {
        &self.versions[self.shown].answer
    }

    /// The name of the answer that is shown.
    pub(super) fn shown_answer(&self) -> Kept {
        self.versions[self.shown].kept
    }

    pub(super) fn name_answer(&mut self, version: usize, kept: Kept) {
        if let Some(version) = self.versions.get_mut(version) {
            version.kept = kept;
        }
    }

    pub(super) fn take(&mut self, version: usize, event: StreamEvent) {
        let Some(version) = self.versions.get_mut(version) else { return };
        match event {
            StreamEvent::Prefilled { secs, .. } => version.prefilled_secs = Some(secs),
            StreamEvent::Text { channel: Channel::Reasoning, delta } => version.reasoning += &delta,
            StreamEvent::Text { channel: Channel::Answer, delta } => {
                version.reasoned_secs.get_or_insert(version.begun.elapsed().as_secs_f32());
                version.answer += &delta;
            }
            StreamEvent::Done { reason, usage, .. } => {
                version.reasoned_secs.get_or_insert(version.begun.elapsed().as_secs_f32());
                version.ending = Some(Ending::Done {
                    reason,
                    n_token: usage.n_generated,
                    token_per_sec: usage.n_generated as f32 / usage.decode_secs.max(1e-6),
                    first_secs: version.prefilled_secs.unwrap_or_default(),
                    n_context: usage.n_context,
                    n_used: usage.n_prompt + usage.n_generated,
                });
            }
            StreamEvent::Failed(error) => {
                let (message, hint) = (eosin_core::error_chain(&*error), error.hint().map(str::to_owned));
                version.ending = Some(Ending::Failed { message, hint });
            }
            _ => {}
        }
    }

    pub(super) fn fail(&mut self, version: usize, message: String, hint: Option<String>) {
        if let Some(version) = self.versions.get_mut(version) {
            version.ending = Some(Ending::Failed { message, hint });
        }
    }

    /// Shows it.
    pub(super) fn ui(&mut self, ui: &mut Ui, model: Model) -> Option<TurnWish> {
        let palette = palette(ui);
        let mut wish = self.question_ui(ui).then_some(TurnWish::Show);
        self.reasoning_ui(ui);
        let version = &self.versions[self.shown];
        if !version.answer.trim().is_empty() {
            Frame::new()
                .fill(palette.accent_soft)
                .corner_radius(tokens().radius.card)
                .inner_margin(Margin::symmetric(14, 11))
                .show(ui, |ui| {
                    ui.set_width(ui.available_width());
                    self.answer_ui(ui);
                });
        }
        match &version.ending {
            Some(Ending::Failed { message, hint }) => {
                Frame::new()
                    .fill(palette.danger_soft)
                    .corner_radius(tokens().radius.card)
                    .inner_margin(Margin::symmetric(14, 11))
                    .show(ui, |ui| {
                        ui.set_width(ui.available_width());
                        ui.label(RichText::new(message).color(palette.danger));
                        if let Some(hint) = hint {
                            ui.label(theme::quiet(ui, hint.as_str()));
                        }
                    });
            }
            Some(Ending::Done { .. }) => {
                let cost = self.cost_text(ui);
                ui.label(theme::quiet(ui, cost));
            }
            None => {
                let key = match version.prefilled_secs {
                    None => "review.reading-view",
                    Some(_) if version.answer.is_empty() => "ask.thinking",
                    Some(_) => "review.answering",
                };
                ui.horizontal(|ui| {
                    ui.add(egui::Spinner::new().size(12.0).color(palette.accent));
                    ui.label(theme::quiet(ui, text(ui, key)));
                });
            }
        }
        if self.versions_ui(ui, model) {
            wish = Some(TurnWish::Again);
        }
        wish
    }

    /// Which of several answers is shown, and the way to another; returns whether one is wished for.
    fn versions_ui(&mut self, ui: &mut Ui, model: Model) -> bool {
        let ended = self.versions[self.shown].ending.is_some();
        let mut again = false;
        if !ended {
            return false;
        }
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            if self.kept.is_some() {
                let button = egui::Button::new(theme::quiet(ui, text(ui, "review.again"))).frame(false);
                again = ui.add_enabled(model == Model::Idle, button).clicked();
            }
            let n_version = self.versions.len();
            if n_version > 1 {
                ui.add_space(8.0);
                let step = |ui: &mut Ui, icon: Icon, key: &'static str, able: bool| {
                    let name = text(ui, key);
                    let button = |ui: &mut Ui| icon_button_sized(ui, icon, name, "", Chosen::Action, 22.0);
                    ui.add_enabled_ui(able, button).inner.clicked()
                };
                if step(ui, Icon::Back, "ask.version-before", self.shown > 0) {
                    self.shown -= 1;
                }
                ui.label(theme::quiet(ui, format!("{} / {n_version}", self.shown + 1)));
                if step(ui, Icon::Forward, "ask.version-after", self.shown + 1 < n_version) {
                    self.shown += 1;
                }
            }
        });
        again
    }

    fn question_ui(&self, ui: &mut Ui) -> bool {
        let mut go = false;
        ui.horizontal_top(|ui| {
            let side = vec2(72.0, 54.0);
            if let Some((texture, _)) = &self.picture {
                let name = text(ui, "review.go-back");
                let picture = egui::Image::new(texture)
                    .max_size(side)
                    .corner_radius(tokens().radius.small)
                    .alt_text(name)
                    .sense(Sense::click());
                let response = ui.add(picture).on_hover_text(name);
                go = response.on_hover_cursor(egui::CursorIcon::PointingHand).clicked();
            } else {
                let (rect, _) = ui.allocate_exact_size(side, Sense::hover());
                ui.painter().rect_filled(rect, tokens().radius.small, palette(ui).stage);
            }
            ui.vertical(|ui| {
                ui.spacing_mut().item_spacing.y = 2.0;
                ui.label(RichText::new(&self.question).text_style(theme::title()));
                if let Some((_, seen)) = &self.picture {
                    let words = seen.text(ui);
                    ui.label(theme::quiet(ui, words));
                }
            });
        });
        go
    }

    fn reasoning_ui(&self, ui: &mut Ui) {
        let version = &self.versions[self.shown];
        if version.reasoning.trim().is_empty() {
            return;
        }
        let title = match version.reasoned_secs {
            Some(secs) => text_with(ui, "ask.reasoned", &[("secs", &format!("{secs:.1}"))]),
            None => text(ui, "review.reasoning").to_owned(),
        };
        let palette = palette(ui);
        egui::CollapsingHeader::new(theme::quiet(ui, title)).id_salt("reasoning").show(ui, |ui| {
            Frame::new().inner_margin(Margin { left: 10, ..Margin::ZERO }).show(ui, |ui| {
                let text = RichText::new(version.reasoning.trim()).color(palette.quiet);
                let response = ui.label(text);
                let rect = response.rect;
                let stroke = Stroke::new(2.0, palette.line);
                ui.painter().vline(rect.left() - 8.0, rect.y_range(), stroke);
            });
        });
    }

    fn answer_ui(&self, ui: &mut Ui) {
        let palette = palette(ui);
        let answer = self.answer().trim();
        let Some((letter, words)) = chosen(answer, &self.choices) else {
            ui.label(RichText::new(answer).color(palette.ink));
            return;
        };
        ui.horizontal_wrapped(|ui| {
            Frame::new()
                .fill(palette.accent)
                .corner_radius(tokens().radius.small)
                .inner_margin(Margin::symmetric(8, 1))
                .show(ui, |ui| {
                    let letter = RichText::new(letter).text_style(theme::title()).color(palette.accent_ink);
                    ui.label(letter);
                });
            ui.label(RichText::new(words).color(palette.ink));
        });
    }

    fn cost_text(&self, ui: &Ui) -> String {
        let Some(Ending::Done { reason, n_token, token_per_sec, first_secs, n_context, n_used }) =
            &self.versions[self.shown].ending
        else {
            return String::new();
        };
        let ended = match reason {
            StopReason::Cancelled => format!("{} · ", text(ui, "ask.stopped")),
            StopReason::MaxTokens | StopReason::ContextFull => format!("{} · ", text(ui, "ask.cut")),
            StopReason::EndOfTurn | StopReason::StopString => String::new(),
        };
        let cost = text_with(
            ui,
            "review.cost",
            &[
                ("n", &n_token.to_string()),
                ("rate", &format!("{token_per_sec:.1}")),
                ("first", &format!("{first_secs:.1}")),
                ("used", &n_used.to_string()),
                ("context", &n_context.to_string()),
            ],
        );
        ended + &cost
    }
}

/// The letter of a chosen option and its words, where the answer is one.
fn chosen(answer: &str, choices: &[String]) -> Option<(String, String)> {
    let mut letters = answer.chars();
    let letter = letters.next().filter(char::is_ascii_uppercase)?;
    let rest = letters.as_str();
    if !(rest.is_empty() || rest.starts_with(". ") || rest.starts_with(") ")) {
        return None;
    }
    let idx = (letter as u8 - b'A') as usize;
    let words = match choices.get(idx) {
        Some(words) => words.clone(),
        None if rest.is_empty() => return None,
        None => rest[2..].to_owned(),
    };
    Some((letter.to_string(), words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_option_is_told_from_a_sentence() {
        let choices = ["Stroma".to_owned(), "Tumour".to_owned()];
        let check = |answer: &str, expected: Option<(&str, &str)>| {
            let expected = expected.map(|(letter, words)| (letter.to_owned(), words.to_owned()));
            assert_eq!(chosen(answer, &choices), expected, "{answer}");
        };
        check("B", Some(("B", "Tumour")));
        check("A. Stroma", Some(("A", "Stroma")));
        check("C) Fat", Some(("C", "Fat")));
        check("A gland lies here", None);
        check("D", None);
        check("", None);
    }
}
