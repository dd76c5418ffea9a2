//! `eosin embed`.

use crate::printer::Printer;

/// What was asked of `eosin embed`.
#[derive(clap::Args)]
pub struct Args {}

/// Does it.
pub fn run(_args: Args, _printer: &Printer) -> anyhow::Result<()> {
    anyhow::bail!("`eosin embed` is not built yet")
}
