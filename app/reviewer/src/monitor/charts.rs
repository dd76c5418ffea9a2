//! The curves of a stage, those that belong together in one plot.
//!
//! What no group names is drawn too, last, so that a stage may measure something new without anything here
//! knowing.

use eosin_core::duration;
use std::collections::BTreeSet;

use eframe::egui::{
    self, Align, Frame, Layout, Margin, RichText, ScrollArea, Sense, Slider, Stroke, Ui, vec2,
};
use egui_plot::{GridInput, GridMark, HoverPosition, Line, LineStyle, MarkerShape, Plot, PlotPoints, Points};

use super::{StageState, compact};
use crate::theme;
use crate::tokens::{palette, tokens};

/// Curves of one plot: title, and names with their labels.
type Group = (&'static str, &'static [(&'static str, &'static str)]);

const GROUPS: &[Group] = &[
    ("Loss", &[("loss", "training"), ("eval_loss", "validation")]),
    ("Reward", &[("reward", "mean"), ("reward_std", "spread within groups")]),
    (
        "Accuracy",
        &[
            ("mean_token_accuracy", "tokens"),
            ("image_accuracy", "image to text"),
            ("text_accuracy", "text to image"),
            ("eval_accuracy", "answers, validation"),
            ("eval_format", "in form, validation"),
        ],
    ),
    ("KL", &[("kl", "to the reference"), ("approx_kl", "to the policy that wrote")]),
    ("Entropy", &[("entropy", "of the next token, nats")]),
    (
        "Length of completions",
        &[
            ("completions/mean_length", "mean"),
            ("completions/min_length", "shortest"),
            ("completions/max_length", "longest"),
            ("eval_completion_length", "validation"),
        ],
    ),
    (
        "Shares",
        &[
            ("frac_reward_zero_std", "groups that teach nothing"),
            ("completions/clipped_ratio", "cut by length"),
        ],
    ),
    (
        "Clipped ratios",
        &[
            ("clip_ratio/region_mean", "either"),
            ("clip_ratio/low_mean", "low"),
            ("clip_ratio/high_mean", "high"),
        ],
    ),
    ("Learning rate", &[("learning_rate", "rate")]),
    ("Gradient", &[("grad_norm", "norm before clipping")]),
    ("Speed", &[("tokens_per_second", "tokens/s"), ("pairs_per_second", "pairs/s")]),
];

/// Figures that are told elsewhere or only count up.
const TOLD_ELSEWHERE: &[&str] = &[
    "num_tokens",
    "elapsed_secs",
    "progress",
    "eval_runtime",
    "wait_secs",
    "samples_per_second",
    "sampling_secs",
    "pairs",
];

/// A plot of its own where a family of figures shares a beginning.
const FAMILIES: &[(&str, &str)] = &[
    ("rewards/", "Rewards by kind"),
    ("eval_recall", "Recall, validation"),
    ("sampling/", "Sampling"),
    ("judge/", "Judge"),
];

/// Curves in one plot: as many as there are colours.
const MOST_CURVES: usize = 8;
/// Least width of a plot in points.
const LEAST_PX: f32 = 300.0;
/// Height of a plot's area.
const PLOT_PX: f32 = 168.0;

/// A plot that is about to be drawn: title, and the curves' indices with their labels.
struct Chart {
    title: String,
    curves: Vec<(usize, String)>,
}

/// Shows all plots of a stage.
pub(super) fn charts_ui(ui: &mut Ui, stage: &StageState, smooth: &mut f64) {
    head_ui(ui, stage, smooth);
    let charts = charts(stage);
    if charts.is_empty() {
        ui.add_space(40.0);
        ui.vertical_centered(|ui| ui.label(theme::quiet(ui, "No step has been taken yet.")));
        return;
    }
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        let gap = tokens().space.gap;
        let n_column = ((ui.available_width() + gap) / (LEAST_PX + gap)).floor().clamp(1.0, 4.0);
        let width = (ui.available_width() - gap * (n_column - 1.0)) / n_column;
        ui.spacing_mut().item_spacing = vec2(gap, gap);
        for row in charts.chunks(n_column as usize) {
            ui.horizontal_top(|ui| {
                for chart in row {
                    let size = vec2(width, PLOT_PX + 60.0);
                    let layout = Layout::top_down(Align::Min);
                    ui.allocate_ui_with_layout(size, layout, |ui| chart_ui(ui, stage, chart, *smooth));
                }
            });
        }
    });
}

fn head_ui(ui: &mut Ui, stage: &StageState, smooth: &mut f64) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(stage.title()).text_style(theme::display()));
        let mut facts = vec![match stage.n_step {
            Some(n_step) => format!("step {} of {n_step}", stage.step),
            None => format!("step {}", stage.step),
        }];
        if let Some(secs) = stage.elapsed_secs {
            facts.push(format!("{} so far", duration(secs)));
        }
        if let Some(secs) = stage.left_secs {
            facts.push(format!("{} left", duration(secs)));
        }
        ui.label(theme::quiet(ui, facts.join(" · ")));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().slider_width = 90.0;
            let slider = Slider::new(smooth, 0.0..=0.98).show_value(false);
            ui.add(slider).accessible_name("Smoothing");
            ui.label(theme::quiet(ui, "Smoothing"));
        });
    });
    ui.add_space(tokens().space.tiny);
}

fn charts(stage: &StageState) -> Vec<Chart> {
    let find = |name: &str| stage.curves.iter().position(|(known, _)| known == name);
    let mut told: BTreeSet<usize> = TOLD_ELSEWHERE.iter().filter_map(|name| find(name)).collect();
    let mut charts: Vec<Chart> = Vec::new();
    for (title, names) in GROUPS {
        let curves: Vec<(usize, String)> =
            names.iter().filter_map(|(name, label)| Some((find(name)?, (*label).to_owned()))).collect();
        told.extend(curves.iter().map(|(idx, _)| *idx));
        charts.push(Chart { title: (*title).to_owned(), curves });
    }
    for (start, title) in FAMILIES {
        let family = stage.curves.iter().enumerate().filter(|(idx, (name, _))| {
            name.starts_with(start) && !name.ends_with("/std") && !told.contains(idx)
        });
        let curves: Vec<(usize, String)> = family
            .take(MOST_CURVES)
            .map(|(idx, (name, _))| {
                (idx, name.trim_start_matches(start).trim_end_matches("/mean").to_owned())
            })
            .collect();
        told.extend(
            stage
                .curves
                .iter()
                .enumerate()
                .filter(|(_, (name, _))| name.starts_with(start))
                .map(|(idx, _)| idx),
        );
        charts.push(Chart { title: (*title).to_owned(), curves });
    }
    for (idx, (name, _)) in stage.curves.iter().enumerate() {
        if !told.contains(&idx) {
            let title = name.trim_start_matches("eval_").replace(['_', '/'], " ");
            let label = if name.starts_with("eval_") { "validation" } else { "" };
            charts.push(Chart { title, curves: vec![(idx, label.to_owned())] });
        }
    }
    for chart in &mut charts {
        chart.curves.retain(|(idx, _)| !stage.curves[*idx].1.is_empty());
    }
    charts.retain(|chart| !chart.curves.is_empty());
    charts
}

fn chart_ui(ui: &mut Ui, stage: &StageState, chart: &Chart, smooth: f64) {
    let (palette, tokens) = (palette(ui), tokens());
    Frame::new()
        .fill(palette.panel)
        .stroke(Stroke::new(1.0, palette.line))
        .corner_radius(tokens.radius.card)
        .inner_margin(Margin { left: 10, right: 10, top: 8, bottom: 4 })
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing = vec2(8.0, 3.0);
            theme::row(ui, 20.0, |ui| {
                ui.label(RichText::new(&chart.title).text_style(theme::title()));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let first = &stage.curves[chart.curves[0].0].1;
                    if let Some(last) = first.last() {
                        let ink = if last.is_finite() { palette.ink } else { palette.danger };
                        ui.label(RichText::new(compact(last)).small().color(ink));
                    }
                });
            });
            legend_ui(ui, chart);
            plot_ui(ui, stage, chart, smooth);
        });
}

fn legend_ui(ui: &mut Ui, chart: &Chart) {
    let palette = palette(ui);
    theme::row(ui, 16.0, |ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        for (idx, (_, label)) in chart.curves.iter().enumerate() {
            if label.is_empty() {
                continue;
            }
            let (rect, _) = ui.allocate_exact_size(vec2(9.0, 9.0), Sense::hover());
            ui.painter().circle_filled(rect.center(), 3.5, palette.series[idx % palette.series.len()]);
            ui.add(egui::Label::new(theme::quiet(ui, label.as_str())).truncate().selectable(false));
            ui.add_space(4.0);
        }
    });
}

fn plot_ui(ui: &mut Ui, stage: &StageState, chart: &Chart, smooth: f64) {
    let palette = palette(ui);
    // Figures beside the axes stand back.
    let small = egui::FontId::proportional(tokens().text.small);
    ui.style_mut().text_styles.insert(egui::TextStyle::Body, small);
    ui.visuals_mut().override_text_color = Some(palette.quiet);
    ui.add_space(tokens().space.tiny);
    let group = egui::Id::unique("eosin-steps");
    let label = |position: &HoverPosition<'_>| match position {
        HoverPosition::NearDataPoint { plot_name, position, .. } => {
            Some(format!("{plot_name}\nstep {:.0}: {}", position.x, compact(position.y)))
        }
        HoverPosition::Elsewhere { .. } => None,
    };
    Plot::new((&stage.name, &chart.title))
        .height(PLOT_PX)
        .show_background(false)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .link_cursor(group, [true, false])
        .grid_color(palette.line)
        .grid_spacing(8.0..=26.0)
        .x_grid_spacer(|input| marks(input, 5.0))
        .y_grid_spacer(|input| marks(input, 4.0))
        .cursor_color(palette.quiet)
        .y_axis_min_width(38.0)
        .y_axis_formatter(|mark, _| compact_axis(mark.value))
        .x_axis_formatter(
            |mark, _| if mark.value < 0.0 { String::new() } else { format!("{:.0}", mark.value) },
        )
        .label_formatter(label)
        .show(ui, |plot| {
            for (idx, (curve, label)) in chart.curves.iter().enumerate() {
                let (name, series) = &stage.curves[*curve];
                let ink = palette.series[idx % palette.series.len()];
                let shown = if label.is_empty() { &chart.title } else { label };
                let few = series.n_point() <= 24;
                if name.starts_with("eval_") {
                    // Few and far between: the points are what was measured.
                    let line = Line::new(shown, PlotPoints::new(series.points()));
                    plot.line(line.color(ink).width(1.5).style(LineStyle::dashed_dense()));
                    let points = Points::new(shown, PlotPoints::new(series.points()));
                    plot.points(points.color(ink).radius(3.5).shape(MarkerShape::Circle));
                    continue;
                }
                if smooth > 0.0 && !few {
                    let raw = Line::new(shown, PlotPoints::new(series.points()));
                    plot.line(raw.color(ink.gamma_multiply(0.25)).width(1.0).allow_hover(false));
                }
                let weight = if few { 0.0 } else { smooth };
                plot.line(Line::new(shown, PlotPoints::new(series.smoothed(weight))).color(ink).width(1.8));
            }
        });
}

/// Round places on an axis, about `n` of them.
#[expect(clippy::needless_pass_by_value, reason = "the plot hands it over")]
fn marks(input: GridInput, n: f64) -> Vec<GridMark> {
    let (from, to) = input.bounds;
    let rough = (to - from) / n;
    if !(rough.is_finite() && rough > 0.0) {
        return Vec::new();
    }
    let unit = 10_f64.powf(rough.log10().floor());
    let step_size = [1.0, 2.0, 5.0, 10.0].map(|k| k * unit).into_iter().find(|step| *step >= rough);
    let step_size = step_size.unwrap_or(10.0 * unit);
    let first = (from / step_size).ceil();
    // At most twice as many as wished for fit between the bounds.
    (0..2 * n as u32 + 2)
        .map(|k| (first + f64::from(k)) * step_size)
        .take_while(|value| *value <= to)
        .map(|value| GridMark { value, step_size })
        .collect()
}

/// A figure beside an axis: short, without zeros that say nothing.
fn compact_axis(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let size = value.abs();
    if !(1e-3..1e5).contains(&size) {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Series;
    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        let check = |bounds: (f64, f64), n: f64, expected: &[f64]| {
            let marks = marks(GridInput { bounds, base_step_size: 1.0 }, n);
            let values: Vec<f64> = marks.iter().map(|mark| mark.value).collect();
            assert_eq!(values.len(), expected.len(), "{values:?}");
            assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{values:?}");
        };
        check((0.0, 12.0), 5.0, &[0.0, 5.0, 10.0]);
        check((1.22, 1.71), 4.0, &[1.4, 1.6]);
        check((-1.0, 800.0), 5.0, &[0.0, 200.0, 400.0, 600.0, 800.0]);
        check((3.0, 3.0), 5.0, &[]);
        check((f64::NAN, 1.0), 5.0, &[]);
    }

    #[test]
    fn every_curve_is_drawn_once_or_told_elsewhere() {
        let mut series = Series::default();
        series.push(1.0, 1.0);
        let names = [
            "loss",
            "eval_loss",
            "reward",
            "rewards/accuracy/mean",
            "rewards/accuracy/std",
            "elapsed_secs",
            "something_new",
            "eval_recall_i2t@1",
        ];
        let curves = names.map(|name| (name.to_owned(), series.clone())).into();
        let stage = StageState { curves, ..StageState::default() };
        let charts = charts(&stage);
        let titles: Vec<&str> = charts.iter().map(|chart| chart.title.as_str()).collect();
        assert_eq!(titles, ["Loss", "Reward", "Rewards by kind", "Recall, validation", "something new"]);
        let mut drawn: Vec<usize> =
            charts.iter().flat_map(|chart| chart.curves.iter().map(|c| c.0)).collect();
        drawn.sort_unstable();
        assert_eq!(drawn, [0, 1, 2, 3, 6, 7]);
        assert_eq!(compact_axis(0.25), "0.25");
        assert_eq!(compact_axis(2e-5), "2e-5");
    }
}
