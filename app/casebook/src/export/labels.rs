//! The words of an exported document that are the program's own.

macro_rules! labels {
    ($($name:ident = $english:literal,)+) => {
        /// The document's own words; English unless filled otherwise. `{n}`, `{m}` and `{name}` are filled in.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct Labels {
            $(#[doc = $english] pub $name: String,)+
        }

        impl Labels {
            /// The names of all labels.
            pub const KEYS: &[&str] = &[$(stringify!($name)),+];

            /// Labels in another language: asks for each by its name.
            pub fn from_texts(text: impl Fn(&str) -> String) -> Self {
                Self { $($name: text(stringify!($name)),)+ }
            }
        }

        impl Default for Labels {
            fn default() -> Self {
                Self { $($name: $english.to_owned(),)+ }
            }
        }
    };
}

labels! {
    notice = "For research use only. Not for diagnosis. The answers below were made by a language model and may be wrong.",
    foot = "For research use only. Not for diagnosis.",
    case = "Case {n}",
    begun = "Begun {name}",
    exported = "exported {name}",
    one_question = "1 question",
    n_questions = "{n} questions",
    question = "Question {n}",
    instructions = "Instructions",
    options = "Options",
    reasoning = "Reasoning",
    answer = "Answer",
    version = "version {n} of {m}",
    figure = "Figure {n}",
    slide = "slide {name}",
    region = "at {n}, {m}",
    seen_as = "seen as {name} px",
    tokens = "{n} tokens",
    no_scale = "no scale known",
    picture_left_out = "picture not included",
    probabilities = "Probability that the model gives each option",
    model = "Model",
    settings = "Settings",
    seed = "seed {n}",
    timing = "Timing",
    first_token = "first token after {n} s",
    per_second = "{n} tokens/s",
    context = "context {n} of {m}",
    ended = "ended: {name}",
    no_answer = "There is no answer.",
    interrupted = "Interrupted: the program ended while it answered.",
    running = "Still being answered.",
    hidden = "[name hidden]",
    audit = "Audit trail before this export: entry {n}, {name}",
    page = "{n} / {m}",
}

/// A label with its places filled.
pub(super) fn fill(label: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(label.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}
