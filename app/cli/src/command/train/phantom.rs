//! `eosin train phantom`.

use crate::printer::Printer;

/// What was asked of `eosin train phantom`.
#[derive(clap::Args)]
pub struct Args {}

/// Does it.
pub fn run(_args: Args, _printer: &Printer) -> anyhow::Result<()> {
    anyhow::bail!("`eosin train phantom` is not built yet")
}
