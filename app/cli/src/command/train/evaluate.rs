//! `eosin train evaluate`.

use crate::printer::Printer;

/// What was asked of `eosin train evaluate`.
#[derive(clap::Args)]
pub struct Args {}

/// Does it.
pub fn run(_args: Args, _printer: &Printer) -> anyhow::Result<()> {
    anyhow::bail!("`eosin train evaluate` is not built yet")
}
