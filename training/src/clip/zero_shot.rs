//! Naming pictures by words alone: synonyms × templates, as CONCH writes its prompts.
//!
//! Every synonym of a class goes into every template; the texts' unit features are averaged and brought to
//! unit length again, and a picture belongs to the class whose mean is nearest. The file is
//! `{"0": {"classnames": {"<folder>": ["synonym", …]}, "templates": ["an H&E image of CLASSNAME.", …]}}`.
//! Held by the tests below.

use serde::Serialize;
use serde_json::Value;

use super::features::Features;
use crate::error::TrainError;
use crate::evaluate::Share;

/// What templates have in the class name's place.
const PLACE: &str = "CLASSNAME";

/// Templates of the papers.
pub const TEMPLATES: [&str; 2] = ["an H&E image of CLASSNAME.", "an image of CLASSNAME."];

/// Classes with their synonyms, and sentences to put them in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prompts {
    /// Class (its folder or tag) and the words for it.
    pub classes: Vec<(String, Vec<String>)>,
    /// Sentences with `CLASSNAME` in them.
    pub templates: Vec<String>,
}

impl Prompts {
    /// The class names themselves in the papers' templates.
    pub fn plain(classes: impl IntoIterator<Item = String>) -> Self {
        let classes = classes.into_iter().map(|class| (class.clone(), vec![class.replace(['_', '-'], " ")]));
        Self { classes: classes.collect(), templates: TEMPLATES.map(str::to_owned).to_vec() }
    }

    /// Reads the first entry of a prompt file.
    ///
    /// # Errors
    /// [`TrainError::Plan`] with what is missing or of another kind.
    pub fn parse(json: &Value) -> Result<Self, TrainError> {
        let refuse = |what: &str| TrainError::plan(format!("the prompt file cannot be used: {what}"));
        let entry = json
            .get("0")
            .or_else(|| json.as_object().and_then(|entries| entries.values().next()))
            .ok_or_else(|| refuse("it has no entry"))?;
        let strings = |value: &Value| match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(texts) => texts.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        let names = entry.get("classnames").and_then(Value::as_object);
        let names = names.ok_or_else(|| refuse("`classnames` is not an object"))?;
        let mut classes = Vec::with_capacity(names.len());
        for (class, synonyms) in names {
            let synonyms = strings(synonyms).filter(|synonyms: &Vec<String>| !synonyms.is_empty());
            classes.push((class.clone(), synonyms.ok_or_else(|| refuse("a class has no list of names"))?));
        }
        let templates = entry.get("templates").and_then(strings).unwrap_or_default();
        if classes.len() < 2 {
            return Err(refuse("there are no two classes"));
        }
        if templates.is_empty() || templates.iter().any(|template| !template.contains(PLACE)) {
            return Err(refuse("`templates` is not a list of sentences with CLASSNAME in them"));
        }
        Ok(Self { classes, templates })
    }

    /// Every sentence, class by class.
    pub fn sentences(&self) -> Vec<String> {
        let of_class = |(_, synonyms): &(String, Vec<String>)| {
            synonyms
                .iter()
                .flat_map(|synonym| self.templates.iter().map(move |text| text.replace(PLACE, synonym)))
                .collect::<Vec<_>>()
        };
        self.classes.iter().flat_map(of_class).collect()
    }

    /// One unit row a class from the features of [`Self::sentences`].
    ///
    /// # Panics
    /// If there is not one row a sentence.
    pub fn classifier(&self, texts: &Features) -> Features {
        let texts = texts.normalised();
        let mut first = 0;
        let mut means = Vec::with_capacity(self.classes.len() * texts.d());
        for (_, synonyms) in &self.classes {
            let n = synonyms.len() * self.templates.len();
            for column in 0..texts.d() {
                let sum: f64 = (first..first + n).map(|row| f64::from(texts.row(row)[column])).sum();
                means.push((sum / n as f64) as f32);
            }
            first += n;
        }
        assert_eq!(first, texts.n_row(), "one feature a sentence");
        Features::new(texts.d(), means).normalised()
    }
}

/// How well words alone named the pictures.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ZeroShot {
    /// Classes in order.
    pub classes: Vec<String>,
    /// Pictures named right.
    pub accuracy: Share,
    /// Mean over the classes that occur of their shares named right.
    pub balanced_accuracy: f64,
    /// Precision, recall, F1 and number of pictures of each class.
    pub report: Vec<ClassReport>,
    /// Pictures by true class (row) and by the class named (column).
    pub confusion: Vec<Vec<usize>>,
}

/// One class of a classification report.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ClassReport {
    /// Share of what was named so that is so; 0 where nothing was.
    pub precision: f64,
    /// Share of what is so that was named so; 0 where nothing is.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Pictures of the class.
    pub n: usize,
}

/// Names every picture and compares with its class.
pub fn zero_shot(images: &Features, labels: &[usize], classifier: &Features, classes: &[String]) -> ZeroShot {
    let cosines = images.normalised().products(classifier);
    let n_class = classes.len();
    // The first of equals.
    let best = |row: &[f32]| (0..n_class).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
    let named: Vec<usize> = cosines.chunks_exact(n_class.max(1)).map(best).collect();
    ZeroShot::of(&named, labels, classes)
}

impl ZeroShot {
    /// The report on names given to pictures of known class.
    pub fn of(named: &[usize], labels: &[usize], classes: &[String]) -> Self {
        let n_class = classes.len();
        let mut confusion = vec![vec![0_usize; n_class]; n_class];
        for (&found, &label) in named.iter().zip(labels) {
            confusion[label][found] += 1;
        }
        let ratio = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let report: Vec<ClassReport> = (0..n_class)
            .map(|class| {
                let n = confusion[class].iter().sum();
                let n_named = confusion.iter().map(|row| row[class]).sum();
                let n_right = confusion[class][class];
                let (precision, recall) = (ratio(n_right, n_named), ratio(n_right, n));
                ClassReport { precision, recall, f1: ratio(2 * n_right, n + n_named), n }
            })
            .collect();
        let present: Vec<f64> = report.iter().filter(|class| class.n > 0).map(|class| class.recall).collect();
        Self {
            classes: classes.to_vec(),
            accuracy: Share::of(named.iter().zip(labels).map(|(found, label)| found == label)),
            balanced_accuracy: present.iter().sum::<f64>() / present.len().max(1) as f64,
            report,
            confusion,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conchs_file_is_read_and_others_are_refused() {
        let file = json!({"0": {
            "classnames": {"adeno": ["adenocarcinoma", "gland cancer"], "normal": ["normal tissue"]},
            "templates": ["an image of CLASSNAME.", "CLASSNAME"],
        }});
        let prompts = Prompts::parse(&file).unwrap();
        assert_eq!(
            prompts.sentences(),
            [
                "an image of adenocarcinoma.",
                "adenocarcinoma",
                "an image of gland cancer.",
                "gland cancer",
                "an image of normal tissue.",
                "normal tissue",
            ]
        );
        let check = |json: Value, expected: &str| {
            let error = Prompts::parse(&json).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} does not say {expected}");
        };
        let with =
            |names: Value, templates: Value| json!({"0": {"classnames": names, "templates": templates}});
        check(json!({}), "no entry");
        check(json!([]), "no entry");
        check(with(json!([]), json!(["CLASSNAME"])), "`classnames`");
        check(with(json!({"a": []}), json!(["CLASSNAME"])), "no list of names");
        check(with(json!({"a": ["x"]}), json!(["CLASSNAME"])), "two classes");
        check(with(json!({"a": ["x"], "b": [1]}), json!(["CLASSNAME"])), "no list of names");
        check(with(json!({"a": ["x"], "b": ["y"]}), json!(["an image"])), "`templates`");
        check(with(json!({"a": ["x"], "b": ["y"]}), json!([])), "`templates`");
    }

    #[test]
    fn synonyms_count_alike_whatever_their_features_length() {
        let prompts = Prompts {
            classes: vec![("a".into(), vec!["x".into(), "y".into()]), ("b".into(), vec!["z".into()])],
            templates: vec!["CLASSNAME".into()],
        };
        // Two synonyms at right angles, one of them a hundred times longer: the mean lies between them.
        let classifier = prompts.classifier(&Features::new(2, vec![100.0, 0.0, 0.0, 1.0, -3.0, 0.0]));
        let half = 0.5_f32.sqrt();
        for (found, expected) in classifier.rows().flatten().zip([half, half, -1.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6);
        }
        let images = Features::new(2, vec![5.0, 4.0, -1.0, 0.1, -0.1, -2.0]);
        let found = zero_shot(&images, &[0, 1, 0], &classifier, &["a".into(), "b".into()]);
        assert_eq!(found.confusion, [[1, 1], [0, 1]]);
        assert_eq!(found.accuracy.n_right, 2);
        assert!((found.balanced_accuracy - 0.75).abs() < 1e-12);
        assert!(
            (found.report[1].precision - 0.5).abs() < 1e-12 && (found.report[1].f1 - 2.0 / 3.0).abs() < 1e-12
        );
    }
}
