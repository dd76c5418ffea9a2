//! `eosin audit`: the case book's audit trail, proved or listed.
//!
//! A trail that does not hold is an error, each fault on a line of stdout. Held true by `tests/casebook.rs`.

use clap::Subcommand;
use serde_json::json;

use super::case::{BookArgs, minute, open};
use crate::printer::{Printer, advised, told};

const EXAMPLES: &str = "\
Examples:
  eosin audit verify              whether the record is as it was written
  eosin audit list --limit 20     the latest entries

Write the hash that `verify` prints down elsewhere: it proves later that nothing before it was changed.";

/// What was asked of `eosin audit`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Recompute the chain of hashes and the digest of everything in the record
    Verify {
        #[command(flatten)]
        book: BookArgs,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List entries, the latest last
    List {
        #[command(flatten)]
        book: BookArgs,
        /// Most entries; all without it
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    match args.action {
        Action::Verify { book, json } => verify(&book, json, printer),
        Action::List { book, limit, json } => list(&book, limit, json, printer),
    }
}

fn verify(args: &BookArgs, as_json: bool, printer: &Printer) -> anyhow::Result<()> {
    let book = open(args, printer)?;
    let faults = match book.verify() {
        Ok(verified) => {
            if as_json {
                return printer.json(&json!({ "whole": true, "verified": verified }));
            }
            printer.line(format!(
                "whole: {} entries, the last has the hash {}",
                verified.n_entry, verified.head
            ))?;
            for lost in verified.declared {
                printer.line(format!("known since a rebuild: {lost}"))?;
            }
            return Ok(());
        }
        // Where even reading fails, the first fault says so.
        Err(broken) => book.faults().unwrap_or_else(|_| vec![broken]),
    };
    if as_json {
        printer.json(&json!({ "whole": false, "faults": faults }))?;
    } else {
        for fault in &faults {
            printer.line(&fault.what)?;
        }
    }
    let n_fault = faults.len();
    let message = format!(
        "the record is not as it was written: {n_fault} {}",
        if n_fault == 1 { "fault" } else { "faults" }
    );
    Err(advised(message, "compare it with a backup (`eosin case backup` makes them)"))
}

fn list(args: &BookArgs, limit: Option<usize>, json: bool, printer: &Printer) -> anyhow::Result<()> {
    let entries = open(args, printer)?.audit().map_err(told)?;
    let skipped = limit.map_or(0, |limit| entries.len().saturating_sub(limit));
    for entry in &entries[skipped..] {
        if json {
            printer.json(entry)?;
            continue;
        }
        let subject = [
            entry.chat.map(|id| format!("chat {id}")),
            entry.turn.map(|id| format!("turn {id}")),
            entry.answer.map(|id| format!("answer {id}")),
        ];
        let subject: Vec<String> = subject.into_iter().flatten().collect();
        let hash = entry.hash.get(..12).unwrap_or_default();
        let (at, action) = (minute(&entry.at), entry.action.replace('_', " "));
        printer.line(format!("{:>6}  {at}  {hash}  {action:<18}  {}", entry.seq, subject.join(", ")))?;
    }
    Ok(())
}
