//! `manifest.toml`, the sheet that makes a folder an Eosin bundle: what the model is, under which licence,
//! what must be said with its answers, and the SHA-256 of every file.
//!
//! Opening a bundle checks all hashes: a bundle is small, or it is worth the seconds. Held true by the tests
//! below.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use eosin_core::Hint;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The file's name.
pub const MANIFEST: &str = "manifest.toml";

/// Weight files up to this size are hashed whole; larger ones by samples, see [`weights_hash`].
const MAX_WHOLE_BYTES: u64 = 256 << 20;

/// What a bundle's model is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BundleKind {
    /// Answers questions about pictures.
    Vlm,
    /// Places pictures and words in one space.
    Clip,
}

/// The contents of `manifest.toml`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the bundle format: 1.
    pub format: u32,
    /// A name for people.
    pub name: String,
    /// What the model is for.
    pub kind: BundleKind,
    /// Licence of the weights.
    pub licence: String,
    /// What must be said with every answer; empty for nothing.
    #[serde(default)]
    pub notice: String,
    /// The model it was made from; empty for none.
    #[serde(default)]
    pub base: String,
    /// How it wants to be asked: `plain`, `cot` or `cod`; empty for plain.
    #[serde(default)]
    pub style: String,
    /// SHA-256 of every file but this one, hexadecimal.
    pub sha256: BTreeMap<String, String>,
}

/// Manifests that cannot be read, or that tell of other files than there are.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file cannot be read or written.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The manifest is not what it should be.
    #[error("the bundle's manifest is not usable: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// A newer program wrote it.
    #[error("the bundle has format {format}; this program knows format 1")]
    Newer {
        /// Its format.
        format: u32,
    },
    /// A file changed after the bundle was made.
    #[error("the bundle's file {file} is not the one that its manifest tells of")]
    Changed {
        /// Its name.
        file: String,
    },
}

impl Hint for ManifestError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Changed { .. } => Some("copy the bundle again; if you changed it yourself, seal it anew"),
            Self::Newer { .. } => Some("update this program"),
            Self::Io { .. } | Self::Malformed { .. } => None,
        }
    }
}

impl Manifest {
    /// A manifest without files; [`Manifest::seal`] adds them.
    pub fn new(name: &str, kind: BundleKind, licence: &str) -> Self {
        let [notice, base, style] = [const { String::new() }; 3];
        let (name, licence) = (name.to_owned(), licence.to_owned());
        Self { format: 1, name, kind, licence, notice, base, style, sha256: BTreeMap::new() }
    }

    /// Takes the text of a `manifest.toml`.
    pub fn from_text(text: &str) -> Result<Self, ManifestError> {
        /// The one key that all formats have.
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let malformed = |source: toml::de::Error| ManifestError::Malformed {
            reason: source.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
        };
        match toml::from_str::<Head>(text).map_err(malformed)?.format {
            1 => toml::from_str(text).map_err(malformed),
            format => Err(ManifestError::Newer { format }),
        }
    }

    /// Reads the manifest of a bundle folder and checks every file against it.
    pub fn open(folder: &Path) -> Result<Self, ManifestError> {
        let manifest = Self::from_text(&read_text(&folder.join(MANIFEST), 1 << 20)?)?;
        for (name, expected) in &manifest.sha256 {
            // A manifest speaks of the files of its own folder only.
            if name.is_empty() || name.contains(['/', '\\']) || name == ".." {
                return Err(ManifestError::Malformed { reason: format!("`{name}` is no file name") });
            }
            if file_hash(&folder.join(name))? != expected.to_ascii_lowercase() {
                return Err(ManifestError::Changed { file: name.clone() });
            }
        }
        Ok(manifest)
    }

    /// Fails unless a file is among those whose hash is stated.
    pub fn states(&self, name: &str) -> Result<(), ManifestError> {
        if self.sha256.contains_key(name) {
            return Ok(());
        }
        Err(ManifestError::Malformed { reason: format!("it states no hash of {name}") })
    }

    /// Hashes every file of a folder and writes the manifest there, last, so that it means "whole".
    pub fn seal(mut self, folder: &Path) -> Result<Self, ManifestError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ManifestError::Io { path, source }
        };
        self.sha256.clear();
        for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
            let entry = entry.map_err(failed(folder))?;
            let is_file = entry.file_type().map_err(failed(&entry.path()))?.is_file();
            if let Some(name) = entry.file_name().to_str()
                && is_file
                && name != MANIFEST
            {
                self.sha256.insert(name.to_owned(), file_hash(&entry.path())?);
            }
        }
        let text = toml::to_string(&self)
            .map_err(|source| ManifestError::Malformed { reason: source.to_string() })?;
        let (path, temporary) = (folder.join(MANIFEST), folder.join(".manifest.toml.new"));
        std::fs::write(&temporary, text).map_err(failed(&temporary))?;
        std::fs::rename(&temporary, &path).map_err(failed(&path))?;
        Ok(self)
    }
}

/// SHA-256 of a whole file, hexadecimal.
pub fn file_hash(path: &Path) -> Result<String, ManifestError> {
    let failed = |source| ManifestError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hex(&hasher.finalize())),
            n_byte => hasher.update(&buffer[..n_byte]),
        }
    }
}

/// Names a model by its weight files: `sha256:…` over the whole files up to 256 MiB together, else
/// `sampled-sha256:…` over their sizes, first 16 MiB (where the headers are) and 256 pieces of 64 KiB spread
/// evenly, which tells apart all models that training or quantising made, in a fraction of a second.
pub fn weights_hash(files: &[PathBuf]) -> Result<String, ManifestError> {
    let mut sizes = Vec::with_capacity(files.len());
    for path in files {
        let meta = std::fs::metadata(path);
        sizes.push(meta.map_err(|source| ManifestError::Io { path: path.clone(), source })?.len());
    }
    let whole = sizes.iter().sum::<u64>() <= MAX_WHOLE_BYTES;
    let mut hasher = Sha256::new();
    for (path, n_byte) in files.iter().zip(sizes) {
        let failed = |source| ManifestError::Io { path: path.clone(), source };
        let mut file = File::open(path).map_err(failed)?;
        let mut pieces = vec![(0, n_byte)];
        if !whole {
            hasher.update(n_byte.to_le_bytes());
            pieces = vec![(0, n_byte.min(16 << 20))];
            pieces.extend((0..256).map(|idx| (n_byte / 256 * idx, 64 << 10)));
        }
        for (from, n_byte) in pieces {
            file.seek(SeekFrom::Start(from)).map_err(failed)?;
            let mut piece = (&mut file).take(n_byte);
            let mut buffer = vec![0; 1 << 16];
            loop {
                match piece.read(&mut buffer).map_err(failed)? {
                    0 => break,
                    n_byte => hasher.update(&buffer[..n_byte]),
                }
            }
        }
    }
    Ok(format!("{}:{}", if whole { "sha256" } else { "sampled-sha256" }, hex(&hasher.finalize())))
}

/// SHA-256 of bytes in memory, as [`weights_hash`] names them.
pub(crate) fn bytes_hash(pieces: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for piece in pieces {
        hasher.update(piece);
    }
    format!("sha256:{}", hex(&hasher.finalize()))
}

/// Reads a text file of at most `max_bytes`.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> Result<String, ManifestError> {
    let failed = |source| ManifestError::Io { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    let n_byte = file.take(max_bytes + 1).read_to_string(&mut text).map_err(failed)?;
    if n_byte as u64 > max_bytes {
        return Err(failed(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "the file is too large")));
    }
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_bundle_opens_until_a_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("card.md"), "abc").unwrap();
        let sealed = Manifest::new("toy", BundleKind::Vlm, "CC0").seal(folder.path()).unwrap();
        // The test vector of FIPS 180-2.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sealed.sha256["card.md"], abc);
        assert_eq!(Manifest::open(folder.path()).unwrap(), sealed);
        assert!(sealed.states("card.md").is_ok() && sealed.states("weights.gguf").is_err());
        std::fs::write(folder.path().join("card.md"), "abd").unwrap();
        assert!(matches!(Manifest::open(folder.path()), Err(ManifestError::Changed { .. })));
        std::fs::remove_file(folder.path().join("card.md")).unwrap();
        assert!(matches!(Manifest::open(folder.path()), Err(ManifestError::Io { .. })));
    }

    #[test]
    fn manifests_of_other_makes_are_refused() {
        let head = "format = 1\nname = 'a'\nkind = 'vlm'\nlicence = ''\n";
        assert!(Manifest::from_text(&format!("{head}[sha256]\n")).is_ok());
        for text in ["", "format = 'x'", "format = 2", &format!("{head}extra = 1\n[sha256]\n"), head] {
            assert!(Manifest::from_text(text).is_err(), "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(MANIFEST), format!("{head}[sha256]\n'../x' = ''\n")).unwrap();
        assert!(matches!(Manifest::open(folder.path()), Err(ManifestError::Malformed { .. })));
    }

    #[test]
    fn large_weights_are_named_by_samples() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        // A sparse file takes no space.
        File::create(&path).unwrap().set_len(MAX_WHOLE_BYTES + 1).unwrap();
        let name = weights_hash(std::slice::from_ref(&path)).unwrap();
        assert!(name.starts_with("sampled-sha256:"));
        File::options().write(true).open(&path).unwrap().set_len(MAX_WHOLE_BYTES + 2).unwrap();
        assert_ne!(weights_hash(std::slice::from_ref(&path)).unwrap(), name);
    }
}
