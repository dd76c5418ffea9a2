//! GGUF files that are sound, cut, or lie. A sound file survives the round trip; any other is refused with
//! one line that names the file and the cause, and never with a panic or an allocation it did not pay for.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

use bytes::Bytes;
use eosin_core::error_chain;
use eosin_weights::{
    GgmlType, Gguf, GgufWriter, MetaArray, MetaValue, RawTensor, WeightError, WeightSource as _,
};
use proptest::prelude::*;

/// A GGUF header by hand, so that each part can lie.
#[derive(Clone)]
struct Raw {
    version: u32,
    n_tensor: u64,
    n_pair: u64,
    body: Vec<u8>,
    data: Vec<u8>,
}

impl Raw {
    fn new() -> Self {
        Self { version: 3, n_tensor: 0, n_pair: 0, body: Vec::new(), data: vec![0; 64] }
    }

    fn string(mut self, text: &[u8]) -> Self {
        self.body.extend((text.len() as u64).to_le_bytes());
        self.body.extend(text);
        self
    }

    fn pair(mut self, key: &[u8], id: u32, value: &[u8]) -> Self {
        self.n_pair += 1;
        self = self.string(key);
        self.body.extend(id.to_le_bytes());
        self.body.extend(value);
        self
    }

    fn tensor(mut self, name: &[u8], dims: &[u64], id: u32, offset: u64) -> Self {
        self.n_tensor += 1;
        self = self.string(name);
        self.body.extend((dims.len() as u32).to_le_bytes());
        self.body.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
        self.body.extend(id.to_le_bytes());
        self.body.extend(offset.to_le_bytes());
        self
    }

    fn bytes(&self) -> Bytes {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.n_tensor.to_le_bytes());
        out.extend(self.n_pair.to_le_bytes());
        out.extend(&self.body);
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(&self.data);
        Bytes::from(out)
    }
}

fn refusal(raw: &Raw) -> String {
    error_chain(&Gguf::from_bytes(raw.bytes()).unwrap_err())
}

#[test]
fn lies_are_named() {
    let check = |raw: Raw, expected: &str| {
        let text = refusal(&raw);
        assert!(text.contains(expected), "expected `{expected}` in `{text}`");
        assert!(text.ends_with(": <memory>"), "{text}");
    };
    let sound = Raw::new().tensor(b"w", &[8], 0, 0);
    assert_eq!(Gguf::from_bytes(sound.bytes()).unwrap().names(), ["w"]);

    check(Raw { version: 2, ..sound.clone() }, "version 2");
    check(Raw { version: 3_u32.swap_bytes(), ..sound.clone() }, "big-endian");
    check(Raw { n_tensor: u64::MAX, ..sound.clone() }, "claims 18446744073709551615 tensors");
    check(Raw { n_pair: u64::MAX, ..sound.clone() }, "claims 18446744073709551615 keys");
    check(Raw { n_tensor: 2, ..sound.clone() }, "tensor");

    let tensor = |dims: &[u64], id, offset| Raw::new().tensor(b"w", dims, id, offset);
    check(tensor(&[17], 0, 0), "tensor `w` has 68 bytes at 0, the file holds 64 bytes of data");
    check(tensor(&[8], 0, 64), "32 bytes at 64");
    check(tensor(&[8], 0, u64::MAX - 31), "32 bytes at 18446744073709551584");
    check(tensor(&[8], 0, 8), "begins at 8, which is not a multiple of 32");
    check(tensor(&[u64::MAX], 0, 0), "is impossible in F32");
    check(tensor(&[1 << 32, 1 << 32], 0, 0), "is impossible in F32");
    check(tensor(&[1 << 31, 1 << 31, 1 << 31], 1, 0), "is impossible in F16");
    check(tensor(&[33], 8, 0), "of shape [33] is impossible in Q8_0");
    check(tensor(&[0], 0, 0), "impossible extent");
    check(tensor(&[1, 1, 1, 1, 1], 0, 0), "5 axes");
    check(tensor(&[8], 6, 0), "tensor `w` of ggml type Q5_0 (6)");
    check(tensor(&[8], 9999, 0), "ggml type unknown (9999)");
    check(tensor(&[8], 0, 0).tensor(b"w", &[8], 0, 32), "tensor `w` occurs twice");
    check(tensor(&[9], 0, 0).tensor(b"v", &[1], 0, 32), "tensors `w` and `v` overlap");
    check(Raw::new().tensor(b"a\n\xff", &[1], 0, 0), "name is not UTF-8");
    check(Raw::new().tensor(&[b'x'; 300], &[1], 0, 0), "name has 300 bytes");

    let one = 1_u32.to_le_bytes();
    check(Raw::new().pair(b"k", 4, &one).pair(b"k", 4, &one), "key `k` occurs twice");
    check(Raw::new().pair(b"k\x1b[2J\n", 13, &one), "key `k\\u{1b}[2J\\n` has the unknown type 13");
    check(Raw::new().pair(b"k", 7, &[2]), "bool of value 2");
    check(Raw::new().pair(b"general.alignment", 4, &0_u32.to_le_bytes()), "no power of two");
    check(Raw::new().pair(b"general.alignment", 4, &33_u32.to_le_bytes()), "no power of two");
    check(Raw::new().pair(b"general.alignment", 8, &0_u64.to_le_bytes()), "no power of two");
    let array = |id: u32, n: u64| [&id.to_le_bytes()[..], &n.to_le_bytes()].concat();
    check(Raw::new().pair(b"k", 9, &array(9, 1)), "array of arrays");
    check(Raw::new().pair(b"k", 9, &array(8, 1 << 60)), "claims 1152921504606846976 strings");
    check(
        Raw::new().pair(b"k", 9, &array(4, 1 << 62)),
        "an array of 4611686018427387904 elements is impossible",
    );
    check(Raw::new().pair(b"k", 9, &array(4, 1 << 40)), "an array needs 4398046511104 bytes");
    check(Raw::new().pair(b"k", 9, &array(7, u64::MAX)), "claims 18446744073709551615 elements");
    check(Raw::new().pair(b"k", 9, &array(77, 0)), "unknown type 77");
    check(Raw::new().pair(b"k", 8, &(1_u64 << 40).to_le_bytes()), "a value has 1099511627776 bytes");
    check(Raw::new().pair(b"k", 8, &(1_u64 << 20).to_le_bytes()), "a value needs 1048576 bytes");
}

#[test]
fn another_alignment_is_kept() {
    let raw =
        Raw::new().pair(b"general.alignment", 4, &8_u32.to_le_bytes()).tensor(b"ten.letter", &[2], 0, 8);
    let mut bytes = raw.bytes().to_vec();
    let n_header = bytes.len() - raw.data.len();
    // The padding of `bytes` is to 32; with 8 the data begins earlier.
    let start = (24 + raw.body.len()).next_multiple_of(8);
    assert!(start < n_header);
    bytes[start + 8..][..4].copy_from_slice(&2.5_f32.to_le_bytes());
    let gguf = Gguf::from_bytes(Bytes::from(bytes)).unwrap();
    assert_eq!(gguf.tensor("ten.letter").unwrap().to_f32()[..1], [2.5]);
}

fn small() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.gguf");
    let mut writer = GgufWriter::new();
    writer.set("general.architecture", "qwen2vl");
    writer.set("tokens", MetaValue::Array(MetaArray::String(vec!["a".into(), "bc".into()])));
    writer.set("sections", MetaValue::Array(MetaArray::I32(vec![16, 24, 24, 0])));
    writer.tensor("norm", GgmlType::F32, &[4], vec![1; 16]).unwrap();
    writer.tensor("w", GgmlType::Q8_0, &[2, 32], vec![3; 68]).unwrap();
    writer.write(&path).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = small();
    // The last bytes only pad the last tensor to the alignment.
    let n_needed = whole.len() - 28;
    for n in 0..whole.len() {
        let cut = Gguf::from_bytes(Bytes::copy_from_slice(&whole[..n]));
        assert_eq!(cut.is_ok(), n >= n_needed, "{n} of {} bytes", whole.len());
    }
}

#[test]
fn a_file_with_any_byte_changed_is_read_or_refused() {
    let whole = small();
    for at in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff, whole[at] ^ 1] {
            let mut changed = whole.clone();
            changed[at] = byte;
            if let Ok(gguf) = Gguf::from_bytes(Bytes::from(changed)) {
                for name in gguf.names() {
                    gguf.tensor(name).unwrap().to_f32();
                }
            }
        }
    }
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.gguf");
    std::fs::write(&path, b"GGUX").unwrap();
    let text = error_chain(&Gguf::open(&path).unwrap_err());
    assert_eq!(text, format!("not a sound GGUF file: it does not begin with `GGUF`: {}", path.display()));
    std::fs::write(&path, small()).unwrap();
    let gguf = Gguf::open(&path).unwrap();
    assert!(matches!(gguf.tensor("absent"), Err(WeightError::MissingTensor { .. })));
    assert_eq!(gguf.path(), path);
}

#[test]
fn a_failed_tensor_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.gguf");
    let mut writer = GgufWriter::new();
    writer.tensor_with("w", GgmlType::F32, &[4], || Ok(Bytes::from_static(&[0; 8]))).unwrap();
    assert!(matches!(writer.write(&path), Err(WeightError::Size { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(GgufWriter::new().tensor("w", GgmlType::Q8_0, &[16], vec![0; 17]).is_err());
}

fn text() -> impl Strategy<Value = String> {
    "[a-zé.☃\\n]{0,12}"
}

fn value() -> impl Strategy<Value = MetaValue> {
    let n = 0..5_usize;
    prop_oneof![
        any::<u8>().prop_map(MetaValue::U8),
        any::<i8>().prop_map(MetaValue::I8),
        any::<u16>().prop_map(MetaValue::U16),
        any::<i16>().prop_map(MetaValue::I16),
        any::<u32>().prop_map(MetaValue::U32),
        any::<i32>().prop_map(MetaValue::I32),
        any::<f32>().prop_map(MetaValue::F32),
        any::<bool>().prop_map(MetaValue::Bool),
        text().prop_map(MetaValue::String),
        any::<u64>().prop_map(MetaValue::U64),
        any::<i64>().prop_map(MetaValue::I64),
        any::<f64>().prop_map(MetaValue::F64),
        prop::collection::vec(any::<u8>(), n.clone()).prop_map(|x| MetaValue::Array(MetaArray::U8(x))),
        prop::collection::vec(any::<i16>(), n.clone()).prop_map(|x| MetaValue::Array(MetaArray::I16(x))),
        prop::collection::vec(any::<i32>(), n.clone()).prop_map(|x| MetaValue::Array(MetaArray::I32(x))),
        prop::collection::vec(any::<f32>(), n.clone()).prop_map(|x| MetaValue::Array(MetaArray::F32(x))),
        prop::collection::vec(any::<bool>(), n.clone()).prop_map(|x| MetaValue::Array(MetaArray::Bool(x))),
        prop::collection::vec(text(), n.clone()).prop_map(|x| MetaValue::Array(MetaArray::String(x))),
        prop::collection::vec(any::<u64>(), n).prop_map(|x| MetaValue::Array(MetaArray::U64(x))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        pairs in prop::collection::btree_map("[a-z.]{1,8}", value(), 0..8),
        tensors in prop::collection::btree_map(
            "[a-z.]{1,8}",
            (prop::sample::select(&GgmlType::ALL[..]), 1..4_usize, 1..3_usize, any::<u64>()),
            0..6,
        ),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.gguf");
        let mut writer = GgufWriter::new();
        for (key, value) in &pairs {
            writer.set(key, value.clone());
        }
        let mut expected = Vec::new();
        for (name, (kind, n_row, n_block, seed)) in &tensors {
            let shape = vec![*n_row, n_block * kind.block_len()];
            let n_byte = n_row * n_block * kind.block_bytes();
            let bytes: Vec<u8> = (0..n_byte as u64).map(|i| (seed.wrapping_mul(i | 1) >> 56) as u8).collect();
            writer.tensor(name, *kind, &shape, bytes.clone()).unwrap();
            expected.push((name, RawTensor::new(name, *kind, shape, Bytes::from(bytes)).unwrap()));
        }
        writer.write(&path).unwrap();

        let gguf = Gguf::open(&path).unwrap();
        let read: Vec<_> = gguf.meta().iter().collect();
        prop_assert_eq!(read.len(), pairs.len());
        for ((key, value), (read_key, read_value)) in pairs.iter().zip(read) {
            prop_assert_eq!(key, read_key);
            // Not-a-numbers are unequal to themselves, so their text is compared.
            prop_assert_eq!(format!("{value:?}"), format!("{read_value:?}"));
        }
        prop_assert_eq!(gguf.names().len(), expected.len());
        for (name, tensor) in expected {
            let read = gguf.tensor(name).unwrap();
            prop_assert_eq!((read.kind, &read.shape, &read.bytes), (tensor.kind, &tensor.shape, &tensor.bytes));
        }
    }
}
