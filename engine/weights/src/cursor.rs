//! Reading numbers out of bytes that may end too soon, and refusals that do not yet know their file.

use std::path::Path;

use crate::WeightError;

/// Why a parser gave up; the file's name is added by [`Refusal::of`].
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The bytes contradict the format or themselves.
    Malformed(String),
    /// The bytes are sound but hold something that is not read.
    Unsupported(String),
    /// A pickle asks for this global.
    Global(String),
}

impl Refusal {
    /// Names the container and the file.
    pub(crate) fn of(self, container: &'static str, path: &Path) -> WeightError {
        let path = path.to_owned();
        match self {
            Self::Malformed(cause) => WeightError::Malformed { container, cause, path },
            Self::Unsupported(what) => WeightError::Unsupported { container, what, path },
            Self::Global(global) => WeightError::Global { global, path },
        }
    }
}

/// A [`Refusal::Malformed`] of a formatted cause.
macro_rules! malformed {
    ($($argument:tt)*) => { $crate::cursor::Refusal::Malformed(format!($($argument)*)) };
}
pub(crate) use malformed;

/// A place in a slice. Every read checks what is left, so a length out of the file can be passed on as is.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The start of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Bytes not yet read.
    pub(crate) fn n_left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `n` bytes.
    pub(crate) fn take(&mut self, n: u64, what: &str) -> Result<&'a [u8], Refusal> {
        let n_left = self.n_left();
        let Some(n) = usize::try_from(n).ok().filter(|n| *n <= n_left) else {
            return Err(malformed!("{what} needs {n} bytes, the file has {n_left} left"));
        };
        let slice = &self.bytes[self.at..][..n];
        self.at += n;
        Ok(slice)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Refusal> {
        let slice = self.take(N as u64, what)?;
        Ok(slice.try_into().expect("`take` gives exactly the bytes asked for"))
    }

    /// A byte.
    pub(crate) fn u8(&mut self, what: &str) -> Result<u8, Refusal> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// A little-endian 16-bit number.
    pub(crate) fn u16(&mut self, what: &str) -> Result<u16, Refusal> {
        self.array(what).map(u16::from_le_bytes)
    }

    /// A little-endian 32-bit number.
    pub(crate) fn u32(&mut self, what: &str) -> Result<u32, Refusal> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// A little-endian 64-bit number.
    pub(crate) fn u64(&mut self, what: &str) -> Result<u64, Refusal> {
        self.array(what).map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stop_at_the_end() {
        let mut cursor = Cursor::new(&[1, 0, 0, 0, 7]);
        assert_eq!(cursor.u32("x"), Ok(1));
        assert_eq!(
            cursor.take(u64::MAX, "a name"),
            Err(malformed!("a name needs 18446744073709551615 bytes, the file has 1 left"))
        );
        assert_eq!(cursor.u8("x"), Ok(7));
        assert!(cursor.u8("x").is_err());
        assert_eq!((cursor.at(), cursor.n_left()), (5, 0));
    }
}
