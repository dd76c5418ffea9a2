//! Keys of the commands: the workbench's one table, as egui reads keys.
//!
//! Nothing else in this crate decides what a key does, but for Enter and Esc while a shape is drawn. Held true
//! by the tests below and by `tests/review.rs`.

use std::sync::LazyLock;

use eframe::egui::{self, Key, Modifiers};
use eosin_workbench::command::{COMMANDS, Command};

/// The commands that this window knows to do.
pub const KNOWN: &[&str] = &[
    "open",
    "open-folder",
    "close-tab",
    "next-tab",
    "previous-tab",
    "import-annotations",
    "export-annotations",
    "slide-information",
    "zoom-in",
    "zoom-out",
    "zoom-whole",
    "magnify-1",
    "magnify-2",
    "magnify-5",
    "magnify-10",
    "magnify-20",
    "magnify-40",
    "pan-left",
    "pan-right",
    "pan-up",
    "pan-down",
    "rotate-left",
    "rotate-right",
    "rotate-reset",
    "look",
    "look-reset",
    "stain-natural",
    "stain-haematoxylin",
    "stain-eosin",
    "stain-dab",
    "minimap",
    "annotations-visible",
    "set-scale",
    "tool-pan",
    "tool-measure",
    "tool-point",
    "tool-line",
    "tool-rectangle",
    "tool-polygon",
    "tool-freehand",
    "undo",
    "redo",
    "delete-annotation",
    "ask",
    "stop",
    "new-chat",
    "similar-view",
    "search-words",
    "index-folder",
    "index-slide",
    "panel-ask",
    "panel-similar",
    "panel-annotations",
    "sidebar",
    "palette",
    "shortcuts",
    "theme",
    "language",
];

/// A key with its modifiers, and what it does.
struct Binding {
    modifiers: Modifiers,
    key: Key,
    command: &'static Command,
}

/// All bindings, those with more modifiers first: egui lets `Shift` pass where it is not asked for.
static BINDINGS: LazyLock<Vec<Binding>> = LazyLock::new(|| {
    let mut bindings: Vec<Binding> = known()
        .flat_map(|command| {
            command.keys.iter().filter_map(move |keys| {
                let (modifiers, key) = parse(keys)?;
                Some(Binding { modifiers, key, command })
            })
        })
        .collect();
    bindings.sort_by_key(|binding| std::cmp::Reverse(n_modifier(binding.modifiers)));
    bindings
});

fn n_modifier(modifiers: Modifiers) -> u8 {
    u8::from(modifiers.command) + u8::from(modifiers.shift) + u8::from(modifiers.alt)
}

/// The commands that this window knows, in the table's order.
pub fn known() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(|command| KNOWN.contains(&command.id))
}

/// The command of a name.
pub fn command(id: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.id == id)
}

/// The keys of a command as people read them; empty where it has none.
pub fn keys_text(id: &str) -> String {
    command(id).and_then(|command| command.keys.first()).map(|keys| pretty(keys)).unwrap_or_default()
}

/// Keys as people read them.
pub fn pretty(keys: &str) -> String {
    [("Arrow", ""), ("Escape", "Esc"), ("PageUp", "Page up"), ("PageDown", "Page down")]
        .iter()
        .fold(keys.to_owned(), |text, (name, sign)| text.replace(name, sign))
}

/// Takes the keys that were pressed in this frame and names their commands, those that `ready` lets through:
/// a key that does nothing now is left to others. While text is being written only keys with `Ctrl` count.
pub fn pressed(ctx: &egui::Context, ready: impl Fn(&Command) -> bool) -> Vec<&'static Command> {
    let writing = ctx.memory(|memory| memory.focused().is_some()) && ctx.egui_wants_keyboard_input();
    let mut commands = Vec::new();
    ctx.input_mut(|input| {
        for binding in BINDINGS.iter() {
            let free = !writing || binding.modifiers.command || matches!(binding.key, Key::F1 | Key::Escape);
            if free && ready(binding.command) && input.consume_key(binding.modifiers, binding.key) {
                commands.push(binding.command);
            }
        }
    });
    commands
}

/// `Ctrl+Shift+Z` as egui has it.
fn parse(keys: &str) -> Option<(Modifiers, Key)> {
    let mut modifiers = Modifiers::NONE;
    let mut rest = keys;
    loop {
        let (name, after) = match rest.split_once('+') {
            Some((name, after)) if !name.is_empty() && !after.is_empty() => (name, after),
            _ => break,
        };
        match name {
            "Ctrl" => modifiers |= Modifiers::COMMAND,
            "Shift" => modifiers |= Modifiers::SHIFT,
            "Alt" => modifiers |= Modifiers::ALT,
            _ => return None,
        }
        rest = after;
    }
    let key = match rest {
        "\\" => Key::Backslash,
        "[" => Key::OpenBracket,
        "]" => Key::CloseBracket,
        "/" => Key::Slash,
        "?" => Key::Questionmark,
        "+" => Key::Plus,
        "=" => Key::Equals,
        "-" => Key::Minus,
        name => Key::from_name(name)?,
    };
    Some((modifiers, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_table_is_one_that_egui_knows() {
        for command in COMMANDS {
            for keys in command.keys {
                assert!(parse(keys).is_some(), "{}: {keys}", command.id);
            }
        }
        assert_eq!(parse("Ctrl+Shift+Z"), Some((Modifiers::COMMAND | Modifiers::SHIFT, Key::Z)));
        assert_eq!(parse("+"), Some((Modifiers::NONE, Key::Plus)));
        assert_eq!(parse("Meta+Q"), None);
    }

    #[test]
    fn every_known_command_is_in_the_table() {
        for id in KNOWN {
            assert!(command(id).is_some(), "{id}");
        }
        assert_eq!(known().count(), KNOWN.len());
        assert_eq!(keys_text("pan-left"), "Left");
    }
}
