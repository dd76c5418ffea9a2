//! A judge behind a chat server: anything that speaks `OpenAI`'s protocol, on this machine or, where a
//! recipe names one, elsewhere.
//!
//! Nothing is sent unless a recipe names the address. A call that fails, stalls or cannot be read is tried again
//! after a wait that doubles; then the recipe decides whether that is a score of zero, as in the authors'
//! code, or the end of the run. A server that refuses (wrong key, wrong address) ends the run in any case: zeros
//! would go unnoticed. `tests/train_judge.rs` runs it against servers that stall, talk rubbish and die.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eosin_core::RgbTile;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::cache::{Cache, key};
use super::ledger::{Budget, Ledger, Spent};
use super::{Criteria, Judge, JudgeError, JudgeRequest, Verdict};
use crate::error::TrainError;

/// Longest reply in bytes; a verdict has a few hundred.
const REPLY_BYTES: u64 = 1 << 20;

/// What a call without a verdict means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Both scores are zero, and the count of failures is recorded.
    #[default]
    Zero,
    /// The run stops; it can be resumed.
    Stop,
}

/// A chat server as a recipe names it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointSettings {
    /// Address up to `/v1`.
    pub url: String,
    /// Name of the model.
    pub model: String,
    /// Version of the criteria.
    #[serde(default)]
    pub criteria: Criteria,
    /// Name of the environment variable that holds the key; no key where absent. The key itself never
    /// stands in a recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// Temperature; the criteria's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Longest replies in tokens; the criteria's own where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub max_tokens: Vec<u32>,
    /// Seconds to wait after each failed try; the criteria's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_secs: Option<Vec<f64>>,
    /// Seconds that a call may take.
    #[serde(default = "timeout_secs")]
    pub timeout_secs: f64,
    /// What a call without a verdict means.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Calls over all resumptions, failed ones included; 0: no bound.
    pub max_calls: u64,
    /// Tokens over all resumptions, those of prompts included; 0: no bound.
    #[serde(default)]
    pub max_total_tokens: u64,
}

fn timeout_secs() -> f64 {
    60.0
}

/// The judge behind a server.
#[derive(Debug)]
pub struct Endpoint {
    settings: EndpointSettings,
    url: String,
    authorization: Option<Secret>,
    agent: ureq::Agent,
    ledger: Ledger,
    cache: Cache,
}

/// A header that no log shows.
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Why one call gave no verdict.
enum Trouble {
    /// It may go better next time.
    Passing(String),
    /// The same, but with more room for the reply.
    Unreadable(String),
    /// It will not.
    Lasting(JudgeError),
}

impl Endpoint {
    /// A judge with its ledger and its cache in `dir`. Nothing is sent yet.
    ///
    /// # Errors
    /// An address or a key that cannot be used; books that cannot be read.
    pub fn open(settings: &EndpointSettings, dir: &Path) -> Result<Self, TrainError> {
        let refuse = |what: &str| Err(TrainError::plan(format!("judge.endpoint.{what}")));
        let address = settings.url.trim_end_matches('/');
        let is_secure = cfg!(feature = "https") && address.starts_with("https://");
        if !is_secure && !address.starts_with("http://") {
            return refuse(
                "url must begin with http:// (this build has no TLS: use a proxy on this machine)",
            );
        }
        if !(settings.timeout_secs > 0.0 && settings.timeout_secs <= 3600.0) {
            return refuse("timeout_secs lies between 0 and 3600");
        }
        if settings.wait_secs.iter().flatten().any(|secs| !(0.0..=3600.0).contains(secs)) {
            return refuse("wait_secs lie between 0 and 3600");
        }
        let authorization = match &settings.api_key_env {
            None => None,
            Some(name) => match std::env::var(name) {
                Ok(key) if !key.is_empty() => Some(Secret(format!("Bearer {key}"))),
                _ => return refuse(&format!("api_key_env: the variable {name} is not set")),
            },
        };
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs_f64(settings.timeout_secs)))
            .http_status_as_error(false)
            // Pictures go where the recipe says and nowhere else.
            .max_redirects(0)
            .proxy(None)
            .build()
            .into();
        let budget = Budget { max_calls: settings.max_calls, max_total_tokens: settings.max_total_tokens };
        Ok(Self {
            url: format!("{}/chat/completions", address.trim_end_matches("/chat/completions")),
            settings: settings.clone(),
            authorization,
            agent,
            ledger: Ledger::open(dir, budget)?,
            cache: Cache::open(dir)?,
        })
    }

    /// What was spent so far, over all resumptions.
    pub fn spent(&self) -> Spent {
        self.ledger.spent()
    }

    fn ask(&self, request: &JudgeRequest<'_>) -> Result<Verdict, JudgeError> {
        let criteria = self.settings.criteria;
        let own = |given: &[u32]| if given.is_empty() { criteria.max_tokens() } else { given.to_vec() };
        let caps = own(&self.settings.max_tokens);
        let waits = self.settings.wait_secs.clone().unwrap_or_else(|| criteria.wait_secs());
        let content = content(criteria, request).map_err(|what| JudgeError::Failed { n_try: 0, what })?;
        let (mut cap_idx, mut what) = (0, String::new());
        for try_idx in 0..=waits.len() {
            match self.call(&content, caps[cap_idx]) {
                Ok(verdict) => return Ok(verdict),
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Passing(why)) => what = why,
                Err(Trouble::Unreadable(why)) => {
                    what = why;
                    cap_idx = (cap_idx + 1).min(caps.len() - 1);
                }
            }
            if let Some(secs) = waits.get(try_idx) {
                sleep(Duration::from_secs_f64(*secs));
            }
        }
        Err(JudgeError::Failed { n_try: waits.len() + 1, what })
    }

    fn call(&self, content: &Value, max_tokens: u32) -> Result<Verdict, Trouble> {
        let criteria = self.settings.criteria;
        let mut body = Map::new();
        body.insert("model".into(), self.settings.model.clone().into());
        let temperature = self.settings.temperature.unwrap_or_else(|| criteria.temperature());
        body.insert("temperature".into(), temperature.into());
        body.insert("max_tokens".into(), max_tokens.into());
        body.extend(criteria.fields());
        let messages = json!([
            {"role": "system", "content": criteria.instruction()},
            {"role": "user", "content": content},
        ]);
        body.insert("messages".into(), messages);
        self.ledger.call().map_err(Trouble::Lasting)?;
        let mut post = self.agent.post(&self.url).header("content-type", "application/json");
        if let Some(Secret(value)) = &self.authorization {
            post = post.header("authorization", value);
        }
        let passing = |error: ureq::Error| Trouble::Passing(error.to_string());
        let mut answer = post.send(Value::Object(body).to_string()).map_err(passing)?;
        let status = answer.status().as_u16();
        // A body may repeat what was sent, so only the number is told.
        match status {
            200 => {}
            400..=404 | 422 => {
                let what = format!("the server refuses with status {status}");
                return Err(Trouble::Lasting(JudgeError::Refused { what }));
            }
            _ => return Err(Trouble::Passing(format!("the server answers with status {status}"))),
        }
        let text = answer.body_mut().with_config().limit(REPLY_BYTES).read_to_string().map_err(passing)?;
        let unreadable = |what: &str| Trouble::Unreadable(what.to_owned());
        let reply: Value =
            serde_json::from_str(&text).map_err(|_not_json| unreadable("the server's answer is not JSON"))?;
        let said = reply.pointer("/choices/0/message/content").and_then(Value::as_str);
        let used = reply.pointer("/usage/total_tokens").and_then(Value::as_u64);
        // A server that does not count is charged what it was allowed.
        self.ledger.tokens(used.unwrap_or(u64::from(max_tokens))).map_err(Trouble::Lasting)?;
        let said = said.ok_or_else(|| unreadable("the server's answer holds no message"))?;
        criteria.read(said).map_err(Trouble::Unreadable)
    }
}

impl Judge for Endpoint {
    fn score(&self, request: &JudgeRequest<'_>) -> Result<Verdict, JudgeError> {
        let key = key(self.settings.criteria, &self.settings.model, request);
        let found = self.cache.get(&key, || self.ask(request));
        match found {
            Err(JudgeError::Failed { .. }) if self.settings.on_failure == OnFailure::Zero => {
                Ok(Verdict::failed())
            }
            found => found,
        }
    }
}

/// The case with its pictures, as a chat server takes them.
fn content(criteria: Criteria, request: &JudgeRequest<'_>) -> Result<Value, String> {
    let mut parts = Vec::with_capacity(request.images.len() + 1);
    for image in request.images {
        let url = format!("data:image/png;base64,{}", STANDARD.encode(png(image)?));
        parts.push(json!({"type": "image_url", "image_url": {"url": url}}));
    }
    parts.push(json!({"type": "text", "text": criteria.case(request)}));
    Ok(Value::Array(parts))
}

fn png(tile: &RgbTile) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    let [width, height] = tile.size_px();
    image::ImageEncoder::write_image(encoder, tile.pixels(), width, height, image::ExtendedColorType::Rgb8)
        .map_err(|error| format!("a picture cannot be encoded: {error}"))?;
    Ok(bytes)
}
