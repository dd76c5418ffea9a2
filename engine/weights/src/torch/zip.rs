//! The directory of a zip archive, as far as torch writes it: members stored, not compressed.
//!
//! Format: PKWARE APPNOTE 4.3.7 (local header), 4.3.12 (directory), 4.3.14–4.3.16 (its end, 64-bit forms).
//! Written here because a checkpoint's members must become slices of the mapped file, and because a
//! compressed member of a checkpoint can only be a bomb.

use std::collections::HashMap;

use bytes::Bytes;

use crate::cursor::{Cursor, Refusal, malformed};
use crate::error::quoted;

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const MEMBER: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
/// The end record is this long and at most 65535 bytes of comment follow.
const END_BYTES: usize = 22;
/// Bytes of a member's directory entry before its names.
const MEMBER_BYTES: u64 = 46;

/// An archive's members by name.
pub(super) struct Archive {
    members: Vec<(String, Member)>,
    idx_by_name: HashMap<String, usize>,
}

/// A member's bytes, or why they cannot be had: "compressed" or "encrypted".
type Member = Result<Bytes, &'static str>;

/// Where the directory says that things are.
struct Directory {
    n_member: u64,
    offset: u64,
}

impl Archive {
    pub(super) fn parse(file: &Bytes) -> Result<Self, Refusal> {
        let Directory { n_member, offset } = find_directory(file)?;
        let offset = usize::try_from(offset).ok().filter(|offset| *offset <= file.len());
        let offset = offset.ok_or_else(|| malformed!("the archive's directory lies outside the file"))?;
        let mut cursor = Cursor::new(&file[offset..]);
        if n_member > cursor.n_left() as u64 / MEMBER_BYTES {
            return Err(malformed!("the archive claims {n_member} members, which its directory cannot hold"));
        }
        let mut members = Vec::with_capacity(n_member as usize);
        let mut idx_by_name = HashMap::with_capacity(n_member as usize);
        for _ in 0..n_member {
            let (name, member) = member(&mut cursor, file)?;
            if idx_by_name.insert(name.clone(), members.len()).is_some() {
                return Err(malformed!("member `{}` occurs twice", quoted(&name)));
            }
            members.push((name, member));
        }
        Ok(Self { members, idx_by_name })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.idx_by_name.contains_key(name)
    }

    /// A member's bytes, if there is one of this name.
    pub(super) fn get(&self, name: &str) -> Result<Option<Bytes>, Refusal> {
        match self.idx_by_name.get(name).map(|idx| &self.members[*idx].1) {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes.clone())),
            Some(Err(state)) => Err(Refusal::Unsupported(format!("the {state} member `{}`", quoted(name)))),
        }
    }
}

fn find_directory(file: &[u8]) -> Result<Directory, Refusal> {
    let earliest = file.len().saturating_sub(END_BYTES + usize::from(u16::MAX));
    let place = file[earliest..].windows(END_BYTES).rposition(|window| window[..4] == END);
    let place = earliest + place.ok_or_else(|| malformed!("it is no zip archive, or its end is missing"))?;
    let mut end = Cursor::new(&file[place + 4..]);
    let (disk, directory_disk) = (end.u16("a disk")?, end.u16("a disk")?);
    let (n_here, n_member) = (end.u16("members")?, end.u16("members")?);
    let (_n_byte, offset) = (end.u32("the directory")?, end.u32("the directory")?);
    let is_64 = n_member == u16::MAX || offset == u32::MAX;
    if !is_64 {
        if disk != 0 || directory_disk != 0 || n_here != n_member {
            return Err(malformed!("the archive is one part of several"));
        }
        return Ok(Directory { n_member: u64::from(n_member), offset: u64::from(offset) });
    }
    let locator = place.checked_sub(20).map(|start| &file[start..place]);
    let mut locator = Cursor::new(locator.ok_or_else(|| malformed!("the archive's 64-bit end is missing"))?);
    if locator.array::<4>("a locator")? != LOCATOR_64 {
        return Err(malformed!("the archive's 64-bit end is missing"));
    }
    locator.u32("a disk")?;
    let place = locator.u64("the 64-bit end")?;
    let place = usize::try_from(place).ok().filter(|place| *place <= file.len());
    let mut end =
        Cursor::new(&file[place.ok_or_else(|| malformed!("the archive's 64-bit end leaves the file"))?..]);
    if end.array::<4>("the 64-bit end")? != END_64 {
        return Err(malformed!("the archive's 64-bit end is not where it should be"));
    }
    // Size of the record, versions and disks.
    end.take(8 + 2 + 2 + 4 + 4, "the 64-bit end")?;
    let (n_here, n_member) = (end.u64("members")?, end.u64("members")?);
    let (_n_byte, offset) = (end.u64("the directory")?, end.u64("the directory")?);
    if n_here != n_member {
        return Err(malformed!("the archive is one part of several"));
    }
    Ok(Directory { n_member, offset })
}

/// Reads one entry of the directory and finds its data.
fn member(cursor: &mut Cursor<'_>, file: &Bytes) -> Result<(String, Member), Refusal> {
    const WHAT: &str = "the archive's directory";
    if cursor.array::<4>(WHAT)? != MEMBER {
        return Err(malformed!("the archive's directory is damaged"));
    }
    cursor.take(4, WHAT)?;
    let (flags, method) = (cursor.u16(WHAT)?, cursor.u16(WHAT)?);
    cursor.take(8, WHAT)?;
    let (stored, size) = (cursor.u32(WHAT)?, cursor.u32(WHAT)?);
    let (n_name, n_extra, n_comment) = (cursor.u16(WHAT)?, cursor.u16(WHAT)?, cursor.u16(WHAT)?);
    cursor.take(8, WHAT)?;
    let offset = cursor.u32(WHAT)?;
    let name = cursor.take(u64::from(n_name), WHAT)?;
    let name =
        std::str::from_utf8(name).map_err(|error| malformed!("a member's name is not UTF-8: {error}"))?;
    let shown = quoted(name);
    let extra = cursor.take(u64::from(n_extra), WHAT)?;
    cursor.take(u64::from(n_comment), WHAT)?;
    if flags & 1 != 0 {
        return Ok((name.to_owned(), Err("encrypted")));
    }
    if method != 0 {
        return Ok((name.to_owned(), Err("compressed")));
    }
    let [size, stored, offset] = widen([size, stored, offset], extra)?;
    if size != stored {
        return Err(malformed!("member `{shown}` is not compressed and yet has two sizes"));
    }
    let data =
        data(file, offset, size).ok_or_else(|| malformed!("member `{shown}` lies outside the file"))?;
    Ok((name.to_owned(), Ok(data)))
}

/// Replaces numbers that are all ones by those of the 64-bit extension, which lists just these in order.
fn widen(short: [u32; 3], extra: &[u8]) -> Result<[u64; 3], Refusal> {
    let mut wide = short.map(u64::from);
    if !short.contains(&u32::MAX) {
        return Ok(wide);
    }
    let mut cursor = Cursor::new(extra);
    while cursor.n_left() >= 4 {
        let (id, n_byte) = (cursor.u16("an extension")?, cursor.u16("an extension")?);
        let mut field = Cursor::new(cursor.take(u64::from(n_byte), "an extension")?);
        if id == 1 {
            for (wide, short) in wide.iter_mut().zip(short) {
                if short == u32::MAX {
                    *wide = field.u64("an extension")?;
                }
            }
            return Ok(wide);
        }
    }
    Err(malformed!("a member lacks its 64-bit sizes"))
}

/// The data behind a member's local header, whose name and extension may be of other lengths than in the
/// directory (torch pads there, so that data is aligned).
fn data(file: &Bytes, offset: u64, size: u64) -> Option<Bytes> {
    let offset = usize::try_from(offset).ok()?;
    let header = file.get(offset..offset.checked_add(30)?)?;
    if header[..4] != LOCAL {
        return None;
    }
    let length = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let start = offset + 30 + length(26) + length(28);
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    (end <= file.len()).then(|| file.slice(start..end))
}
