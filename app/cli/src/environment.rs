//! The names of all environment variables that the program reads; nothing else reads any.

/// Device to use: `auto`, `cpu`, `wgpu:N`, `cuda:N`.
pub(crate) const DEVICE: &str = "EOSIN_DEVICE";
/// Model to ask: a folder or a GGUF file.
pub(crate) const MODEL: &str = "EOSIN_MODEL";
/// Vision part of a GGUF model.
pub(crate) const MMPROJ: &str = "EOSIN_MMPROJ";
/// Most tokens of an answer.
pub(crate) const MAX_TOKENS: &str = "EOSIN_MAX_TOKENS";
/// Settings file to read instead of the user's own.
pub(crate) const CONFIG: &str = "EOSIN_CONFIG";

/// The value of a variable, unless it is unset or empty.
pub(crate) fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
