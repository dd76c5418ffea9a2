//! The results: a dot with its interval for each variant and domain, and the tables of the papers.

use std::fmt::Write as _;

use super::numbers::{count, p_value, percent};
use super::page::escape;
use crate::evaluate::table::{Comparison, Rule, Scores, Table, Variant};

const WIDTH: f64 = 760.0;
const ROW: f64 = 30.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 26.0;
const GAP: f64 = 40.0;
/// Room for half of the last tick.
const MARGIN: f64 = 14.0;
/// Longest name that is drawn whole.
const N_NAME: usize = 24;

/// Labels with an order of their own; others stand by the alphabet.
const TIERS: [&str; 3] = ["easy", "medium", "hard"];

/// All of a table as HTML.
pub(super) fn results(table: &Table) -> String {
    let mut html = String::new();
    let domains = table.domains();
    if domains.is_empty() {
        return html;
    }
    let _ = write!(html, "<figure class=\"wide\">{}", forest(table, &domains));
    html.push_str(
        "<figcaption>Exactly right answers in %, with 95 % intervals; the dashed line is what guessing among the \
options would give.</figcaption></figure>",
    );
    accuracy(&mut html, table, &domains);
    tests(&mut html, table);
    for domain in &domains {
        breakdown(&mut html, table, domain);
    }
    html
}

/// A panel a domain, a row a variant.
fn forest(table: &Table, domains: &[&str]) -> String {
    let n_char = table.variants.iter().map(|variant| variant.name.chars().count()).max().unwrap_or(0);
    let names = 24.0 + 7.5 * n_char.min(N_NAME) as f64;
    let panel = (WIDTH - names - GAP * (domains.len() - 1) as f64 - MARGIN) / domains.len() as f64;
    let bottom = TOP + ROW * table.variants.len() as f64;
    let height = bottom + BOTTOM;
    let mut svg = format!(
        "<svg class=\"forest\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"accuracy of each variant \
with its interval\">"
    );
    for (idx, variant) in table.variants.iter().enumerate() {
        let y = TOP + ROW * (idx as f64 + 0.5);
        let _ = write!(
            svg,
            "<text class=\"name\" x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            names - 12.0,
            y + 4.0,
            escape(&short(&variant.name, N_NAME))
        );
    }
    for (column, domain) in domains.iter().enumerate() {
        let left = names + (panel + GAP) * column as f64;
        let x = |share: f64| left + share * panel;
        let _ = write!(
            svg,
            "<text class=\"head\" x=\"{left:.1}\" y=\"14\">{}</text>",
            escape(&short(domain, (panel / 8.0) as usize))
        );
        for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{0:.1} {TOP}V{bottom}\"/><text class=\"tick\" x=\"{0:.1}\" y=\"{1:.0}\" \
text-anchor=\"middle\">{2}</text>",
                x(tick),
                bottom + 16.0,
                tick * 100.0
            );
        }
        if let Some(scores) = asked(table, domain) {
            let _ = write!(
                svg,
                "<path class=\"chance\" d=\"M{:.1} {TOP}V{bottom}\"/>",
                x(scores.baseline.chance)
            );
        }
        for (idx, variant) in table.variants.iter().enumerate() {
            let Some(scores) = variant.domains.get(*domain) else { continue };
            let exact = &scores.all.exact;
            let [low, high] = exact.interval_95();
            let (y, share) = (TOP + ROW * (idx as f64 + 0.5), exact.share.share);
            let class = format!("s{column}");
            let _ = write!(
                svg,
                "<path class=\"whisker {class}\" d=\"M{:.1} {y:.1}H{:.1}\"/><circle class=\"dot {class}\" cx=\"{:.1}\" \
cy=\"{y:.1}\" r=\"5\"><title>{} % ({}–{})</title></circle>",
                x(low),
                x(high),
                x(share),
                percent(share),
                percent(low),
                percent(high)
            );
            // Beside the whisker, on the side where there is room.
            let (at, anchor) = if high < 0.86 { (x(high) + 6.0, "start") } else { (x(low) - 6.0, "end") };
            let _ = write!(
                svg,
                "<text class=\"value\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                y + 4.0,
                percent(share)
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

fn accuracy(html: &mut String, table: &Table, domains: &[&str]) {
    html.push_str("<div class=\"scroll\"><table><thead><tr><th rowspan=\"2\">Variant</th>");
    for domain in domains {
        let _ = write!(html, "<th class=\"group\" colspan=\"4\">{}</th>", escape(domain));
    }
    html.push_str("</tr><tr>");
    for _ in domains {
        html.push_str(
            "<th class=\"n\">accuracy, % (95 %)</th><th class=\"n\">lenient, %</th><th class=\"n\">tokens</th>\
<th class=\"n\">in form, %</th>",
        );
    }
    html.push_str("</tr></thead><tbody>");
    let best = |domain: &str| {
        let shares = table.variants.iter().filter_map(|variant| variant.domains.get(domain));
        shares.map(|scores| scores.all.exact.share.share).fold(0.0, f64::max)
    };
    for variant in &table.variants {
        let _ = write!(html, "<tr><th>{}</th>", escape(&variant.name));
        for domain in domains {
            let Some(scores) = variant.domains.get(*domain) else {
                html.push_str("<td class=\"n\">–</td><td></td><td></td><td></td>");
                continue;
            };
            let all = &scores.all;
            let [low, high] = all.exact.interval_95().map(percent);
            let share = all.exact.share.share;
            let class = if share > 0.0 && share >= best(domain) { "n best" } else { "n" };
            let _ = write!(
                html,
                "<td class=\"{class}\">{} <small>{low}–{high}</small></td><td class=\"n\">{}</td><td class=\"n\">{:.1}</td>\
<td class=\"n\">{}</td>",
                percent(share),
                percent(all.lenient.share.share),
                all.mean_output_tokens,
                percent(all.in_form.share)
            );
        }
        html.push_str("</tr>");
    }
    let baselines: [(&str, fn(&Scores) -> f64); 3] = [
        ("chance", |scores| scores.baseline.chance),
        ("most frequent answer", |scores| scores.baseline.majority),
        ("nearest colours", |scores| scores.baseline.colour_histogram),
    ];
    for (name, value) in baselines {
        let _ = write!(html, "<tr class=\"quiet\"><th>{name}</th>");
        for domain in domains {
            let share = asked(table, domain).map_or_else(|| "–".into(), |scores| percent(value(scores)));
            let _ = write!(html, "<td class=\"n\">{share}</td><td></td><td></td><td></td>");
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div><p class=\"note\">");
    for domain in domains {
        if let Some(scores) = asked(table, domain) {
            let (n, n_picture) = (count(scores.n as i64), count(scores.n_picture as i64));
            let _ = write!(html, "{}: {n} questions about {n_picture} pictures. ", escape(domain));
        }
    }
    html.push_str(
        "Accuracy counts an answer block that is exactly the right text or its letter; lenient counts what the \
extraction chain understands. Intervals are 95 %, at each end the wider of Wilson's and of a bootstrap over \
pictures.</p>",
    );
}

fn tests(html: &mut String, table: &Table) {
    if table.comparisons.is_empty() {
        return;
    }
    let rule = match table.rule {
        Rule::Exact => "exact",
        Rule::Lenient => "lenient",
    };
    let _ = write!(
        html,
        "<h3>Paired comparisons</h3><div class=\"scroll\"><table><thead><tr><th>Pair</th><th>Domain</th>\
<th class=\"n\">questions</th><th class=\"n\">difference, points (95 %)</th><th class=\"n\">only first right</th>\
<th class=\"n\">only second right</th><th class=\"n\">p</th></tr></thead><tbody>"
    );
    for comparison in &table.comparisons {
        let Comparison { first, second, domain, pairs, difference, difference_95, p } = comparison;
        let signed = |share: f64| format!("{:+.1}", share * 100.0).replace('-', "−");
        let [low, high] = difference_95.map(signed);
        let class = if *p < 0.05 { "n best" } else { "n" };
        let _ = write!(
            html,
            "<tr><th>{} → {}</th><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{} <small>{low} to {high}</small></td>\
<td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"{class}\">{}</td></tr>",
            escape(first),
            escape(second),
            escape(domain),
            count(pairs.n() as i64),
            signed(*difference),
            pairs.only_first,
            pairs.only_second,
            p_value(*p).replace('<', "&lt;")
        );
    }
    let _ = write!(
        html,
        "</tbody></table></div><p class=\"note\">McNemar's exact test on the same questions by the {rule} rule, \
two-sided and not corrected for the number of tests; p below 0.05 is set in bold.</p>"
    );
}

/// Accuracy by each label; the darker a cell, the higher.
fn breakdown(html: &mut String, table: &Table, domain: &str) {
    let rows: Vec<(&Variant, _)> =
        table.variants.iter().filter_map(|variant| Some((variant, variant.domains.get(domain)?))).collect();
    let Some((_, first)) = rows.first() else { return };
    for (label, values) in &first.by {
        let mut values: Vec<(&String, &Scores)> = values.iter().collect();
        values.sort_by_key(|(value, _)| TIERS.iter().position(|tier| tier == value));
        let _ = write!(
            html,
            "<h3>By {}, {}</h3><div class=\"scroll\"><table class=\"heat\"><thead><tr><th>Variant</th>",
            escape(label),
            escape(domain)
        );
        for (value, scores) in &values {
            let n = count(scores.n as i64);
            let _ = write!(html, "<th class=\"n\">{} <small>n {n}</small></th>", escape(value));
        }
        html.push_str("</tr></thead><tbody>");
        for (variant, scores) in &rows {
            let _ = write!(html, "<tr><th>{}</th>", escape(&variant.name));
            for (value, _) in &values {
                match scores.by.get(label).and_then(|values| values.get(*value)) {
                    None => html.push_str("<td class=\"n\">–</td>"),
                    Some(scores) => {
                        let share = scores.exact.share.share;
                        let shade = (share * 10.0).round() as u8;
                        let _ = write!(html, "<td class=\"n h{shade}\">{}</td>", percent(share));
                    }
                }
            }
            html.push_str("</tr>");
        }
        html.push_str("<tr class=\"quiet\"><th>chance</th>");
        for (_, scores) in &values {
            let _ = write!(html, "<td class=\"n\">{}</td>", percent(scores.baseline.chance));
        }
        html.push_str("</tr></tbody></table></div>");
    }
}

/// The questions of a domain, as the first variant that was asked them.
fn asked<'a>(table: &'a Table, domain: &str) -> Option<&'a Scores> {
    table.variants.iter().find_map(|variant| variant.domains.get(domain)).map(|scores| &scores.all)
}

fn short(text: &str, n_char: usize) -> String {
    if text.chars().count() <= n_char {
        return text.to_owned();
    }
    text.chars().take(n_char.saturating_sub(1)).chain(['…']).collect()
}
