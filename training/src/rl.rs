//! Reinforcement by verifiable rewards: GRPO, DAPO and Dr.GRPO as settings of one loop, read top to bottom.
//!
//! A step asks prompts, draws a group of answers to each, rewards them, leaves out prompts whose answers all
//! fare alike where the recipe says so, turns rewards into advantages, and learns from the answers in one or
//! several updates. Formulas are pure functions, each in its file, named after DAPO (Yu et al. 2025), GRPO (Shao
//! et al. 2024), Dr.GRPO (Liu et al. 2025), and after verl and TRL where the papers leave something open.
//! `tests/train_formulas.rs` holds values and gradients against vectors made in `PyTorch`, `tests/train_rl.rs`
//! the loop.

pub mod advantage;
pub mod aggregate;
pub mod answers;
pub mod filter;
pub mod kl;
pub mod learn;
pub mod overlong;
pub mod policy;
pub mod record;
pub mod settings;

use std::time::Instant;

use burn::module::Module;
use eosin_model::qwen::Qwen;
use rayon::prelude::*;

use crate::data::{Message, Skip};
use crate::error::TrainError;
use crate::examples::{Examples, Prompt};
use crate::folder;
use crate::judge::Judge;
use crate::metrics::Scalars;
use crate::metrics::lines::CompletionLog;
use crate::pipeline::Context;
use crate::reward::Kind;
use crate::run::{Ended, Trainer};
use crate::sft::look;
use crate::watch::Watch;
use advantage::{advantages, group_statistics};
use answers::{Answered, JudgeCount, Question, answer, cursor, judge_answers, mix};
use filter::{Exhausted, Kept, Metric, Verdict};
use kl::Place;
use learn::{Asking, Row, TokenStatistics, learn, log_probs};
use record::{Drawn, figures};
pub use settings::RlSettings;

/// Batches in a row of which no prompt could be used, after which the stage gives up.
const BARREN_BATCHES: u64 = 16;

/// What stays the same over the steps of a stage.
struct Stage<'a> {
    context: &'a Context<'a>,
    settings: RlSettings,
    examples: Examples,
    /// The model that the stage began from, where distance from it matters.
    reference: Option<Qwen>,
    judge: Option<Box<dyn Judge>>,
}

/// A step's questions with their answers.
#[derive(Default)]
struct Sampled {
    /// Those to learn from.
    kept: Vec<(Question, Vec<Answered>)>,
    /// All that was drawn, for the records.
    drawn: Vec<Drawn>,
    judged: JudgeCount,
    n_batch: usize,
    n_token: u64,
}

/// Runs an `rl` stage from where it stands to its end.
///
/// # Errors
/// Failures of the disk, a loss that is no number, a judge that the recipe wants an answer from, prompts that
/// never vary, and bad samples where the recipe is strict.
pub fn run(context: &Context<'_>, watch: &mut dyn Watch) -> Result<Ended, TrainError> {
    let plan = context.plan;
    let settings = plan.stage.rl.clone().unwrap_or_default();
    let device = context.training_device();
    let vlm = context.open_vlm(&device)?;
    let model = context.prepare(vlm.model.clone(), &device)?;
    let mut trainer = Trainer::open(context.dir, plan, model, &device, watch)?;
    let asks = settings.rewards.iter().any(|reward| reward.name == Kind::Process);
    let judge = settings.judge.as_ref().filter(|_| asks).map(|judge| judge.open(context.dir)).transpose()?;
    let stage = Stage {
        context,
        examples: Examples::new(&vlm, &plan.stage.tune()),
        reference: settings.needs_reference().then(|| vlm.model.valid()),
        judge,
        settings,
    };
    let mut log = CompletionLog::open(context.dir, trainer.step())?;
    while !trainer.is_over() {
        if watch.wants_stop() {
            trainer.save()?;
            return Ok(Ended::Stopped);
        }
        stage.step(&mut trainer, &mut log, watch)?;
        if trainer.look_is_due() {
            let (scalars, score) = look(context, &stage.examples, &trainer.model)?;
            trainer.looked(&scalars, score, watch)?;
        }
        trainer.save_if_due()?;
    }
    let model = context.finish(trainer.chosen(&device)?)?.valid();
    folder::write_final(context.dir, &folder::texts(&vlm.files), model.named_weights(), trainer.finished())?;
    Ok(Ended::Finished)
}

impl Stage<'_> {
    fn step(
        &self,
        trainer: &mut Trainer<Qwen>,
        log: &mut CompletionLog,
        watch: &mut dyn Watch,
    ) -> Result<(), TrainError> {
        let settings = &self.settings;
        let since = Instant::now();
        let mut sampled = self.sample(trainer, watch)?;
        let sampled_secs = since.elapsed().as_secs_f64();
        let kept = std::mem::take(&mut sampled.kept);
        let askings: Vec<Asking> = kept.iter().map(|(question, _)| question.asking.clone()).collect();
        let mini = if settings.mini_batch == 0 { kept.len().max(1) } else { settings.mini_batch };
        let n_update = settings.num_iterations * kept.len().div_ceil(mini);
        let rows = self.rows(&trainer.model, &kept, &askings, n_update)?;
        sampled.note_advantages(&rows);

        let ids: Vec<String> = kept.iter().map(|(question, _)| question.id.clone()).collect();
        let (mut loss, mut length, mut statistics) = (0.0, 0.0, TokenStatistics::default());
        let mut learning_rate = trainer.learning_rate();
        for _ in 0..settings.num_iterations {
            // Rows lie prompt by prompt, `group` to each.
            for part in rows.chunks(mini * settings.group) {
                let learned = learn(&trainer.model, &askings, part, settings)?;
                loss += learned.loss / n_update as f64;
                statistics.add(&learned.statistics);
                sampled.n_token += learned.n_token;
                if learned.statistics.n_token > 0.0 {
                    let update = trainer.update(learned.loss, learned.gradients, &ids)?;
                    length += update.length / n_update as f64;
                    learning_rate = update.learning_rate;
                }
            }
        }
        for completion in record::completions(trainer.step() + 1, &sampled.drawn) {
            log.push(&completion)?;
        }
        let scalars =
            Scalars::new().with("loss", loss).with("grad_norm", length).with("learning_rate", learning_rate);
        let mut further = figures(&sampled.drawn, &statistics, settings);
        further.set("sampling/batches", sampled.n_batch as f64);
        further.set("sampling/kept", kept.len() as f64 / sampled.drawn.len().max(1) as f64);
        further.set("sampling_secs", sampled_secs);
        if self.judge.is_some() {
            further.set("judge/asked", sampled.judged.n_asked as f64);
            further.set("judge/cached", sampled.judged.n_cached as f64);
            further.set("judge/failed", sampled.judged.n_failed as f64);
        }
        trainer.advance(scalars, &further, sampled.n_token, since, watch)
    }

    /// Asks prompts until there are enough to learn from.
    fn sample(&self, trainer: &mut Trainer<Qwen>, watch: &mut dyn Watch) -> Result<Sampled, TrainError> {
        let settings = &self.settings;
        let (seed, step) = (self.context.plan.seed, trainer.step());
        let n_wanted = self.context.plan.stage.optim.samples_per_step;
        let n_ask = if settings.gen_batch == 0 { n_wanted } else { settings.gen_batch };
        // Whoever is left out need not be judged, unless that depends on the judge.
        let judges_kept_only = settings.filter.enabled && settings.filter.metric == Metric::Accuracy;
        let tokenizer = self.examples.encoder().tokenizer().clone();
        let model = trainer.model.valid();
        let mut kept = Kept::new(settings.filter, n_wanted);
        let mut sampled = Sampled::default();
        let mut all: Vec<(Question, Vec<Answered>)> = Vec::new();
        for batch in 0.. {
            let asked = self.ask(batch, step, n_ask as u64)?;
            let mut questions = Vec::with_capacity(n_ask);
            let mut streams = Vec::with_capacity(n_ask);
            for (idx, found) in asked.into_iter().enumerate() {
                match found {
                    Ok(question) => {
                        questions.push(question);
                        streams.push(mix(&[batch, idx as u64]));
                    }
                    Err(skip) => trainer.skip(&skip, watch)?,
                }
            }
            if questions.is_empty() && batch >= BARREN_BATCHES && all.is_empty() {
                return Err(TrainError::plan("none of the prompts of its sources can be used"));
            }
            let shown: Vec<&Question> = questions.iter().collect();
            let rollout_seed = mix(&[seed, step]);
            let mut groups = answer(&model, &tokenizer, &shown, &streams, settings, rollout_seed)?;
            if let Some(judge) = self.judge.as_deref().filter(|_| !judges_kept_only) {
                sampled.judged.add(judge_answers(judge, &shown, &mut groups, settings)?);
            }
            let first = all.len();
            all.extend(questions.into_iter().zip(groups));
            let offered = all[first..].iter().enumerate().map(|(idx, (_, group))| {
                let metric = match settings.filter.metric {
                    Metric::Accuracy => group.iter().map(|one| one.accuracy(settings)).collect(),
                    Metric::Reward | Metric::FinalReward => group.iter().map(|one| one.reward).collect(),
                };
                (first + idx, metric)
            });
            match kept.offer(offered) {
                Verdict::Full => break,
                Verdict::Again if settings.filter.enabled || kept.n_kept() == 0 => {}
                // Some of the step's samples could not be used: it is taken with the others.
                Verdict::Again => break,
                Verdict::Exhausted if settings.filter.exhausted == Exhausted::TakeKept => break,
                Verdict::Exhausted => {
                    return Err(TrainError::plan(format!(
                        "at step {}, after {} batches, the answers to only {} of {} prompts differ in their \
                         {}, and {n_wanted} are wanted: the prompts are too easy or too hard, or \
                         rl.filter.max_num_gen_batches is too low",
                        step + 1,
                        kept.n_batch(),
                        kept.n_kept(),
                        kept.n_seen(),
                        if settings.filter.metric == Metric::Accuracy { "accuracy" } else { "reward" },
                    )));
                }
            }
        }
        sampled.n_batch = kept.n_batch();
        let chosen = kept.into_groups();
        let n_prompt_token = |(question, group): &(Question, Vec<Answered>)| {
            let written: usize = group.iter().map(|one| one.ids.len()).sum();
            (question.asking.ids.len() + written) as u64
        };
        sampled.n_token = all.iter().map(n_prompt_token).sum();
        if let Some(judge) = self.judge.as_deref().filter(|_| judges_kept_only) {
            for idx in &chosen {
                let (question, group) = &mut all[*idx];
                let mut groups = [std::mem::take(group)];
                sampled.judged.add(judge_answers(judge, &[question], &mut groups, settings)?);
                let [judged] = groups;
                *group = judged;
            }
        }
        sampled.drawn = all.iter().map(|(question, group)| Drawn::of(question, group)).collect();
        for (place, idx) in chosen.iter().enumerate() {
            sampled.drawn[*idx].kept = Some(place);
        }
        let mut all: Vec<Option<(Question, Vec<Answered>)>> = all.into_iter().map(Some).collect();
        sampled.kept = chosen.into_iter().filter_map(|idx| all[idx].take()).collect();
        Ok(sampled)
    }

    /// Questions of one batch; those that cannot be used with the reason.
    fn ask(&self, batch: u64, step: u64, n_ask: u64) -> Result<Vec<Result<Question, Skip>>, TrainError> {
        let (seed, data) = (self.context.plan.seed, self.context.data.as_ref());
        let looks = self.judge.as_deref().is_some_and(Judge::looks);
        (0..n_ask)
            .into_par_iter()
            .map(|idx| {
                let cursor = cursor(seed, step, batch, idx, n_ask, data.n_sample());
                Ok(match self.examples.prompt(data, cursor)? {
                    Ok(prompt) => question(prompt, looks),
                    Err(skip) => Err(skip),
                })
            })
            .collect()
    }

    /// Answers with their advantages, ready to be learned from: prompt by prompt.
    fn rows(
        &self,
        model: &Qwen,
        kept: &[(Question, Vec<Answered>)],
        askings: &[Asking],
        n_update: usize,
    ) -> Result<Vec<Row>, TrainError> {
        let settings = &self.settings;
        let (mut rows, mut rewards, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for (asking, (_, answered)) in kept.iter().enumerate() {
            for one in answered {
                rewards.push(one.reward);
                groups.push(asking);
                rows.push(Row {
                    asking,
                    ids: one.ids.clone(),
                    counts: !(settings.mask_truncated && one.is_cut),
                    advantage: 0.0,
                    old: Vec::new(),
                    reference: Vec::new(),
                });
            }
        }
        let takes_off = settings.needs_reference() && settings.kl.place == Place::Reward;
        // With a single update nothing has moved when it is computed: ρ is 1, and its gradient is what matters.
        if n_update > 1 || takes_off {
            let old = log_probs(&model.valid(), askings, &rows, settings)?;
            for (row, old) in rows.iter_mut().zip(old) {
                row.old = old;
            }
        }
        if let Some(reference) = &self.reference {
            let found = log_probs(reference, askings, &rows, settings)?;
            for (row, found) in rows.iter_mut().zip(found) {
                row.reference = found;
            }
        }
        if takes_off {
            for (row, reward) in rows.iter().zip(&mut rewards) {
                let distance = kl::estimates(&row.old, &row.reference, settings.kl.estimator);
                *reward -= settings.kl.coefficient * distance.iter().sum::<f64>();
            }
        }
        for (row, advantage) in rows.iter_mut().zip(advantages(&rewards, &groups, &settings.advantage)) {
            row.advantage = advantage;
        }
        Ok(rows)
    }
}

impl Sampled {
    /// Writes down what became of the answers that were kept.
    fn note_advantages(&mut self, rows: &[Row]) {
        for row in rows {
            let drawn = self.drawn.iter_mut().find(|drawn| drawn.kept == Some(row.asking));
            if let Some(drawn) = drawn {
                drawn.advantages.push(row.advantage);
            }
        }
    }
}

/// A prompt that can be rewarded.
fn question(prompt: Prompt, looks: bool) -> Result<Question, Skip> {
    let Prompt { sample, ids, images } = prompt;
    let Some(task) = sample.task else {
        return Err(Skip { id: sample.id, reason: "it has no right answer to reward".into() });
    };
    let mut tiles = Vec::new();
    for picture in sample.images.iter().filter(|_| looks) {
        match picture.decode() {
            Ok(tile) => tiles.push(tile),
            Err(error) => return Err(Skip { id: sample.id, reason: eosin_core::error_chain(&error) }),
        }
    }
    let last = |turn: &&Message| turn.role == eosin_core::Role::User;
    let text = sample.messages.iter().rev().find(last).map_or("", |turn| &turn.text);
    let text = text.replace(crate::data::IMAGE_MARK, "").trim().to_owned();
    Ok(Question { id: sample.id, text, asking: Asking { ids, images }, task, tiles })
}

/// Share of prompts whose answers were all rewarded alike.
pub fn share_of_flat(rewards: &[f64], groups: &[usize]) -> f64 {
    let statistics = group_statistics(rewards, groups);
    let n_flat = statistics.values().filter(|group| group.is_flat()).count();
    n_flat as f64 / statistics.len().max(1) as f64
}
