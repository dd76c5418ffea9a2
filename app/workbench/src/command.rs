//! Everything a person can tell the program to do, in one table.
//!
//! Menus, the palette, the keys and the printed list of shortcuts all come from [`COMMANDS`]; a face of the program
//! only says what happens when one is chosen. Words come from the catalogue under `command.<id>`. Held true by the
//! tests below: names and keys are unique, every command has words in every language.

/// Where a command stands in menus and in the list of shortcuts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Group {
    /// Opening, closing, carrying in and out.
    File,
    /// What is shown, and how.
    View,
    /// Drawing and measuring.
    Annotate,
    /// Questions and answers.
    Ask,
    /// Similar pictures and zero-shot labels.
    Search,
    /// The program itself.
    Program,
}

impl Group {
    /// All groups, in the order of menus.
    pub const ALL: [Self; 6] =
        [Self::File, Self::View, Self::Annotate, Self::Ask, Self::Search, Self::Program];

    /// Name in the catalogue: `group.<id>`.
    pub fn id(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::View => "view",
            Self::Annotate => "annotate",
            Self::Ask => "ask",
            Self::Search => "search",
            Self::Program => "program",
        }
    }
}

/// What must be there for a command to be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// Nothing: always enabled.
    Nothing,
    /// A slide is shown.
    Slide,
    /// An annotation is chosen.
    Selection,
    /// An answer is being made.
    Answering,
    /// The chat has an answer.
    Answer,
}

impl Needs {
    /// Name for the page.
    pub fn id(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Slide => "slide",
            Self::Selection => "selection",
            Self::Answering => "answering",
            Self::Answer => "answer",
        }
    }
}

/// One thing a person can tell the program to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command {
    /// Its name, in kebab case; words under `command.<id>`.
    pub id: &'static str,
    /// Where it stands.
    pub group: Group,
    /// Keys that choose it: modifiers `Ctrl`, `Shift`, `Alt` in this order, then the key as the W3C names it
    /// (`ArrowLeft`, `PageDown`, a letter in upper case). The first is shown.
    pub keys: &'static [&'static str],
    /// When it can be chosen.
    pub needs: Needs,
}

const fn command(id: &'static str, group: Group, keys: &'static [&'static str], needs: Needs) -> Command {
    Command { id, group, keys, needs }
}

/// All commands, in the order of menus.
pub const COMMANDS: &[Command] = {
    use Group::{Annotate, Ask, File, Program, Search, View};
    use Needs::{Answer, Answering, Nothing, Selection, Slide};
    &[
        command("open", File, &["Ctrl+O"], Nothing),
        command("open-folder", File, &["Ctrl+Shift+O"], Nothing),
        command("close-tab", File, &["Ctrl+W"], Slide),
        command("next-tab", File, &["Ctrl+PageDown", "Ctrl+Tab"], Slide),
        command("previous-tab", File, &["Ctrl+PageUp", "Ctrl+Shift+Tab"], Slide),
        command("import-annotations", File, &[], Slide),
        command("export-annotations", File, &[], Slide),
        command("export-figure", File, &["Ctrl+E"], Slide),
        command("slide-information", File, &["I"], Slide),
        command("zoom-in", View, &["+", "="], Slide),
        command("zoom-out", View, &["-"], Slide),
        command("zoom-whole", View, &["0"], Slide),
        command("magnify-1", View, &["1"], Slide),
        command("magnify-2", View, &["2"], Slide),
        command("magnify-5", View, &["3"], Slide),
        command("magnify-10", View, &["4"], Slide),
        command("magnify-20", View, &["5"], Slide),
        command("magnify-40", View, &["6"], Slide),
        command("pan-left", View, &["ArrowLeft"], Slide),
        command("pan-right", View, &["ArrowRight"], Slide),
        command("pan-up", View, &["ArrowUp"], Slide),
        command("pan-down", View, &["ArrowDown"], Slide),
        command("rotate-left", View, &["["], Slide),
        command("rotate-right", View, &["]"], Slide),
        command("rotate-reset", View, &["\\"], Slide),
        command("look", View, &["L"], Slide),
        command("look-reset", View, &["Shift+L"], Slide),
        command("stain-natural", View, &["Alt+1"], Slide),
        command("stain-haematoxylin", View, &["Alt+2"], Slide),
        command("stain-eosin", View, &["Alt+3"], Slide),
        command("stain-dab", View, &["Alt+4"], Slide),
        command("minimap", View, &["M"], Slide),
        command("annotations-visible", View, &["A"], Slide),
        command("set-scale", View, &[], Slide),
        command("tool-pan", Annotate, &["V"], Slide),
        command("tool-measure", Annotate, &["D"], Slide),
        command("tool-point", Annotate, &["P"], Slide),
        command("tool-line", Annotate, &["N"], Slide),
        command("tool-rectangle", Annotate, &["R"], Slide),
        command("tool-polygon", Annotate, &["G"], Slide),
        command("tool-freehand", Annotate, &["F"], Slide),
        command("undo", Annotate, &["Ctrl+Z"], Slide),
        command("redo", Annotate, &["Ctrl+Shift+Z", "Ctrl+Y"], Slide),
        command("delete-annotation", Annotate, &["Delete", "Backspace"], Selection),
        command("ask", Ask, &["/"], Nothing),
        command("ask-region", Ask, &["Shift+R"], Selection),
        command("ask-slide", Ask, &["Shift+W"], Slide),
        command("add-view", Ask, &["Shift+A"], Slide),
        command("stop", Ask, &["Escape"], Answering),
        command("regenerate", Ask, &["Ctrl+R"], Answer),
        command("new-chat", Ask, &["Ctrl+N"], Nothing),
        command("models", Ask, &["Ctrl+M"], Nothing),
        command("similar-view", Search, &["S"], Slide),
        command("similar-region", Search, &["Shift+S"], Selection),
        command("search-words", Search, &["Ctrl+F"], Nothing),
        command("index-folder", Search, &[], Nothing),
        command("index-slide", Search, &[], Slide),
        command("label-slide", Search, &[], Slide),
        command("panel-ask", Program, &["Ctrl+1"], Nothing),
        command("panel-similar", Program, &["Ctrl+2"], Nothing),
        command("panel-annotations", Program, &["Ctrl+3"], Nothing),
        command("panel-cases", Program, &["Ctrl+4"], Nothing),
        command("sidebar", Program, &["Ctrl+B"], Nothing),
        command("palette", Program, &["Ctrl+K", "Ctrl+Shift+P"], Nothing),
        command("shortcuts", Program, &["F1", "?"], Nothing),
        command("theme", Program, &[], Nothing),
        command("language", Program, &[], Nothing),
    ]
};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::texts::{Language, Texts};

    #[test]
    fn names_and_keys_are_unique_and_in_one_spelling() {
        let mut ids = HashSet::new();
        let mut keys = HashSet::new();
        for command in COMMANDS {
            assert!(ids.insert(command.id), "{} stands twice", command.id);
            for key in command.keys {
                assert!(keys.insert(key), "{key} is given twice");
                let mut parts: Vec<&str> = key.split('+').filter(|part| !part.is_empty()).collect();
                let last = parts.pop().unwrap_or("+");
                let order = ["Ctrl", "Shift", "Alt"];
                let places: Vec<_> =
                    parts.iter().map(|part| order.iter().position(|own| own == part)).collect();
                assert!(places.is_sorted() && places.iter().all(Option::is_some), "{key}");
                assert!(last.len() > 1 || !last.contains(char::is_lowercase), "{key}");
            }
        }
    }

    #[test]
    fn every_command_has_words_in_every_language() {
        for language in Language::ALL {
            let texts = Texts::of(language);
            for command in COMMANDS {
                assert!(texts.find(&format!("command.{}", command.id)).is_some(), "{}", command.id);
            }
            for group in Group::ALL {
                assert!(texts.find(&format!("group.{}", group.id())).is_some(), "{}", group.id());
            }
        }
    }
}
