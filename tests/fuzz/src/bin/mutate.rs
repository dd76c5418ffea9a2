//! The targets without libFuzzer: a seeded mutator that runs on stable and on any machine.
//!
//! It keeps an input when its outcome (what was read, or which refusal) is new, so that it works its way
//! past one check after another, and it counts memory: an input may cost a bounded multiple of its own
//! length, whatever its headers claim. Usage: `mutate <target> <seconds> [seed]`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use eosin_fuzz::Target;
use eosin_weights::{GgmlType, GgufWriter, MetaArray, MetaValue};

/// Counts what is allocated, for the bound on memory.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator unchanged; only numbers are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Memory that an input of `n` bytes may cost: tables of a pickle are the worst, with tens of bytes for one.
fn memory_bound(n: usize) -> usize {
    (4 << 20) + 256 * n
}

/// An input may take no longer, on any machine.
const MAX_TIME: Duration = Duration::from_secs(2);
const MAX_BYTES: usize = 64 << 10;

/// xorshift: the same seed gives the same inputs everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

const INTERESTING: [u64; 20] = [
    0,
    1,
    2,
    3,
    7,
    8,
    9,
    31,
    32,
    33,
    127,
    128,
    255,
    256,
    65535,
    1 << 31,
    u32::MAX as u64,
    1 << 40,
    u64::MAX >> 1,
    u64::MAX,
];
const WORDS: [&[u8]; 22] = [
    b"GGUF",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"PK\x01\x02",
    b"general.alignment",
    b"\"shape\":[",
    b"\"dtype\":\"F32\"",
    b"\"data_offsets\":[0,",
    b"99999999999999999999",
    b"-1",
    b"1e9",
    b"\\u0000",
    b"cos\nsystem\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ccollections\nOrderedDict\n",
    b")R",
    b"(",
    b"tQ",
    b"}",
    b"\x8a\x08",
    b"h\x00",
];

fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(11) {
            0 if !bytes.is_empty() => bytes[at.min(at.saturating_sub(1))] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.next() as u8,
            2 | 3 => {
                let width = [1, 2, 4, 8][random.below(4)];
                let value = INTERESTING[random.below(INTERESTING.len())].to_le_bytes();
                // Numbers in headers are often aligned to nothing, but near the start.
                let at = if random.below(2) == 0 { at } else { at % 64 };
                for (byte, value) in bytes.iter_mut().skip(at).zip(&value[..width]) {
                    *byte = *value;
                }
            }
            4 if at < bytes.len() => {
                // One more or one less, the classic.
                bytes[at] =
                    if random.below(2) == 0 { bytes[at].wrapping_add(1) } else { bytes[at].wrapping_sub(1) };
            }
            5 => bytes.truncate(at),
            6 if at < bytes.len() => {
                let end = (at + 1 + random.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            7 if at < bytes.len() => {
                let end = (at + 1 + random.below(128)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            8 | 9 => {
                let word = WORDS[random.below(WORDS.len())];
                let end = if random.below(2) == 0 { at } else { (at + word.len()).min(bytes.len()) };
                bytes.splice(at..end, word.iter().copied());
            }
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes.truncate(MAX_BYTES);
    bytes
}

fn seeds(target: Target) -> Vec<Vec<u8>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/weights");
    let mut seeds = Vec::new();
    let wanted = match target {
        Target::Gguf => {
            let path = std::env::temp_dir().join(format!("eosin-fuzz-{}.gguf", std::process::id()));
            let mut writer = GgufWriter::new();
            writer.set("general.architecture", "qwen2vl");
            writer.set("general.alignment", 32);
            writer.set("t", MetaValue::Array(MetaArray::String(vec!["a".into(), "bc".into()])));
            writer.set("b", MetaValue::Array(MetaArray::Bool(vec![true, false])));
            writer.set("i", MetaValue::Array(MetaArray::I32(vec![16, 24, 24, 0])));
            writer.set("f", MetaValue::F64(0.5));
            for kind in GgmlType::ALL {
                let bytes = vec![1; 2 * kind.block_bytes()];
                writer.tensor(kind.name(), kind, &[2, kind.block_len()], bytes).expect("whole blocks");
            }
            writer.write(&path).expect("the temporary folder can be written");
            seeds.push(std::fs::read(&path).expect("it was just written"));
            let _ = std::fs::remove_file(path);
            ".gguf"
        }
        Target::Pickle => ".pt",
        Target::SafetensorsHeader => ".safetensors",
        #[cfg(feature = "training")]
        Target::Rows => {
            seeds.extend(row_seeds());
            "no further ones"
        }
    };
    let crashes = Path::new(env!("CARGO_MANIFEST_DIR")).join("crashes").join(target.name());
    for folder in [golden, crashes] {
        let Ok(items) = std::fs::read_dir(folder) else { continue };
        let mut paths: Vec<PathBuf> =
            items.map(|item| item.expect("the folder can be listed").path()).collect();
        paths.sort();
        for path in paths {
            let is_crash = path.parent().is_some_and(|parent| parent.ends_with(target.name()));
            if is_crash || path.to_string_lossy().ends_with(wanted) {
                seeds.push(std::fs::read(path).expect("a seed can be read"));
            }
        }
    }
    seeds.retain(|seed| seed.len() <= MAX_BYTES);
    seeds
}

/// A file of each container, behind the byte that chooses it.
#[cfg(feature = "training")]
fn row_seeds() -> Vec<Vec<u8>> {
    let talk = r#"{"conversations":[{"from":"human","value":"Q"},{"from":"gpt","value":"A"}],"images":[]}"#;
    let parts = r#"{"messages":[{"role":"user","content":[{"type":"image","image":"data:image/png;base64,AAAA"}]},{"role":"assistant","content":"A","loss":1}]}"#;
    let rl = r#"{"prompt":[{"role":"user","content":"Q"}],"reward_model":{"ground_truth":"B"},"extra_info":{"index":1}}"#;
    let nested = format!(r#"{{"PubMed":{{"val":[{talk}]}}}}"#);
    let mut seeds = vec![
        [&[0], talk.as_bytes(), b"\n", talk.as_bytes()].concat(),
        [&[0], parts.as_bytes()].concat(),
        [&[0], rl.as_bytes()].concat(),
        [&[1, b'['], talk.as_bytes(), b",", parts.as_bytes(), b"]"].concat(),
        [&[1], nested.as_bytes()].concat(),
        b"\x02image,caption\na.png,\"a \"\"b\"\"\nc\"\n".to_vec(),
    ];
    // A shard of one sample: its picture is nothing, its caption a word.
    let mut tar = vec![3];
    for (name, body) in [("0.png", "x"), ("0.txt", "word"), ("0.json", "{}")] {
        let mut head = [0_u8; 512];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[100..108].copy_from_slice(b"0000644\0");
        head[124..136].copy_from_slice(format!("{:011o}\0", body.len()).as_bytes());
        head[156] = b'0';
        head[257..265].copy_from_slice(b"ustar\x0000");
        head[148..156].copy_from_slice(b"        ");
        let sum: u32 = head.iter().map(|&byte| u32::from(byte)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend(head);
        tar.extend(body.as_bytes());
        tar.resize((tar.len() - 1).next_multiple_of(512) + 1, 0);
    }
    tar.resize(tar.len() + 1024, 0);
    seeds.push(tar);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/data");
    for name in ["pathvqa", "verl", "pages", "deltas", "other"] {
        let bytes = std::fs::read(golden.join(name).with_extension("parquet"));
        seeds.push([vec![4], bytes.expect("the references are there")].concat());
    }
    seeds
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: mutate gguf|pickle|safetensors_header|rows <seconds> [seed]";
    let target = Target::ALL
        .iter()
        .copied()
        .find(|target| Some(target.name()) == arguments.first().map(String::as_str));
    let target = target.expect(usage);
    let secs = arguments.get(1).and_then(|secs| secs.parse().ok()).expect(usage);
    let seed = arguments.get(2).map_or(1, |seed| seed.parse().expect(usage));
    let mut random = Random(seed | 1 << 63);

    let mut corpus = seeds(target);
    let mut seen: HashSet<String> = HashSet::new();
    let (start, mut n_run, mut dearest, n_seed) = (Instant::now(), 0_u64, 0.0_f64, corpus.len());
    while start.elapsed() < Duration::from_secs(secs) {
        // The seeds first as they are.
        let bytes = corpus.get(n_run as usize).filter(|_| n_run < n_seed as u64).cloned();
        let bytes = bytes.unwrap_or_else(|| mutate(&mut random, &corpus));
        let before = NOW.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let input = Bytes::from(bytes.clone());
        let began = Instant::now();
        let outcome = std::panic::catch_unwind(|| target.run(input));
        let (took, cost) = (began.elapsed(), PEAK.load(Ordering::Relaxed) - before);
        dearest = dearest.max(cost as f64 / (bytes.len() + 4096) as f64);
        n_run += 1;
        let fault = match &outcome {
            Err(_) => Some("it panicked".to_owned()),
            Ok(_) if took > MAX_TIME => Some(format!("it took {took:?}")),
            Ok(_) if cost > memory_bound(bytes.len()) => Some(format!("it cost {cost} bytes of memory")),
            Ok(_) => None,
        };
        if let Some(fault) = fault {
            let path = format!("crash-{}-{n_run}", target.name());
            std::fs::write(&path, &bytes).expect("the crash can be written");
            eprintln!("{fault}: {path}, {} bytes", bytes.len());
            std::process::exit(1);
        }
        if let Ok(outcome) = outcome
            && n_run > n_seed as u64
            && seen.insert(outcome)
        {
            corpus.push(bytes);
        }
    }
    println!(
        "{}: seed {seed}, {n_run} inputs, {} outcomes, at most {dearest:.1} bytes of memory for one of input, no fault",
        target.name(),
        seen.len()
    );
}
