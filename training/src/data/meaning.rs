//! What a row means: from named values to a [`Sample`].
//!
//! One function a format, each as strict as its users need: a conversation whose turns do not alternate, or
//! whose marks and pictures differ in number, is refused here with the reason and not found by a crash in
//! the middle of an epoch. `tests/train_data.rs` has a table of every refusal.
//!
//! This file is long because the formats are read side by side: each function is short, and all refuse alike.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use eosin_core::Role;
use serde_json::Value;

use super::place::inside;
use super::question;
use super::row::Row;
use super::{IMAGE_MARK, Message, Picture, Sample, Skip, Task};

/// What the rows of a file mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    /// `conversations: [{from, value}]`, with `images` or `image`; `LLaVA`'s are the same.
    Sharegpt,
    /// `messages: [{role, content}]`.
    Openai,
    /// `query`/`response`/`history`, or `conversation: [{human, assistant}]`.
    Swift,
    /// `instruction`, `input`, `output`, `history`.
    Alpaca,
    /// `image`, `problem`, `solution`.
    Pathvlm,
    /// `prompt: [{role, content}]`, `reward_model.ground_truth`.
    Verl,
    /// `image` and `caption` under any of their names.
    Pairs,
    /// `question`, `options`, `answer`, `img`.
    Pathmmu,
    /// `image`, `question`, `answer`.
    Pathvqa,
    /// `question`, `option_A` …, `gt_answer`, `image_path`.
    Omnimedvqa,
    /// `wsi_id`, `position`, `caption`.
    Pathgen,
    /// `uuid`, `caption`.
    Arch,
    /// `text` alone.
    Text,
}

impl Meaning {
    /// Every meaning with its name in recipes and the values that tell it, likeliest first.
    pub(crate) const TOLD_BY: [(Self, &'static str, &'static [&'static str]); 15] = [
        (Self::Sharegpt, "sharegpt", &["conversations"]),
        (Self::Openai, "openai", &["messages"]),
        (Self::Swift, "swift", &["conversation"]),
        (Self::Verl, "verl", &["prompt", "reward_model"]),
        (Self::Pathvlm, "pathvlm", &["problem", "solution"]),
        (Self::Omnimedvqa, "omnimedvqa", &["question", "gt_answer", "option_A"]),
        (Self::Pathmmu, "pathmmu", &["question", "options", "answer", "img"]),
        (Self::Alpaca, "alpaca", &["instruction", "output"]),
        (Self::Swift, "swift", &["query", "response"]),
        (Self::Swift, "swift", &["query", "solution"]),
        (Self::Pathvqa, "pathvqa", &["image", "question", "answer"]),
        (Self::Pathgen, "pathgen", &["position", "caption", "file_id"]),
        (Self::Arch, "arch", &["uuid", "caption"]),
        // Pairs have many names; `pair_columns` knows them.
        (Self::Pairs, "pairs", &[]),
        (Self::Text, "text", &["text"]),
    ];

    /// What a row with these values means.
    pub(crate) fn of(row: &Row, names: &Names) -> Option<Self> {
        let has = |key: &&str| row.value.contains_key(*key);
        let told = Self::TOLD_BY.iter().find(|(meaning, _, keys)| match meaning {
            Self::Pairs => names.pair_columns(row).is_some(),
            _ => keys.iter().all(&has),
        });
        told.map(|(meaning, _, _)| *meaning)
    }
}

/// Other names for the values of a row, as `dataset_info.json` and recipes give them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Name here → name in the file: `messages`, `images`, `system`, `prompt`, `query`, `response`,
    /// `history`, `image`, `caption`.
    pub(crate) columns: BTreeMap<String, String>,
    /// `role_tag`, `content_tag`, `user_tag`, `assistant_tag`, `system_tag`.
    pub(crate) tags: BTreeMap<String, String>,
}

impl Names {
    fn column<'a>(&'a self, name: &'a str, usual: &'a str) -> &'a str {
        self.columns.get(name).map_or(usual, String::as_str)
    }

    fn tag<'a>(&'a self, name: &str, usual: &'a str) -> &'a str {
        self.tags.get(name).map_or(usual, String::as_str)
    }

    /// The columns of a picture and of its caption, of the names that are in use.
    fn pair_columns(&self, row: &Row) -> Option<(String, String)> {
        const IMAGES: [&str; 8] =
            ["image", "image_path", "filepath", "file_name", "file", "img", "path", "images"];
        const CAPTIONS: [&str; 5] = ["caption", "title", "text", "class", "label"];
        let find = |name: &str, usual: &[&str]| match self.columns.get(name) {
            Some(column) => row.value.contains_key(column).then(|| column.clone()),
            None => usual.iter().find(|key| row.value.contains_key(**key)).map(|key| (*key).to_owned()),
        };
        Some((find("image", &IMAGES)?, find("caption", &CAPTIONS)?))
    }
}

/// How rows become samples.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) meaning: Meaning,
    pub(crate) names: Names,
    /// Folder of the pictures.
    pub(crate) images: PathBuf,
    /// Further values to keep as tags.
    pub(crate) tags: Vec<String>,
    /// Said first.
    pub(crate) system: Option<String>,
    /// Added to the last question.
    pub(crate) request: Option<String>,
    /// Words around a class: `{class}` stands for it.
    pub(crate) caption: Option<String>,
}

/// Values that become tags where a row has them.
const TAGS: [&str; 21] = [
    "subfield",
    "tissue",
    "tier",
    "form",
    "domain",
    "source",
    "subset",
    "split",
    "type",
    "question_type",
    "answer_type",
    "modality_type",
    "dataset",
    "data_source",
    "ability",
    "magnification",
    "class",
    "label",
    "wsi_id",
    "group",
    "index",
];
/// Longest tag.
const MAX_TAG_BYTES: usize = 200;

type Reason = String;

/// What a row gave so far.
#[derive(Default)]
struct Draft {
    messages: Vec<Message>,
    images: Vec<Picture>,
    /// Question and right answer, for a task.
    solution: Option<String>,
    task: Option<Task>,
    /// Whether marks may be missing, because the format has none.
    unmarked: bool,
}

impl Reading {
    /// The sample that a row means.
    pub(crate) fn sample(&self, name: &str, row: &Row) -> Result<Sample, Skip> {
        let id = match row.value.get("id").or_else(|| row.value.get("question_id")) {
            Some(Value::String(id)) if !id.is_empty() && id.len() <= MAX_TAG_BYTES => format!("{name}/{id}"),
            Some(Value::Number(id)) => format!("{name}/{id}"),
            _ => name.to_owned(),
        };
        let refuse = |reason: Reason| Skip { id: id.clone(), reason };
        let mut draft = self.draft(row).map_err(refuse)?;
        self.finish(&mut draft).map_err(refuse)?;
        let group = draft.images.first().map_or_else(|| question_text(&draft.messages), place_of);
        let tags = self.tags_of(row);
        let Draft { messages, images, task, .. } = draft;
        let sample = Sample { id, group, messages, images, task, tags };
        sample.check()?;
        Ok(sample)
    }

    fn draft(&self, row: &Row) -> Result<Draft, Reason> {
        match self.meaning {
            Meaning::Sharegpt => self.turns(row, "conversations", ["from", "value"]),
            Meaning::Openai => self.turns(row, "messages", ["role", "content"]),
            Meaning::Verl => self.verl(row),
            Meaning::Swift => self.swift(row),
            Meaning::Alpaca => self.alpaca(row),
            Meaning::Pathvlm => self.pathvlm(row),
            Meaning::Pairs => self.pairs(row),
            Meaning::Pathmmu => self.pathmmu(row),
            Meaning::Pathvqa => self.pathvqa(row),
            Meaning::Omnimedvqa => self.omnimedvqa(row),
            Meaning::Pathgen => self.pathgen(row),
            Meaning::Arch => self.arch(row),
            Meaning::Text => Ok(Draft {
                messages: vec![Message::new(Role::Assistant, text(row, "text")?)],
                ..Draft::default()
            }),
        }
    }

    /// Marks, the request, the task and the order of the turns.
    fn finish(&self, draft: &mut Draft) -> Result<(), Reason> {
        let n_mark: usize = draft.messages.iter().map(|turn| turn.text.matches(IMAGE_MARK).count()).sum();
        if n_mark == 0
            && draft.unmarked
            && let Some(first) = draft.messages.iter_mut().find(|turn| turn.role == Role::User)
        {
            let marks = IMAGE_MARK.repeat(draft.images.len());
            first.text = if first.text.is_empty() { marks } else { format!("{marks}{}", first.text) };
        }
        if draft.task.is_none() {
            let asked = draft.messages.iter().rev().find(|turn| turn.role == Role::User);
            let asked = asked.map_or("", |turn| turn.text.as_str());
            let said = draft.messages.last().filter(|turn| turn.role == Role::Assistant);
            draft.task = match (&draft.solution, said) {
                (Some(solution), _) => Some(question::task(asked, solution)),
                (None, Some(said)) if said.text.contains("<answer>") => {
                    Some(question::task(asked, &said.text))
                }
                _ => None,
            };
        }
        if let Some(request) = &self.request
            && let Some(last) = draft.messages.iter_mut().rev().find(|turn| turn.role == Role::User)
        {
            last.text = format!("{}\n{request}", last.text);
        }
        if let Some(system) = &self.system
            && draft.messages.first().is_none_or(|turn| turn.role != Role::System)
        {
            draft.messages.insert(0, Message::new(Role::System, system.clone()));
        }
        check_order(draft)
    }

    fn tags_of(&self, row: &Row) -> BTreeMap<String, String> {
        let mut tags = BTreeMap::new();
        let extra = row.value.get("extra_info").and_then(Value::as_object);
        let wanted = TAGS.into_iter().chain(self.tags.iter().map(String::as_str));
        for name in wanted {
            let value = row.value.get(name).or_else(|| extra.and_then(|extra| extra.get(name)));
            let text = match value {
                Some(Value::String(text)) if !text.is_empty() && text.len() <= MAX_TAG_BYTES => text.clone(),
                Some(Value::Number(number)) => number.to_string(),
                Some(Value::Bool(flag)) => flag.to_string(),
                _ => continue,
            };
            if row.held(&text).is_none() {
                tags.insert(name.to_owned(), text);
            }
        }
        // Lists inside objects are `PathMMU`'s: subset, then split.
        for (name, key) in ["subset", "split"].into_iter().zip(&row.place) {
            tags.entry(name.to_owned()).or_insert_with(|| key.clone());
        }
        tags
    }

    /// A list of turns under any names, with pictures beside or inside it.
    fn turns(&self, row: &Row, usual: &str, [role, content]: [&str; 2]) -> Result<Draft, Reason> {
        let column = self.names.column("messages", usual);
        let turns = list(row, column)?;
        let mut draft = Draft { unmarked: self.meaning == Meaning::Openai, ..Draft::default() };
        if let Some(Value::String(system)) = row.value.get(self.names.column("system", "system"))
            && !system.is_empty()
        {
            draft.messages.push(Message::new(Role::System, system.clone()));
        }
        for (place, turn) in turns.iter().enumerate() {
            let Value::Object(turn) = turn else { return Err(format!("turn {place} is no object")) };
            let who = turn.get(self.names.tag("role_tag", role)).and_then(Value::as_str);
            let who = self.role(who.ok_or_else(|| format!("turn {place} does not say who speaks"))?)?;
            let said = turn.get(self.names.tag("content_tag", content));
            let text = self.content(said.unwrap_or(&Value::Null), row, &mut draft.images)?;
            let mut message = Message::new(who, text);
            if let Some(flag) = turn.get("loss") {
                message.taught &= !matches!(flag, Value::Bool(false)) && flag.as_f64() != Some(0.0);
            }
            draft.messages.push(message);
        }
        // Content with pictures in it says where they are; pictures beside it are marked.
        let beside = self.pictures(row, &["images", "image"])?;
        if draft.images.is_empty() {
            draft.images = beside;
        } else if !beside.is_empty() {
            return Err("images both inside and beside the messages".into());
        }
        draft.solution = solution(row);
        Ok(draft)
    }

    fn role(&self, name: &str) -> Result<Role, Reason> {
        let is = |tag: &str| self.names.tags.get(tag).is_some_and(|given| given == name);
        if is("user_tag") {
            return Ok(Role::User);
        }
        if is("assistant_tag") {
            return Ok(Role::Assistant);
        }
        if is("system_tag") {
            return Ok(Role::System);
        }
        match name {
            "human" | "user" => Ok(Role::User),
            "gpt" | "assistant" | "model" | "bot" => Ok(Role::Assistant),
            "system" => Ok(Role::System),
            other => Err(format!("no speaker is called {}", short(other))),
        }
    }

    /// The words of one turn; pictures in a list of parts become marks.
    fn content(&self, value: &Value, row: &Row, images: &mut Vec<Picture>) -> Result<String, Reason> {
        let parts = match value {
            Value::String(text) => return Ok(text.clone()),
            Value::Array(parts) => parts,
            _ => return Err("a turn without content".into()),
        };
        let mut text = String::new();
        for part in parts {
            if let Value::String(words) = part {
                text.push_str(words);
                continue;
            }
            let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
            match kind {
                "text" => text.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default()),
                "image" | "image_url" => {
                    text.push_str(IMAGE_MARK);
                    let image = part.get("image").or_else(|| part.get("image_url"));
                    let image = image.map(|image| image.get("url").unwrap_or(image));
                    // Without a name it is a mark for a picture beside the messages.
                    if let Some(image) = image.filter(|image| !image.is_null()) {
                        images.push(self.picture(image, row)?);
                    }
                }
                other => return Err(format!("content of the kind {}", short(other))),
            }
        }
        Ok(text)
    }

    fn verl(&self, row: &Row) -> Result<Draft, Reason> {
        let mut draft = match row.value.get(self.names.column("messages", "prompt")) {
            Some(Value::String(prompt)) => {
                let images = self.pictures(row, &["images", "image"])?;
                let messages = vec![Message::new(Role::User, prompt.clone())];
                Draft { messages, images, ..Draft::default() }
            }
            _ => self.turns(row, "prompt", ["role", "content"])?,
        };
        let truth = row.value.get("reward_model").and_then(|model| model.get("ground_truth"));
        draft.solution = match truth {
            Some(Value::String(truth)) => Some(truth.clone()),
            Some(Value::Number(truth)) => Some(truth.to_string()),
            _ => return Err("no `reward_model.ground_truth`".into()),
        };
        Ok(draft)
    }

    fn swift(&self, row: &Row) -> Result<Draft, Reason> {
        let mut draft = Draft { unmarked: true, ..Draft::default() };
        if let Some(Value::String(system)) = row.value.get(self.names.column("system", "system"))
            && !system.is_empty()
        {
            draft.messages.push(Message::new(Role::System, system.clone()));
        }
        if let Some(Value::Array(turns)) = row.value.get("conversation") {
            for turn in turns {
                for (key, role) in
                    [("system", Role::System), ("human", Role::User), ("assistant", Role::Assistant)]
                {
                    if let Some(Value::String(text)) = turn.get(key) {
                        draft.messages.push(Message::new(role, text.clone()));
                    }
                }
            }
        } else {
            history(row, self.names.column("history", "history"), &mut draft.messages)?;
            let query = text(row, self.names.column("query", "query"))?;
            draft.messages.push(Message::new(Role::User, query));
            if let Some(Value::String(response)) = row.value.get(self.names.column("response", "response")) {
                draft.messages.push(Message::new(Role::Assistant, response.clone()));
            }
        }
        draft.images = self.pictures(row, &["images", "image"])?;
        draft.solution = solution(row);
        Ok(draft)
    }

    fn alpaca(&self, row: &Row) -> Result<Draft, Reason> {
        let mut draft = Draft { unmarked: true, ..Draft::default() };
        if let Some(Value::String(system)) = row.value.get(self.names.column("system", "system"))
            && !system.is_empty()
        {
            draft.messages.push(Message::new(Role::System, system.clone()));
        }
        history(row, self.names.column("history", "history"), &mut draft.messages)?;
        let mut prompt = text(row, self.names.column("prompt", "instruction"))?;
        if let Some(Value::String(input)) = row.value.get(self.names.column("query", "input"))
            && !input.is_empty()
        {
            prompt = format!("{prompt}\n{input}");
        }
        draft.messages.push(Message::new(Role::User, prompt));
        let response = text(row, self.names.column("response", "output"))?;
        draft.messages.push(Message::new(Role::Assistant, response));
        draft.images = self.pictures(row, &["images", "image"])?;
        Ok(draft)
    }

    fn pathvlm(&self, row: &Row) -> Result<Draft, Reason> {
        let (problem, solution) = (text(row, "problem")?, text(row, "solution")?);
        let messages = vec![Message::new(Role::User, problem), Message::new(Role::Assistant, &*solution)];
        let images = self.pictures(row, &["image", "images"])?;
        Ok(Draft { messages, images, solution: Some(solution), unmarked: true, ..Draft::default() })
    }

    fn pairs(&self, row: &Row) -> Result<Draft, Reason> {
        let (image, caption) = self
            .names
            .pair_columns(row)
            .ok_or_else(|| format!("no image and caption among {}", keys(row)))?;
        let mut words = text(row, &caption)?.trim().to_owned();
        if caption == "class" || caption == "label" {
            let class = words.replace(['_', '-'], " ");
            let template = self.caption.as_deref().unwrap_or("a histopathology image of {class}");
            words = template.replace("{class}", &class);
        }
        if words.is_empty() {
            return Err("an empty caption".into());
        }
        let messages = vec![Message::new(Role::User, ""), Message::new(Role::Assistant, words)];
        let images = self.pictures(row, &[&image])?;
        Ok(Draft { messages, images, unmarked: true, ..Draft::default() })
    }

    fn pathmmu(&self, row: &Row) -> Result<Draft, Reason> {
        let options: Vec<String> =
            list(row, "options")?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let images = self.pictures(row, &["img"])?;
        let answer = text(row, "answer")?;
        Ok(choice(&text(row, "question")?, &options, &answer, images))
    }

    fn pathvqa(&self, row: &Row) -> Result<Draft, Reason> {
        let (asked, answer) = (text(row, "question")?, text(row, "answer")?);
        let images = self.pictures(row, &["image", "images"])?;
        let task = Some(question::task(&asked, &answer));
        let messages = vec![Message::new(Role::User, asked), Message::new(Role::Assistant, answer)];
        Ok(Draft { messages, images, task, unmarked: true, ..Draft::default() })
    }

    fn omnimedvqa(&self, row: &Row) -> Result<Draft, Reason> {
        let options: Vec<String> = ["A", "B", "C", "D", "E", "F"]
            .iter()
            .map_while(|letter| row.value.get(&format!("option_{letter}"))?.as_str())
            .filter(|option| !option.is_empty())
            .map(str::to_owned)
            .collect();
        let answer = text(row, "gt_answer")?;
        let right = options.iter().position(|option| option.trim() == answer.trim());
        let right = right.ok_or("the right answer is none of the options")?;
        let lettered: Vec<String> =
            options.iter().zip('A'..).map(|(text, letter)| format!("{letter}) {text}")).collect();
        let images = self.pictures(row, &["image_path"])?;
        Ok(choice(&text(row, "question")?, &lettered, &lettered[right], images))
    }

    /// Patches are cut out beforehand, as `<wsi>/<x>_<y>.jpg` or under the name that the row states.
    fn pathgen(&self, row: &Row) -> Result<Draft, Reason> {
        let caption = text(row, "caption")?;
        let images = if row.value.contains_key("image") {
            self.pictures(row, &["image"])?
        } else {
            let slide = text(row, "wsi_id").or_else(|_| text(row, "WSI_id"))?;
            let place: Vec<String> = list(row, "position")?
                .iter()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .collect();
            let [x, y] = place.as_slice() else { return Err("a position that is not x and y".into()) };
            vec![Picture::File(inside(&self.images, &format!("{slide}/{x}_{y}.jpg"))?)]
        };
        let messages = vec![Message::new(Role::User, ""), Message::new(Role::Assistant, caption)];
        Ok(Draft { messages, images, unmarked: true, ..Draft::default() })
    }

    fn arch(&self, row: &Row) -> Result<Draft, Reason> {
        let (uuid, caption) = (text(row, "uuid")?, text(row, "caption")?);
        let png = inside(&self.images, &format!("{uuid}.png"))?;
        let jpg = inside(&self.images, &format!("{uuid}.jpg"))?;
        let images = vec![Picture::File(if jpg.is_file() { jpg } else { png })];
        let messages = vec![Message::new(Role::User, ""), Message::new(Role::Assistant, caption)];
        Ok(Draft { messages, images, unmarked: true, ..Draft::default() })
    }

    /// The pictures under the first of the names that the row has; none where it has none.
    fn pictures(&self, row: &Row, names: &[&str]) -> Result<Vec<Picture>, Reason> {
        let given = self.names.columns.get("images").map(String::as_str);
        let value = given.into_iter().chain(names.iter().copied()).find_map(|name| row.value.get(name));
        match value {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| self.picture(item, row)).collect(),
            Some(Value::String(name)) if name.is_empty() => Ok(Vec::new()),
            Some(value) => Ok(vec![self.picture(value, row)?]),
        }
    }

    /// One picture: a name, bytes, or both of which the bytes count.
    fn picture(&self, value: &Value, row: &Row) -> Result<Picture, Reason> {
        match value {
            Value::String(name) => {
                if let Some(held) = row.held(name) {
                    return Ok(held.clone());
                }
                if let Some(data) = name.strip_prefix("data:") {
                    return data_url(data);
                }
                Ok(Picture::File(inside(&self.images, name)?))
            }
            Value::Object(item) => {
                let given = ["bytes", "path", "image", "url"]
                    .iter()
                    .find_map(|key| item.get(*key).filter(|value| value.is_string()));
                match given {
                    Some(value) => self.picture(value, row),
                    None => Err("an image without bytes or path".into()),
                }
            }
            _ => Err("an image that is neither a name nor bytes".into()),
        }
    }
}

/// A question with lettered options.
fn choice(asked: &str, options: &[String], answer: &str, images: Vec<Picture>) -> Draft {
    let mut text = asked.to_owned();
    if !options.is_empty() {
        text.push_str("\nOptions:");
        for option in options {
            text.push('\n');
            text.push_str(option);
        }
    }
    let task = Some(question::task(&text, answer));
    let messages = vec![Message::new(Role::User, text), Message::new(Role::Assistant, answer)];
    Draft { messages, images, task, unmarked: true, ..Draft::default() }
}

/// System first, then user and assistant in turn; the user speaks last only where a right answer is known.
fn check_order(draft: &Draft) -> Result<(), Reason> {
    let turns = draft.messages.iter().filter(|turn| turn.role != Role::System);
    if draft.messages.iter().skip(1).any(|turn| turn.role == Role::System) {
        return Err("a system turn that is not the first".into());
    }
    let roles: Vec<Role> = turns.map(|turn| turn.role).collect();
    match roles.as_slice() {
        [] => return Err("no messages".into()),
        // A text alone, for continued pretraining.
        [Role::Assistant] if draft.images.is_empty() => return Ok(()),
        _ => {}
    }
    for (place, role) in roles.iter().enumerate() {
        let expected = if place % 2 == 0 { Role::User } else { Role::Assistant };
        if *role != expected {
            return Err(format!("turn {place} is the {}'s, not the {}'s", role.name(), expected.name()));
        }
    }
    if roles.last() == Some(&Role::User) && draft.task.is_none() {
        return Err("the conversation ends with a question".into());
    }
    Ok(())
}

/// The right answer of a row for reinforcement learning.
fn solution(row: &Row) -> Option<String> {
    ["solution", "ground_truth"].iter().find_map(|key| row.value.get(*key)?.as_str()).map(str::to_owned)
}

/// Pairs of earlier questions and answers.
fn history(row: &Row, column: &str, messages: &mut Vec<Message>) -> Result<(), Reason> {
    let Some(Value::Array(pairs)) = row.value.get(column) else { return Ok(()) };
    for pair in pairs {
        let words = |place: usize| pair.get(place).and_then(Value::as_str);
        let (Some(asked), Some(said)) = (words(0), words(1)) else {
            return Err("a history that is not pairs of question and answer".into());
        };
        messages.push(Message::new(Role::User, asked));
        messages.push(Message::new(Role::Assistant, said));
    }
    Ok(())
}

fn text(row: &Row, key: &str) -> Result<String, Reason> {
    match row.value.get(key) {
        Some(Value::String(text)) if row.held(text).is_none() => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(_) => Err(format!("`{key}` is no text")),
        None => Err(format!("no `{key}` among {}", keys(row))),
    }
}

fn list<'a>(row: &'a Row, key: &str) -> Result<&'a Vec<Value>, Reason> {
    match row.value.get(key) {
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("`{key}` is no list")),
        None => Err(format!("no `{key}` among {}", keys(row))),
    }
}

/// The names of a row's values, for messages.
pub(crate) fn keys(row: &Row) -> String {
    let mut names: Vec<String> = row.value.keys().take(12).map(|key| short(key)).collect();
    if row.value.len() > names.len() {
        names.push("…".into());
    }
    if names.is_empty() { "no values".into() } else { names.join(", ") }
}

fn short(text: &str) -> String {
    let head: String = text.chars().take(40).collect();
    format!("`{}`", head.escape_debug())
}

fn data_url(data: &str) -> Result<Picture, Reason> {
    let (_, encoded) = data.split_once(";base64,").ok_or("an image that is no base64")?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded.trim());
    let bytes = bytes.map_err(|error| format!("an image whose base64 is broken: {error}"))?;
    Ok(Picture::Bytes(bytes.into()))
}

fn question_text(messages: &[Message]) -> String {
    super::digest(messages.iter().map(|turn| turn.text.as_bytes()))
}

/// Names a picture by its place, before its content is read.
fn place_of(picture: &Picture) -> String {
    match picture {
        Picture::File(path) => path.to_string_lossy().into_owned(),
        Picture::Span { path, offset, .. } => format!("{}@{offset}", path.display()),
        Picture::Bytes(bytes) => super::digest([bytes.as_ref()]),
        Picture::Phantom { seed, .. } => format!("phantom-{seed}"),
        Picture::Tile(tile) => super::digest([tile.pixels()]),
    }
}

/// Whether all files of the pictures are there.
pub(crate) fn check_files(sample: &Sample) -> Result<(), Skip> {
    let missing =
        |path: &Path| Skip { id: sample.id.clone(), reason: format!("no such image: {}", path.display()) };
    for picture in &sample.images {
        if let Picture::File(path) = picture
            && !path.is_file()
        {
            return Err(missing(path));
        }
    }
    Ok(())
}
