//! The flags that say how an answer is made; shared by the command line and the window.

use eosin_session::{AskOptions, EndOfTurn, PromptLookup};

use crate::settings::Settings;

/// How an answer is made, where otherwise than as the model itself asks for.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct AnswerArgs {
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Text that ends the answer; may be repeated
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Go on after the end of the turn, to compare with references
    #[arg(long)]
    ignore_eos: bool,
    /// Read token by token what may repeat the prompt; the answer is the same, and later
    #[arg(long)]
    no_lookup: bool,
    /// Fewest pixels of a picture after resizing
    #[arg(long, value_name = "N")]
    min_pixels: Option<u64>,
    /// Most pixels of a picture after resizing; 784 of them make a token
    #[arg(long, value_name = "N")]
    max_pixels: Option<u64>,
}

#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Sampling")]
struct SamplingArgs {
    /// Always the likeliest token
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p", "seed"])]
    greedy: bool,
    /// Divides the scores: below 1 surer, above 1 freer; 0 is greedy
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Only the K likeliest tokens; 0 for all
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Only the likeliest tokens that together reach P
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,
    /// Above 1, tokens that came up become less likely
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    repetition_penalty: Option<f32>,
    /// Seed of the draw; 0 without it
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl AnswerArgs {
    /// The wishes as the session takes them.
    pub fn options(&self, settings: &Settings) -> AskOptions {
        let sampling = &self.sampling;
        AskOptions {
            greedy: sampling.greedy,
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            repetition_penalty: sampling.repetition_penalty,
            seed: sampling.seed,
            max_tokens: settings.max_tokens.value,
            stop: self.stop.clone(),
            end_of_turn: if self.ignore_eos { EndOfTurn::Ignored } else { EndOfTurn::Stops },
            min_pixels: self.min_pixels,
            max_pixels: self.max_pixels,
            prompt_lookup: if self.no_lookup { PromptLookup::Off } else { PromptLookup::On },
        }
    }
}
