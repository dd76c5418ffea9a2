//! The HTML page, read top to bottom.

use eosin_core::duration;
use std::fmt::Write as _;

use super::charts::charts;
use super::folder::{Run, Said, Stage};
use super::numbers::{compact, count, percent, rounded};
use super::plot::{Mark, Plot};
use super::results::results;
use super::{NOTICE, words};
use crate::metrics::Kind;

const STYLE: &str = include_str!("page.css");
/// Most samples left out that a stage lists.
const N_SKIP: usize = 20;
/// Longest text shown of what a model wrote.
const N_CHAR: usize = 1600;

pub(super) fn page(run: &Run) -> String {
    let mut html = String::with_capacity(1 << 16);
    let name = escape(&run.name);
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
<meta name=\"color-scheme\" content=\"light dark\"><title>{name} – training report</title>\
<style>{STYLE}</style></head>\n<body><header><p class=\"brand\">Eosin training report</p><h1>{name}</h1>"
    );
    let program = run.stages.iter().find_map(|stage| stage.program.as_deref());
    let facts = [
        program.map(|program| format!("eosin {program}")),
        run.seed.map(|seed| format!("seed {seed}")),
        Some(road(run)),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().map(|fact| escape(&fact)).collect();
    let _ = write!(html, "<p class=\"quiet\">{}</p>", facts.join(" · "));
    let _ = write!(html, "<p class=\"notice\">{NOTICE}</p></header>\n<main>");
    tiles(&mut html, run);
    for (stage, table) in &run.tables {
        let of = if stage.is_empty() { String::new() } else { format!(" of {}", escape(stage)) };
        let _ = writeln!(html, "<section><h2>Results{of}</h2>{}</section>", results(table));
    }
    overview(&mut html, run);
    for stage in &run.stages {
        stage_section(&mut html, stage);
    }
    if !run.recipe.is_empty() {
        let _ = write!(
            html,
            "<section><h2>Recipe</h2><p class=\"note\">All that the result depends on, as the run kept it.</p>\
<pre class=\"recipe\">{}</pre></section>",
            escape(run.recipe.trim_end())
        );
    }
    html.push_str("</main><footer><p>");
    html.push_str(NOTICE);
    html.push_str("</p></footer></body></html>\n");
    html
}

/// The stages in a line.
pub(super) fn road(run: &Run) -> String {
    run.stages.iter().map(Stage::title).collect::<Vec<_>>().join(" → ")
}

fn tiles(html: &mut String, run: &Run) {
    let n_finished = run.stages.iter().filter(|stage| stage.finished).count();
    let sum = |name: &str| -> f64 {
        run.stages
            .iter()
            .filter_map(|stage| stage.last(Kind::Train, name))
            .filter(|sum| sum.is_finite())
            .sum()
    };
    let mut tiles = vec![
        (format!("{n_finished} of {}", run.stages.len()), "stages finished".to_owned()),
        (duration(sum("elapsed_secs")), "of training".to_owned()),
        (rounded(sum("num_tokens")), "tokens".to_owned()),
    ];
    for (_, table) in run.tables.iter().take(1) {
        for domain in table.domains().into_iter().take(2) {
            let scores = table.variants.iter().filter_map(|one| Some((&one.name, one.domains.get(domain)?)));
            let best = scores.max_by(|a, b| a.1.all.exact.share.share.total_cmp(&b.1.all.exact.share.share));
            if let Some((name, scores)) = best {
                let label = format!("best {}: {}", escape(domain), escape(name));
                tiles.push((format!("{} %", percent(scores.all.exact.share.share)), label));
            }
        }
    }
    tiles.push((count(run.n_skipped() as i64), "samples left out".to_owned()));
    for (value, label) in tiles {
        let _ = write!(html, "<div class=\"tile\"><b>{value}</b><span>{label}</span></div>");
    }
}

fn overview(html: &mut String, run: &Run) {
    html.push_str(
        "<section><h2>Stages</h2><div class=\"scroll\"><table><thead><tr><th>Stage</th><th>Kind</th><th>From</th>\
<th class=\"n\">steps</th><th class=\"n\">time</th><th class=\"n\">tokens</th><th class=\"n\">loss, first → last</th>\
<th class=\"n\">best look</th><th class=\"n\">left out</th><th>State</th></tr></thead><tbody>",
    );
    for stage in &run.stages {
        let row = words::StageRow::of(stage);
        let _ = write!(
            html,
            "<tr><th><a href=\"#{}\">{}</a></th><td>{}</td><td>{}</td>",
            escape(&stage.name),
            escape(stage.title()),
            escape(&stage.kind),
            escape(&stage.from)
        );
        for cell in [&row.steps, &row.time, &row.tokens, &row.loss, &row.best, &row.skipped] {
            let _ = write!(html, "<td class=\"n\">{}</td>", escape(cell));
        }
        let _ = write!(html, "<td><span class=\"state {0}\">{0}</span></td></tr>", row.state);
    }
    html.push_str("</tbody></table></div></section>\n");
}

fn stage_section(html: &mut String, stage: &Stage) {
    let _ = write!(
        html,
        "<section class=\"stage\" id=\"{}\"><h2>{} <span class=\"kind\">{}</span></h2>",
        escape(&stage.name),
        escape(stage.title()),
        escape(&stage.kind)
    );
    let plots = charts(stage);
    if plots.is_empty() {
        html.push_str("<p class=\"note\">Nothing was measured yet.</p>");
    }
    html.push_str("<div class=\"plots\">");
    for plot in &plots {
        figure(html, plot);
    }
    html.push_str("</div>");
    if !stage.said.is_empty() {
        html.push_str("<h3>What was written</h3><div class=\"said\">");
        for said in &stage.said {
            completion(html, said);
        }
        html.push_str("</div>");
    }
    if !stage.skipped.is_empty() {
        skipped(html, stage);
    }
    html.push_str("</section>\n");
}

fn figure(html: &mut String, plot: &Plot) {
    let _ = write!(html, "<figure><figcaption><b>{}</b>", escape(&plot.title));
    html.push_str("<span class=\"legend\">");
    for (idx, series) in plot.series.iter().enumerate() {
        let mark = if series.mark == Mark::Dots { "dots" } else { "line" };
        let last = series.last().map(|last| format!(" <b>{}</b>", compact(last))).unwrap_or_default();
        let _ =
            write!(html, "<span><i class=\"key {mark} s{idx}\"></i>{}{last}</span>", escape(&series.label));
    }
    let _ = write!(html, "</span></figcaption>{}", plot.svg());
    if !plot.about.is_empty() {
        let _ = write!(html, "<p class=\"about\">{}</p>", plot.about);
    }
    html.push_str("</figure>");
}

fn completion(html: &mut String, said: &Said) {
    let _ = write!(html, "<article><p class=\"points\"><b>{}</b>", escape(&said.occasion));
    for (name, points) in &said.rewards {
        let _ = write!(html, "<span>{} {}</span>", escape(name), compact(*points));
    }
    html.push_str("</p>");
    if !said.prompt.is_empty() {
        let _ = write!(html, "<p class=\"prompt\">{}</p>", escape(&cut(&said.prompt)));
    }
    let _ = write!(html, "<pre>{}</pre>", escape(&cut(&said.completion)));
    if !said.gold.is_empty() {
        let _ = write!(html, "<p class=\"gold\">right: {}</p>", escape(&cut(&said.gold)));
    }
    html.push_str("</article>");
}

fn skipped(html: &mut String, stage: &Stage) {
    html.push_str("<h3>Samples left out</h3><table><thead><tr><th>Reason</th><th class=\"n\">samples</th></tr></thead><tbody>");
    for (reason, n) in stage.skip_reasons() {
        let _ = write!(html, "<tr><td>{}</td><td class=\"n\">{}</td></tr>", escape(&reason), count(n as i64));
    }
    html.push_str("</tbody></table><ul class=\"skips\">");
    for skip in stage.skipped.iter().take(N_SKIP) {
        let _ = write!(html, "<li><b>{}</b> {}</li>", escape(&skip.id), escape(&skip.reason));
    }
    html.push_str("</ul>");
    if stage.skipped.len() > N_SKIP {
        let n = count((stage.skipped.len() - N_SKIP) as i64);
        let _ = write!(html, "<p class=\"note\">and {n} more in skipped.jsonl</p>");
    }
}

/// The beginning of a long text.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(N_CHAR) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} …", &text[..end]),
    }
}

/// Text that stays text, whatever a model or a file put into it.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Control letters are not allowed in HTML; line breaks and tabs are.
            letter if letter.is_control() && !matches!(letter, '\n' | '\t') => safe.push('\u{fffd}'),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes() {
        assert_eq!(
            escape("<script>alert('x')&\"\u{0}\n</script>"),
            "&lt;script&gt;alert(&#39;x&#39;)&amp;&quot;\u{fffd}\n&lt;/script&gt;"
        );
        assert_eq!(cut(&"ä".repeat(N_CHAR + 1)), format!("{} …", "ä".repeat(N_CHAR)));
    }
}
