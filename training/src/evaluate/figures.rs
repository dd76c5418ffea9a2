//! Puts measured figures into a bundle: its card says how good it is, `evaluation.json` lies beside it, and the
//! manifest is sealed anew, so that figures and weights cannot come apart unnoticed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use eosin_session::manifest::Manifest;

use super::exam::Decoding;
use super::store::{EVALUATION, Evaluation};
use super::table::{Rule, Table};
use crate::checkpoint::write_synced;
use crate::error::TrainError;

/// The heading of the card's part that is written here.
pub const HEADING: &str = "## How good it is";

/// States figures in a bundle's card, in place of those that it stated.
///
/// # Errors
/// [`TrainError::Engine`] where the folder is no bundle, [`TrainError::File`].
pub fn state(folder: &Path, evaluation: &Evaluation, command: &str) -> Result<(), TrainError> {
    let manifest = Manifest::open(folder).map_err(TrainError::engine("cannot read the bundle's manifest"))?;
    let card = folder.join("card.md");
    let old = fs::read_to_string(&card).map_err(TrainError::file("read the card", &card))?;
    write_synced(&card, in_card(&old, &part(evaluation, command)).as_bytes())?;
    let mut json =
        serde_json::to_string_pretty(evaluation).map_err(TrainError::engine("cannot encode the figures"))?;
    json.push('\n');
    write_synced(&folder.join(EVALUATION), json.as_bytes())?;
    manifest.seal(folder).map_err(TrainError::engine("cannot seal the bundle"))?;
    Ok(())
}

/// A card with its figures replaced; where it had none, they come last.
fn in_card(card: &str, part: &str) -> String {
    let Some(start) = card.find(HEADING) else { return format!("{}\n\n{part}", card.trim_end()) };
    let after = &card[start + HEADING.len()..];
    let rest = after.find("\n## ").map_or("", |end| &after[end + 1..]);
    let gap = if rest.is_empty() { "" } else { "\n" };
    format!("{}{part}{gap}{rest}", &card[..start])
}

/// The card's part: how it was measured, then the tables.
fn part(evaluation: &Evaluation, command: &str) -> String {
    let settings = &evaluation.settings;
    let mut text = format!("{HEADING}\n\n{} questions", settings.n_question);
    if command.is_empty() {
        text.push_str(". ");
    } else {
        let _ = write!(text, ", asked by\n\n    {command}\n\n");
    }
    let _ = writeln!(text, "{}\n", decoding(&settings.decoding));
    let table =
        Table { rule: Rule::Exact, variants: vec![evaluation.scores.clone()], comparisons: Vec::new() };
    text.push_str(&table.to_markdown());
    text
}

/// Decoding in words.
fn decoding(decoding: &Decoding) -> String {
    if decoding.is_greedy() {
        return format!("Decoding: greedy, at most {} tokens.", decoding.max_new_tokens);
    }
    format!(
        "Decoding: temperature {}, top-p {}, at most {} tokens, seeds {:?}.",
        decoding.temperature, decoding.top_p, decoding.max_new_tokens, decoding.seeds
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_replace_figures() {
        let check = |card: &str, expected: &str| {
            assert_eq!(in_card(card, &format!("{HEADING}\n\nnew\n")), expected);
        };
        check("# a\n\ntext\n", "# a\n\ntext\n\n## How good it is\n\nnew\n");
        check("# a\n\n## How good it is\n\nold\n", "# a\n\n## How good it is\n\nnew\n");
        check(
            "# a\n\n## How good it is\n\nold\n\n## Limits\n\nmany\n",
            "# a\n\n## How good it is\n\nnew\n\n## Limits\n\nmany\n",
        );
    }
}
