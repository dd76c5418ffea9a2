//! Eosin's side of `peers.py`: wishes as JSON lines on stdin, seconds as JSON lines on stdout.
//!
//! ```text
//! RAYON_NUM_THREADS=2 cargo bench … --bench peers <<< '{"do": "roof", "threads": 2}'
//! ```
//! One process opens a model once and measures what it is asked for, one thing at a time, so that the other program's
//! turns come between. Clocks run over the model's own work: pixels and tokens are there before. What is done with a
//! whole question goes through [`Session`], as in the program. `cargo xtask bench peers` runs it.

#![expect(clippy::print_stdout, reason = "a measurement's product is what it prints")]

#[path = "support/roof.rs"]
mod roof;

use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use eosin_core::{DeviceChoice, RgbTile};
use eosin_model::clip::{Clip, Encoder, Format};
use eosin_model::prepare::{ImageTensor, Preprocess};
use eosin_model::qwen::{KvCache, Positions, Qwen};
use eosin_session::embed::ClipBundle;
use eosin_session::{
    AskOptions, BundleSource, Cancel, EndOfTurn, ModelBundle, PromptLookup, Question, Session, StreamEvent,
};
use eosin_weights::SafetensorsFolder;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Answer = Result<Value, Box<dyn Error>>;

fn main() {
    let mut bench = Bench::default();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let answer = serde_json::from_str(&line).map_err(Into::into).and_then(|wish| bench.serve(&wish));
        println!("{}", answer.unwrap_or_else(|error| json!({"error": error.to_string()})));
        let _ = std::io::stdout().flush();
    }
}

/// What was opened.
#[derive(Default)]
struct Bench {
    model: Option<(Qwen, KvCache, Preprocess)>,
    session: Option<Session>,
    clip: Option<(Encoder, Device)>,
    random: u64,
}

impl Bench {
    fn serve(&mut self, wish: &Value) -> Answer {
        let path = |key: &str| wish[key].as_str().map(PathBuf::from);
        let n = wish["n"].as_u64().unwrap_or(1) as usize;
        let model = || path("model").ok_or("no model was named");
        match wish["do"].as_str().unwrap_or_default() {
            "open" => self.open(&model()?, path("mmproj").as_deref()),
            "prefill" => self.prefill(n),
            "decode" => self.decode(n),
            "encode" => self.encode(wish["px"].as_u64().unwrap_or(448) as u32),
            "open_session" => self.open_session(model()?, path("mmproj")),
            "forget" => {
                self.session()?.forget();
                Ok(json!({}))
            }
            "ask" => self.ask(wish, n),
            "open_clip" => self.open_clip(&model()?, wish["format"].as_str()),
            "embed" => self.embed(n),
            "roof" => Ok(
                json!({"bytes_per_sec": roof::read_bytes_per_sec(wish["threads"].as_u64().unwrap_or(1) as usize)}),
            ),
            other => Err(format!("nobody knows how to do {other:?}").into()),
        }
    }

    fn open(&mut self, model: &Path, mmproj: Option<&Path>) -> Answer {
        let clock = Clock::start();
        let bundle = ModelBundle::open(model, mmproj)?;
        let qwen = bundle.load(&eosin_kernels::select(DeviceChoice::Cpu)?.device)?;
        let cache = qwen.cache(1024);
        let answer = clock.json(json!({"weight_bytes": bundle.weight_bytes()}));
        self.model = Some((qwen, cache, bundle.preprocess.clone()));
        Ok(answer)
    }

    /// Tokens without a meaning: letters of the vocabulary.
    fn ids(&mut self, n: usize) -> Vec<u32> {
        let mut next = || {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.random >> 33) as u32 % 256
        };
        (0..n).map(|_| next()).collect()
    }

    fn model(&mut self) -> Result<&mut (Qwen, KvCache, Preprocess), Box<dyn Error>> {
        self.model.as_mut().ok_or_else(|| "no model is open".into())
    }

    fn session(&mut self) -> Result<&mut Session, Box<dyn Error>> {
        self.session.as_mut().ok_or_else(|| "no session is open".into())
    }

    fn prefill(&mut self, n: usize) -> Answer {
        let ids = self.ids(n);
        let (qwen, cache, _) = self.model()?;
        cache.truncate(0);
        let clock = Clock::start();
        read(&qwen.prefill(&ids, None, &Positions::text(0, n), cache)?);
        Ok(clock.json(json!({})))
    }

    /// `n` tokens, one after another, after an empty context.
    fn decode(&mut self, n: usize) -> Answer {
        let ids = self.ids(n + 1);
        let (qwen, cache, _) = self.model()?;
        cache.truncate(0);
        read(&qwen.decode(ids[0], 0, cache)?);
        let clock = Clock::start();
        for (position, id) in ids.iter().enumerate().skip(1) {
            read(&qwen.decode(*id, position as u32, cache)?);
        }
        Ok(clock.json(json!({})))
    }

    fn encode(&mut self, side_px: u32) -> Answer {
        let tile = picture(side_px)?;
        let (qwen, _, preprocess) = self.model()?;
        let image: ImageTensor = preprocess.prepare(&tile)?;
        let clock = Clock::start();
        let tokens = qwen.encode_image(&image)?;
        let n_token = tokens.dims()[0];
        drop(tokens.into_data());
        Ok(clock.json(json!({"n_token": n_token})))
    }

    fn open_session(&mut self, model: PathBuf, mmproj: Option<PathBuf>) -> Answer {
        let clock = Clock::start();
        self.session = Some(Session::open(&BundleSource::Files { model, mmproj }, DeviceChoice::Cpu)?);
        Ok(clock.json(json!({})))
    }

    /// A question, with a picture where `px` is given; `secs` is the time to the first token.
    fn ask(&mut self, wish: &Value, n: usize) -> Answer {
        let text = wish["text"].as_str().unwrap_or("What does it show?");
        let pictures = match wish["px"].as_u64() {
            Some(side_px) => vec![Arc::new(picture(side_px as u32)?)],
            None => Vec::new(),
        };
        let mut question = Question::about(pictures, text);
        question.options = AskOptions {
            greedy: true,
            max_tokens: Some(n),
            end_of_turn: EndOfTurn::Ignored,
            prompt_lookup: match wish["lookup"].as_bool() {
                Some(false) => PromptLookup::Off,
                _ => PromptLookup::On,
            },
            ..AskOptions::default()
        };
        let mut answer = json!({});
        let (clock, mut decoding) = (Clock::start(), Clock::start());
        self.session()?.answer(&question, &Cancel::default(), &mut |event| match event {
            StreamEvent::Prefilled { .. } => {
                answer = clock.json(json!({}));
                decoding = Clock::start();
            }
            StreamEvent::Done { usage, transcript, .. } => {
                answer["decode_cpu_secs"] = json!(cpu_secs() - decoding.cpu_secs);
                answer["n_prompt"] = json!(usage.n_prompt);
                answer["n_reused"] = json!(usage.n_reused);
                answer["n_image_reused"] = json!(usage.n_image_reused);
                answer["n_proposed"] = json!(usage.n_proposed);
                answer["n_accepted"] = json!(usage.n_accepted);
                answer["vision_secs"] = json!(usage.vision_secs);
                answer["prefill_secs"] = json!(usage.prefill_secs);
                answer["decode_secs"] = json!(usage.decode_secs);
                answer["token_ids"] = json!(transcript.token_ids);
                answer["text"] = json!(transcript.text);
            }
            _ => {}
        })?;
        Ok(answer)
    }

    fn open_clip(&mut self, folder: &Path, format: Option<&str>) -> Answer {
        let clock = Clock::start();
        let device = eosin_kernels::select(DeviceChoice::Cpu)?.device;
        let config = ClipBundle::open(folder)?.config().clone();
        let clip = Clip::load(&config, &SafetensorsFolder::open(folder)?, &device)?;
        let format = format.and_then(Format::named);
        self.clip = Some((Encoder::new(clip, &config, format.unwrap_or_default()), device));
        Ok(clock.json(json!({})))
    }

    fn embed(&mut self, n: usize) -> Answer {
        let (clip, device) = self.clip.as_ref().ok_or("no CLIP is open")?;
        let n_value = (n * 3 * 224 * 224) as u64;
        let pixel = |idx: u64| (((idx.wrapping_mul(2_654_435_761)) >> 16) & 255) as f32 / 64.0 - 2.0;
        let pixels: Vec<f32> = (0..n_value).map(pixel).collect();
        let pixels = Tensor::<4>::from_data(TensorData::new(pixels, [n, 3, 224, 224]), device);
        let clock = Clock::start();
        let features = clip.encode_image(pixels).into_data();
        let answer = clock.json(json!({}));
        let features: Vec<f32> = features.convert::<f32>().try_into_vec().unwrap_or_default();
        Ok(merged(answer, &json!({"first": &features[..4.min(features.len())]})))
    }
}

/// Scores, read as the one who chooses the next token reads them.
fn read(logits: &Tensor<1>) {
    drop(logits.to_data());
}

/// A square picture with some structure.
fn picture(side_px: u32) -> Result<RgbTile, Box<dyn Error>> {
    let pixels = (0..side_px * side_px * 3).map(|idx| (idx.wrapping_mul(2_654_435_761) >> 24) as u8);
    Ok(RgbTile::new([side_px, side_px], pixels.collect())?)
}

/// Wall and processor seconds.
struct Clock {
    wall: Instant,
    cpu_secs: f64,
}

impl Clock {
    fn start() -> Self {
        Self { cpu_secs: cpu_secs(), wall: Instant::now() }
    }

    fn json(&self, more: Value) -> Value {
        let secs = self.wall.elapsed().as_secs_f64();
        merged(more, &json!({"secs": secs, "cpu_secs": cpu_secs() - self.cpu_secs}))
    }
}

fn merged(mut answer: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        answer[key] = value.clone();
    }
    answer
}

/// Processor seconds of all threads so far, to a hundredth.
fn cpu_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}
