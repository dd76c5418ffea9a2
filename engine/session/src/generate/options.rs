//! How sure a model was of each option of a multiple-choice question, measured and not asked for.
//!
//! After the answer is out, the words before the chosen option are taken as they are, and each option is scored
//! in the chosen one's place, in the form that the model used: as a letter, or as the option's words. The
//! probability is the softmax of the raw scores (temperature 1, no penalty), multiplied over the option's tokens
//! up to the first that belongs to what follows it, and normalised over the options. Held true by the tests below
//! and by `tests/session_reuse.rs`.

use crate::SessionError;
use crate::tokenizer::Tokenizer;

/// What was chosen, where it stands in an answer's text, and what may stand in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Bytes of the text before the option.
    pub(super) begin: usize,
    /// What each option looks like there.
    pub(super) forms: Vec<String>,
    /// What follows the chosen option: shows where an option ends.
    pub(super) suffix: String,
}

/// Letters of what follows that are looked at: the first token is all that counts.
const MAX_SUFFIX: usize = 12;

impl Place {
    /// Finds which option a text chose; none where it chose none, or where nothing says which.
    pub(super) fn find(text: &str, choices: &[String]) -> Option<Self> {
        if choices.len() < 2 || choices.len() > 26 {
            return None;
        }
        let lower = text.to_ascii_lowercase();
        let after = |tag: &str| lower.rfind(tag).map(|start| start + tag.len());
        let start = after("<answer>").or_else(|| after("</think>")).unwrap_or(0);
        let space = text[start..].len() - text[start..].trim_start().len();
        let begin = start + space;
        let rest = &text[begin..];
        let (n_byte, forms) = written_out(rest, choices).or_else(|| letter(rest, choices.len()))?;
        let suffix = rest[n_byte..].chars().take(MAX_SUFFIX).collect();
        Some(Self { begin, forms, suffix })
    }
}

/// The option whose words come first; the longest, where one begins with another.
fn written_out(rest: &str, choices: &[String]) -> Option<(usize, Vec<String>)> {
    let forms: Vec<String> = choices.iter().map(|choice| choice.trim().to_owned()).collect();
    if forms.iter().any(String::is_empty) {
        return None;
    }
    let begins = |form: &&String| {
        let head = rest.get(..form.len()).is_some_and(|head| head.eq_ignore_ascii_case(form));
        head && !rest[form.len()..].starts_with(char::is_alphanumeric)
    };
    let chosen = forms.iter().filter(begins).max_by_key(|form| form.len())?;
    // The model's own spelling counts: the first letter may be large or small.
    let large = rest.starts_with(char::is_uppercase);
    let same_case = chosen.starts_with(char::is_uppercase) == large;
    let n_byte = chosen.len();
    let spelt = |form: &String| {
        let mut letters = form.chars();
        match letters.next() {
            Some(first) if !same_case && large => first.to_uppercase().chain(letters).collect(),
            Some(first) if !same_case => first.to_lowercase().chain(letters).collect(),
            _ => form.clone(),
        }
    };
    Some((n_byte, forms.iter().map(spelt).collect()))
}

/// A letter of an option, standing alone.
fn letter(rest: &str, n_choice: usize) -> Option<(usize, Vec<String>)> {
    let bytes = rest.as_bytes();
    let opening = usize::from(matches!(bytes.first(), Some(b'(' | b'[')));
    let found = *bytes.get(opening)?;
    let last = b'A' + n_choice as u8 - 1;
    if !(b'A'..=last).contains(&found) || bytes.get(opening + 1).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let form = |letter: u8| format!("{}{}", &rest[..opening], char::from(letter));
    Some((opening + 1, (b'A'..=last).map(form).collect()))
}

/// What is scored of one option: tokens after the common beginning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Scored {
    /// Tokens of the beginning that all options share.
    pub(super) n_kept: usize,
    /// For each option, the tokens that stand for it.
    pub(super) options: Vec<Vec<u32>>,
}

/// Cuts an answer's tokens where its option begins and encodes every option in its place.
///
/// `tokens` are those of the answer with their bytes; `end` stands for nothing following.
pub(super) fn tokens(
    place: &Place,
    text: &str,
    tokens: &[&[u8]],
    end: Option<u32>,
    tokenizer: &Tokenizer,
) -> Result<Option<Scored>, SessionError> {
    // Whole tokens that end before the option; the rest of the text up to it is encoded with every option.
    let (mut n_kept, mut n_byte) = (0, 0);
    while let Some(bytes) = tokens.get(n_kept)
        && n_byte + bytes.len() <= place.begin
    {
        n_byte += bytes.len();
        n_kept += 1;
    }
    let Some(lead) = text.get(n_byte..place.begin) else { return Ok(None) };
    let mut options = Vec::with_capacity(place.forms.len());
    for form in &place.forms {
        let n_form = lead.len() + form.len();
        let mut ids = tokenizer.encode_plain(&format!("{lead}{form}{}", place.suffix))?;
        let mut n_seen = 0;
        let covers = |id: &u32| {
            let before = n_seen;
            n_seen += tokenizer.bytes_of(*id, crate::tokenizer::Specials::Keep).len();
            before <= n_form
        };
        // Up to the first token that reaches beyond the option: it says that the option ends here.
        let n_needed = ids.iter().map(covers).take_while(|covered| *covered).count();
        ids.truncate(n_needed);
        if place.suffix.is_empty() {
            ids.extend(end);
        }
        options.push(ids);
    }
    Ok(Some(Scored { n_kept, options }))
}

/// ln of the softmax at one id.
pub(super) fn ln_probability(scores: &[f32], id: u32) -> f64 {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = scores.iter().map(|score| f64::from(score - most).exp()).sum();
    let own = scores.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
    f64::from(own - most) - sum.ln()
}

/// Probabilities that add to one, out of their logarithms.
pub(super) fn normalised(logs: &[f64]) -> Vec<f32> {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logs.iter().map(|log| (log - most).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_option_is_found_in_the_form_that_the_model_used() {
        let choices: Vec<String> =
            ["adenoma", "adenocarcinoma in situ", "adenocarcinoma"].map(String::from).into();
        let check = |text: &str, expected: Option<(usize, &str, &str)>| {
            let place = Place::find(text, &choices);
            let got =
                place.as_ref().map(|place| (place.begin, place.forms[2].as_str(), place.suffix.as_str()));
            assert_eq!(got, expected, "{text}");
        };
        check("<think>A or B</think><answer>B</answer>", Some((29, "C", "</answer>")));
        check("<answer> (B) because", Some((9, "(C", ") because")));
        check("</think>\nadenoma", Some((9, "adenocarcinoma", "")));
        check("Adenocarcinoma in situ.", Some((0, "Adenocarcinoma", ".")));
        check("adenocarcinoma</answer>", Some((0, "adenocarcinoma", "</answer>")));
        check("D", None);
        check("Because", None);
        check("adenomatous", None);
        check("", None);
        assert_eq!(Place::find("A", &choices[..1]), None);
    }

    #[test]
    fn probabilities_add_to_one_whatever_the_scores() {
        let check = |scores: &[f32], expected: &[f32]| {
            let logs: Vec<f64> = (0..scores.len() as u32).map(|id| ln_probability(scores, id)).collect();
            for (got, expected) in normalised(&logs).iter().zip(expected) {
                assert!((got - expected).abs() < 1e-6, "{scores:?}: {got} for {expected}");
            }
        };
        check(&[0.0, 0.0], &[0.5, 0.5]);
        check(&[1e4, 1e4], &[0.5, 0.5]);
        check(&[2.0, 2.0 + 3.0_f32.ln()], &[0.25, 0.75]);
        check(&[f32::NEG_INFINITY, -1e30], &[0.0, 1.0]);
        assert!(ln_probability(&[0.0], 7).is_infinite());
    }
}
