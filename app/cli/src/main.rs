//! The binary `eosin`: reads the command line, hands over to one command, and turns its outcome into an
//! exit code.
//!
//! Data go to stdout, talk to stderr, both through [`Printer`]. Exit 0: done; 1: nothing found; 2: error,
//! told on one line with a hint where there is one. Held true by `tests/cli.rs`.

#![expect(unreachable_pub, reason = "in a program, `pub` says: for the other files of it")]
#![expect(clippy::needless_pass_by_value, reason = "a command takes its arguments for itself")]

mod command;
mod environment;
mod printer;
mod settings;

use clap::{Parser, Subcommand};

use crate::printer::Printer;

/// Tensors are large, short-lived blocks: an allocator that keeps them mapped saves the kernel's work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLES: &str = "\
Examples:
  eosin                                            open the window
  eosin open slide.svs                             open the window on a slide
  eosin ask \"Which tissue is this?\" --image a.png  ask about a picture
  eosin ask \"Is there a mitosis?\" --slide s.svs --region 12000,8000,512,512
  eosin doctor                                     what is installed, what would be used, and why

Nothing leaves this machine. For research only, not for diagnosis.";

/// Private, offline reasoning about pathology images.
#[derive(Parser)]
#[command(name = "eosin", version, about, after_help = EXAMPLES)]
struct Cli {
    /// Say nothing on stderr but errors
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Open the window, on a slide or picture if one is given
    Open(command::open::Args),
    /// Open slides in a light native window, where the web view is poor or absent
    Review(command::review::Args),
    /// Ask a model about pictures or a region of a slide
    Ask(Box<command::ask::Args>),
    /// Turn pictures or words into CLIP embeddings
    Embed(command::embed::Args),
    /// Fill a library of similar images, and say what is in it
    Index(command::index::Args),
    /// Find what looks like a picture, a region or words
    Search(Box<command::search::Args>),
    /// Say which of some named classes the tiles of a slide are most like
    Classify(Box<command::classify::Args>),
    /// Look into slides: info, region, thumbnail, figure
    Slide(command::slide::Args),
    /// Bring annotations in and out as GeoJSON, and list them
    Annotate(command::annotate::Args),
    /// Look into the case book: list, show, search, export
    Case(command::case::Args),
    /// Prove the case book's audit trail
    Audit(command::audit::Args),
    /// Inspect or quantize model bundles
    Bundle(command::bundle::Args),
    /// Train models, score them, draw practice tissue
    Train(command::train::Args),
    /// Say which devices, memory and settings are there, and what would be used
    Doctor(command::doctor::Args),
    /// Print the completion script of a shell
    Completions(command::completions::Args),
}

fn main() {
    environment::hush_drivers_without_session();
    let cli = Cli::parse();
    let printer = Printer::new(if cli.quiet { printer::Talk::Quiet } else { printer::Talk::Normal });
    printer::report_panics();
    let outcome = match cli.command.unwrap_or(Command::Open(command::open::Args::default())) {
        Command::Open(args) => command::open::run(args, &printer),
        Command::Review(args) => command::review::run(args, &printer),
        Command::Ask(args) => command::ask::run(*args, &printer),
        Command::Embed(args) => command::embed::run(args, &printer),
        Command::Index(args) => command::index::run(args, &printer),
        Command::Search(args) => command::search::run(*args, &printer),
        Command::Classify(args) => command::classify::run(*args, &printer),
        Command::Slide(args) => command::slide::run(args, &printer),
        Command::Annotate(args) => command::annotate::run(args, &printer),
        Command::Case(args) => command::case::run(args, &printer),
        Command::Audit(args) => command::audit::run(args, &printer),
        Command::Bundle(args) => command::bundle::run(args, &printer),
        Command::Train(args) => command::train::run(args, &printer),
        Command::Doctor(args) => command::doctor::run(args, &printer),
        Command::Completions(args) => command::completions::run(args, &printer),
    };
    leave(outcome.map_or_else(|error| printer.fail(&error), |()| 0));
}

/// Ends the program without the exit handlers of the libraries in it. A Vulkan driver that was asked what it can do
/// keeps threads, and once in some hundred runs those and its handlers took the heap apart after all was done.
#[cfg(unix)]
#[expect(unsafe_code, reason = "the standard library's exit runs those handlers")]
fn leave(code: u8) -> ! {
    use std::io::Write as _;
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    // SAFETY: `_exit` takes a number, returns never, and touches no memory of ours.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Ends the program.
#[cfg(not(unix))]
fn leave(code: u8) -> ! {
    std::process::exit(i32::from(code))
}
