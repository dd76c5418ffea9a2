//! Safetensors files and folders that are sound, cut, or lie.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

use std::fs;
use std::path::Path;

use bytes::Bytes;
use eosin_core::error_chain;
use eosin_weights::{
    MemoryTensors, RawTensor, SafetensorsFolder, WeightError, WeightSource as _, write_safetensors,
};

fn file(header: &str, n_data: usize) -> Bytes {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend((0..n_data).map(|i| i as u8));
    Bytes::from(out)
}

#[test]
fn lies_are_named() {
    let check = |header: &str, n_data: usize, expected: &str| {
        let text = error_chain(&SafetensorsFolder::from_bytes(&file(header, n_data)).unwrap_err());
        assert!(text.contains(expected), "expected `{expected}` in `{text}`");
        assert!(text.starts_with("not a sound safetensors file: ") && text.ends_with(": <memory>"), "{text}");
    };
    let sound = r#"{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    assert!(SafetensorsFolder::from_bytes(&file(sound, 8)).is_ok());
    check(sound, 7, "lies at 0 to 8, the file has 7");
    check(sound, 9, "need 8 bytes of data, the file has 9");
    check(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8, "lies at 8 to 0");
    check(
        r#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
        8,
        "of shape [3] in F32 cannot have 8 bytes",
    );
    check(
        r#"{"w":{"dtype":"F16","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#,
        8,
        "cannot have 8",
    );
    check(r#"{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}"#, 8, "`w` describes no tensor");
    check(r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,99999999999999999999]}}"#, 8, "`w` describes");
    check(r#"{"w":7}"#, 0, "`w` describes no tensor");
    check(r#"{"v":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8, "begins at 4, not at 0");
    let twice = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    check(twice, 8, "`w` occurs twice");
    let overlap = r#"{"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    check(overlap, 8, "begins at 4, not at 8");
    check("[]", 0, "the header cannot be read");
    check("{", 0, "the header cannot be read");
    check(&"[".repeat(100_000), 0, "the header cannot be read");

    let claim = |n: u64| {
        let text =
            error_chain(&SafetensorsFolder::from_bytes(&Bytes::from(n.to_le_bytes().to_vec())).unwrap_err());
        assert!(text.contains(&n.to_string()), "{text}");
    };
    claim(1_000);
    claim(u64::MAX);
    for n in 0..8 {
        assert!(SafetensorsFolder::from_bytes(&Bytes::from(vec![0; n])).is_err());
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = file(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8);
    for n in 0..whole.len() {
        assert!(SafetensorsFolder::from_bytes(&whole.slice(..n)).is_err(), "{n}");
    }
}

#[test]
fn other_types_fail_only_when_they_are_asked_for() {
    let header = r#"{"ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"w":{"dtype":"BF16","shape":[],"data_offsets":[8,10]}}"#;
    let folder = SafetensorsFolder::from_bytes(&file(header, 10)).unwrap();
    assert_eq!(folder.names(), ["w"]);
    assert!(folder.contains("ids"));
    assert_eq!(folder.tensor("w").unwrap().n_element(), 1);
    let text = folder.tensor("ids").unwrap_err().to_string();
    assert_eq!(
        text,
        "this safetensors file holds tensor `ids` of type I64, which is not supported: <memory>"
    );
    assert!(matches!(folder.tensor("absent"), Err(WeightError::MissingTensor { .. })));
}

fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|x| x as f32 * 0.5).collect()
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = vec![
        ("a.weight".to_owned(), vec![2, 3], numbers(6)),
        ("scale".to_owned(), vec![], numbers(1)),
        ("empty".to_owned(), vec![0, 4], vec![]),
    ];
    let mut source = MemoryTensors::from_f32(tensors.clone()).unwrap();
    let half = RawTensor::from_f32("half", eosin_weights::GgmlType::F16, vec![5], &numbers(5)).unwrap();
    source.insert("half", half);
    write_safetensors(&folder.path().join("only.safetensors"), &source).unwrap();
    let read = SafetensorsFolder::open(folder.path()).unwrap();
    for (name, shape, values) in tensors {
        let tensor = read.tensor(&name).unwrap();
        assert_eq!((tensor.shape.clone(), tensor.to_f32()), (shape, values), "{name}");
    }
    assert_eq!(read.tensor("half").unwrap().to_f32(), numbers(5));
    assert!(MemoryTensors::from_f32(vec![("x".to_owned(), vec![2], numbers(3))]).is_err());
}

fn write_shard(path: &Path, names: &[&str]) {
    let tensors = names.iter().map(|name| ((*name).to_owned(), vec![2], numbers(2))).collect();
    write_safetensors(path, &MemoryTensors::from_f32(tensors).unwrap()).unwrap();
}

#[test]
fn shards_are_joined_by_their_index_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_shard(&path.join("m-1.safetensors"), &["a", "b"]);
    write_shard(&path.join("m-2.safetensors"), &["c"]);
    let index = path.join("model.safetensors.index.json");
    let check = |weight_map: &str, expected: Result<&[&str], &str>| {
        fs::write(&index, format!(r#"{{"metadata":{{"total_size":1}},"weight_map":{weight_map}}}"#)).unwrap();
        match (SafetensorsFolder::open(path), expected) {
            (Ok(read), Ok(names)) => assert_eq!(read.names(), names),
            (Err(error), Err(expected)) => {
                let text = error_chain(&error);
                assert!(text.contains(expected), "expected `{expected}` in `{text}`");
            }
            (result, expected) => panic!("{result:?} instead of {expected:?}"),
        }
    };
    check(r#"{"b":"m-1.safetensors","c":"m-2.safetensors","a":"m-1.safetensors"}"#, Ok(&["b", "c", "a"]));
    check(r#"{"c":"m-1.safetensors"}"#, Err("no tensor `c` in "));
    check(r#"{"c":"m-3.safetensors"}"#, Err("cannot read "));
    check(r#"{"c":"../m-2.safetensors"}"#, Err("`../m-2.safetensors` is no plain file name"));
    check(r#"{"c":"/etc/passwd"}"#, Err("`/etc/passwd` is no plain file name"));
    check(r#"{"c":".."}"#, Err("no plain file name"));
    check(r#"{"c":""}"#, Err("no plain file name"));
    check(r#"{"c":"a\\b"}"#, Err("no plain file name"));
    check(r#"{"c":"m-2.safetensors","c":"m-2.safetensors"}"#, Err("`c` occurs twice"));
    check("7", Err("not a sound safetensors index file"));
    fs::remove_file(&index).unwrap();
    let text = error_chain(&SafetensorsFolder::open(path).unwrap_err());
    assert!(text.contains("2 files of this kind and no index"), "{text}");
}
