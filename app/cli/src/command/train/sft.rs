//! `eosin train sft`.

use crate::printer::Printer;

/// What was asked of `eosin train sft`.
#[derive(clap::Args)]
pub struct Args {}

/// Does it.
pub fn run(_args: Args, _printer: &Printer) -> anyhow::Result<()> {
    anyhow::bail!("`eosin train sft` is not built yet")
}
