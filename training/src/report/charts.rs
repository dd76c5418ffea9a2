//! Which figures are drawn together. What no plot names is drawn too, last, so that a stage may measure
//! something new without anything here knowing.

use std::collections::BTreeSet;

use super::folder::Stage;
use super::plot::{Mark, Plot, Range, Series};
use crate::metrics::Kind;

/// Figures of one plot: title, what it tells, its range, and the names with their labels; names that begin
/// with `eval_` are of the looks at samples that are not trained on.
type Group = (&'static str, &'static str, Range, &'static [(&'static str, &'static str)]);

const GROUPS: &[Group] = &[
    ("Loss", "", Range::Fit, &[("loss", "training"), ("eval_loss", "validation")]),
    (
        "Reward",
        "mean of the batch; the band is ± one standard deviation",
        Range::Fit,
        &[("reward", "mean"), ("eval_reward", "validation")],
    ),
    ("Spread of the reward", "standard deviation within groups", Range::Zero, &[("reward_std", "std")]),
    (
        "Accuracy",
        "",
        Range::Share,
        &[
            ("mean_token_accuracy", "tokens"),
            ("eval_mean_token_accuracy", "tokens, validation"),
            ("eval_accuracy", "answers, validation"),
            ("eval_format", "in form, validation"),
        ],
    ),
    (
        "Groups that teach nothing",
        "share of groups whose rewards are all equal",
        Range::Share,
        &[("frac_reward_zero_std", "share")],
    ),
    (
        "Length of completions",
        "tokens; the band reaches from the shortest to the longest",
        Range::Zero,
        &[("completions/mean_length", "mean"), ("eval_mean_length", "validation")],
    ),
    (
        "Cut completions",
        "share ended by the limit of length",
        Range::Share,
        &[("completions/clipped_ratio", "share")],
    ),
    ("KL", "distance from the reference model, nats a token", Range::Zero, &[("kl", "KL")]),
    ("Entropy", "of the next token, nats", Range::Zero, &[("entropy", "entropy")]),
    (
        "Clipped ratios",
        "share of tokens whose update was clipped",
        Range::Zero,
        &[
            ("clip_ratio/region_mean", "either"),
            ("clip_ratio/low_mean", "low"),
            ("clip_ratio/high_mean", "high"),
        ],
    ),
    ("Learning rate", "", Range::Zero, &[("learning_rate", "rate")]),
    ("Gradient", "length before clipping", Range::Zero, &[("grad_norm", "norm")]),
    ("Speed", "tokens a second", Range::Zero, &[("tokens_per_second", "tokens/s")]),
];

/// Figures that the tables give, or that only count up.
const TOLD_ELSEWHERE: &[&str] = &[
    "num_tokens",
    "elapsed_secs",
    "progress",
    "eval_runtime",
    "eval_questions",
    "wait_secs",
    "completions/min_length",
    "completions/max_length",
];

/// Most figures in one plot: as many as there are colours.
const N_SERIES: usize = 6;

/// The plots of a stage, those with something to show.
pub(super) fn charts(stage: &Stage) -> Vec<Plot> {
    let mut told: BTreeSet<&str> = TOLD_ELSEWHERE.iter().copied().collect();
    let mut plots = Vec::new();
    for (title, about, range, names) in GROUPS {
        told.extend(names.iter().map(|(name, _)| name));
        let series: Vec<Series> =
            names.iter().filter_map(|(name, label)| series(stage, name, label)).collect();
        if !series.is_empty() {
            let band = band(stage, names[0].0);
            plots.push(Plot { title: (*title).to_owned(), about, range: *range, series, band });
        }
        if *title == "Reward" {
            plots.extend(rewards(stage, &mut told));
        }
    }
    plots.extend(further(stage, &told));
    plots
}

fn series(stage: &Stage, name: &str, label: &str) -> Option<Series> {
    let (kind, mark) = if name.starts_with("eval_") {
        (Kind::Eval, Mark::Dots)
    } else if name == "learning_rate" {
        (Kind::Train, Mark::Line)
    } else {
        (Kind::Train, Mark::Smoothed)
    };
    let points = stage.series(kind, name);
    // A figure that is always zero says so once, in a plot of its own, but need not crowd another.
    (!points.is_empty()).then(|| Series { label: label.to_owned(), mark, points })
}

/// What surrounds a mean.
fn band(stage: &Stage, name: &str) -> Vec<(f64, [f64; 2])> {
    let train = |name: &str| stage.series(Kind::Train, name);
    let mut band = Vec::new();
    match name {
        "reward" => {
            for ((step, mean), (_, std)) in train("reward").into_iter().zip(train("reward_std")) {
                band.push((step, [mean - std, mean + std]));
            }
        }
        "completions/mean_length" => {
            let (low, high) = (train("completions/min_length"), train("completions/max_length"));
            for ((step, low), (_, high)) in low.into_iter().zip(high) {
                band.push((step, [low, high]));
            }
        }
        _ => {}
    }
    band
}

/// The rewards one by one.
fn rewards<'a>(stage: &'a Stage, told: &mut BTreeSet<&'a str>) -> Option<Plot> {
    let names: Vec<&str> =
        stage.names(Kind::Train).into_iter().filter(|name| name.starts_with("rewards/")).collect();
    told.extend(&names);
    let means = names.iter().filter_map(|name| {
        let label = name.strip_prefix("rewards/")?.strip_suffix("/mean")?;
        series(stage, name, label)
    });
    let series: Vec<Series> = means.take(N_SERIES).collect();
    let about = "mean points of each";
    (!series.is_empty()).then(|| Plot {
        title: "Rewards".to_owned(),
        about,
        range: Range::Fit,
        series,
        band: Vec::new(),
    })
}

/// What is left, a plot a figure of training and a plot a family of looks at validation samples.
fn further(stage: &Stage, told: &BTreeSet<&str>) -> Vec<Plot> {
    let mut plots = Vec::new();
    let mut families: Vec<(&str, Vec<Series>)> = Vec::new();
    for name in stage.names(Kind::Eval).into_iter().filter(|name| !told.contains(name)) {
        let plain = name.strip_prefix("eval_").unwrap_or(name);
        let family = plain.split(['/', '@']).next().unwrap_or(plain);
        let label = plain.strip_prefix(family).map_or(plain, |rest| rest.trim_start_matches('/'));
        let label = if label.is_empty() { plain } else { label };
        let points = stage.series(Kind::Eval, name);
        let series = Series { label: label.to_owned(), mark: Mark::Dots, points };
        match families.iter_mut().find(|(known, all)| *known == family && all.len() < N_SERIES) {
            Some((_, all)) => all.push(series),
            None => families.push((family, vec![series])),
        }
    }
    for (family, series) in families {
        let is_share = series.iter().flat_map(|one| &one.points).all(|point| (0.0..=1.0).contains(&point.1));
        let range = if is_share { Range::Share } else { Range::Fit };
        plots.push(named(format!("Validation: {}", family.replace('_', " ")), range, series));
    }
    for name in stage.names(Kind::Train).into_iter().filter(|name| !told.contains(name)) {
        if let Some(series) = series(stage, name, name) {
            plots.push(named(spoken(name), Range::Fit, vec![series]));
        }
    }
    plots
}

fn named(title: String, range: Range, series: Vec<Series>) -> Plot {
    Plot { title, about: "", range, series, band: Vec::new() }
}

fn spoken(name: &str) -> String {
    let text = name.replace(['_', '/'], " ");
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or(text)
}
