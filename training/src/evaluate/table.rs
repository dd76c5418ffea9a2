//! The table that both papers write: a row a variant, in-domain and out-of-domain accuracy with intervals,
//! output tokens, form; below it the paired tests.
//!
//! Everything here follows from the answers, so a table can be made anew from the files of a run. Variants
//! are compared on the questions that both were asked, and only on those. Held true by the tests below and
//! by `tests/train_evaluate.rs`.

mod markdown;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::answers::{Answer, Baseline};
use super::statistics::{ClusterBootstrap, Mean, N_DRAW, Pairs, Share};
use super::words::WordScores;

/// Seed of every bootstrap.
const SEED: u64 = 20_251_121;
/// A label with more values than this is not a label to report by.
const MAX_VALUE: usize = 32;
/// The label that parts the columns of the table.
pub const DOMAIN: &str = "domain";

/// When an answer counts as right.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The answer block is exactly the right text, or its letter.
    #[default]
    Exact,
    /// The extraction chain finds the right option.
    Lenient,
}

impl Rule {
    fn holds(self, answer: &Answer) -> bool {
        match self {
            Self::Exact => answer.exact,
            Self::Lenient => answer.lenient,
        }
    }
}

/// A share of right answers with both of its intervals.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Accuracy {
    /// Right answers and Wilson's interval, which takes answers as independent.
    #[serde(flatten)]
    pub share: Share,
    /// Ends of the 95 % interval by a bootstrap over pictures.
    pub picture_interval_95: [f64; 2],
}

impl Accuracy {
    /// The wider of the two intervals at each end, which is what tables state.
    pub fn interval_95(&self) -> [f64; 2] {
        let (wilson, pictures) = (self.share.interval_95, self.picture_interval_95);
        [wilson[0].min(pictures[0]), wilson[1].max(pictures[1])]
    }
}

/// Scores of one group of questions.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Scores {
    /// Answers; with several runs each question counts once a run.
    pub n: usize,
    /// Pictures.
    pub n_picture: usize,
    /// Right by the papers' rule.
    pub exact: Accuracy,
    /// Right by the extraction chain.
    pub lenient: Accuracy,
    /// Exact accuracy of each run with Student's interval, where there were several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Mean>,
    /// Answers in the form of the contract.
    pub in_form: Share,
    /// Mean tokens of an answer.
    pub mean_output_tokens: f64,
    /// Word overlap, over the open questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<WordScores>,
    /// What those would score on the same questions who do not look.
    pub baseline: Baseline,
}

/// Scores on one set of questions, whole and by label.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct DomainScores {
    /// All of it.
    pub all: Scores,
    /// Label → value → scores, as `subfield` → `ihc`.
    pub by: BTreeMap<String, BTreeMap<String, Scores>>,
}

/// A row: one variant or stage.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Variant {
    /// Its name, such as `alpha`.
    pub name: String,
    /// Domain → scores.
    pub domains: BTreeMap<String, DomainScores>,
}

/// Two variants on the same questions.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Comparison {
    /// One variant.
    pub first: String,
    /// The other.
    pub second: String,
    /// Set of questions.
    pub domain: String,
    /// Outcomes by question.
    pub pairs: Pairs,
    /// Accuracy of the second less that of the first.
    pub difference: f64,
    /// Ends of its 95 % interval by a bootstrap over pictures.
    pub difference_95: [f64; 2],
    /// Two-sided p of `McNemar`'s exact test.
    pub p: f64,
}

/// All that was measured.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Table {
    /// The rule that the comparisons count by.
    pub rule: Rule,
    /// Rows in the order they were given.
    pub variants: Vec<Variant>,
    /// Chosen pairs.
    pub comparisons: Vec<Comparison>,
}

impl Scores {
    /// The scores of some answers.
    pub fn of(answers: &[&Answer]) -> Self {
        let n = answers.len();
        let mean = |value: &dyn Fn(&Answer) -> f64| {
            answers.iter().map(|answer| value(answer)).sum::<f64>() / n.max(1) as f64
        };
        let accuracy = |rule: Rule| {
            let values = answers.iter().map(|answer| (answer.group.as_str(), number(rule.holds(answer))));
            Accuracy {
                share: Share::of(answers.iter().map(|answer| rule.holds(answer))),
                picture_interval_95: ClusterBootstrap::new(values).interval_95(N_DRAW, SEED),
            }
        };
        let mut runs: BTreeMap<u64, [usize; 2]> = BTreeMap::new();
        for answer in answers {
            let run = runs.entry(answer.seed).or_default();
            run[0] += usize::from(answer.exact);
            run[1] += 1;
        }
        let runs = (runs.len() > 1)
            .then(|| Mean::of(runs.values().map(|[right, n]| *right as f64 / *n as f64).collect()));
        Self {
            n,
            n_picture: answers.iter().map(|answer| answer.group.as_str()).collect::<BTreeSet<_>>().len(),
            exact: accuracy(Rule::Exact),
            lenient: accuracy(Rule::Lenient),
            runs,
            in_form: Share::of(answers.iter().map(|answer| answer.in_form)),
            mean_output_tokens: mean(&|answer| answer.n_token as f64),
            words: WordScores::mean(answers.iter().filter_map(|answer| answer.words)),
            baseline: Baseline {
                chance: mean(&|answer| answer.baseline.chance),
                majority: mean(&|answer| answer.baseline.majority),
                colour_histogram: mean(&|answer| answer.baseline.colour_histogram),
            },
        }
    }
}

impl DomainScores {
    /// Scores of answers, whole and by each of their labels.
    pub fn of(answers: &[&Answer]) -> Self {
        let mut groups: BTreeMap<&str, BTreeMap<&str, Vec<&Answer>>> = BTreeMap::new();
        for answer in answers {
            for (label, value) in answer.tags.iter().filter(|(label, _)| *label != DOMAIN) {
                groups.entry(label).or_default().entry(value).or_default().push(answer);
            }
        }
        let by = groups
            .into_iter()
            .filter(|(_, values)| values.len() <= MAX_VALUE)
            .map(|(label, values)| {
                let scores = values.into_iter().map(|(value, group)| (value.to_owned(), Scores::of(&group)));
                (label.to_owned(), scores.collect())
            })
            .collect();
        Self { all: Scores::of(answers), by }
    }
}

impl Variant {
    /// The row of a variant.
    pub fn of(name: &str, answers: &[Answer]) -> Self {
        let mut domains: BTreeMap<&str, Vec<&Answer>> = BTreeMap::new();
        for answer in answers {
            domains.entry(answer.tag(DOMAIN)).or_default().push(answer);
        }
        let domains = domains.into_iter().map(|(name, group)| (name.to_owned(), DomainScores::of(&group)));
        Self { name: name.to_owned(), domains: domains.collect() }
    }
}

impl Comparison {
    /// Compares two variants in every domain that both were asked in. Where there were several runs, the
    /// one with the least seed counts, so that a question counts once.
    pub fn of(rule: Rule, first: (&str, &[Answer]), second: (&str, &[Answer])) -> Vec<Self> {
        let mut asked: BTreeMap<(&str, &str), &Answer> = BTreeMap::new();
        for answer in by_question(first.1) {
            asked.insert((answer.tag(DOMAIN), &answer.id), answer);
        }
        let mut domains: BTreeMap<&str, Vec<[&Answer; 2]>> = BTreeMap::new();
        for answer in by_question(second.1) {
            let domain = answer.tag(DOMAIN);
            if let Some(other) = asked.get(&(domain, answer.id.as_str())) {
                domains.entry(domain).or_default().push([other, answer]);
            }
        }
        let compare = |(domain, both): (&str, Vec<[&Answer; 2]>)| {
            let outcomes = || both.iter().map(|pair| pair.map(|answer| rule.holds(answer)));
            let pairs = Pairs::of(outcomes());
            let gains = outcomes().map(|[first, second]| number(second) - number(first));
            let groups = both.iter().map(|[answer, _]| answer.group.as_str());
            let bootstrap = ClusterBootstrap::new(groups.zip(gains));
            Self {
                first: first.0.to_owned(),
                second: second.0.to_owned(),
                domain: domain.to_owned(),
                pairs,
                difference: (pairs.only_second as f64 - pairs.only_first as f64) / pairs.n().max(1) as f64,
                difference_95: bootstrap.interval_95(N_DRAW, SEED),
                p: pairs.p(),
            }
        };
        domains.into_iter().map(compare).collect()
    }
}

impl Table {
    /// The table of variants in order, with the named pairs compared; pairs that name nobody are left out.
    pub fn of(rule: Rule, variants: &[(String, Vec<Answer>)], pairs: &[[String; 2]]) -> Self {
        let find = |name: &str| variants.iter().find(|variant| variant.0 == name);
        let comparisons = pairs.iter().filter_map(|[first, second]| Some((find(first)?, find(second)?)));
        let comparisons = comparisons
            .flat_map(|(first, second)| Comparison::of(rule, (&first.0, &first.1), (&second.0, &second.1)));
        Self {
            rule,
            variants: variants.iter().map(|(name, answers)| Variant::of(name, answers)).collect(),
            comparisons: comparisons.collect(),
        }
    }

    /// Names of all domains, those called `in-domain` or alike first.
    pub fn domains(&self) -> Vec<&str> {
        let names: BTreeSet<&str> =
            self.variants.iter().flat_map(|variant| variant.domains.keys().map(String::as_str)).collect();
        let mut names: Vec<&str> = names.into_iter().collect();
        names.sort_by_key(|name| (!name.starts_with("in"), *name));
        names
    }
}

/// The first run's answer to each question.
fn by_question(answers: &[Answer]) -> impl Iterator<Item = &Answer> {
    let least = answers.iter().map(|answer| answer.seed).min().unwrap_or(0);
    answers.iter().filter(move |answer| answer.seed == least)
}

fn number(right: bool) -> f64 {
    f64::from(u8::from(right))
}

#[cfg(test)]
mod tests {
    use super::super::answers::tests::answer;
    use super::*;

    fn answers(domain: &str, outcomes: &[bool]) -> Vec<Answer> {
        let each = |(idx, right): (usize, &bool)| {
            answer(&format!("{domain}-{idx}"), &format!("picture-{}", idx / 2), domain, *right)
        };
        outcomes.iter().enumerate().map(each).collect()
    }

    #[test]
    fn a_table_counts_each_domain() {
        let alpha = [answers("in", &[true, true, false, false]), answers("ood", &[false, false])].concat();
        let beta = [answers("in", &[true, true, true, true]), answers("ood", &[true, false])].concat();
        let variants = [("alpha".to_owned(), alpha), ("beta".to_owned(), beta)];
        let pairs = [["alpha".to_owned(), "beta".to_owned()], ["alpha".to_owned(), "nobody".to_owned()]];
        let table = Table::of(Rule::Exact, &variants, &pairs);
        assert_eq!(table.domains(), ["in", "ood"]);
        let scores = &table.variants[0].domains["in"];
        assert_eq!((scores.all.exact.share.n_right, scores.all.n, scores.all.n_picture), (2, 4, 2));
        let [low, high] = scores.all.exact.picture_interval_95;
        assert!(low < 1e-9 && high > 1.0 - 1e-9, "one picture right, one wrong");
        assert_eq!(scores.by["tier"]["easy"].n, 4);
        assert!(!scores.by.contains_key(DOMAIN));
        assert!((scores.all.baseline.chance - 0.25).abs() < 1e-12);
        let [inside, outside] = table.comparisons.as_slice() else { panic!("{:?}", table.comparisons) };
        assert_eq!((inside.pairs.only_first, inside.pairs.only_second), (0, 2));
        assert!((inside.p - 0.5).abs() < 1e-12 && (inside.difference - 0.5).abs() < 1e-12);
        assert_eq!(outside.pairs.n(), 2);
        let text = serde_json::to_string(&table).unwrap();
        // The last bit of a figure may not survive its decimal form; what is printed of it does.
        assert_eq!(serde_json::from_str::<Table>(&text).unwrap().to_markdown(), table.to_markdown());
    }

    #[test]
    fn runs_are_told_apart() {
        let mut all = answers("in", &[true, false]);
        let again = answers("in", &[true, true]);
        all.extend(again.into_iter().map(|answer| Answer { seed: 7, ..answer }));
        let variant = Variant::of("alpha", &all);
        let runs = variant.domains["in"].all.runs.clone().unwrap();
        assert_eq!(runs.runs, [0.5, 1.0]);
        let compared = Comparison::of(Rule::Lenient, ("a", &all), ("b", &all));
        assert_eq!(compared[0].pairs.n(), 2, "one run counts");
    }
}
