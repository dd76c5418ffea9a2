//! The one way to a terminal: data on stdout, talk on stderr, errors on one line with a hint.
//!
//! A reader that closes the pipe (`eosin … | head`) ends the program quietly. Colour is never needed to
//! understand the output, so none is used. Held true by `tests/cli.rs`.

use std::io::{self, IsTerminal as _, Write as _};

use eosin_core::Hint;

/// How much is said on stderr.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Talk {
    /// Notices and progress.
    Normal,
    /// Errors only.
    Quiet,
}

/// Writes data, talk and errors where they belong.
#[derive(Debug)]
pub struct Printer {
    talk: Talk,
}

/// Advice for an error of this binary: wraps an error that is told, with what to do about it.
#[derive(Debug)]
pub struct Advised {
    message: String,
    hint: String,
}

impl std::fmt::Display for Advised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Advised {}

/// An error with a hint, made from an error of a library that knows its hint, or from words.
pub fn advised(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Advised { message: message.into(), hint: hint.into() })
}

/// Carries a library's hint over into `anyhow`, which forgets the trait: `open(p).map_err(told)?`.
pub fn told<E: Hint + Send + Sync + 'static>(error: E) -> anyhow::Error {
    match error.hint() {
        Some(hint) => advised(eosin_core::error_chain(&error), hint),
        None => anyhow::Error::new(error),
    }
}

/// [`told`] for an error that is shared: its line and its hint are taken over.
pub fn told_by(error: &(impl Hint + 'static)) -> anyhow::Error {
    match error.hint() {
        Some(hint) => advised(eosin_core::error_chain(error), hint),
        None => anyhow::anyhow!(eosin_core::error_chain(error)),
    }
}

/// Nothing was found: exit code 1, nothing said.
#[derive(Debug, thiserror::Error)]
#[error("nothing found")]
pub struct NothingFound;

#[expect(clippy::unused_self, reason = "who holds the printer may print")]
impl Printer {
    /// A printer for this process.
    pub fn new(talk: Talk) -> Self {
        Self { talk }
    }

    /// Data: one line on stdout.
    pub fn line(&self, text: impl AsRef<str>) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        quiet_at_closed_pipe(writeln!(out, "{}", text.as_ref()))
    }

    /// Data: a piece of a line on stdout, shown at once.
    pub fn piece(&self, text: &str) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        quiet_at_closed_pipe(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    /// Data: bytes on stdout.
    pub fn bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        quiet_at_closed_pipe(out.write_all(bytes).and_then(|()| out.flush()))
    }

    /// Data: one JSON value on one line of stdout.
    pub fn json(&self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        self.line(serde_json::to_string(value)?)
    }

    /// Talk: one line on stderr.
    pub fn say(&self, text: impl AsRef<str>) {
        if self.talk == Talk::Normal {
            // Nobody is left to be told when stderr fails.
            let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
        }
    }

    /// Talk that may not be left out, on stderr even when quiet.
    pub fn warn(&self, text: impl AsRef<str>) {
        let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
    }

    /// Talk: a piece of a line on stderr, shown at once.
    pub fn say_piece(&self, text: &str) {
        if self.talk == Talk::Normal {
            let mut err = io::stderr().lock();
            let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
        }
    }

    /// A progress bar over `n_step` steps on stderr; invisible when quiet or when stderr is no terminal.
    pub fn progress(&self, n_step: u64) -> indicatif::ProgressBar {
        if self.talk == Talk::Quiet || !io::stderr().is_terminal() {
            return indicatif::ProgressBar::hidden();
        }
        indicatif::ProgressBar::new(n_step)
    }

    /// Ends the program with an error: one line, and a hint where there is one.
    pub fn fail(&self, error: &anyhow::Error) -> u8 {
        if error.is::<ClosedPipe>() {
            return 0;
        }
        if error.is::<NothingFound>() {
            return 1;
        }
        let mut err = io::stderr().lock();
        let _ = writeln!(err, "error: {}", eosin_core::error_chain(&**error));
        if let Some(hint) = error.chain().find_map(|e| e.downcast_ref::<Advised>()).map(|e| &e.hint) {
            let _ = writeln!(err, "hint: {hint}");
        }
        2
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the reader of stdout has gone")]
struct ClosedPipe;

fn quiet_at_closed_pipe(outcome: io::Result<()>) -> anyhow::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ClosedPipe.into()),
        Err(error) => Err(anyhow::Error::new(error).context("cannot write to stdout")),
        Ok(()) => Ok(()),
    }
}

/// Tells a panic, which is always a bug of this program, on one line instead of a trace.
pub fn report_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        return;
    }
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        let _ =
            writeln!(io::stderr().lock(), "bug: {}{place}", info.payload_as_str().unwrap_or("no message"));
    }));
}
