//! The formulas of reinforcement learning against vectors made in `PyTorch` (`golden/rl/make_rl.py`), and
//! their gradients against finite differences.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use eosin_training::optim::{AdamW, GradientSum};
use eosin_training::recipe::OptimRecipe;
use eosin_training::rl::advantage::{AdvantageSettings, advantages};
use eosin_training::rl::aggregate::{Aggregation, Denominators, aggregate};
use eosin_training::rl::kl::{self, KlSettings};
use eosin_training::rl::overlong::OverlongSettings;
use eosin_training::rl::policy::{PolicySettings, policy_loss};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/rl/rl.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// `[b, t]` numbers.
#[derive(Clone, Debug)]
struct Table {
    values: Vec<f64>,
    shape: [usize; 2],
}

impl Table {
    fn of(value: &Value) -> Self {
        let rows = value.as_array().unwrap();
        let values: Vec<f64> = rows.iter().flat_map(numbers).collect();
        Self { shape: [rows.len(), values.len() / rows.len()], values }
    }

    fn rows(&self, rows: std::ops::Range<usize>) -> Self {
        let n_column = self.shape[1];
        Self {
            shape: [rows.len(), n_column],
            values: self.values[rows.start * n_column..rows.end * n_column].to_vec(),
        }
    }

    fn tensor(&self, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = self.values.iter().map(|value| *value as f32).collect();
        Tensor::from_data(TensorData::new(values, self.shape), device)
    }
}

/// One step's answers.
#[derive(Clone, Debug)]
struct Input {
    policy: Table,
    old: Table,
    reference: Table,
    advantages: Table,
    mask: Table,
}

impl Input {
    fn of(value: &Value) -> Self {
        let advantages = numbers(&value["advantages"]);
        Self {
            policy: Table::of(&value["policy"]),
            old: Table::of(&value["old"]),
            reference: Table::of(&value["reference"]),
            advantages: Table { shape: [advantages.len(), 1], values: advantages },
            mask: Table::of(&value["mask"]),
        }
    }

    fn rows(&self, rows: std::ops::Range<usize>) -> Self {
        Self {
            policy: self.policy.rows(rows.clone()),
            old: self.old.rows(rows.clone()),
            reference: self.reference.rows(rows.clone()),
            advantages: self.advantages.rows(rows.clone()),
            mask: self.mask.rows(rows),
        }
    }

    fn n_tokens(&self) -> Vec<usize> {
        self.mask.values.chunks(self.mask.shape[1]).map(|row| row.iter().sum::<f64>() as usize).collect()
    }
}

struct Case {
    policy: PolicySettings,
    kl: KlSettings,
    aggregation: Aggregation,
}

struct Found {
    loss: f64,
    gradient: Vec<f64>,
    n_low: i64,
    n_high: i64,
}

/// Loss and gradient of some rows, as a share of the whole step.
fn run(case: &Case, input: &Input, whole: &Denominators) -> Found {
    let device = Device::flex().autodiff();
    let policy = input.policy.tensor(&device).require_grad();
    let mask = input.mask.tensor(&device);
    let of_policy = policy_loss(
        policy.clone(),
        input.old.tensor(&device),
        input.advantages.tensor(&device),
        mask.clone(),
        &case.policy,
    );
    let mut losses = of_policy.loss;
    if case.kl.coefficient != 0.0 {
        let cost = kl::estimate(policy.clone(), input.reference.tensor(&device), case.kl.estimator);
        losses = losses + cost.mul_scalar(case.kl.coefficient);
    }
    let counted = mask.clone().inner().greater_elem(0.5);
    let loss = aggregate(losses, mask, case.aggregation, whole);
    let value: f32 = loss.clone().inner().into_scalar();
    let mut gradients = loss.backward();
    let gradient = policy.grad_remove(&mut gradients).unwrap();
    let count = |clipped: Tensor<2, burn::tensor::Bool>| -> i64 {
        clipped.inner().bool_and(counted.clone()).int().sum().into_scalar()
    };
    Found {
        loss: f64::from(value),
        gradient: gradient.into_data().iter::<f32>().map(f64::from).collect(),
        n_low: count(of_policy.is_clipped_low),
        n_high: count(of_policy.is_clipped_high),
    }
}

fn close(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance * expected.abs().max(1.0)
}

fn case_of(value: &Value) -> Case {
    Case { policy: read(&value["policy"]), kl: read(&value["kl"]), aggregation: read(&value["aggregation"]) }
}

#[test]
fn losses_and_gradients_are_those_of_pytorch() {
    let golden = golden();
    let longest = golden["longest"].as_u64().unwrap() as usize;
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 39, "{} cases", cases.len());
    for value in cases {
        let case = case_of(value);
        case.policy.check().unwrap();
        let input = Input::of(&golden["inputs"][value["input"].as_str().unwrap()]);
        let whole = Denominators::of(&input.n_tokens(), longest);
        let name = format!("{} {} {} {}", value["input"], value["aggregation"], value["policy"], value["kl"]);
        let check = |found: &Found, tolerance: f64, how: &str| {
            let loss = value["loss"].as_f64().unwrap();
            assert!(close(found.loss, loss, tolerance), "{name} {how}: {} instead of {loss}", found.loss);
            for (idx, (found, expected)) in found.gradient.iter().zip(numbers(&value["gradient"])).enumerate()
            {
                assert!(
                    close(*found, expected, tolerance),
                    "{name} {how}: {idx}: {found} instead of {expected}"
                );
            }
            let share = |n: i64| n as f64 / whole.n_token as f64;
            assert!(close(share(found.n_low), value["clip_low"].as_f64().unwrap(), 1e-9), "{name}: low");
            assert!(close(share(found.n_high), value["clip_high"].as_f64().unwrap(), 1e-9), "{name}: high");
        };
        // Ratios of e²⁰ leave f32 few digits below one.
        let found = run(&case, &input, &whole);
        check(&found, 3e-5, "at once");
        // Computed in parts, as memory demands: shares add up.
        let mut sum = Found { loss: 0.0, gradient: Vec::new(), n_low: 0, n_high: 0 };
        for rows in [0..2, 2..3, 3..5] {
            let part = run(&case, &input.rows(rows), &whole);
            sum.loss += part.loss;
            sum.gradient.extend(part.gradient);
            sum.n_low += part.n_low;
            sum.n_high += part.n_high;
        }
        check(&sum, 3e-5, "in parts");
    }
}

#[test]
fn gradients_are_the_slopes_of_the_losses() {
    const STEP: f64 = 1e-3;
    let golden = golden();
    let longest = golden["longest"].as_u64().unwrap() as usize;
    let mut n_slope = 0;
    for value in golden["cases"].as_array().unwrap() {
        // At `first` every token stands on the kink where nothing is clipped on either side: also smooth.
        if value["input"] == "far" {
            continue;
        }
        let case = case_of(value);
        let input = Input::of(&golden["inputs"][value["input"].as_str().unwrap()]);
        let whole = Denominators::of(&input.n_tokens(), longest);
        let gradient = run(&case, &input, &whole).gradient;
        for idx in [0, 1, 3, 8, 14, 22, 24] {
            let at = |change: f64| {
                let mut moved = input.clone();
                moved.policy.values[idx] += change;
                run(&case, &moved, &whole)
            };
            let (low, high) = (at(-STEP), at(STEP));
            if (low.n_low, low.n_high) != (high.n_low, high.n_high) {
                continue;
            }
            let slope = (high.loss - low.loss) / (2.0 * STEP);
            assert!((slope - gradient[idx]).abs() < 2e-3, "{value}: {idx}: {slope} but {}", gradient[idx]);
            n_slope += 1;
        }
    }
    assert!(n_slope > 150, "{n_slope}");
}

#[test]
fn advantages_are_those_of_pytorch() {
    for value in golden()["advantages"].as_array().unwrap() {
        let settings: AdvantageSettings = read(&value["settings"]);
        let groups: Vec<usize> = read(&value["groups"]);
        let found = advantages(&numbers(&value["rewards"]), &groups, &settings);
        for (found, expected) in found.iter().zip(numbers(&value["advantages"])) {
            assert!(close(*found, expected, 1e-6), "{settings:?}: {found} instead of {expected}");
        }
    }
}

#[test]
fn distances_and_punishments_are_those_of_the_formulas() {
    let golden = golden();
    for value in golden["kl"].as_array().unwrap() {
        let floats = |key: &str| numbers(&value[key]).into_iter().map(|x| x as f32).collect::<Vec<_>>();
        let found = kl::estimates(&floats("policy"), &floats("reference"), read(&value["estimator"]));
        for (found, expected) in found.iter().zip(numbers(&value["values"])) {
            assert!(close(*found, expected, 1e-5), "{}: {found} instead of {expected}", value["estimator"]);
        }
    }
    for value in golden["overlong"].as_array().unwrap() {
        let size = |key: &str| value[key].as_u64().unwrap() as usize;
        let settings = OverlongSettings {
            max_tokens: size("max_tokens"),
            cache_tokens: size("cache_tokens"),
            factor: 1.0,
        };
        let found = settings.punishment(size("n_token"));
        assert!(close(found, value["punishment"].as_f64().unwrap(), 1e-12), "{value}: {found}");
    }
}

#[test]
fn names_of_verl_and_trl_are_understood_and_others_refused() {
    let check = |text: &str, sound: bool| {
        assert_eq!(serde_json::from_str::<KlSettings>(text).is_ok(), sound, "{text}");
    };
    check(r#"{"estimator": "low_var_kl"}"#, true);
    check(r#"{"estimator": "k1", "coefficient": 0.1, "place": "reward"}"#, true);
    check(r#"{"estimator": "k4"}"#, false);
    check(r#"{"coefficent": 0.1}"#, false);
    let sound = |low, high, dual| {
        PolicySettings { clip_low: low, clip_high: high, clip_dual: dual, ..PolicySettings::default() }
            .check()
            .is_ok()
    };
    assert!(sound(0.2, 0.28, 10.0) && sound(0.2, 0.2, 0.0));
    assert!(!sound(-0.1, 0.2, 0.0) && !sound(0.2, f64::NAN, 0.0) && !sound(0.2, 0.2, 1.0));
}

/// A matrix, which decays, and a vector, which does not.
#[derive(Module, Debug)]
struct Two {
    matrix: Param<Tensor<2>>,
    vector: Param<Tensor<1>>,
}

#[test]
fn adamw_steps_are_those_of_pytorch() {
    let device = Device::flex().autodiff();
    for value in golden()["adamw"].as_array().unwrap() {
        let number = |key: &str| value[key].as_f64().unwrap();
        let optim = OptimRecipe {
            lr: number("lr"),
            lr_floor: 1.0,
            warmup_steps: 0,
            steps: 6,
            max_minutes: 0.0,
            curve: eosin_training::recipe::Curve::Cosine,
            samples_per_step: 1,
            samples_per_part: 1,
            beta_1: number("beta_1"),
            beta_2: number("beta_2"),
            epsilon: number("epsilon"),
            weight_decay: number("weight_decay"),
            clip_norm: 1.0,
        };
        let matrix = |value: &Value| Table { values: numbers(value), shape: [3, 4] }.tensor(&device);
        let vector =
            |value: &Value| Table { values: numbers(value), shape: [1, 4] }.tensor(&device).reshape([4]);
        let mut module = Two {
            matrix: Param::from_tensor(matrix(&value["start"][0])),
            vector: Param::from_tensor(vector(&value["start"][1])),
        };
        let mut optimiser = AdamW::default();
        for step in value["steps"].as_array().unwrap() {
            // A sum weighted with the wanted gradient has that gradient.
            let loss = (module.matrix.val() * matrix(&step["gradient"][0])).sum()
                + (module.vector.val() * vector(&step["gradient"][1])).sum();
            let mut gradients = GradientSum::default();
            gradients.add(&mut loss.backward(), &module);
            module = optimiser.step(module, gradients, optim.lr, 1.0, &optim);
            let found = [
                module.matrix.val().into_data().iter::<f32>().map(f64::from).collect::<Vec<_>>(),
                module.vector.val().into_data().iter::<f32>().map(f64::from).collect(),
            ];
            for (found, expected) in found.iter().zip(step["after"].as_array().unwrap()) {
                for (found, expected) in found.iter().zip(numbers(expected)) {
                    assert!(close(*found, expected, 2e-6), "{found} instead of {expected}");
                }
            }
        }
    }
}
