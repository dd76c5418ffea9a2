//! The words of the interface, in every language, out of one catalogue: `assets/texts.toml`.
//!
//! A key stands once, with all its languages beside it, so that none can be forgotten. `{name}` in a text is filled
//! in by [`Texts::with`]. Held true by the tests below.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use eosin_casebook::Labels;
use serde::{Deserialize, Serialize};

/// A language of the interface.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese, simplified.
    Zh,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 2] = [Self::En, Self::Zh];

    /// Its code, as in `lang` of a page.
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    /// Its own name for itself.
    pub fn own_name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::Zh => "中文",
        }
    }

    /// The language of a code or a locale (`zh_CN.UTF-8`); English where it is none of ours.
    pub fn from_locale(locale: &str) -> Self {
        if locale.to_ascii_lowercase().starts_with("zh") { Self::Zh } else { Self::En }
    }
}

/// A key's text in every language; all are required.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    en: String,
    zh: String,
}

/// The words of one language.
#[derive(Clone, Copy, Debug)]
pub struct Texts {
    language: Language,
}

fn catalogue() -> &'static BTreeMap<String, Entry> {
    static CATALOGUE: OnceLock<BTreeMap<String, Entry>> = OnceLock::new();
    CATALOGUE.get_or_init(|| {
        // Our own file, read by the tests: it is sound, or nothing is built. Without it, keys stand for themselves.
        toml::from_str(include_str!("../../../assets/texts.toml")).unwrap_or_default()
    })
}

impl Texts {
    /// The words of a language.
    pub fn of(language: Language) -> Self {
        Self { language }
    }

    /// The language.
    pub fn language(self) -> Language {
        self.language
    }

    /// The text of a key, where there is one.
    pub fn find(self, key: &str) -> Option<&'static str> {
        let entry = catalogue().get(key)?;
        Some(match self.language {
            Language::En => &entry.en,
            Language::Zh => &entry.zh,
        })
    }

    /// The text of a key; the key itself, where there is none.
    pub fn get(self, key: &str) -> String {
        self.find(key).map_or_else(|| key.to_owned(), str::to_owned)
    }

    /// The text of a key with its places filled in.
    ///
    /// ```
    /// # use eosin_workbench::texts::{Language, Texts};
    /// let texts = Texts::of(Language::En);
    /// assert_eq!(texts.with("ask.tokens", &[("n", "324")]), "324 tokens");
    /// ```
    pub fn with(self, key: &str, values: &[(&str, &str)]) -> String {
        values.iter().fold(self.get(key), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// The words of an exported case.
    pub fn document(self) -> Labels {
        Labels::from_texts(|name| self.get(&format!("document.{}", name.replace('_', "-"))))
    }

    /// Every key with its text, for a page that fills in its own.
    pub fn all(self) -> BTreeMap<&'static str, &'static str> {
        catalogue().keys().filter_map(|key| Some((key.as_str(), self.find(key)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of the places in a text.
    fn places(text: &str) -> Vec<&str> {
        let mut names: Vec<&str> =
            text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn every_text_is_there_in_every_language_with_the_same_places() {
        let catalogue: BTreeMap<String, Entry> =
            toml::from_str(include_str!("../../../assets/texts.toml")).expect("the catalogue is sound");
        assert!(catalogue.len() > 50);
        for (key, entry) in &catalogue {
            assert!(!entry.en.trim().is_empty() && !entry.zh.trim().is_empty(), "{key} is empty");
            assert_eq!(places(&entry.en), places(&entry.zh), "{key}");
        }
    }

    #[test]
    fn an_exported_case_finds_its_words() {
        assert_eq!(
            Texts::of(Language::En).document(),
            Labels::default(),
            "the crate's own words are the catalogue's"
        );
        let keys = catalogue().keys().filter(|key| key.starts_with("document.")).count();
        assert_eq!(keys, Labels::KEYS.len());
    }

    /// All source texts below a folder, one after the other.
    fn sources(folder: &std::path::Path) -> String {
        let mut all = String::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                all += &sources(&path);
            } else {
                all += &std::fs::read_to_string(path).unwrap_or_default();
            }
        }
        all
    }

    /// The page names its texts by key: each must be in the catalogue, and each of the catalogue be used.
    #[test]
    fn the_page_and_the_windows_use_the_catalogue() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let page = sources(&root.join("desktop/ui/src"))
            + &std::fs::read_to_string(root.join("desktop/ui/index.html")).unwrap();
        for start in ["data-text=\"", " text(\"", "(text(\"", "{text(\""] {
            for part in page.split(start).skip(1) {
                let key = part.split('"').next().unwrap_or_default();
                assert!(catalogue().contains_key(key), "the page names the text {key}");
            }
        }
        let others = ["desktop/src", "reviewer/src", "workbench/src", "cli/src"];
        let sources = page + &others.map(|folder| sources(&root.join(folder))).concat();
        let dynamic = ["command.", "group.", "choice.", "document.", "shape.", "stain."];
        for key in catalogue().keys().filter(|key| !dynamic.iter().any(|start| key.starts_with(start))) {
            assert!(sources.contains(&format!("\"{key}\"")), "nothing uses the text {key}");
        }
    }
}
