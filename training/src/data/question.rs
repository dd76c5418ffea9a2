//! Reads the right answer, its letter and the options out of the words of a row.

use super::Task;

/// Most options; the accuracy reward knows the letters A to F, benchmarks go to J.
const LETTERS: std::ops::RangeInclusive<char> = 'A'..='J';

/// The task of a question with this solution, which is an answer or a reasoning with an answer.
pub(crate) fn task(asked: &str, solution: &str) -> Task {
    let gold = last_block(solution, "<answer>", "</answer>").unwrap_or(solution).trim().to_owned();
    let reasoning = last_block(solution, "<think>", "</think>").map(|text| text.trim().to_owned());
    let options = options(asked);
    let gold_letter =
        letter(&gold).filter(|letter| options.is_empty() || options.len() > *letter as usize - 'A' as usize);
    // A bare word is a letter only where there are options to choose from.
    let gold_letter = gold_letter.filter(|_| gold.chars().count() > 1 || !options.is_empty());
    let gold_letter = gold_letter.or_else(|| {
        let place = options.iter().position(|option| *option == gold)?;
        LETTERS.clone().nth(place)
    });
    Task { gold, gold_letter, options, reasoning, truth: None }
}

/// What stands between the last pair of tags.
fn last_block<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let end = text.rfind(close)?;
    let start = text[..end].rfind(open)? + open.len();
    Some(&text[start..end])
}

/// The letter that an answer begins with: `B`, `B) …`, `B. …`, `B: …`, `(B) …`.
fn letter(answer: &str) -> Option<char> {
    let answer = answer.strip_prefix('(').unwrap_or(answer);
    let mut letters = answer.chars();
    let letter = letters.next().filter(|letter| LETTERS.contains(letter))?;
    letters.next().is_none_or(|next| matches!(next, ')' | '.' | ':')).then_some(letter)
}

/// The options that a question lists, in order from A on, one a line (or after ` /n `, as some prompts
/// write a line break).
fn options(asked: &str) -> Vec<String> {
    let mut options: Vec<String> = Vec::new();
    for line in asked.lines().flat_map(|line| line.split(" /n ")) {
        let line = line.trim();
        let Some(next) = LETTERS.clone().nth(options.len()) else { break };
        let rest = line.strip_prefix('(').unwrap_or(line).strip_prefix(next);
        if let Some(option) = rest.and_then(|rest| rest.strip_prefix([')', '.', ':']))
            && !option.trim().is_empty()
        {
            options.push(option.trim().to_owned());
        }
    }
    // One option is no choice, but a sentence that begins with "A."
    if options.len() < 2 { Vec::new() } else { options }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_options_are_read() {
        let check = |asked: &str, solution: &str, gold: &str, letter: Option<char>, n_option: usize| {
            let task = task(asked, solution);
            assert_eq!(
                (&*task.gold, task.gold_letter, task.options.len()),
                (gold, letter, n_option),
                "{solution}"
            );
        };
        let four = "What?\nOptions:\nA) one\nB) two\nC) three\nD) four";
        check(four, "<think>x</think><answer>B) two</answer>", "B) two", Some('B'), 4);
        check(four, "<answer>A</answer> no, <answer> D </answer>", "D", Some('D'), 4);
        check(four, "three", "three", Some('C'), 4);
        check(four, "E) five", "E) five", None, 4);
        check("Which? /n A. x /n B. y", "B. y", "B. y", Some('B'), 2);
        check("Is it?", "Yes", "Yes", None, 0);
        check("Which vitamin?", "D", "D", None, 0);
        check("A. fumigatus is seen?", "yes", "yes", None, 0);
        assert_eq!(task(four, "<think> a </think><answer>A</answer>").reasoning.as_deref(), Some("a"));
    }
}
