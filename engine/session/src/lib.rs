//! The facade over the models: bundles, prompts, generation, streaming.
