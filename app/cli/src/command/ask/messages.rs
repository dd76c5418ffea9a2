//! Conversations in `OpenAI`'s form, with pictures of this machine.
//!
//! A picture is `{"type": "image", "image": PATH}`, `{"type": "image_url", "image_url": {"url": PATH}}` or a
//! bare `{"type": "image"}` that takes the next of the top-level `images`; PATH is relative to the file, may
//! begin with `file://`, or be a `data:` URL. Nothing is ever fetched. Held true by the tests below and
//! `tests/cli.rs`.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use eosin_core::{Conversation, Part, RgbTile, Role, Turn};
use serde_json::Value;

use crate::printer::{advised, told};

/// No conversation is larger; pictures may be in it.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Reads a conversation.
pub(super) fn read(path: &Path) -> anyhow::Result<Conversation> {
    let open = || format!("cannot read the messages {}", path.display());
    let meta = std::fs::metadata(path).with_context(open)?;
    if !meta.is_file() || meta.len() > MAX_FILE_BYTES {
        anyhow::bail!("this is no file of messages: {}", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(open)?;
    let json: Value = serde_json::from_str(&text)
        .with_context(|| format!("the messages are no sound JSON: {}", path.display()))?;
    parse(&json, path.parent().unwrap_or(Path::new(""))).map_err(|error| {
        let hint = "see `eosin ask --help` for the form";
        if error.is::<crate::printer::Advised>() { error } else { advised(format!("{error:#}"), hint) }
    })
}

fn parse(json: &Value, folder: &Path) -> anyhow::Result<Conversation> {
    let messages = if json.is_array() { json } else { &json["messages"] };
    let messages =
        messages.as_array().context("the messages are neither a list nor under the key `messages`")?;
    let mut images = json["images"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let mut turns = Vec::with_capacity(messages.len());
    for (idx, message) in messages.iter().enumerate() {
        let turn = turn(message, &mut images, folder);
        turns.push(turn.with_context(|| format!("message {}", idx + 1))?);
    }
    if images.next().is_some() {
        anyhow::bail!("the messages leave over some of the `images`");
    }
    Ok(Conversation { turns })
}

fn turn(message: &Value, images: &mut std::slice::Iter<'_, Value>, folder: &Path) -> anyhow::Result<Turn> {
    let role = match message["role"].as_str() {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        _ => anyhow::bail!("`role` must be system, user or assistant"),
    };
    let parts = match &message["content"] {
        Value::String(text) => vec![Part::Text(text.clone())],
        Value::Array(parts) => {
            parts.iter().map(|value| part(value, images, folder)).collect::<anyhow::Result<_>>()?
        }
        _ => anyhow::bail!("`content` must be a text or a list"),
    };
    Ok(Turn { role, parts })
}

fn part(part: &Value, images: &mut std::slice::Iter<'_, Value>, folder: &Path) -> anyhow::Result<Part> {
    if let Some(text) = part["text"].as_str() {
        return Ok(Part::Text(text.to_owned()));
    }
    let url = &part["image_url"];
    let place = part["image"].as_str().or(url.as_str()).or(url["url"].as_str()).or(part["path"].as_str());
    let place = match (place, part["type"].as_str()) {
        (Some(place), _) => place,
        (None, Some("image")) => {
            let next = images.next().and_then(Value::as_str);
            next.context("a picture has no path, and the list `images` has no more")?
        }
        _ => anyhow::bail!("a part of `content` is neither a text nor a picture"),
    };
    Ok(Part::Image(Arc::new(load(place, folder)?)))
}

fn load(place: &str, folder: &Path) -> anyhow::Result<RgbTile> {
    if let Some(data) = place.strip_prefix("data:") {
        let (kind, data) = data.split_once(',').context("a `data:` URL without data")?;
        if !kind.ends_with(";base64") {
            anyhow::bail!("a `data:` URL must be base64");
        }
        let bytes = base64(data).context("a `data:` URL whose base64 is broken")?;
        return Ok(eosin_slide::decode_picture(&bytes)?);
    }
    if place.starts_with("http://") || place.starts_with("https://") {
        return Err(advised(
            "a picture is on the network",
            "save it and name the file: nothing is ever fetched",
        ));
    }
    let path = folder.join(place.strip_prefix("file://").unwrap_or(place));
    eosin_slide::load_picture(&path).map_err(told)
}

/// RFC 4648 base64, padding optional.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut held, mut n_bit) = (0u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(six);
        n_bit += 6;
        if n_bit >= 8 {
            n_bit -= 8;
            bytes.push((held >> n_bit) as u8);
            held &= (1 << n_bit) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_forms_of_a_picture_are_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        image::RgbImage::from_pixel(3, 2, image::Rgb([1, 2, 3])).save(&path).unwrap();
        // A 1 × 1 BMP in base64.
        let data = "data:image/bmp;base64,Qk06AAAAAAAAADYAAAAoAAAAAQAAAAEAAAABABgAAAAAAAQAAAATCwAAEwsAAAAAAAAAAAAAAQIDAA==";
        let json = json!({
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": [
                    {"type": "image"},
                    {"type": "image", "image": "a.png"},
                    {"type": "image_url", "image_url": {"url": format!("file://{}", path.display())}},
                    {"type": "image_url", "image_url": {"url": data}},
                    {"type": "text", "text": "q"},
                ]},
            ],
            "images": ["a.png"],
        });
        let conversation = parse(&json, folder.path()).unwrap();
        let sizes: Vec<[u32; 2]> = conversation.images().map(|tile| tile.size_px()).collect();
        assert_eq!(sizes, [[3, 2], [3, 2], [3, 2], [1, 1]]);
        assert_eq!(conversation.turns[0], Turn::text(Role::System, "s"));
    }

    #[test]
    fn other_forms_are_refused() {
        for json in [
            json!(3),
            json!({"messages": {}}),
            json!([{"role": "tool", "content": "x"}]),
            json!([{"role": "user", "content": 3}]),
            json!([{"role": "user", "content": [{"type": "video"}]}]),
            json!([{"role": "user", "content": [{"type": "image"}]}]),
            json!([{"role": "user", "content": [{"type": "image", "image": "https://x/a.png"}]}]),
            json!([{"role": "user", "content": [{"type": "image", "image": "absent.png"}]}]),
            json!([{"role": "user", "content": [{"type": "image", "image": "data:image/png;base64,%%%"}]}]),
            json!({"messages": [{"role": "user", "content": "x"}], "images": ["a.png"]}),
        ] {
            assert!(parse(&json, Path::new("/nowhere")).is_err(), "{json}");
        }
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")]
        {
            assert_eq!(base64(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(base64("Zm9v YmFy"), None);
    }
}
