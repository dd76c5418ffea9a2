//! A direction in a model's joint space of pictures and words.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A vector of unit length that names the model it came from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Embedding {
    model: Arc<str>,
    values: Vec<f32>,
}

/// Embeddings that cannot be made or compared.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbeddingError {
    /// Two models' spaces have nothing to do with each other.
    #[error("embeddings of two models cannot be compared: {left} and {right}")]
    OtherModel {
        /// Model of the left one.
        left: Arc<str>,
        /// Model of the right one.
        right: Arc<str>,
    },
    /// A vector of length zero, or with a value that is no number, has no direction.
    #[error("the model returned a vector without a direction")]
    NoDirection,
}

impl Embedding {
    /// Normalises `values` to unit length.
    pub fn new(model: Arc<str>, mut values: Vec<f32>) -> Result<Self, EmbeddingError> {
        let norm = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        if !norm.is_finite() || norm == 0.0 {
            return Err(EmbeddingError::NoDirection);
        }
        for value in &mut values {
            *value = (f64::from(*value) / norm) as f32;
        }
        Ok(Self { model, values })
    }

    /// Hash of the model that made it.
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// The coordinates.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Cosine similarity, −1…1.
    pub fn cosine(&self, other: &Self) -> Result<f32, EmbeddingError> {
        if self.model != other.model || self.values.len() != other.values.len() {
            return Err(EmbeddingError::OtherModel { left: self.model.clone(), right: other.model.clone() });
        }
        Ok(self.values.iter().zip(&other.values).map(|(a, b)| a * b).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_compares_directions_of_one_model_only() {
        let a = Embedding::new("m".into(), vec![3.0, 4.0]).unwrap();
        let b = Embedding::new("m".into(), vec![8.0, -6.0]).unwrap();
        assert!((a.cosine(&a).unwrap() - 1.0).abs() < 1e-6);
        assert!(a.cosine(&b).unwrap().abs() < 1e-6);
        let other = Embedding::new("n".into(), vec![1.0, 0.0]).unwrap();
        assert!(matches!(a.cosine(&other), Err(EmbeddingError::OtherModel { .. })));
        assert_eq!(Embedding::new("m".into(), vec![0.0; 2]), Err(EmbeddingError::NoDirection));
    }
}
