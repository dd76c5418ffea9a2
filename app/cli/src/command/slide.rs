//! `eosin slide`.

use crate::printer::Printer;

/// What was asked of `eosin slide`.
#[derive(clap::Args)]
pub struct Args {}

/// Does it.
pub fn run(_args: Args, _printer: &Printer) -> anyhow::Result<()> {
    anyhow::bail!("`eosin slide` is not built yet")
}
