//! Which device a user asked for.

use std::fmt;
use std::str::FromStr;

/// A device as asked for; what is there and what was chosen is the kernels' business.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DeviceChoice {
    /// The fastest device that is present and works.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A GPU through wgpu, by adapter index.
    Wgpu(usize),
    /// An NVIDIA GPU through CUDA, by ordinal.
    Cuda(usize),
}

/// A device name that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown device `{0}`: use auto, cpu, wgpu, wgpu:N, cuda or cuda:N")]
pub struct DeviceChoiceError(String);

impl FromStr for DeviceChoice {
    type Err = DeviceChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || DeviceChoiceError(text.to_owned());
        let (name, idx) = match text.split_once(':') {
            Some((name, idx)) => (name, Some(idx.parse::<usize>().ok().ok_or_else(unknown)?)),
            None => (text, None),
        };
        match (name, idx) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("wgpu", idx) => Ok(Self::Wgpu(idx.unwrap_or(0))),
            ("cuda", idx) => Ok(Self::Cuda(idx.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Wgpu(idx) => write!(f, "wgpu:{idx}"),
            Self::Cuda(idx) => write!(f, "cuda:{idx}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("wgpu:1", DeviceChoice::Wgpu(1)),
            ("cuda:0", DeviceChoice::Cuda(0)),
        ] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!("wgpu".parse(), Ok(DeviceChoice::Wgpu(0)));
        for text in ["", "gpu", "cpu:1", "auto:0", "wgpu:", "wgpu:-1", "cuda:x"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }
}
