//! A case as Markdown, with its pictures in a folder beside it.
//!
//! Words of people and models keep their Markdown but lose what a viewer would act on: HTML, and pictures from
//! elsewhere, whose loading would tell somebody that the case is being read.

use std::fmt::Write as _;

use super::labels::fill;
use super::{Case, phrase};
use crate::chat::{Answer, Turn};

/// The document.
pub(super) fn write(case: &Case) -> String {
    let shown = case.chat.shown();
    let mut out = format!("# {}\n\n", line(&phrase::title(case)));
    add(&mut out, format_args!("> **{}**\n\n", line(&case.labels.notice)));
    add(&mut out, format_args!("{}\n", line(&phrase::summary(case, shown.len()))));
    let mut n_figure = 0;
    for (turn_idx, turn) in shown.iter().enumerate() {
        let heading = fill(&case.labels.question, &[("n", &(turn_idx + 1).to_string())]);
        add(&mut out, format_args!("\n## {} · {}\n\n", line(&heading), phrase::minute(&turn.at)));
        question(&mut out, case, turn, &mut n_figure);
        if let Some(given) = turn.shown() {
            answer(&mut out, case, turn, given);
        }
    }
    add(&mut out, format_args!("\n---\n\n{}\n", line(&phrase::audit(case))));
    out
}

/// Puts words behind others, which cannot fail.
fn add(out: &mut String, words: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(words);
}

fn question(out: &mut String, case: &Case, turn: &Turn, n_figure: &mut usize) {
    let labels = &case.labels;
    for image in &turn.images {
        *n_figure += 1;
        let figure = fill(&labels.figure, &[("n", &n_figure.to_string())]);
        match case.place(&image.hash) {
            Some(file) => {
                add(out, format_args!("![{}](<{}>)\n\n", line(&figure), file.replace(['<', '>', '\n'], "_")));
            }
            None => add(out, format_args!("*({})*\n\n", line(&labels.picture_left_out))),
        }
        let (extent, origin) = (phrase::extent(image, labels), phrase::origin(image, labels));
        add(out, format_args!("*{}: {} · {}*\n\n", line(&figure), line(&extent), line(&origin)));
    }
    if let Some(system) = turn.system.as_ref().filter(|system| !system.trim().is_empty()) {
        add(out, format_args!("*{}:*\n\n{}\n\n", line(&labels.instructions), quoted(system)));
    }
    add(out, format_args!("**{}**\n", strong(&turn.question)));
    let probabilities = turn.shown().and_then(|answer| answer.option_probabilities.as_deref());
    match probabilities.filter(|values| values.len() == turn.choices.len() && !values.is_empty()) {
        Some(values) => {
            add(
                out,
                format_args!(
                    "\n| | {} | {} |\n|---|---|---:|\n",
                    line(&labels.options),
                    line(&labels.probabilities)
                ),
            );
            for (choice_idx, (choice, value)) in turn.choices.iter().zip(values).enumerate() {
                let share = f64::from(*value) * 100.0;
                let cell = line(choice).replace('|', "\\|");
                add(out, format_args!("| {} | {cell} | {share:.1} % |\n", phrase::letter(choice_idx)));
            }
        }
        None if !turn.choices.is_empty() => {
            *out += "\n";
            for (choice_idx, choice) in turn.choices.iter().enumerate() {
                add(out, format_args!("- {}. {}\n", phrase::letter(choice_idx), line(choice)));
            }
        }
        None => {}
    }
}

fn answer(out: &mut String, case: &Case, turn: &Turn, answer: &Answer) {
    let labels = &case.labels;
    if !answer.reasoning.trim().is_empty() {
        let heading = line(&phrase::reasoning(answer, labels));
        add(
            out,
            format_args!(
                "\n<details><summary>{heading}</summary>\n\n{}\n\n</details>\n",
                quoted(&answer.reasoning)
            ),
        );
    }
    let version = phrase::version(turn, answer, labels).map(|version| format!(" ({})", line(&version)));
    add(out, format_args!("\n### {}{}\n\n", line(&labels.answer), version.unwrap_or_default()));
    add(out, format_args!("{}\n", quoted(phrase::words(answer, labels))));
    if let Some(caveat) = phrase::caveat(answer, labels) {
        add(out, format_args!("\n*{}*\n", line(&caveat)));
    }
    *out += "\n";
    for (name, words) in phrase::provenance(answer, labels, phrase::HashLength::Whole) {
        add(out, format_args!("- {}: {}\n", line(&name), line(&words)));
    }
}

/// Words that stay on one line and are words only.
fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A question in bold: its lines become breaks.
fn strong(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(line).filter(|text| !text.is_empty()).collect();
    lines.join("  \n")
}

/// Words with their own Markdown, as a quotation from which nothing can break out.
fn quoted(text: &str) -> String {
    let quoted = text.trim().lines().map(|row| {
        let plain = row.replace('<', "&lt;").replace("![", "!\\[");
        format!("> {plain}").trim_end().to_owned()
    });
    quoted.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        assert_eq!(line("a *b*\n<c> [d](e) `f` #g"), "a \\*b\\* \\<c\\> \\[d\\](e) \\`f\\` \\#g");
        let evil = "</details>\n# title\n![x](http://there/pixel.png)\n\nend";
        assert_eq!(quoted(evil), "> &lt;/details>\n> # title\n> !\\[x](http://there/pixel.png)\n>\n> end");
    }
}
