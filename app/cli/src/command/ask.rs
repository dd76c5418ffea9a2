//! `eosin ask`: a question about pictures or a region of a slide, answered in a stream.
//!
//! The answer goes to stdout, the reasoning and everything else to stderr, so that `eosin ask … > file` keeps
//! the answer alone; `--json` puts all of it into one object on stdout. Held true by `tests/cli.rs`.

mod messages;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use eosin_casebook::CaseBook;
use eosin_core::{Conversation, Part, RegionScale};
use eosin_session::{Channel, ModelInfo, Question, StreamEvent, Style, Worker};
use eosin_workbench::chat::{Ask, ChatEvent, Chats};
use eosin_workbench::{FeedOptions, PictureSource, Workbench};

use crate::command::answer::AnswerArgs;
use crate::command::slide::PlaceArgs;
use crate::environment;
use crate::printer::{Printer, advised, told, told_by};
use crate::settings::{ModelArgs, Settings};

/// Without a scale, a region is read so that its longer side has at most this many pixels.
const DEFAULT_SIDE_PX: u32 = 1024;

const EXAMPLES: &str = "\
Examples:
  eosin ask \"Which tissue is this?\" --image field.png
  eosin ask \"Are they the same?\" --image a.png --image b.png --style cot
  eosin ask \"Best diagnosis?\" --image field.png --options Adenoma,Carcinoma,Normal
  eosin ask \"Any mitoses?\" --slide slide.svs --region 12000,8000,2048,2048 --mpp 0.5
  eosin ask \"Describe it.\" --image field.png --model Qwen2.5-VL-3B.gguf --mmproj mmproj.gguf
  eosin ask \"Which cells are seen?\" --image field.png --keep   into the case book
  eosin ask --messages talk.json --json --greedy

FILE of --messages holds OpenAI's form: [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"a.png\"},
{\"type\": \"text\", \"text\": \"…\"}]}, …]; pictures are files of this machine, relative to FILE.

Without --model the built-in demonstration answers. Without --greedy or sampling flags the model's own
settings hold; a draw is repeated by its --seed. For research only, not for diagnosis.";

/// What was asked of `eosin ask`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The question; - reads it from stdin
    #[arg(required_unless_present = "messages")]
    question: Option<String>,
    /// Picture to ask about; may be repeated
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    /// Slide to ask about
    #[arg(long, value_name = "FILE")]
    slide: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
    /// Read the region at the scale of this level
    #[arg(long, conflicts_with_all = ["mpp", "downsample"], requires = "slide")]
    level: Option<usize>,
    /// Conversation as chat programs keep it, whose last turn is the question
    #[arg(long, value_name = "FILE", conflicts_with_all = ["question", "image", "slide"])]
    messages: Option<PathBuf>,
    /// Options to choose from, separated by commas (by | where options contain commas)
    #[arg(long, value_name = "A,B,…")]
    options: Option<String>,
    /// How to answer; without it as the model wants to be asked
    #[arg(long, value_enum)]
    style: Option<StyleName>,
    /// Instructions in place of those of --style
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    answer: AnswerArgs,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
    /// Keep question, pictures and answer in the case book (`eosin case`)
    #[arg(long, conflicts_with = "messages")]
    keep: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum StyleName {
    /// Reason step by step, then answer
    Cot,
    /// Reason in drafts of a few words, then answer
    Cod,
    /// No instructions
    Plain,
}

impl From<StyleName> for Style {
    fn from(name: StyleName) -> Self {
        match name {
            StyleName::Cot => Self::ChainOfThought,
            StyleName::Cod => Self::ChainOfDraft,
            StyleName::Plain => Self::Plain,
        }
    }
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    let settings = Settings::load(&args.model)?;
    let options = args.answer.options(&settings);
    // What the user gave is read before the model, which may take long.
    let pictures = pictures(&args)?;
    let question = Question {
        conversation: conversation(&args, &pictures)?,
        choices: args.options.as_deref().map(choices).transpose()?.unwrap_or_default(),
        style: args.style.map(Style::from),
        options,
    };
    let worker = Worker::spawn(settings.source(), settings.device.value);
    let info = worker.wait().map_err(|error| told_by(&*error))?;
    let size_mib = info.weight_bytes >> 20;
    printer.say(format!("{} ({size_mib} MiB) on {} ({})", info.name, info.device, info.device_name));
    if let Some(notice) = info.notice.as_ref().filter(|_| !args.json) {
        printer.warn(format!("note: {notice}"));
    }
    let mut teller = Teller { printer, info: &info, json: args.json, place: Place::Nowhere };
    if args.keep {
        return keep(&args, question, pictures, worker, &mut teller);
    }
    let (_cancel, events) = worker.ask(question);
    for event in events {
        teller.tell(event)?;
    }
    Ok(())
}

/// Asks by way of the case book.
fn keep(
    args: &Args,
    question: Question,
    pictures: Vec<PictureSource>,
    worker: Worker,
    teller: &mut Teller<'_>,
) -> anyhow::Result<()> {
    let printer = teller.printer;
    let workbench = Workbench::new(FeedOptions { n_worker: 1, ..FeedOptions::default() })?;
    let (book, _) = CaseBook::open(&environment::data_dir().join("casebook.sqlite")).map_err(told)?;
    let chats = Chats::new(Arc::new(workbench), Arc::new(book), worker);
    let last = question.conversation.turns.last().and_then(|turn| turn.parts.last());
    let Some(Part::Text(text)) = last else { return Err(told(eosin_session::prompt::PromptError::Empty)) };
    let ask = Ask {
        question: text.clone(),
        choices: question.choices,
        style: question.style,
        system: args.system.clone(),
        pictures,
        options: question.options,
        ..Ask::default()
    };
    let (mut outcome, mut chat) = (Ok(()), None);
    let hear = &mut |event| match event {
        ChatEvent::Began { chat: own, .. } => chat = own,
        ChatEvent::Unkept(report) => printer.warn(format!("not kept: {}", report.message)),
        ChatEvent::Stream(event) => {
            if outcome.is_ok() {
                outcome = teller.tell(event);
            }
        }
    };
    chats.ask(&ask, hear).map_err(told)?;
    if let Some(chat) = chat {
        printer.say(format!("kept as case {chat}: `eosin case show {chat}`"));
    }
    outcome
}

/// Options of a list: by `|` where there is one, else by commas.
fn choices(list: &str) -> anyhow::Result<Vec<String>> {
    let separator = if list.contains('|') { '|' } else { ',' };
    let choices: Vec<String> = list.split(separator).map(|option| option.trim().to_owned()).collect();
    if choices.len() < 2 || choices.len() > 26 || choices.iter().any(String::is_empty) {
        return Err(advised(
            "--options needs 2 to 26 options, none of them empty",
            "as in `--options Yes,No`",
        ));
    }
    Ok(choices)
}

fn conversation(args: &Args, pictures: &[PictureSource]) -> anyhow::Result<Conversation> {
    let mut conversation = if let Some(path) = &args.messages {
        messages::read(path)?
    } else {
        let mut text = args.question.clone().unwrap_or_default();
        if text == "-" {
            text = std::io::read_to_string(std::io::stdin())?;
        }
        if text.trim().is_empty() {
            return Err(told(eosin_session::prompt::PromptError::Empty));
        }
        let tiles = pictures.iter().filter_map(|picture| match picture {
            PictureSource::Kept { tile, .. } => Some(tile.clone()),
            _ => None,
        });
        Question::about(tiles.collect(), &text).conversation
    };
    if let Some(system) = &args.system {
        conversation.turns.retain(|turn| turn.role != eosin_core::Role::System);
        conversation.turns.insert(0, eosin_core::Turn::text(eosin_core::Role::System, system.as_str()));
    }
    Ok(conversation)
}

/// The pictures of the question, read, each with what is known of it.
fn pictures(args: &Args) -> anyhow::Result<Vec<PictureSource>> {
    let title = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut pictures = Vec::new();
    for path in &args.image {
        let tile = Arc::new(eosin_slide::load_picture(path).map_err(told)?);
        pictures.push(PictureSource::Kept { tile, region: None, title: title(path), um_per_px: None });
    }
    let place = &args.place;
    let Some(path) = &args.slide else {
        let asked = place.region.is_some() || place.mpp.is_some() || place.downsample.is_some();
        if asked {
            return Err(advised("a region was named, but no slide", "name it with `--slide FILE`"));
        }
        return Ok(pictures);
    };
    let slide = place.open(path)?;
    let scale = if let Some(level) = args.level {
        let levels = &slide.info().levels;
        let level = levels.get(level).ok_or_else(|| {
            let hint = "`eosin slide info FILE` lists the levels";
            advised(format!("the slide has {} levels, counted from 0", levels.len()), hint)
        })?;
        level.downsample
    } else {
        let [width, height] = slide.info().base_px();
        let [_, _, width, height] = place.region.unwrap_or([0, 0, width, height]);
        (f64::from(width.max(height)) / f64::from(DEFAULT_SIDE_PX)).max(1.0)
    };
    let region = place.region(&slide, RegionScale::Downsample(scale))?;
    let tile = Arc::new(slide.read(&region).map_err(told)?);
    let downsample = slide.downsample_of(region.scale).map_err(told)?;
    let um_per_px = slide.info().mpp.map(|mpp| mpp.um_per_px() * downsample);
    pictures.push(PictureSource::Kept { tile, region: Some(region), title: title(path), um_per_px });
    Ok(pictures)
}

/// Where the last letter went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Reasoning,
    Answer,
}

/// Tells the events of an answer to the terminal.
struct Teller<'a> {
    printer: &'a Printer,
    info: &'a ModelInfo,
    json: bool,
    place: Place,
}

impl Teller<'_> {
    fn tell(&mut self, event: StreamEvent) -> anyhow::Result<()> {
        match event {
            StreamEvent::Planned { n_prompt, n_context, asked_tokens, max_tokens } => {
                if max_tokens < asked_tokens {
                    self.printer.say(format!(
                        "the question takes {n_prompt} of {n_context} tokens: the answer has at most {max_tokens}, \
                         not {asked_tokens}"
                    ));
                }
            }
            StreamEvent::Prefilled { n_token, secs } => {
                self.printer.say(format!("read {n_token} tokens in {secs:.1} s"));
            }
            StreamEvent::Text { channel, delta } => self.text(channel, &delta)?,
            StreamEvent::Done { reason, usage, transcript } => {
                self.end_line()?;
                if self.json {
                    return self.printer.json(&report::json(self.info, reason, &usage, &transcript));
                }
                self.printer.say(report::line(reason, &usage));
            }
            StreamEvent::Failed(error) => {
                self.end_line()?;
                return Err(told_by(&*error));
            }
        }
        Ok(())
    }

    fn text(&mut self, channel: Channel, delta: &str) -> anyhow::Result<()> {
        if self.json {
            return Ok(());
        }
        let delta = harmless(delta);
        match channel {
            Channel::Reasoning => {
                if self.place != Place::Reasoning {
                    self.end_line()?;
                    self.printer.say_piece("reasoning: ");
                }
                self.place = Place::Reasoning;
                self.printer.say_piece(&delta);
                Ok(())
            }
            Channel::Answer => {
                if self.place == Place::Reasoning {
                    self.printer.say_piece("\n");
                }
                self.place = Place::Answer;
                self.printer.piece(&delta)
            }
        }
    }

    fn end_line(&mut self) -> anyhow::Result<()> {
        match std::mem::replace(&mut self.place, Place::Nowhere) {
            Place::Nowhere => Ok(()),
            Place::Reasoning => {
                self.printer.say_piece("\n");
                Ok(())
            }
            Place::Answer => self.printer.piece("\n"),
        }
    }
}

/// A model's words without characters that steer a terminal.
fn harmless(text: &str) -> String {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_split_by_what_separates_them() {
        assert_eq!(choices("Yes, No").unwrap(), ["Yes", "No"]);
        assert_eq!(choices("a, b | c").unwrap(), ["a, b", "c"]);
        for list in ["", "one", "a,,b", &"x,".repeat(30)] {
            assert!(choices(list).is_err(), "{list}");
        }
    }

    #[test]
    fn words_cannot_steer_the_terminal() {
        assert_eq!(harmless("µ\n\ta\u{1b}[2J\u{7}"), "µ\n\ta\u{FFFD}[2J\u{FFFD}");
    }
}
