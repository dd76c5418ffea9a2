//! `eosin bundle`.

use crate::printer::Printer;

/// What was asked of `eosin bundle`.
#[derive(clap::Args)]
pub struct Args {}

/// Does it.
pub fn run(_args: Args, _printer: &Printer) -> anyhow::Result<()> {
    anyhow::bail!("`eosin bundle` is not built yet")
}
