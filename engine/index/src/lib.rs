//! Nearest neighbours among embeddings.
