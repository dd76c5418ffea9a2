//! Evaluation, held to outside values and to what must not happen: the statistics are scipy's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/kit.rs"]
#[expect(dead_code, reason = "each test uses its part of the kit")]
mod kit;

use eosin_training::evaluate::statistics::{
    ClusterBootstrap, Mean, N_DRAW, Share, exact_mcnemar, student_t_quantile,
};
use serde_json::Value;

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn count(value: &Value, key: &str) -> usize {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} in {value}")) as usize
}

fn near(found: f64, expected: f64, tolerance: f64, of: &Value) {
    assert!((found - expected).abs() <= tolerance * expected.abs().max(1e-3), "{found} for {expected}: {of}");
}

#[test]
fn statistics_are_scipys() {
    let vectors = kit::json(&kit::golden("statistics/statistics.json"));
    let each = |part: &str| vectors[part].as_array().filter(|list| list.len() >= 3).unwrap().clone();
    for case in each("wilson") {
        let [low, high] = Share::new(count(&case, "right"), count(&case, "n")).interval_95;
        near(low, number(&case, "low"), 1e-9, &case);
        near(high, number(&case, "high"), 1e-9, &case);
    }
    for case in each("mcnemar") {
        let p = exact_mcnemar(count(&case, "first"), count(&case, "second"));
        near(p, number(&case, "p"), 1e-8, &case);
    }
    for case in each("quantile") {
        let t = student_t_quantile(number(&case, "probability"), count(&case, "n_degree"));
        near(t, number(&case, "t"), 1e-8, &case);
    }
    for case in each("interval") {
        let runs = case["runs"].as_array().unwrap().iter().map(|run| run.as_f64().unwrap()).collect();
        let mean = Mean::of(runs);
        let [low, high] = mean.interval_95;
        let found = [mean.mean, mean.std, low, high];
        for (found, key) in found.into_iter().zip(["mean", "std", "low", "high"]) {
            near(found, number(&case, key), 1e-8, &case);
        }
    }
    for case in each("bootstrap") {
        let pictures = case["pictures"].as_array().unwrap();
        let names: Vec<String> = (0..pictures.len()).map(|idx| idx.to_string()).collect();
        let values = names.iter().zip(pictures).flat_map(|(name, picture)| {
            picture.as_array().unwrap().iter().map(|right| (name.as_str(), right.as_f64().unwrap()))
        });
        let [low, high] = ClusterBootstrap::new(values).interval_95(N_DRAW, 1);
        let tolerance = number(&case, "tolerance");
        assert!((low - number(&case, "low")).abs() < tolerance, "{low}");
        assert!((high - number(&case, "high")).abs() < tolerance, "{high}");
    }
}
