//! A machine for the pickles of state dicts, and for nothing more.
//!
//! Instructions: python's `pickletools` (protocols 2 to 4). Objects are made by a closed list of names
//! ([`Global::find`]): dictionaries, sizes, tensors, storages. No name leads to code, there is no import,
//! and what is built is flat: every container sits in a table and values refer to it by number, so that
//! neither a deep nor a self-containing structure can overflow the stack. Memory grows with the pickle's
//! own length and not with what it claims, since each instruction adds a bounded number of values.

use std::collections::HashMap;
use std::ops::Range;

use crate::cursor::{Cursor, Refusal, malformed};
use crate::error::quoted;

/// The pickles of the largest models have a megabyte; each byte of one may cost some forty of memory.
const MAX_PICKLE_BYTES: usize = 16 << 20;
/// torch itself has 64.
const MAX_AXES: usize = 16;

/// A value; containers, texts and tensors by their place in a table of [`Pickle`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Value {
    None,
    /// Something inert that no weight depends on: a bool, a float, a device, a type.
    Inert,
    Int(i64),
    Text(usize),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Global(Global),
    Storage(usize),
    Tensor(usize),
    /// Where a tuple, list or dictionary begins on the stack.
    Mark,
}

/// The names a pickle may use.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildTensorV2,
    RebuildParameter,
    Size,
    Device,
    Dtype,
    Storage(Element),
}

/// What a storage holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Element {
    F64,
    F32,
    F16,
    Bf16,
    /// Integers and others, by their size in bytes.
    Other(usize),
}

impl Element {
    pub(super) fn n_byte(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Other(n_byte) => n_byte,
        }
    }
}

impl Global {
    fn find(module: &str, name: &str) -> Result<Self, Refusal> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensorV2,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "Size") => Self::Size,
            ("torch", "device") => Self::Device,
            (
                "torch",
                "float32" | "float16" | "bfloat16" | "float64" | "int64" | "int32" | "uint8" | "bool",
            ) => Self::Dtype,
            ("torch", "DoubleStorage") => Self::Storage(Element::F64),
            ("torch", "FloatStorage") => Self::Storage(Element::F32),
            ("torch", "HalfStorage") => Self::Storage(Element::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Element::Bf16),
            ("torch", "LongStorage") => Self::Storage(Element::Other(8)),
            ("torch", "IntStorage") => Self::Storage(Element::Other(4)),
            ("torch", "ShortStorage") => Self::Storage(Element::Other(2)),
            ("torch", "CharStorage" | "ByteStorage" | "BoolStorage") => Self::Storage(Element::Other(1)),
            _ => return Err(Refusal::Global(format!("{}.{}", quoted(module), quoted(name)))),
        })
    }
}

/// A storage: raw elements in a member of the archive.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Storage {
    pub(super) element: Element,
    /// Number of the text that names the member.
    pub(super) key: usize,
    pub(super) n_element: usize,
}

/// A tensor: a view into a storage, in elements.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Tensor {
    pub(super) storage: usize,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// A pickle that ran to its end.
pub(super) struct Pickle<'a> {
    root: Value,
    texts: Vec<&'a str>,
    /// Elements of tuples and lists.
    sequences: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Value, Value)>>,
    storages: Vec<Storage>,
    tensors: Vec<Tensor>,
}

impl<'a> Pickle<'a> {
    pub(super) fn run(program: &'a [u8]) -> Result<Self, Refusal> {
        if program.len() > MAX_PICKLE_BYTES {
            let n_byte = program.len();
            return Err(malformed!("its pickle has {n_byte} bytes, at most {MAX_PICKLE_BYTES} are sensible"));
        }
        let (texts, sequences, dicts, storages, tensors) = (vec![], vec![], vec![], vec![], vec![]);
        let pickle = Self { root: Value::None, texts, sequences, dicts, storages, tensors };
        let mut machine =
            Machine { pickle, cursor: Cursor::new(program), stack: vec![], memo: HashMap::new() };
        while machine.step()? {}
        let Machine { mut pickle, mut stack, .. } = machine;
        pickle.root = stack
            .pop()
            .filter(|_| stack.is_empty())
            .ok_or_else(|| malformed!("the pickle leaves no value"))?;
        Ok(pickle)
    }

    pub(super) fn root(&self) -> Value {
        self.root
    }

    pub(super) fn text(&self, value: Value) -> Option<&'a str> {
        if let Value::Text(idx) = value { Some(self.texts[idx]) } else { None }
    }

    pub(super) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        if let Value::Dict(idx) = value { Some(&self.dicts[idx]) } else { None }
    }

    pub(super) fn tensor(&self, idx: usize) -> &Tensor {
        &self.tensors[idx]
    }

    pub(super) fn storage(&self, idx: usize) -> &Storage {
        &self.storages[idx]
    }

    /// The name of a storage's member.
    pub(super) fn key(&self, storage: &Storage) -> &'a str {
        self.texts[storage.key]
    }

    fn push_sequence(&mut self, values: Vec<Value>) -> usize {
        self.sequences.push(values);
        self.sequences.len() - 1
    }

    fn push_dict(&mut self) -> Value {
        self.dicts.push(Vec::new());
        Value::Dict(self.dicts.len() - 1)
    }

    fn tuple(&self, value: Value) -> Option<&[Value]> {
        if let Value::Tuple(idx) = value { Some(&self.sequences[idx]) } else { None }
    }

    /// A tuple of numbers from zero up, at most [`MAX_AXES`] of them.
    fn extents(&self, value: Value) -> Option<Vec<usize>> {
        let numbers = self.tuple(value).filter(|numbers| numbers.len() <= MAX_AXES)?;
        numbers.iter().map(|number| count(*number)).collect()
    }
}

fn count(value: Value) -> Option<usize> {
    if let Value::Int(number) = value { usize::try_from(number).ok() } else { None }
}

struct Machine<'a> {
    pickle: Pickle<'a>,
    cursor: Cursor<'a>,
    stack: Vec<Value>,
    memo: HashMap<u32, Value>,
}

impl<'a> Machine<'a> {
    /// Runs one instruction; false after the last.
    fn step(&mut self) -> Result<bool, Refusal> {
        const WHAT: &str = "an instruction of the pickle";
        let code = self.cursor.u8(WHAT)?;
        match code {
            b'.' => return Ok(false),
            0x80 => match self.cursor.u8(WHAT)? {
                2..=4 => {}
                version => return Err(Refusal::Unsupported(format!("version {version} of pickles"))),
            },
            // A frame only announces how far to read ahead.
            0x95 => drop(self.cursor.u64(WHAT)?),
            b'(' => self.stack.push(Value::Mark),
            b'0' => drop(self.pop()?),
            b'N' => self.stack.push(Value::None),
            0x88 | 0x89 => self.stack.push(Value::Inert),
            b'G' => {
                self.cursor.array::<8>(WHAT)?;
                self.stack.push(Value::Inert);
            }
            b'K' => {
                let number = self.cursor.u8(WHAT)?;
                self.stack.push(Value::Int(i64::from(number)));
            }
            b'M' => {
                let number = self.cursor.u16(WHAT)?;
                self.stack.push(Value::Int(i64::from(number)));
            }
            b'J' => {
                let number = self.cursor.u32(WHAT)? as i32;
                self.stack.push(Value::Int(i64::from(number)));
            }
            0x8a => self.long()?,
            0x8c => {
                let n_byte = self.cursor.u8(WHAT)?;
                self.push_text(u64::from(n_byte))?;
            }
            b'X' => {
                let n_byte = self.cursor.u32(WHAT)?;
                self.push_text(u64::from(n_byte))?;
            }
            b'q' => {
                let key = self.cursor.u8(WHAT)?;
                self.memoize(u32::from(key))?;
            }
            b'r' => {
                let key = self.cursor.u32(WHAT)?;
                self.memoize(key)?;
            }
            0x94 => self.memoize(self.memo.len() as u32)?,
            b'h' => {
                let key = self.cursor.u8(WHAT)?;
                self.recall(u32::from(key))?;
            }
            b'j' => {
                let key = self.cursor.u32(WHAT)?;
                self.recall(key)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Value::Global(Global::find(module, name)?));
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.stack.push(Value::Global(Global::find(module, name)?));
            }
            _ => self.step_container(code)?,
        }
        Ok(true)
    }

    /// Instructions that make and fill containers and objects.
    fn step_container(&mut self, code: u8) -> Result<(), Refusal> {
        match code {
            b')' => self.push_tuple(Vec::new()),
            b't' => {
                let values = self.pop_to_mark()?;
                self.push_tuple(values);
            }
            0x85..=0x87 => {
                let n = usize::from(code - 0x84);
                let start = self.top(n)?.start;
                let values = self.stack.split_off(start);
                self.push_tuple(values);
            }
            b']' => {
                let idx = self.pickle.push_sequence(Vec::new());
                self.stack.push(Value::List(idx));
            }
            b'}' => {
                let dict = self.pickle.push_dict();
                self.stack.push(dict);
            }
            b'a' => {
                let value = self.pop()?;
                self.extend(vec![value])?;
            }
            b'e' => {
                let values = self.pop_to_mark()?;
                self.extend(values)?;
            }
            b's' => {
                let start = self.top(2)?.start;
                let pair = self.stack.split_off(start);
                self.set(&pair)?;
            }
            b'u' => {
                let pairs = self.pop_to_mark()?;
                self.set(&pairs)?;
            }
            b'Q' => self.persistent()?,
            b'R' => self.reduce()?,
            b'b' => {
                // The state of a dictionary is its `_metadata`, which says nothing about weights.
                self.pop()?;
                if !matches!(self.stack.last(), Some(Value::Dict(_))) {
                    return Err(malformed!("the pickle sets the state of something that is no dictionary"));
                }
            }
            _ => return Err(Refusal::Unsupported(format!("instruction {code:#04x} of pickles"))),
        }
        Ok(())
    }

    /// A number of up to eight bytes; python's may be longer, those of tensors are not.
    fn long(&mut self) -> Result<(), Refusal> {
        let n_byte = self.cursor.u8("a number")?;
        let bytes = self.cursor.take(u64::from(n_byte), "a number")?;
        let Some(unused) = 8_usize.checked_sub(bytes.len()) else {
            // A random seed, perhaps: no size is that large.
            self.stack.push(Value::Inert);
            return Ok(());
        };
        let mut wide = [0; 8];
        wide[unused..].copy_from_slice(bytes);
        // Little-endian in the upper bytes, then shifted down, so that the sign comes along.
        let shift = 8 * unused as u32;
        let number = if bytes.is_empty() { 0 } else { i64::from_le_bytes(wide) >> shift };
        self.stack.push(Value::Int(number));
        Ok(())
    }

    /// Pops tensors' `("storage", type, key, device, length)` and pushes the storage.
    fn persistent(&mut self) -> Result<(), Refusal> {
        let id = self.pop()?;
        let storage = match self.pickle.tuple(id) {
            Some([tag, Value::Global(Global::Storage(element)), Value::Text(key), _, n_element])
                if self.pickle.text(*tag) == Some("storage") =>
            {
                count(*n_element).map(|n_element| Storage { element: *element, key: *key, n_element })
            }
            _ => None,
        };
        let storage =
            storage.ok_or_else(|| malformed!("the pickle refers to something that is no storage"))?;
        self.pickle.storages.push(storage);
        self.stack.push(Value::Storage(self.pickle.storages.len() - 1));
        Ok(())
    }

    /// Pops arguments and a name, pushes what that name makes of them.
    fn reduce(&mut self) -> Result<(), Refusal> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(function) = function else {
            return Err(malformed!("the pickle calls something that is no function"));
        };
        let wrong = || malformed!("the pickle calls {function:?} with other arguments than torch does");
        let arguments = self.pickle.tuple(arguments).ok_or_else(wrong)?;
        let value = match (function, arguments) {
            (Global::OrderedDict, []) => self.pickle.push_dict(),
            (Global::Size, [extents @ Value::Tuple(_)]) => *extents,
            (Global::Device, _) => Value::Inert,
            (Global::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => *tensor,
            (
                Global::RebuildTensor | Global::RebuildTensorV2,
                [Value::Storage(storage), offset, shape, strides, ..],
            ) => {
                let (storage, offset) = (*storage, count(*offset).ok_or_else(wrong)?);
                let shape = self.pickle.extents(*shape).ok_or_else(wrong)?;
                let strides = self.pickle.extents(*strides).ok_or_else(wrong)?;
                if shape.len() != strides.len() {
                    return Err(wrong());
                }
                self.pickle.tensors.push(Tensor { storage, offset, shape, strides });
                Value::Tensor(self.pickle.tensors.len() - 1)
            }
            _ => return Err(wrong()),
        };
        self.stack.push(value);
        Ok(())
    }

    fn push_text(&mut self, n_byte: u64) -> Result<(), Refusal> {
        let bytes = self.cursor.take(n_byte, "a text of the pickle")?;
        let text = std::str::from_utf8(bytes).map_err(|error| malformed!("a text is not UTF-8: {error}"))?;
        self.pickle.texts.push(text);
        self.stack.push(Value::Text(self.pickle.texts.len() - 1));
        Ok(())
    }

    /// Text up to a line feed, as names are written.
    fn line(&mut self) -> Result<&'a str, Refusal> {
        let mut rest = self.cursor.clone();
        let mut n_byte = 0;
        while rest.u8("a name")? != b'\n' {
            n_byte += 1;
        }
        let bytes = self.cursor.take(n_byte, "a name")?;
        self.cursor.u8("a name")?;
        std::str::from_utf8(bytes).map_err(|error| malformed!("a name is not UTF-8: {error}"))
    }

    fn push_tuple(&mut self, values: Vec<Value>) {
        let idx = self.pickle.push_sequence(values);
        self.stack.push(Value::Tuple(idx));
    }

    fn pop(&mut self) -> Result<Value, Refusal> {
        self.stack
            .pop_if(|value| *value != Value::Mark)
            .ok_or_else(|| malformed!("the pickle takes more than it has"))
    }

    fn pop_text(&mut self) -> Result<&'a str, Refusal> {
        let value = self.pop()?;
        self.pickle.text(value).ok_or_else(|| malformed!("the pickle has a name that is no text"))
    }

    /// The places of the topmost `n` values, none of which is a mark.
    fn top(&self, n: usize) -> Result<Range<usize>, Refusal> {
        let start =
            self.stack.len().checked_sub(n).filter(|start| !self.stack[*start..].contains(&Value::Mark));
        start
            .map(|start| start..self.stack.len())
            .ok_or_else(|| malformed!("the pickle takes more than it has"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, Refusal> {
        let mark = self.stack.iter().rposition(|value| *value == Value::Mark);
        let mark = mark.ok_or_else(|| malformed!("the pickle takes more than it has"))?;
        let values = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(values)
    }

    fn extend(&mut self, values: Vec<Value>) -> Result<(), Refusal> {
        let Some(Value::List(idx)) = self.stack.last() else {
            return Err(malformed!("the pickle appends to something that is no list"));
        };
        self.pickle.sequences[*idx].extend(values);
        Ok(())
    }

    fn set(&mut self, pairs: &[Value]) -> Result<(), Refusal> {
        let Some(Value::Dict(idx)) = self.stack.last() else {
            return Err(malformed!("the pickle sets a key of something that is no dictionary"));
        };
        let (pairs, rest) = pairs.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(malformed!("the pickle sets a key without a value"));
        }
        self.pickle.dicts[*idx].extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    fn memoize(&mut self, key: u32) -> Result<(), Refusal> {
        let range = self.top(1)?;
        self.memo.insert(key, self.stack[range.start]);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), Refusal> {
        let value = self.memo.get(&key).ok_or_else(|| malformed!("the pickle recalls what it never kept"))?;
        self.stack.push(*value);
        Ok(())
    }
}
