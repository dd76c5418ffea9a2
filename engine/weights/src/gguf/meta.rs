//! The typed key-value pairs of a GGUF file.
//!
//! Writers disagree on the width of integers (`u32`, `i32`, `u64` for one key), so the readers here accept
//! any integer type whose value fits; they do not turn strings into numbers. `tests/gguf.rs` round-trips
//! every type.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::WeightError;

/// One value.
#[derive(Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "the variants are Rust's own types")]
pub enum MetaValue {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(MetaArray),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// An array of values of one type. Arrays of arrays exist in the format but in no file of weights; they
/// are refused.
#[derive(Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "the variants are Rust's own types")]
pub enum MetaArray {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    String(Vec<String>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

/// The number that says "array" in a file.
pub(crate) const ARRAY_ID: u32 = 9;

impl MetaValue {
    /// The number of the value's type in a file.
    pub(crate) fn type_id(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::String(_) => 8,
            Self::Array(_) => ARRAY_ID,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }

    /// The type in words.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) | Self::U16(_) | Self::U32(_) | Self::U64(_) => "an unsigned integer",
            Self::I8(_) | Self::I16(_) | Self::I32(_) | Self::I64(_) => "an integer",
            Self::F32(_) | Self::F64(_) => "a float",
            Self::Bool(_) => "a bool",
            Self::String(_) => "a string",
            Self::Array(MetaArray::String(_)) => "an array of strings",
            Self::Array(MetaArray::Bool(_)) => "an array of bools",
            Self::Array(MetaArray::F32(_) | MetaArray::F64(_)) => "an array of floats",
            Self::Array(_) => "an array of integers",
        }
    }

    /// The value as JSON, for people and scripts; `None` for lists of more than sixteen.
    pub fn to_json(&self) -> Option<serde_json::Value> {
        use serde_json::json;
        Some(match self {
            Self::F32(x) => json!(x),
            Self::F64(x) => json!(x),
            Self::Bool(x) => json!(x),
            Self::String(x) => json!(x),
            Self::Array(MetaArray::F32(x)) if x.len() <= 16 => json!(x),
            Self::Array(MetaArray::F64(x)) if x.len() <= 16 => json!(x),
            Self::Array(MetaArray::Bool(x)) if x.len() <= 16 => json!(x),
            Self::Array(MetaArray::String(x)) if x.len() <= 16 => json!(x),
            Self::U64(x) => json!(x),
            Self::Array(_) => {
                let numbers = self.integers().filter(|numbers| numbers.len() <= 16)?;
                json!(numbers.into_iter().map(|x| i64::try_from(x).ok()).collect::<Vec<_>>())
            }
            _ => json!(i64::try_from(self.integer()?).ok()?),
        })
    }

    fn integer(&self) -> Option<i128> {
        Some(match self {
            Self::U8(x) => i128::from(*x),
            Self::I8(x) => i128::from(*x),
            Self::U16(x) => i128::from(*x),
            Self::I16(x) => i128::from(*x),
            Self::U32(x) => i128::from(*x),
            Self::I32(x) => i128::from(*x),
            Self::U64(x) => i128::from(*x),
            Self::I64(x) => i128::from(*x),
            Self::F32(_) | Self::F64(_) | Self::Bool(_) | Self::String(_) | Self::Array(_) => return None,
        })
    }

    fn integers(&self) -> Option<Vec<i128>> {
        let Self::Array(array) = self else { return None };
        Some(match array {
            MetaArray::U8(x) => x.iter().map(|x| i128::from(*x)).collect(),
            MetaArray::I8(x) => x.iter().map(|x| i128::from(*x)).collect(),
            MetaArray::U16(x) => x.iter().map(|x| i128::from(*x)).collect(),
            MetaArray::I16(x) => x.iter().map(|x| i128::from(*x)).collect(),
            MetaArray::U32(x) => x.iter().map(|x| i128::from(*x)).collect(),
            MetaArray::I32(x) => x.iter().map(|x| i128::from(*x)).collect(),
            MetaArray::U64(x) => x.iter().map(|x| i128::from(*x)).collect(),
            MetaArray::I64(x) => x.iter().map(|x| i128::from(*x)).collect(),
            MetaArray::F32(_) | MetaArray::F64(_) | MetaArray::Bool(_) | MetaArray::String(_) => return None,
        })
    }
}

impl From<u32> for MetaValue {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<f32> for MetaValue {
    fn from(value: f32) -> Self {
        Self::F32(value)
    }
}

impl From<bool> for MetaValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for MetaValue {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for MetaValue {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

/// Key-value pairs in the order of the file.
#[derive(Clone, Debug)]
pub struct Meta {
    pairs: Vec<(String, MetaValue)>,
    idx_by_key: HashMap<String, usize>,
    path: PathBuf,
}

impl Meta {
    /// Takes pairs whose keys are known to be distinct.
    pub(crate) fn new(pairs: Vec<(String, MetaValue)>, path: &Path) -> Self {
        let idx_by_key = pairs.iter().enumerate().map(|(idx, (key, _))| (key.clone(), idx)).collect();
        Self { pairs, idx_by_key, path: path.to_owned() }
    }

    /// All pairs, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &MetaValue)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Whether there is a value of this key.
    pub fn contains(&self, key: &str) -> bool {
        self.idx_by_key.contains_key(key)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`WeightError::MissingKey`].
    pub fn get(&self, key: &str) -> Result<&MetaValue, WeightError> {
        match self.idx_by_key.get(key) {
            Some(idx) => Ok(&self.pairs[*idx].1),
            None => Err(WeightError::MissingKey { key: key.to_owned(), path: self.path.clone() }),
        }
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a MetaValue) -> Option<T>,
    ) -> Result<T, WeightError> {
        let value = self.get(key)?;
        convert(value).ok_or_else(|| WeightError::WrongType {
            key: key.to_owned(),
            expected,
            found: value.type_name(),
            path: self.path.clone(),
        })
    }

    /// An integer of any width that fits 32 bits without sign.
    ///
    /// # Errors
    /// [`WeightError::MissingKey`] or [`WeightError::WrongType`], as for all typed readers.
    pub fn u32(&self, key: &str) -> Result<u32, WeightError> {
        self.typed(key, "an integer from 0 to 4294967295", |value| value.integer()?.try_into().ok())
    }

    /// A float of either width.
    ///
    /// # Errors
    /// As [`Meta::u32`].
    pub fn f32(&self, key: &str) -> Result<f32, WeightError> {
        self.typed(key, "a float", |value| match value {
            MetaValue::F32(x) => Some(*x),
            MetaValue::F64(x) => Some(*x as f32),
            _ => None,
        })
    }

    /// A bool.
    ///
    /// # Errors
    /// As [`Meta::u32`].
    pub fn bool(&self, key: &str) -> Result<bool, WeightError> {
        self.typed(key, "a bool", |value| if let MetaValue::Bool(x) = value { Some(*x) } else { None })
    }

    /// A string.
    ///
    /// # Errors
    /// As [`Meta::u32`].
    pub fn str(&self, key: &str) -> Result<&str, WeightError> {
        self.typed(key, "a string", |value| match value {
            MetaValue::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// An array of integers of any width that fit 32 bits without sign.
    ///
    /// # Errors
    /// As [`Meta::u32`].
    pub fn u32s(&self, key: &str) -> Result<Vec<u32>, WeightError> {
        self.typed(key, "an array of integers from 0 to 4294967295", |value| {
            value.integers()?.into_iter().map(|x| x.try_into().ok()).collect()
        })
    }

    /// An array of floats of either width.
    ///
    /// # Errors
    /// As [`Meta::u32`].
    pub fn f32s(&self, key: &str) -> Result<Vec<f32>, WeightError> {
        self.typed(key, "an array of floats", |value| match value {
            MetaValue::Array(MetaArray::F32(x)) => Some(x.clone()),
            MetaValue::Array(MetaArray::F64(x)) => Some(x.iter().map(|x| *x as f32).collect()),
            _ => None,
        })
    }

    /// An array of strings.
    ///
    /// # Errors
    /// As [`Meta::u32`].
    pub fn strings(&self, key: &str) -> Result<&[String], WeightError> {
        self.typed(key, "an array of strings", |value| match value {
            MetaValue::Array(MetaArray::String(x)) => Some(x.as_slice()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_asked_or_named() {
        let pairs = vec![
            ("a".to_owned(), MetaValue::I32(7)),
            ("b".to_owned(), MetaValue::I64(-7)),
            ("c".to_owned(), MetaValue::U64(1 << 40)),
            ("d".to_owned(), MetaValue::from("x")),
            ("e".to_owned(), MetaValue::Array(MetaArray::I32(vec![16, 24, 24, 0]))),
            ("f".to_owned(), MetaValue::F64(0.5)),
        ];
        let meta = Meta::new(pairs, Path::new("m.gguf"));
        assert_eq!(meta.u32("a").unwrap(), 7);
        assert_eq!(meta.u32s("e").unwrap(), [16, 24, 24, 0]);
        assert_eq!(meta.f32("f").unwrap().to_bits(), 0.5_f32.to_bits());
        assert_eq!(meta.str("d").unwrap(), "x");
        let check = |error: WeightError, expected: &str| assert_eq!(error.to_string(), expected);
        check(meta.u32("z").unwrap_err(), "no key `z` in m.gguf");
        for (key, found) in [("b", "an integer"), ("c", "an unsigned integer"), ("d", "a string")] {
            let expected =
                format!("key `{key}` is {found}, expected an integer from 0 to 4294967295: m.gguf");
            check(meta.u32(key).unwrap_err(), &expected);
        }
        check(
            meta.strings("e").unwrap_err(),
            "key `e` is an array of integers, expected an array of strings: m.gguf",
        );
    }
}
