//! `eosin ask`.

use crate::printer::Printer;

/// What was asked of `eosin ask`.
#[derive(clap::Args)]
pub struct Args {}

/// Does it.
pub fn run(_args: Args, _printer: &Printer) -> anyhow::Result<()> {
    anyhow::bail!("`eosin ask` is not built yet")
}
