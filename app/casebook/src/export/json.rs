//! A case for machines: the whole tree, every version, every token id.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Case;
use crate::chat::Chat;

/// The document's version: raised when a key changes its meaning or goes.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    notice: &'a str,
    exported_at: &'a str,
    names: &'static str,
    audit: Audit<'a>,
    chat: &'a Chat,
    pictures: BTreeMap<&'a str, File>,
}

#[derive(Serialize)]
struct Audit<'a> {
    n_entry: u64,
    head: &'a str,
}

#[derive(Serialize)]
struct File {
    file: String,
    size_px: [u32; 2],
}

/// The document.
pub(super) fn write(case: &Case) -> String {
    let pictures = case.pixels.iter().filter_map(|(hash, tile)| {
        let file = case.place(hash)?;
        Some((hash.0.as_str(), File { file, size_px: tile.size_px() }))
    });
    let document = Document {
        format: "eosin-case",
        version: VERSION,
        notice: &case.labels.notice,
        exported_at: &case.exported_at,
        names: case.names.name(),
        audit: Audit { n_entry: case.head.seq, head: &case.head.hash },
        chat: &case.chat,
        pictures: pictures.collect(),
    };
    // Plain data always prints.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}
