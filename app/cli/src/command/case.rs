//! `eosin case`: what was asked and answered, listed, shown, found again, handed on, deleted.
//!
//! The case book is `casebook.sqlite` in the data folder; nothing is made where there is none. Words go to the person
//! who asks for them as they are; what is exported loses names unless they are chosen. Held true by
//! `tests/casebook.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use eosin_casebook::{
    Answer, AnswerId, AnswerState, CaseBook, ChatId, ExportOptions, Format, Images, Names, Opening, Turn,
};
use eosin_session::Worker;
use eosin_workbench::chat::Chats;
use eosin_workbench::texts::{Language, Texts};
use eosin_workbench::{FeedOptions, Workbench};

use crate::environment;
use crate::printer::{NothingFound, Printer, advised, told};
use crate::settings::{ModelArgs, Settings};

const EXAMPLES: &str = "\
Examples:
  eosin case list                                the latest chats, with their numbers
  eosin case search \"tubular adenoma\"            where these words were said
  eosin case show 12                             a whole chat, the branch that is shown
  eosin case export 12 --out case.pdf            a report, without names of slides
  eosin case export 12 --out case.md --names shown --language zh
  eosin case rerun 31                            the same tokens again, from the record alone
  eosin case backup casebook-2026-11.sqlite      a copy that verifies by itself

Exported cases leave out what may name a patient, unless `--names shown` is given.";

/// What was asked of `eosin case`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

/// Where the case book is; shared by all commands that use it.
#[derive(clap::Args, Clone, Debug)]
pub struct BookArgs {
    /// Case book to use instead of the one in the data folder
    #[arg(long, value_name = "FILE")]
    book: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Action {
    /// List chats, the latest first
    List {
        #[command(flatten)]
        book: BookArgs,
        /// Most chats
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show a chat: questions, reasoning, answers
    Show {
        /// The chat's number
        chat: i64,
        #[command(flatten)]
        book: BookArgs,
        /// Print one JSON object: every branch and version, tokens included
        #[arg(long)]
        json: bool,
    },
    /// Find where words were said: all of them, in one question or answer
    Search {
        /// Words, of any language
        #[arg(required = true)]
        words: Vec<String>,
        #[command(flatten)]
        book: BookArgs,
        /// Most places
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Write a chat as Markdown, PDF or JSON, without names unless they are chosen
    Export(ExportArgs),
    /// Ask an old question again with its own pictures, settings and seed, and compare the tokens
    Rerun(RerunArgs),
    /// Give a chat another title
    Rename {
        /// The chat's number
        chat: i64,
        /// Its title
        title: String,
        #[command(flatten)]
        book: BookArgs,
    },
    /// Delete a chat with its pictures; the audit trail keeps that it was there
    Delete {
        /// The chat's number
        chat: i64,
        #[command(flatten)]
        book: BookArgs,
        /// Delete it: there is no way back
        #[arg(long)]
        yes: bool,
    },
    /// Write a copy of the whole case book, which verifies by itself
    Backup {
        /// The copy
        out: PathBuf,
        #[command(flatten)]
        book: BookArgs,
    },
}

#[derive(clap::Args)]
struct RerunArgs {
    /// The answer's number, as `eosin case show --json` tells it
    answer: i64,
    #[command(flatten)]
    book: BookArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct ExportArgs {
    /// The chat's number
    chat: i64,
    #[command(flatten)]
    book: BookArgs,
    /// A file ending in .md, .pdf or .json
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The kind of document, where the file's ending does not say it
    #[arg(long, value_enum)]
    format: Option<FormatChoice>,
    /// Whether names of slides and folders go out
    #[arg(long, value_enum, default_value_t = NamesChoice::Hidden)]
    names: NamesChoice,
    /// Whether pictures go out
    #[arg(long, value_enum, default_value_t = ImagesChoice::Included)]
    images: ImagesChoice,
    /// The language of the document's own words
    #[arg(long, value_enum, default_value_t = LanguageChoice::En)]
    language: LanguageChoice,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum FormatChoice {
    Markdown,
    Pdf,
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum NamesChoice {
    Hidden,
    Shown,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum ImagesChoice {
    Included,
    LeftOut,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum LanguageChoice {
    En,
    Zh,
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    match args.action {
        Action::List { book, limit, json } => list(&open(&book, printer)?, limit, json, printer),
        Action::Show { chat, book, json } => show(&open(&book, printer)?, ChatId(chat), json, printer),
        Action::Search { words, book, limit, json } => {
            search(&open(&book, printer)?, &words.join(" "), limit, json, printer)
        }
        Action::Export(args) => export(&args, printer),
        Action::Rerun(args) => rerun(&args, printer),
        Action::Rename { chat, title, book } => {
            open(&book, printer)?.rename(ChatId(chat), &title).map_err(told)?;
            printer.say(format!("chat {chat} has another title"));
            Ok(())
        }
        Action::Delete { chat, book, yes } => delete(&open(&book, printer)?, ChatId(chat), yes, printer),
        Action::Backup { out, book } => {
            open(&book, printer)?.backup_to(&out).map_err(told)?;
            printer.say(format!("wrote a copy to {}", out.display()));
            Ok(())
        }
    }
}

/// Where the case book is.
fn place(args: &BookArgs) -> PathBuf {
    args.book.clone().unwrap_or_else(|| environment::data_dir().join("casebook.sqlite"))
}

/// Opens the case book. Where there is none, nothing is found; what happened to a damaged one is said.
pub(crate) fn open(args: &BookArgs, printer: &Printer) -> anyhow::Result<CaseBook> {
    let path = place(args);
    if !path.exists() {
        if args.book.is_some() {
            bail!("there is no case book at {}", path.display());
        }
        printer.say("there is no case book yet");
        return Err(NothingFound.into());
    }
    let (book, opening) = CaseBook::open(&path).map_err(told)?;
    if let Opening::Rebuilt { backup, n_kept, n_lost } = opening {
        printer.warn(format!(
            "the case book was damaged and has been rebuilt: {n_kept} rows were saved, {n_lost} lost at most"
        ));
        printer.warn(format!("as it was found, it is kept at {}", backup.display()));
    }
    Ok(book)
}

/// The same tokens: exit 0. Other ones: exit 1, and where they part.
fn rerun(args: &RerunArgs, printer: &Printer) -> anyhow::Result<()> {
    let settings = Settings::load(&args.model)?;
    let book = open(&args.book, printer)?;
    let workbench = Workbench::new(FeedOptions { n_worker: 1, ..FeedOptions::default() })?;
    let worker = Worker::spawn(settings.source(), settings.device.value);
    let chats = Chats::new(Arc::new(workbench), Arc::new(book), worker);
    let rerun = chats.rerun(AnswerId(args.answer)).map_err(told)?;
    if args.json {
        printer.json(&serde_json::json!({
            "same": rerun.is_same(),
            "n_same": rerun.n_same,
            "same_model": rerun.same_model,
            "old_ids": rerun.old_ids,
            "new_ids": rerun.new_ids,
        }))?;
    } else if rerun.is_same() {
        printer.line(format!("the same: all {} tokens", rerun.n_same))?;
    } else {
        let (n_old, n_new) = (rerun.old_ids.len(), rerun.new_ids.len());
        printer.line(format!(
            "another answer: {n_old} tokens then, {n_new} now, the first {} alike",
            rerun.n_same
        ))?;
    }
    if !rerun.same_model {
        printer.warn("another model answered then; name it with `--model`");
    }
    if rerun.is_same() { Ok(()) } else { Err(NothingFound.into()) }
}

fn list(book: &CaseBook, limit: usize, json: bool, printer: &Printer) -> anyhow::Result<()> {
    let chats = book.chats(limit).map_err(told)?;
    if json {
        printer.json(&chats)?;
    } else {
        for chat in &chats {
            let (n_turn, n_image) = (count(chat.n_turn, "question"), count(chat.n_image, "picture"));
            let title = one_line(&chat.title);
            printer.line(format!(
                "{:>5}  {}  {n_turn}, {n_image}  {title}",
                chat.id,
                minute(&chat.last_at)
            ))?;
        }
    }
    if chats.is_empty() { Err(NothingFound.into()) } else { Ok(()) }
}

fn show(book: &CaseBook, chat: ChatId, json: bool, printer: &Printer) -> anyhow::Result<()> {
    let chat = book.chat(chat).map_err(told)?;
    if json {
        return printer.json(&chat);
    }
    printer.line(format!("{}  ({})", one_line(&chat.title), minute(&chat.at)))?;
    for turn in chat.shown() {
        printer.line("")?;
        show_question(turn, printer)?;
        if let Some(answer) = turn.shown() {
            show_answer(turn, answer, printer)?;
        }
    }
    Ok(())
}

fn show_question(turn: &Turn, printer: &Printer) -> anyhow::Result<()> {
    printer.line(format!("? {}  (turn {}, {})", turn.question.trim(), turn.id, minute(&turn.at)))?;
    for (choice_idx, choice) in turn.choices.iter().enumerate() {
        let probability =
            turn.shown().and_then(|answer| answer.option_probabilities.as_ref()?.get(choice_idx).copied());
        let share = probability.map(|value| format!("  {:.1} %", value * 100.0)).unwrap_or_default();
        printer.line(format!("  {}. {}{share}", letter(choice_idx), one_line(choice)))?;
    }
    for image in &turn.images {
        let [width_px, height_px] = image.size_px;
        let scale = image.um_per_px.map(|scale| format!(", {scale} µm/px")).unwrap_or_default();
        let slide = image.slide_title.as_ref().map(|title| format!(", {title}")).unwrap_or_default();
        let hash = image.hash.0.get(..12).unwrap_or_default();
        printer.line(format!("  picture {hash}: {width_px} × {height_px} px{scale}{slide}"))?;
    }
    Ok(())
}

fn show_answer(turn: &Turn, answer: &Answer, printer: &Printer) -> anyhow::Result<()> {
    let reasoning = answer.reasoning.trim();
    if !reasoning.is_empty() {
        for line in reasoning.lines() {
            printer.line(format!("  | {line}"))?;
        }
    }
    for line in answer.answer.trim().lines() {
        printer.line(format!("  {line}"))?;
    }
    let mut facts = vec![format!("answer {}", answer.id)];
    if turn.answers.len() > 1 {
        facts.push(format!("one of {} versions", turn.answers.len()));
    }
    facts.push(answer.model_name.clone());
    match answer.state {
        AnswerState::Running => facts.push("still being answered".to_owned()),
        AnswerState::Interrupted => facts.push("interrupted".to_owned()),
        AnswerState::Finished => facts.push(answer.reason.replace('_', " ")),
    }
    if let Some(speed) = answer.figures().tokens_per_sec {
        facts.push(format!("{speed:.1} tokens/s"));
    }
    facts.extend(answer.error.clone());
    printer.line(format!("  ({})", facts.join(", ")))
}

fn search(book: &CaseBook, words: &str, limit: usize, json: bool, printer: &Printer) -> anyhow::Result<()> {
    let found = book.search(words, limit).map_err(told)?;
    if json {
        printer.json(&found)?;
    } else {
        for place in &found {
            let which = match (place.turn, place.answer) {
                (_, Some(answer)) => format!("answer {answer}"),
                (Some(turn), None) => format!("turn {turn}"),
                (None, None) => "title".to_owned(),
            };
            printer.line(format!(
                "{:>5}  {}  {which:<10}  {}",
                place.chat,
                minute(&place.at),
                place.snippet
            ))?;
        }
    }
    if found.is_empty() { Err(NothingFound.into()) } else { Ok(()) }
}

fn export(args: &ExportArgs, printer: &Printer) -> anyhow::Result<()> {
    let format = match args.format {
        Some(FormatChoice::Markdown) => Format::Markdown,
        Some(FormatChoice::Pdf) => Format::Pdf,
        Some(FormatChoice::Json) => Format::Json,
        None => Format::of(&args.out).ok_or_else(|| {
            let message = format!("no kind of document is known by the ending of {}", args.out.display());
            advised(message, "end the name in .md, .pdf or .json, or say --format")
        })?,
    };
    let names = match args.names {
        NamesChoice::Hidden => Names::Hidden,
        NamesChoice::Shown => Names::Shown,
    };
    let images = match args.images {
        ImagesChoice::Included => Images::Included,
        ImagesChoice::LeftOut => Images::LeftOut,
    };
    let language = match args.language {
        LanguageChoice::En => Language::En,
        LanguageChoice::Zh => Language::Zh,
    };
    let options = ExportOptions { names, images, labels: Texts::of(language).document() };
    let book = open(&args.book, printer)?;
    let exported = book.export(ChatId(args.chat), format, &options, &args.out).map_err(told)?;
    printer.line(exported.document.display().to_string())?;
    if let Some(folder) = exported.pictures.first().and_then(|picture| picture.parent()) {
        printer.say(format!(
            "{} beside it in {}",
            count(exported.pictures.len() as u64, "picture"),
            shown(folder)
        ));
    }
    if names == Names::Hidden {
        printer.say("names of slides and folders were left out; words that somebody typed were not read");
    }
    Ok(())
}

fn shown(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn delete(book: &CaseBook, chat: ChatId, yes: bool, printer: &Printer) -> anyhow::Result<()> {
    let title = one_line(&book.chat(chat).map_err(told)?.title);
    if !yes {
        return Err(advised(
            format!("chat {chat} would be deleted for good: {title}"),
            "say --yes to delete it",
        ));
    }
    book.delete(chat).map_err(told)?;
    printer.say(format!("chat {chat} is deleted; the audit trail keeps that it was there"));
    Ok(())
}

/// `2026-11-21 16:54` of a time stamp.
pub(crate) fn minute(at: &str) -> String {
    at.get(..16).unwrap_or(at).replace('T', " ")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn count(n: u64, thing: &str) -> String {
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}

fn letter(choice_idx: usize) -> String {
    u8::try_from(choice_idx)
        .ok()
        .filter(|idx| *idx < 26)
        .map_or_else(|| (choice_idx + 1).to_string(), |idx| char::from(b'A' + idx).to_string())
}
