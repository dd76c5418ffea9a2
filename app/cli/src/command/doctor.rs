//! `eosin doctor`.

use crate::printer::Printer;

/// What was asked of `eosin doctor`.
#[derive(clap::Args)]
pub struct Args {}

/// Does it.
pub fn run(_args: Args, _printer: &Printer) -> anyhow::Result<()> {
    anyhow::bail!("`eosin doctor` is not built yet")
}
