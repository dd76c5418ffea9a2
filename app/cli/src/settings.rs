//! Settings and where each came from: flag, environment, project file, user file, default, in this order.
//!
//! Arguments say what was asked; [`Settings`] are complete, and only they enter the program. `eosin doctor`
//! prints each value with its origin. The user's file is `eosin/config.toml` in the configuration folder (or
//! what `EOSIN_CONFIG` names), the project's is `eosin.toml` in the working folder. Held true by the tests
//! below.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use eosin_core::DeviceChoice;
use eosin_session::BundleSource;
use serde::Deserialize;

use crate::environment;
use crate::printer::advised;

/// The project's file, in the working folder.
const PROJECT_FILE: &str = "eosin.toml";
/// No settings file is larger.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a value came from, the nearest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Origin {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// `eosin.toml` in the working folder.
    Project,
    /// The user's file.
    User,
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::Project => "project file",
            Self::User => "user file",
            Self::Default => "default",
        })
    }
}

/// A value and where it came from.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Setting<T> {
    /// The value.
    pub(crate) value: T,
    /// Where it came from.
    pub(crate) origin: Origin,
}

/// The flags that say which model runs where; shared by all commands that answer.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct ModelArgs {
    /// Model to ask: a Hugging Face folder, a .gguf file or an Eosin bundle; the demonstration without it
    #[arg(long, value_name = "DIR|GGUF")]
    pub(crate) model: Option<PathBuf>,
    /// Vision part of a GGUF model
    #[arg(long, value_name = "GGUF")]
    pub(crate) mmproj: Option<PathBuf>,
    /// Where to compute: auto, cpu, wgpu:N or cuda:N
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<DeviceChoice>,
    /// Most tokens of an answer
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
}

/// What one place says; everything may be left out.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wishes {
    model: Option<PathBuf>,
    mmproj: Option<PathBuf>,
    device: Option<String>,
    max_tokens: Option<usize>,
}

/// Complete and checked.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Settings {
    /// Model to ask; `None`: the demonstration.
    pub(crate) model: Setting<Option<PathBuf>>,
    /// Its vision part.
    pub(crate) mmproj: Setting<Option<PathBuf>>,
    /// Where to compute.
    pub(crate) device: Setting<DeviceChoice>,
    /// Most tokens of an answer; `None`: as the model says.
    pub(crate) max_tokens: Setting<Option<usize>>,
}

impl Settings {
    /// Reads all places.
    pub(crate) fn load(args: &ModelArgs) -> anyhow::Result<Self> {
        let environment = Wishes {
            model: environment::read(environment::MODEL).map(PathBuf::from),
            mmproj: environment::read(environment::MMPROJ).map(PathBuf::from),
            device: environment::read(environment::DEVICE),
            max_tokens: environment::read(environment::MAX_TOKENS)
                .map(|text| {
                    text.trim().parse().with_context(|| format!("{}={text}", environment::MAX_TOKENS))
                })
                .transpose()?,
        };
        let flags = Wishes {
            model: args.model.clone(),
            mmproj: args.mmproj.clone(),
            device: args.device.map(|device| device.to_string()),
            max_tokens: args.max_tokens,
        };
        let project = read_file(Path::new(PROJECT_FILE))?;
        let user = user_file().map(|path| read_file(&path)).transpose()?.unwrap_or_default();
        Self::resolve([
            (Origin::Flag, flags),
            (Origin::Environment, environment),
            (Origin::Project, project),
            (Origin::User, user),
        ])
    }

    fn resolve(places: [(Origin, Wishes); 4]) -> anyhow::Result<Self> {
        fn first<T>(places: &[(Origin, Wishes)], of: impl Fn(&Wishes) -> Option<T>) -> Setting<Option<T>> {
            let mut found = places.iter().filter_map(|(origin, wishes)| Some((*origin, of(wishes)?)));
            match found.next() {
                Some((origin, value)) => Setting { value: Some(value), origin },
                None => Setting { value: None, origin: Origin::Default },
            }
        }
        let model = first(&places, |wishes| wishes.model.clone());
        let mut mmproj = first(&places, |wishes| wishes.mmproj.clone());
        // A vision part belongs to the model it was named with, not to one that was named nearer.
        if mmproj.origin > model.origin {
            mmproj = Setting { value: None, origin: Origin::Default };
        }
        let device = first(&places, |wishes| wishes.device.clone());
        let choice = device.value.as_deref().map_or(Ok(DeviceChoice::Auto), str::parse);
        let choice = choice.with_context(|| format!("device, from the {}", device.origin))?;
        let max_tokens = first(&places, |wishes| wishes.max_tokens);
        let device = Setting { value: choice, origin: device.origin };
        Ok(Self { model, mmproj, device, max_tokens })
    }

    /// The model to open.
    pub(crate) fn source(&self) -> BundleSource {
        match &self.model.value {
            Some(model) => BundleSource::Files { model: model.clone(), mmproj: self.mmproj.value.clone() },
            None => BundleSource::Demo,
        }
    }

    /// Name, value and origin of each, for people.
    pub(crate) fn table(&self) -> Vec<(&'static str, String, Origin)> {
        let path = |path: &Option<PathBuf>, none: &str| {
            path.as_ref().map_or_else(|| none.to_owned(), |path| path.display().to_string())
        };
        let max_tokens =
            self.max_tokens.value.map_or_else(|| "as the model says".to_owned(), |n| n.to_string());
        vec![
            ("model", path(&self.model.value, "the demonstration"), self.model.origin),
            ("mmproj", path(&self.mmproj.value, "none"), self.mmproj.origin),
            ("device", self.device.value.to_string(), self.device.origin),
            ("max_tokens", max_tokens, self.max_tokens.origin),
        ]
    }
}

/// The user's settings file, whether it is there or not.
pub(crate) fn user_file() -> Option<PathBuf> {
    if let Some(path) = environment::read(environment::CONFIG) {
        return Some(path.into());
    }
    let folder =
        environment::read("XDG_CONFIG_HOME").or_else(|| environment::read("APPDATA")).map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(environment::read("HOME")?).join(".config")));
    Some(folder?.join("eosin").join("config.toml"))
}

/// Reads a settings file; one that is not there wishes nothing. Paths are relative to the file.
fn read_file(path: &Path) -> anyhow::Result<Wishes> {
    let Ok(meta) = std::fs::metadata(path) else { return Ok(Wishes::default()) };
    if !meta.is_file() || meta.len() > MAX_FILE_BYTES {
        anyhow::bail!("this is no settings file: {}", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut wishes: Wishes = toml::from_str(&text).map_err(|error| {
        let reason = error.message().lines().next().unwrap_or_default().to_owned();
        advised(
            format!("the settings file is not usable: {reason}: {}", path.display()),
            "known keys: model, mmproj, device, max_tokens",
        )
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for path in [&mut wishes.model, &mut wishes.mmproj].into_iter().flatten() {
        *path = folder.join(&path);
    }
    Ok(wishes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(path: &str) -> Wishes {
        Wishes { model: Some(path.into()), ..Wishes::default() }
    }

    fn resolve([flag, environment, project, user]: [Wishes; 4]) -> anyhow::Result<Settings> {
        Settings::resolve([
            (Origin::Flag, flag),
            (Origin::Environment, environment),
            (Origin::Project, project),
            (Origin::User, user),
        ])
    }

    #[test]
    fn the_nearest_place_decides() {
        let none = Wishes::default;
        let check = |places: [Wishes; 4], expected: Option<&str>, origin: Origin| {
            let settings = resolve(places).unwrap();
            assert_eq!(settings.model, Setting { value: expected.map(PathBuf::from), origin });
        };
        check([none(), none(), none(), none()], None, Origin::Default);
        check([none(), none(), none(), model("u")], Some("u"), Origin::User);
        check([none(), none(), model("p"), model("u")], Some("p"), Origin::Project);
        check([none(), model("e"), model("p"), model("u")], Some("e"), Origin::Environment);
        check([model("f"), model("e"), model("p"), model("u")], Some("f"), Origin::Flag);
        let device = Wishes { device: Some("gpu".into()), ..none() };
        let error = resolve([none(), none(), device, none()]).unwrap_err();
        assert!(format!("{error:#}").contains("project file"), "{error:#}");
    }

    #[test]
    fn a_vision_part_stays_with_its_model() {
        let user = Wishes { mmproj: Some("v".into()), ..model("u") };
        let none = Wishes::default;
        let own = resolve([none(), none(), none(), user.clone()]).unwrap();
        assert_eq!(own.mmproj.value, Some("v".into()));
        let other = resolve([model("f"), none(), none(), user]).unwrap();
        assert_eq!(other.mmproj.value, None);
    }

    #[test]
    fn files_with_unknown_keys_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert_eq!(read_file(&path).unwrap(), Wishes::default());
        std::fs::write(&path, "model = 'm.gguf'\nmax_tokens = 7\n").unwrap();
        let wishes = read_file(&path).unwrap();
        assert_eq!((wishes.model, wishes.max_tokens), (Some(folder.path().join("m.gguf")), Some(7)));
        for text in ["modle = 'm'", "model = 3", "model ="] {
            std::fs::write(&path, text).unwrap();
            assert!(read_file(&path).is_err(), "{text}");
        }
    }
}
