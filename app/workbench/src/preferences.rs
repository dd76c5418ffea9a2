//! What the program remembers for a person: recent files, open tabs, language and theme, how each slide was shown.
//!
//! One JSON file, written whole at every change, so that a window that was killed comes back as it was. It is
//! read leniently: a part that makes no sense falls back to its default and the file is copied aside first; keys
//! of newer versions are kept. Every list is bounded. Paths stand in it, so only the user may read it. Held
//! true by `preferences/tests.rs`.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use eosin_core::annotation::AnnotationClass;
use eosin_core::{Hint, Mpp, SlideId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::atomic::{Readers, Stamp, lock_in, make_folder, set_aside, write_whole};
use crate::classes::default_classes;
use crate::look::Look;
use crate::texts::Language;

/// Version of the file's form.
const SCHEMA: u64 = 1;
/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Recent files that are remembered.
const RECENT_MAX: usize = 30;
/// Tabs that are opened again.
const TABS_MAX: usize = 50;
/// Slides whose look is remembered.
const SLIDES_MAX: usize = 1000;
/// Classes of annotations.
const CLASSES_MAX: usize = 200;
/// Widths that a side panel can have.
const SIDEBAR_PX: std::ops::RangeInclusive<u32> = 200..=1200;

/// Colours of the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// As the desktop says.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// An open slide and where one looks at it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Tab {
    /// The file.
    pub path: PathBuf,
    /// What is in view; the whole slide without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<TabView>,
}

/// What a viewer shows of a slide.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct TabView {
    /// The base pixel in the middle.
    pub center_base_px: [f64; 2],
    /// Base pixels per pixel of the screen.
    pub downsample: f64,
    /// Turned clockwise by so much.
    #[serde(default)]
    pub rotation_degrees: f64,
}

/// How one slide is shown, wherever its file lies.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SlidePreferences {
    /// Brightness, contrast, gamma, stain.
    #[serde(default)]
    pub look: Look,
    /// µm per base pixel as a person typed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mpp: Option<Mpp>,
}

/// A file that was open lately.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecentFile {
    /// Where it is or was.
    pub path: PathBuf,
    /// Whether it is there now.
    pub exists: bool,
}

/// Everything that is remembered.
#[derive(Clone, PartialEq, Debug)]
pub struct Preferences {
    /// Files, the latest first; [`Preferences::note_opened`] keeps the order.
    pub recent: Vec<PathBuf>,
    /// Open slides, in their order.
    pub tabs: Vec<Tab>,
    /// Which of them is in front.
    pub active_tab: Option<usize>,
    /// Language of the interface; the system's without it.
    pub language: Option<Language>,
    /// Colours of the window.
    pub theme: Theme,
    /// Classes that annotations may have.
    pub classes: Vec<AnnotationClass>,
    /// Width of the side panel.
    pub sidebar_px: Option<u32>,
    /// How slides were shown, the latest first.
    slides: Vec<(SlideId, SlidePreferences)>,
    /// Keys of newer versions, as they were.
    other: Map<String, Value>,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            recent: Vec::new(),
            tabs: Vec::new(),
            active_tab: None,
            language: None,
            theme: Theme::default(),
            classes: default_classes(),
            sidebar_px: None,
            slides: Vec::new(),
            other: Map::new(),
        }
    }
}

impl Preferences {
    /// Puts a file in front of the recent ones. A path that is no text cannot be kept, and is not.
    pub fn note_opened(&mut self, path: &Path) {
        let path = std::path::absolute(path).unwrap_or_else(|_as_given| path.to_path_buf());
        if path.to_str().is_some() {
            self.recent.retain(|known| *known != path);
            self.recent.insert(0, path);
        }
    }

    /// The recent files, the latest first, and whether each is still there.
    pub fn recent_files(&self) -> Vec<RecentFile> {
        let look_up = |path: &PathBuf| RecentFile { path: path.clone(), exists: path.is_file() };
        self.recent.iter().map(look_up).collect()
    }

    /// How a slide is shown.
    pub fn slide(&self, id: &SlideId) -> SlidePreferences {
        self.slides.iter().find(|(known, _)| known == id).map(|(_, shown)| *shown).unwrap_or_default()
    }

    /// Remembers how a slide is shown.
    pub fn set_slide(&mut self, id: &SlideId, shown: SlidePreferences) {
        self.slides.retain(|(known, _)| known != id);
        if shown != SlidePreferences::default() {
            self.slides.insert(0, (id.clone(), shown));
        }
    }

    /// Brings every list and number into its bounds.
    fn bound(&mut self) {
        self.recent.truncate(RECENT_MAX);
        self.tabs.retain(|tab| tab.path.to_str().is_some());
        self.tabs.truncate(TABS_MAX);
        self.active_tab = self.active_tab.filter(|&idx| idx < self.tabs.len());
        for tab in &mut self.tabs {
            let sound = |view: &TabView| {
                let numbers = [view.center_base_px[0], view.center_base_px[1], view.rotation_degrees];
                numbers.iter().all(|number| number.is_finite()) && (1e-4..=1e7).contains(&view.downsample)
            };
            tab.view = tab.view.filter(sound);
        }
        self.slides.truncate(SLIDES_MAX);
        for (_, shown) in &mut self.slides {
            shown.look = shown.look.clamped();
        }
        self.classes.truncate(CLASSES_MAX);
        self.sidebar_px = self.sidebar_px.map(|px| px.clamp(*SIDEBAR_PX.start(), *SIDEBAR_PX.end()));
    }

    /// Reads what makes sense; the names of the parts that do not are returned beside it.
    fn from_json(bytes: &[u8]) -> Result<(Self, Vec<&'static str>), serde_json::Error> {
        let mut map: Map<String, Value> = serde_json::from_slice(bytes)?;
        let mut faults = Vec::new();
        let slides: Vec<SlideEntry> = part(&mut map, "slides", &mut faults).unwrap_or_default();
        let schema = map.shift_remove("schema").and_then(|schema| schema.as_u64());
        let mut preferences = Self {
            recent: part(&mut map, "recent", &mut faults).unwrap_or_default(),
            tabs: part(&mut map, "tabs", &mut faults).unwrap_or_default(),
            active_tab: part(&mut map, "active_tab", &mut faults).flatten(),
            language: part(&mut map, "language", &mut faults).flatten(),
            theme: part(&mut map, "theme", &mut faults).unwrap_or_default(),
            classes: part(&mut map, "classes", &mut faults).unwrap_or_else(default_classes),
            sidebar_px: part(&mut map, "sidebar_px", &mut faults).flatten(),
            slides: slides.into_iter().map(|entry| (entry.slide, entry.shown)).collect(),
            other: map,
        };
        if schema.is_none_or(|schema| schema < SCHEMA) {
            faults.push("schema");
        }
        preferences.bound();
        Ok((preferences, faults))
    }

    fn to_json(&self) -> Value {
        let slides: Vec<_> = self
            .slides
            .iter()
            .map(|(slide, shown)| SlideEntry { slide: slide.clone(), shown: *shown })
            .collect();
        let known = serde_json::json!({
            "schema": SCHEMA,
            "recent": self.recent,
            "tabs": self.tabs,
            "active_tab": self.active_tab,
            "language": self.language,
            "theme": self.theme,
            "classes": self.classes,
            "sidebar_px": self.sidebar_px,
            "slides": slides,
        });
        let mut map = match known {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        map.extend(self.other.clone());
        map.into()
    }
}

/// A slide in the file.
#[derive(Serialize, Deserialize)]
struct SlideEntry {
    slide: SlideId,
    #[serde(flatten)]
    shown: SlidePreferences,
}

/// Takes a part out of the file; none where it is missing or makes no sense, which is noted.
fn part<T: DeserializeOwned>(
    map: &mut Map<String, Value>,
    name: &'static str,
    faults: &mut Vec<&'static str>,
) -> Option<T> {
    let value = map.shift_remove(name)?;
    let read = serde_json::from_value(value);
    if read.is_err() {
        faults.push(name);
    }
    read.ok()
}

/// Why preferences are not kept.
#[derive(Debug, thiserror::Error)]
pub enum PreferencesError {
    /// The file is there and cannot be read; it is not written over.
    #[error("cannot read the preferences in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What changed is not on the disk.
    #[error("cannot save the preferences to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Hint for PreferencesError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Read { .. } => Some("check who may read the file; until then nothing new is remembered"),
            Self::Write { .. } => Some("free some space; the change holds until the program ends"),
        }
    }
}

/// The file was damaged: it lies aside, and what made sense was taken from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PreferencesDamage {
    /// Copy of the damaged file.
    pub kept_aside: PathBuf,
    /// What made no sense.
    pub reason: String,
}

/// The file of the preferences, shared by all who change them.
#[derive(Debug)]
pub struct PreferencesFile {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    preferences: Preferences,
    stamp: Option<Stamp>,
    /// Whether what is in memory is on the disk.
    saved: bool,
}

impl PreferencesFile {
    /// Opens `preferences.json`; one that is not there holds the defaults. A damaged one is copied aside.
    ///
    /// # Errors
    /// [`PreferencesError::Read`].
    pub fn open(path: &Path) -> Result<(Self, Option<PreferencesDamage>), PreferencesError> {
        let stamp = Stamp::of(path);
        let (preferences, damage) = load(path)?;
        let saved = damage.is_none();
        let state = Mutex::new(State { preferences, stamp, saved });
        Ok((Self { path: path.to_path_buf(), state }, damage))
    }

    /// What is remembered now.
    pub fn get(&self) -> Preferences {
        self.lock().preferences.clone()
    }

    /// Changes something and saves it. What another window saved meanwhile is taken over first.
    ///
    /// # Errors
    /// [`PreferencesError::Write`]; the change then holds in memory and is saved with the next one.
    pub fn change(&self, change: impl FnOnce(&mut Preferences)) -> Result<(), PreferencesError> {
        let mut state = self.lock();
        let _lock = self.path.parent().and_then(lock_in);
        let now = Stamp::of(&self.path);
        if state.saved
            && now.is_some()
            && now != state.stamp
            && let Ok((theirs, None)) = load(&self.path)
        {
            state.preferences = theirs;
        }
        let before = state.preferences.clone();
        change(&mut state.preferences);
        state.preferences.bound();
        if state.saved && state.preferences == before {
            return Ok(());
        }
        let written = self.write(&state.preferences);
        state.saved = written.is_ok();
        state.stamp = Stamp::of(&self.path);
        written.map_err(|source| PreferencesError::Write { path: self.path.clone(), source })
    }

    fn write(&self, preferences: &Preferences) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            make_folder(folder)?;
        }
        write_whole(&self.path, Readers::Owner, |out| {
            serde_json::to_writer_pretty(&mut *out, &preferences.to_json())?;
            out.write_all(b"\n")
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(path: &Path) -> Result<(Preferences, Option<PreferencesDamage>), PreferencesError> {
    let unread = |source| PreferencesError::Read { path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    match std::fs::File::open(path) {
        Ok(file) => file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unread)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Preferences::default(), None)),
        Err(error) => return Err(unread(error)),
    };
    let read = if bytes.len() as u64 > FILE_BYTES_MAX {
        Err(format!("it is longer than {FILE_BYTES_MAX} bytes"))
    } else {
        Preferences::from_json(&bytes).map_err(|error| error.to_string())
    };
    let (preferences, reason) = match read {
        Ok((preferences, faults)) if faults.is_empty() => return Ok((preferences, None)),
        Ok((preferences, faults)) => {
            (preferences, format!("these parts make no sense: {}", faults.join(", ")))
        }
        Err(reason) => (Preferences::default(), reason),
    };
    let kept_aside = set_aside(path).map_err(unread)?;
    Ok((preferences, Some(PreferencesDamage { kept_aside, reason })))
}

#[cfg(test)]
mod tests;
