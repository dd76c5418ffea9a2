//! What the model wrote of late, and what was left out.

use eframe::egui::{Align, Frame, Layout, Margin, RichText, ScrollArea, Stroke, Ui};

use super::{Sample, StageState, compact};
use crate::theme;
use crate::tokens::{palette, tokens};

/// Shows both.
pub(super) fn samples_ui(ui: &mut Ui, stage: &StageState) {
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = tokens().space.small;
        if !stage.samples.is_empty() {
            theme::heading(ui, "What the model wrote");
            ui.label(theme::quiet(ui, "the newest first"));
            for (idx, sample) in stage.samples.iter().enumerate() {
                ui.push_id(idx, |ui| sample_ui(ui, sample));
            }
        }
        if stage.n_skipped > 0 {
            ui.add_space(tokens().space.small);
            theme::heading(ui, &format!("Left out: {} samples", stage.n_skipped));
            for (id, reason) in &stage.skipped {
                ui.label(theme::quiet(ui, format!("{id}: {reason}")));
            }
        }
    });
}

fn sample_ui(ui: &mut Ui, sample: &Sample) {
    let palette = palette(ui);
    Frame::new()
        .fill(palette.ground)
        .stroke(Stroke::new(1.0, palette.line))
        .corner_radius(tokens().radius.card)
        .inner_margin(Margin::symmetric(11, 9))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing.y = tokens().space.tiny;
            theme::row(ui, 16.0, |ui| {
                ui.label(theme::quiet(ui, format!("step {}", sample.step)));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    for (name, points) in sample.rewards.iter().rev() {
                        let ink = if *points > 0.0 { palette.good } else { palette.danger };
                        ui.label(RichText::new(format!("{name} {}", compact(*points))).small().color(ink));
                    }
                });
            });
            let prompt = sample.prompt.replace(" /n ", "\n");
            ui.label(RichText::new(prompt).text_style(theme::title()));
            let (reasoning, answer) = split(&sample.completion);
            if !reasoning.is_empty() {
                ui.label(RichText::new(reasoning).small().color(palette.quiet));
            }
            Frame::new()
                .fill(palette.accent_soft)
                .corner_radius(tokens().radius.small)
                .inner_margin(Margin::symmetric(9, 5))
                .show(ui, |ui| {
                    ui.set_width(ui.available_width());
                    ui.label(answer);
                });
            if !sample.gold.is_empty() {
                ui.label(theme::quiet(ui, format!("right: {}", sample.gold)));
            }
        });
}

/// Reasoning and answer of a completion, without their tags.
fn split(completion: &str) -> (&str, &str) {
    let (reasoning, answer) = match completion.split_once("</think>") {
        Some((reasoning, answer)) => (reasoning, answer),
        None => ("", completion),
    };
    let reasoning = reasoning.trim().trim_start_matches("<think>").trim();
    let answer = answer.trim().trim_start_matches("<answer>").trim_end_matches("</answer>").trim();
    (reasoning, answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_not_shown() {
        assert_eq!(split("<think>why</think><answer>B</answer>"), ("why", "B"));
        assert_eq!(split("plain"), ("", "plain"));
        assert_eq!(split("<answer>cut"), ("", "cut"));
    }
}
