//! What a user can do about an error, kept apart from what happened.

use std::error::Error;

/// Advice that belongs to an error: one sentence fragment, imperative, without a full stop.
pub trait Hint: Error {
    /// What the user can do, where there is something.
    fn hint(&self) -> Option<&'static str> {
        None
    }
}

/// Prints an error and its sources on one line, outermost first: `cannot open x: no such file`.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    // One error is one line, whatever a library put into its message.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
