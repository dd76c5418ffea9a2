//! Checkpoints that torch wrote, and archives that attack: `tests/golden/make_torch.py` makes both.

use std::path::PathBuf;

use bytes::Bytes;
use eosin_core::{Hint as _, error_chain};
use eosin_weights::{SafetensorsFolder, TorchCheckpoint, WeightError, WeightSource as _};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/weights").join(name)
}

#[test]
fn checkpoints_hold_what_torch_put_there() {
    let expected = SafetensorsFolder::open(&golden("expected.safetensors")).unwrap();
    for name in ["state.pt", "training.pt"] {
        let read = TorchCheckpoint::open(&golden(name)).unwrap();
        let (mut ours, mut theirs) = (read.names(), expected.names());
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs, "{name}");
        for tensor in theirs {
            let (a, b) = (read.tensor(tensor).unwrap(), expected.tensor(tensor).unwrap());
            assert_eq!((a.kind, &a.shape, a.to_f32()), (b.kind, &b.shape, b.to_f32()), "{name}: {tensor}");
        }
        let text = read.tensor("positions").unwrap_err().to_string();
        assert!(text.contains("tensor `positions` of integers of 8 bytes"), "{text}");
        assert!(matches!(read.tensor("absent"), Err(WeightError::MissingTensor { .. })));
    }
}

#[test]
fn attacks_are_refused_by_name() {
    let check = |name: &str, expected: &str| {
        let error = TorchCheckpoint::open(&golden(name)).unwrap_err();
        let text = error_chain(&error);
        assert!(text.contains(expected), "{name}: expected `{expected}` in `{text}`");
        assert!(text.contains(name), "{text}");
        error
    };
    let error = check("evil_system.pt", "the pickle asks for `posix.system`");
    assert!(matches!(error, WeightError::Global { .. }) && error.hint().is_some());
    check("evil_eval.pt", "the pickle asks for `builtins.eval`");
    check("evil_getattr.pt", "the pickle asks for `__builtin__.getattr`");
    check("evil_compressed.pt", "the compressed member `archive/");
    check("evil_proto5.pt", "version 5 of pickles");
    check("evil_deep.pt", "its root is no dictionary");
    check("evil_unfinished.pt", "needs 1 bytes, the file has 0 left");
    check("evil_no_dict.pt", "its root is no dictionary");
    check("evil_outside.pt", "tensor `w` leaves its storage");
    check("evil_stride.pt", "tensor `w` leaves its storage");
    check("evil_repeat.pt", "tensor `w` leaves its storage");
    check("evil_overflow.pt", "tensor `w` leaves its storage");
    check("evil_negative.pt", "with other arguments than torch does");
    check("evil_claims.pt", "claims 1000000000000 elements in 16 bytes");
    check("legacy.pt", "a bare pickle, as torch wrote before 1.6");
    check("script.pt", "a TorchScript program");
    // The same by hand, but true.
    assert_eq!(TorchCheckpoint::open(&golden("evil_fits.pt")).unwrap().tensor("w").unwrap().shape, [2, 2]);
}

#[test]
fn a_checkpoint_cut_or_changed_anywhere_is_read_or_refused() {
    let whole = std::fs::read(golden("state.pt")).unwrap();
    for n in 0..whole.len() {
        // All of it ends with the directory, so no part of it is a checkpoint.
        assert!(TorchCheckpoint::from_bytes(&Bytes::copy_from_slice(&whole[..n])).is_err(), "{n}");
    }
    for at in 0..whole.len() {
        for byte in [0, 0xff, whole[at] ^ 1, whole[at] ^ 0x80] {
            let mut changed = whole.clone();
            changed[at] = byte;
            if let Ok(read) = TorchCheckpoint::from_bytes(&Bytes::from(changed)) {
                for name in read.names() {
                    read.tensor(name).unwrap().to_f32();
                }
            }
        }
    }
}
