//! The table in words: Markdown for people, CSV for spreadsheets.

use std::fmt::Write as _;

use super::{Comparison, Rule, Scores, Table};

impl Table {
    /// The results table, the paired tests and the breakdown by label, as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        self.results(&mut text);
        self.tests(&mut text);
        self.breakdown(&mut text);
        text
    }

    fn results(&self, text: &mut String) {
        let domains = self.domains();
        text.push_str("| variant |");
        for domain in &domains {
            let _ = write!(text, " {domain} accuracy, % | lenient, % | tokens | in form, % |");
        }
        text.push_str("\n|---|");
        text.push_str(&"---:|---:|---:|---:|".repeat(domains.len()));
        text.push('\n');
        for variant in &self.variants {
            let _ = write!(text, "| {} |", cell(&variant.name));
            for domain in &domains {
                match variant.domains.get(*domain) {
                    None => text.push_str(" – | – | – | – |"),
                    Some(scores) => {
                        let all = &scores.all;
                        let _ = write!(
                            text,
                            " {} | {:.1} | {:.1} | {:.1} |",
                            with_interval(all),
                            percent(all.lenient.share.share),
                            all.mean_output_tokens,
                            percent(all.in_form.share)
                        );
                    }
                }
            }
            text.push('\n');
        }
        let baselines: [(&str, fn(&Scores) -> f64); 3] = [
            ("*chance*", |scores| scores.baseline.chance),
            ("*majority*", |scores| scores.baseline.majority),
            ("*nearest colours*", |scores| scores.baseline.colour_histogram),
        ];
        for (name, value) in baselines {
            let _ = write!(text, "| {name} |");
            for domain in &domains {
                let scores = self.variants.iter().find_map(|variant| variant.domains.get(*domain));
                let share = scores.map_or(0.0, |scores| percent(value(&scores.all)));
                let _ = write!(text, " {share:.1} | | | |");
            }
            text.push('\n');
        }
        text.push_str("\nQuestions");
        for domain in &domains {
            let scores = self.variants.iter().find_map(|variant| variant.domains.get(*domain));
            let (n, n_picture) = scores.map_or((0, 0), |scores| {
                let n_run = scores.all.runs.as_ref().map_or(1, |runs| runs.runs.len());
                (scores.all.n / n_run, scores.all.n_picture)
            });
            let _ = write!(text, "; {domain}: {n} about {n_picture} pictures");
        }
        text.push_str(
            ". Accuracy counts an answer block that is exactly the right text or its letter; lenient counts what \
the extraction chain understands. Intervals are 95 %, at each end the wider of Wilson's and of a bootstrap over \
pictures; of several runs, Student's over the runs.\n",
        );
    }

    fn tests(&self, text: &mut String) {
        if self.comparisons.is_empty() {
            return;
        }
        let rule = match self.rule {
            Rule::Exact => "exact",
            Rule::Lenient => "lenient",
        };
        let _ = write!(
            text,
            "\nPaired on the same questions ({rule} rule), McNemar's exact test, two-sided and not corrected for \
the number of tests:\n\n\
| pair | questions | difference, points (95 %) | only first right | only second right | p |\n\
|---|---|---:|---:|---:|---:|\n"
        );
        for comparison in &self.comparisons {
            let Comparison { first, second, domain, pairs, difference, difference_95, p } = comparison;
            let [low, high] = difference_95.map(percent);
            let _ = writeln!(
                text,
                "| {} → {} | {}, {} | {:+.1} ({low:+.1} to {high:+.1}) | {} | {} | {} |",
                cell(first),
                cell(second),
                cell(domain),
                pairs.n(),
                percent(*difference),
                pairs.only_first,
                pairs.only_second,
                p_value(*p)
            );
        }
    }

    fn breakdown(&self, text: &mut String) {
        for domain in self.domains() {
            let rows: Vec<_> = self
                .variants
                .iter()
                .filter_map(|variant| Some((&variant.name, variant.domains.get(domain)?)))
                .collect();
            let Some((_, first)) = rows.first() else { continue };
            for (label, values) in &first.by {
                let _ = write!(text, "\nBy {}, {}, accuracy in %:\n\n| variant |", cell(label), cell(domain));
                for (value, scores) in values {
                    let _ = write!(text, " {} (n {}) |", cell(value), scores.n);
                }
                text.push_str("\n|---|");
                text.push_str(&"---:|".repeat(values.len()));
                text.push('\n');
                for (name, scores) in &rows {
                    let _ = write!(text, "| {} |", cell(name));
                    for value in values.keys() {
                        match scores.by.get(label).and_then(|values| values.get(value)) {
                            None => text.push_str(" – |"),
                            Some(scores) => {
                                let _ = write!(text, " {:.1} |", percent(scores.exact.share.share));
                            }
                        }
                    }
                    text.push('\n');
                }
                let _ = write!(text, "| *chance* |");
                for scores in values.values() {
                    let _ = write!(text, " {:.1} |", percent(scores.baseline.chance));
                }
                text.push('\n');
            }
        }
    }

    /// One line a variant, domain, label and value.
    pub fn to_csv(&self) -> String {
        let mut text = String::from(
            "variant,domain,label,value,n,n_picture,exact,exact_low_95,exact_high_95,wilson_low_95,wilson_high_95,\
picture_low_95,picture_high_95,lenient,in_form,mean_output_tokens,exact_match,f1,recall,chance,majority,\
colour_histogram\n",
        );
        for variant in &self.variants {
            for (domain, scores) in &variant.domains {
                line(&mut text, [&variant.name, domain, "all", ""], &scores.all);
                for (label, values) in &scores.by {
                    for (value, scores) in values {
                        line(&mut text, [&variant.name, domain, label, value], scores);
                    }
                }
            }
        }
        text
    }
}

fn line(text: &mut String, names: [&str; 4], scores: &Scores) {
    for name in names {
        // A field with a comma, a quote or a line break is quoted, quotes are doubled (RFC 4180).
        if name.contains([',', '"', '\n', '\r']) {
            let _ = write!(text, "\"{}\",", name.replace('"', "\"\""));
        } else {
            let _ = write!(text, "{name},");
        }
    }
    let exact = &scores.exact;
    let ([low, high], wilson, pictures) =
        (exact.interval_95(), exact.share.interval_95, exact.picture_interval_95);
    let _ = write!(text, "{},{},{:.6}", scores.n, scores.n_picture, exact.share.share);
    for number in [low, high, wilson[0], wilson[1], pictures[0], pictures[1]] {
        let _ = write!(text, ",{number:.6}");
    }
    let shares = [scores.lenient.share.share, scores.in_form.share, scores.mean_output_tokens];
    for number in shares {
        let _ = write!(text, ",{number:.6}");
    }
    match scores.words {
        None => text.push_str(",,,"),
        Some(words) => {
            let _ = write!(text, ",{:.6},{:.6},{:.6}", words.exact_match, words.f1, words.recall);
        }
    }
    let baseline = &scores.baseline;
    let _ =
        writeln!(text, ",{:.6},{:.6},{:.6}", baseline.chance, baseline.majority, baseline.colour_histogram);
}

fn percent(share: f64) -> f64 {
    share * 100.0
}

/// As `63.2 (59.8–66.4)`; of several runs their mean and Student's interval, as `63.2 (62.0–64.4, 5 runs)`.
fn with_interval(scores: &Scores) -> String {
    if let Some(runs) = &scores.runs {
        let [low, high] = runs.interval_95.map(percent);
        return format!("{:.1} ({low:.1}–{high:.1}, {} runs)", percent(runs.mean), runs.runs.len());
    }
    let [low, high] = scores.exact.interval_95().map(percent);
    format!("{:.1} ({low:.1}–{high:.1})", percent(scores.exact.share.share))
}

fn p_value(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("{p:.3}") }
}

/// A name that cannot break out of its cell.
fn cell(name: &str) -> String {
    name.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::super::super::answers::tests::answer;
    use super::super::Table;
    use super::*;

    #[test]
    fn the_table_reads_as_in_the_papers() {
        let alpha = vec![answer("1", "a", "in-domain", true), answer("2", "b", "in-domain", false)];
        let beta = vec![answer("1", "a", "in-domain", true), answer("2", "b", "in-domain", true)];
        let variants = [("alpha|1".to_owned(), alpha), ("beta".to_owned(), beta)];
        let table = Table::of(Rule::Exact, &variants, &[["alpha|1".to_owned(), "beta".to_owned()]]);
        let text = table.to_markdown();
        for line in [
            "| variant | in-domain accuracy, % | lenient, % | tokens | in form, % |",
            "| alpha\\|1 | 50.0 (0.0–100.0) | 50.0 | 10.0 | 100.0 |",
            "| *chance* | 25.0 | | | |",
            "| alpha\\|1 → beta | in-domain, 2 | +50.0 (+0.0 to +100.0) | 0 | 1 | 1.000 |",
            "| variant | easy (n 2) |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let csv = table.to_csv();
        let n_field: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(n_field, [22; 5]);
    }
}
