//! How the learning rate moves: linear warm-up, then a cosine, a line or nothing down to a floor.
//!
//! The place on the curve is a share of the run, and the run ends by steps or, where the recipe gives a
//! time, by whichever of steps and clock comes first. On a machine that others use the speed is not known
//! beforehand; a schedule that ends with the budget anneals fully all the same.

use crate::recipe::{Curve, OptimRecipe};

/// Where a run stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Progress {
    /// Steps done before this one.
    pub step: u64,
    /// Training time so far, over all resumptions.
    pub elapsed_secs: f64,
}

impl Progress {
    /// Share of the run that is over, 0…1.
    pub fn share(&self, optim: &OptimRecipe) -> f64 {
        let by_step = self.step as f64 / optim.steps as f64;
        let by_clock =
            if optim.max_minutes > 0.0 { self.elapsed_secs / (optim.max_minutes * 60.0) } else { 0.0 };
        by_step.max(by_clock).min(1.0)
    }

    /// Whether the run is over.
    pub fn is_over(&self, optim: &OptimRecipe) -> bool {
        self.share(optim) >= 1.0
    }

    /// Learning rate of the step that begins here.
    pub fn learning_rate(&self, optim: &OptimRecipe) -> f64 {
        let warm = ((self.step + 1) as f64 / (optim.warmup_steps + 1) as f64).min(1.0);
        let fall = match optim.curve {
            Curve::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * self.share(optim)).cos()),
            Curve::Linear => 1.0 - self.share(optim),
            Curve::Constant => return optim.lr * warm,
        };
        optim.lr * warm * (optim.lr_floor + (1.0 - optim.lr_floor) * fall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn optim(max_minutes: f64) -> OptimRecipe {
        OptimRecipe {
            lr: 1.0,
            lr_floor: 0.1,
            warmup_steps: 9,
            steps: 100,
            max_minutes,
            curve: Curve::Cosine,
            samples_per_step: 1,
            samples_per_part: 1,
            beta_1: 0.9,
            beta_2: 0.95,
            epsilon: 1e-8,
            weight_decay: 0.0,
            clip_norm: 1.0,
        }
    }

    #[test]
    fn rises_then_falls_to_the_floor() {
        let at = |step| Progress { step, elapsed_secs: 0.0 }.learning_rate(&optim(0.0));
        assert!((at(0) - 0.1).abs() < 1e-3);
        assert!(at(9) > 0.97);
        assert!((at(50) - 0.55).abs() < 1e-9);
        assert!((at(100) - 0.1).abs() < 1e-9);
    }

    #[test]
    fn every_curve_has_its_middle() {
        let middle = |curve| {
            let optim = OptimRecipe { curve, ..optim(0.0) };
            Progress { step: 50, elapsed_secs: 0.0 }.learning_rate(&optim)
        };
        for (curve, expected) in [(Curve::Cosine, 0.55), (Curve::Linear, 0.55), (Curve::Constant, 1.0)] {
            assert!((middle(curve) - expected).abs() < 1e-9, "{curve:?}");
        }
        let linear = OptimRecipe { curve: Curve::Linear, ..optim(0.0) };
        let late = Progress { step: 75, elapsed_secs: 0.0 }.learning_rate(&linear);
        assert!((late - 0.325).abs() < 1e-9);
    }

    #[test]
    fn the_clock_ends_a_run_as_the_steps_do() {
        let optim = optim(1.0);
        let late = Progress { step: 20, elapsed_secs: 60.0 };
        assert!(late.is_over(&optim));
        assert!((late.learning_rate(&optim) - 0.1).abs() < 1e-9);
        assert!(!Progress { step: 20, elapsed_secs: 59.0 }.is_over(&optim));
    }
}
