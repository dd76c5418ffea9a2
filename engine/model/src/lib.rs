//! Qwen2.5-VL and CLIP as burn modules: weights and tensors in, tensors out.
