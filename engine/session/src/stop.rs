//! Finds stop strings in streamed text, and holds back what may be the beginning of one.
//!
//! Held true by the tests below: any cut of the text gives the same outcome.

/// Watches a text for strings that end it.
#[derive(Clone, Debug)]
pub struct StopFinder {
    stops: Vec<String>,
    held: String,
}

/// What became of a piece of text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// No stop string so far; this text is certain.
    Text(String),
    /// The text before the first stop string; nothing after it counts.
    Stop(String),
}

impl StopFinder {
    /// A finder of these strings; empty ones are left out.
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, held: String::new() }
    }

    /// Takes a piece of text.
    pub fn push(&mut self, text: &str) -> Found {
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.held.truncate(at);
            return Found::Stop(std::mem::take(&mut self.held));
        }
        // The longest end of the text that is the beginning of a stop string is not certain yet.
        let is_start = |at: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..]));
        let cut = self.held.char_indices().map(|(at, _)| at).find(is_start).unwrap_or(self.held.len());
        let rest = self.held.split_off(cut);
        Found::Text(std::mem::replace(&mut self.held, rest))
    }

    /// Ends the text: what was held back is text.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<'a>(stops: &[&str], pieces: impl IntoIterator<Item = &'a str>) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut finder = StopFinder::new(&stops);
        let mut shown = String::new();
        for piece in pieces {
            match finder.push(piece) {
                Found::Text(text) => shown += &text,
                Found::Stop(text) => return (shown + &text, true),
            }
        }
        (shown + &finder.finish(), false)
    }

    #[test]
    fn the_first_stop_string_ends_the_text() {
        let check = |stops: &[&str], text: &str, expected: &str, stopped: bool| {
            let expected = (expected.to_owned(), stopped);
            assert_eq!(run(stops, [text]), expected);
            let letters: Vec<String> = text.chars().map(String::from).collect();
            assert_eq!(run(stops, letters.iter().map(String::as_str)), expected, "letter by letter");
        };
        check(&[], "abc", "abc", false);
        check(&["", "x"], "abc", "abc", false);
        check(&["###"], "a#b##c###d", "a#b##c", true);
        check(&["aab"], "aaab", "a", true);
        check(&["µ²", "end"], "1 µm 2 µ²", "1 µm 2 ", true);
        check(&["never"], "ends with nev", "ends with nev", false);
    }
}
