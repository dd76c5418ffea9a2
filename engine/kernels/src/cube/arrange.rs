//! Packed rows as a GPU keeps them: whole 32-bit words, at the size that they have in the file.
//!
//! Blocks of 18, 34 and 210 bytes end within a word, so that half of them would have to be read by halves. Each
//! holds one scale of two bytes, and without it is a whole number of words: so scales are taken out and laid
//! after all blocks, two to a word, and every block starts at a word. Other types are whole words as they are.
//! Nothing is added but up to three bytes of padding at the end. `packed`'s tests read the bytes back.

use eosin_weights::GgmlType;

use crate::ops::Layout;

/// Where the scale of a block lies that is kept apart, in bytes.
fn scale_offset(kind: GgmlType) -> Option<usize> {
    match kind {
        GgmlType::Q8_0 | GgmlType::Q4_0 => Some(0),
        GgmlType::Q6K => Some(208),
        GgmlType::F32 | GgmlType::F16 | GgmlType::Bf16 | GgmlType::Q4K | GgmlType::Q5K => None,
    }
}

/// Bytes of a block without a scale that is kept apart.
pub(super) fn body_bytes(kind: GgmlType) -> usize {
    kind.block_bytes() - scale_offset(kind).map_or(0, |_| 2)
}

/// The word from which on scales lie that are kept apart.
pub(super) fn first_apart(layout: Layout) -> usize {
    layout.rows * (layout.cols / layout.kind.block_len()) * body_bytes(layout.kind) / 4
}

/// Packed rows as words.
pub(crate) fn words(rows: &[u8], kind: GgmlType) -> Vec<u32> {
    let mut words = Vec::with_capacity(rows.len() / 4 + 1);
    match scale_offset(kind) {
        None => push_words(rows, &mut words),
        Some(offset) => {
            let mut scales = Vec::with_capacity(rows.len() / kind.block_bytes() * 2);
            for block in rows.chunks_exact(kind.block_bytes()) {
                push_words(&block[..offset], &mut words);
                push_words(&block[offset + 2..], &mut words);
                scales.extend_from_slice(&block[offset..offset + 2]);
            }
            push_words(&scales, &mut words);
        }
    }
    if words.is_empty() {
        words.push(0);
    }
    words
}

/// Bytes as words, the last padded with zeros.
fn push_words(bytes: &[u8], words: &mut Vec<u32>) {
    let (whole, rest) = bytes.as_chunks::<4>();
    words.extend(whole.iter().map(|word| u32::from_le_bytes(*word)));
    if !rest.is_empty() {
        let mut word = [0; 4];
        word[..rest.len()].copy_from_slice(rest);
        words.push(u32::from_le_bytes(word));
    }
}

/// The packed rows that became these words.
pub(crate) fn rows(words: &[u8], layout: Layout) -> Vec<u8> {
    let kind = layout.kind;
    let n_byte = layout.rows * layout.row_bytes();
    let Some(offset) = scale_offset(kind) else { return words[..n_byte].to_vec() };
    let (bodies, scales) = words.split_at(4 * first_apart(layout));
    let mut rows = Vec::with_capacity(n_byte);
    for (body, scale) in bodies.chunks_exact(body_bytes(kind)).zip(scales.chunks_exact(2)) {
        rows.extend_from_slice(&body[..offset]);
        rows.extend_from_slice(scale);
        rows.extend_from_slice(&body[offset..]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fill, packed};

    #[test]
    fn rows_come_back_byte_for_byte_and_grow_by_padding_alone() {
        for kind in GgmlType::ALL {
            for n_row in [1, 2, 7] {
                let cols = 3 * kind.block_len();
                let bytes = packed(kind, [n_row, cols], Fill::Plain, 11);
                let words = words(&bytes, kind);
                assert!(words.len() * 4 < bytes.len() + 4, "{kind} {n_row}");
                let read: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                assert_eq!(rows(&read, Layout::new(kind, [n_row, cols])), bytes, "{kind} {n_row}");
            }
        }
    }
}
