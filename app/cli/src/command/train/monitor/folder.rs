//! A run's folder, read as it grows: what the monitor shows.
//!
//! The order of the stages is the recipe's; folders of stages that it does not name come last. Only what is new
//! is read, and what is kept of it is bounded. A run that was killed and goes on drops the rows that it writes
//! again. Held true by the tests below.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use eosin_reviewer::monitor::{MonitorSource, Progress, RunState, Sample, Series, StageState};
use eosin_training::metrics::METRICS;
use eosin_training::metrics::lines::{COMPLETIONS, SKIPPED};
use eosin_training::pipeline::RECIPE;
use serde_json::Value;
use toml::Table;

use super::tail::Tail;
use crate::printer::advised;

/// What the model wrote, kept for showing.
const MOST_SAMPLES: usize = 24;
/// Samples left out, kept for showing.
const MOST_SKIPPED: usize = 50;
/// Bytes at the end of the completions of a run that is opened.
const COMPLETIONS_BYTES: u64 = 256 << 10;
/// Rows over which the rate of a stage is measured.
const RATE_ROWS: usize = 60;
/// A stage that has written nothing for so long is silent, unless its steps take longer.
const SILENT_SECS: f64 = 90.0;
/// Curves of a stage at most: a file of many names must not fill the memory.
const MOST_CURVES: usize = 256;

/// A run in its folder.
#[derive(Debug)]
pub(super) struct RunFolder {
    dir: PathBuf,
    stages: Vec<StageFolder>,
    state: RunState,
}

/// A stage in its folder.
#[derive(Debug)]
struct StageFolder {
    dir: PathBuf,
    rows: Tail,
    completions: Tail,
    skipped: Tail,
    /// Share done and time taken of the last rows.
    pace: VecDeque<(f64, f64)>,
}

impl RunFolder {
    /// Opens a run.
    ///
    /// # Errors
    /// Where the folder is none, or holds no run.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let mut run = Self { dir: dir.to_owned(), stages: Vec::new(), state: RunState::default() };
        if !dir.is_dir() {
            let hint = "name the folder that `eosin train run` wrote to";
            return Err(advised(format!("there is no such directory: {}", dir.display()), hint));
        }
        run.find_stages();
        if run.stages.is_empty() {
            let hint = "name the folder that `eosin train run` wrote to";
            return Err(advised(format!("this directory holds no run: {}", dir.display()), hint));
        }
        Ok(run)
    }

    /// The stages of the recipe, then those that have a folder and no place in it.
    fn find_stages(&mut self) {
        let recipe = table(&self.dir.join(RECIPE));
        let own = self.dir.canonicalize().ok();
        let own = own.and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()));
        self.state.name = text(&recipe, "name").or(own).unwrap_or_else(|| "run".to_owned());
        let planned = recipe.get("stage").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        for plan in planned.iter().filter_map(toml::Value::as_table) {
            if let Some(name) = text(plan, "name") {
                self.add_stage(&self.dir.join(&name), name, plan);
            }
        }
        let mut folders: Vec<PathBuf> = fs::read_dir(&self.dir)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.join(METRICS).is_file())
            .collect();
        folders.sort();
        for folder in folders {
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            self.add_stage(&folder, name, &Table::new());
        }
        if self.stages.is_empty() && self.dir.join(METRICS).is_file() {
            self.add_stage(&self.dir.clone(), self.state.name.clone(), &recipe);
        }
    }

    fn add_stage(&mut self, dir: &Path, name: String, plan: &Table) {
        if self.state.stages.iter().any(|known| known.name == name) {
            return;
        }
        // A stage's own plan has its table under `stage`; a recipe's entry is that table.
        let own = table(&dir.join("plan.toml"));
        let own = own.get("stage").and_then(toml::Value::as_table).cloned().unwrap_or_default();
        let find = |key: &str| text(&own, key).or_else(|| text(plan, key)).unwrap_or_default();
        let steps = |table: &Table| table.get("optim")?.get("steps")?.as_integer();
        let n_step = steps(&own).or_else(|| steps(plan)).and_then(|n_step| u64::try_from(n_step).ok());
        let (title, kind) = (find("title"), find("kind"));
        self.state.stages.push(StageState { name, title, kind, n_step, ..StageState::default() });
        self.stages.push(StageFolder {
            dir: dir.to_owned(),
            rows: Tail::new(&dir.join(METRICS)),
            completions: Tail::from_end(&dir.join(COMPLETIONS), COMPLETIONS_BYTES),
            skipped: Tail::new(&dir.join(SKIPPED)),
            pace: VecDeque::new(),
        });
    }
}

impl MonitorSource for RunFolder {
    fn look(&mut self) -> RunState {
        self.find_stages();
        self.state.fault = None;
        for (folder, state) in self.stages.iter_mut().zip(&mut self.state.stages) {
            if let Err(error) = folder.look(state) {
                self.state.fault = Some(format!("cannot read {}: {error}", folder.dir.display()));
            }
        }
        self.state.clone()
    }
}

impl StageFolder {
    fn look(&mut self, state: &mut StageState) -> std::io::Result<()> {
        loop {
            let look = self.rows.look()?;
            if look.anew {
                state.curves.clear();
                self.pace.clear();
                (state.step, state.share, state.elapsed_secs) = (0, 0.0, None);
            }
            for line in &look.lines {
                if let Ok(Value::Object(row)) = serde_json::from_str(line) {
                    self.take_row(state, &row);
                }
            }
            if !look.more {
                break;
            }
        }
        self.look_at_samples(state)?;
        self.look_at_skipped(state)?;
        self.judge(state);
        Ok(())
    }

    fn take_row(&mut self, state: &mut StageState, row: &serde_json::Map<String, Value>) {
        let Some(step) = row.get("step").and_then(Value::as_u64) else { return };
        let train = row.get("kind").and_then(Value::as_str) != Some("eval");
        if train && step <= state.step {
            // The run goes on from before: what stands there is written again.
            for (_, series) in &mut state.curves {
                series.cut(step as f64);
            }
            self.pace.clear();
        }
        if train {
            state.step = step;
        }
        for (name, value) in row {
            if name == "step" || name == "kind" {
                continue;
            }
            let value = if value.is_null() { Some(f64::NAN) } else { value.as_f64() };
            let Some(value) = value else { continue };
            let place = state.curves.iter().position(|(known, _)| known == name);
            let place = place.or_else(|| {
                let room = state.curves.len() < MOST_CURVES;
                room.then(|| {
                    state.curves.push((name.clone(), Series::default()));
                    state.curves.len() - 1
                })
            });
            if let Some(place) = place {
                state.curves[place].1.push(step as f64, value);
            }
        }
        let figure = |name: &str| row.get(name).and_then(Value::as_f64);
        if let (true, Some(elapsed)) = (train, figure("elapsed_secs")) {
            let by_steps = state.n_step.map(|n_step| step as f64 / n_step.max(1) as f64);
            let share = figure("progress").or(by_steps).unwrap_or(0.0).clamp(0.0, 1.0);
            (state.share, state.elapsed_secs) = (share, Some(elapsed));
            self.pace.push_back((share, elapsed));
            if self.pace.len() > RATE_ROWS {
                self.pace.pop_front();
            }
        }
    }

    fn look_at_samples(&mut self, state: &mut StageState) -> std::io::Result<()> {
        loop {
            let look = self.completions.look()?;
            if look.anew {
                state.samples.clear();
            }
            for sample in look.lines.iter().filter_map(|line| sample(line)) {
                state.samples.insert(0, sample);
                state.samples.truncate(MOST_SAMPLES);
            }
            if !look.more {
                return Ok(());
            }
        }
    }

    fn look_at_skipped(&mut self, state: &mut StageState) -> std::io::Result<()> {
        loop {
            let look = self.skipped.look()?;
            if look.anew {
                (state.n_skipped, state.skipped) = (0, Vec::new());
            }
            for line in &look.lines {
                let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
                let words = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                state.n_skipped += 1;
                state.skipped.insert(0, (words("id"), words("reason")));
                state.skipped.truncate(MOST_SKIPPED);
            }
            if !look.more {
                return Ok(());
            }
        }
    }

    /// How far it is, and how long it will take.
    fn judge(&self, state: &mut StageState) {
        let rate = self.rate();
        state.left_secs = rate.map(|rate| (1.0 - state.share) / rate).filter(|secs| secs.is_finite());
        let age = fs::metadata(self.dir.join(METRICS))
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|modified| SystemTime::now().duration_since(modified).ok())
            .map(|age| age.as_secs_f64());
        // A step may take longer than the usual pause.
        let row_secs = self
            .pace
            .front()
            .zip(self.pace.back())
            .map_or(0.0, |(first, last)| (last.1 - first.1) / (self.pace.len().max(2) - 1) as f64);
        let patience = SILENT_SECS.max(row_secs * 10.0);
        state.progress = if self.dir.join("final").is_dir() {
            state.share = 1.0;
            Progress::Finished
        } else if age.is_none() && !self.dir.is_dir() {
            Progress::Waiting
        } else if age.is_none_or(|age| age <= patience) {
            Progress::Running
        } else {
            Progress::Silent
        };
        if state.progress != Progress::Running {
            state.left_secs = None;
        }
    }

    /// Share of the stage a second, by the last rows.
    fn rate(&self) -> Option<f64> {
        let (first, last) = self.pace.front().zip(self.pace.back())?;
        let rate = (last.0 - first.0) / (last.1 - first.1);
        (rate.is_finite() && rate > 0.0).then_some(rate)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let value: Value = serde_json::from_str(line).ok()?;
    let words = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rewards = value.get("rewards").and_then(Value::as_object).into_iter().flatten();
    Some(Sample {
        step: value.get("step")?.as_u64()?,
        prompt: words("prompt"),
        completion: words("completion"),
        gold: words("gold"),
        rewards: rewards.filter_map(|(name, points)| Some((name.clone(), points.as_f64()?))).collect(),
    })
}

/// A TOML file; empty where it is not there or not whole.
fn table(path: &Path) -> Table {
    fs::read_to_string(path).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn text(table: &Table, key: &str) -> Option<String> {
    table.get(key)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64, loss: f64) -> String {
        let share = step as f64 / 10.0;
        let secs = step as f64 * 2.0;
        format!(
            "{{\"step\":{step},\"kind\":\"train\",\"loss\":{loss},\"progress\":{share},\"elapsed_secs\":{secs}}}\n"
        )
    }

    #[test]
    fn a_run_is_followed_through_kill_resume_and_end() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        fs::write(
            dir.join(RECIPE),
            "name = 'demo'\n[[stage]]\nname = 'sft'\nkind = 'sft'\noptim.steps = 10\n[[stage]]\nname = 'rl'\n",
        )
        .unwrap();
        let mut run = RunFolder::open(dir).unwrap();
        let state = run.look();
        assert_eq!((state.name.as_str(), state.stages.len()), ("demo", 2));
        assert!(state.stages.iter().all(|stage| stage.progress == Progress::Waiting));

        let stage = dir.join("sft");
        fs::create_dir(&stage).unwrap();
        let rows: String = (1..=5).map(|step| row(step, step as f64)).collect();
        fs::write(stage.join(METRICS), rows + "{\"step\":6,\"ki").unwrap();
        let state = run.look();
        let sft = &state.stages[0];
        assert_eq!((sft.step, sft.n_step, sft.progress), (5, Some(10), Progress::Running));
        assert_eq!(sft.left_secs, Some(10.0));
        assert_eq!(sft.curve("loss").unwrap().points().len(), 5);

        // Killed; resumed from step 3, which drops what came after.
        let rows: String = (1..=3).map(|step| row(step, step as f64)).collect();
        fs::write(stage.join(METRICS), rows + &row(4, -4.0)).unwrap();
        let state = run.look();
        let points = state.stages[0].curve("loss").unwrap().points();
        assert_eq!(points, [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, -4.0]]);

        // Appended again without a cut, as a tool of another's might.
        let mut text = fs::read_to_string(stage.join(METRICS)).unwrap();
        text += &row(3, -3.0);
        text += "{\"step\":3,\"kind\":\"eval\",\"eval_loss\":null}\n";
        fs::write(stage.join(METRICS), text).unwrap();
        fs::write(stage.join(SKIPPED), "{\"step\":0,\"id\":\"a\",\"reason\":\"broken\"}\n").unwrap();
        fs::create_dir(stage.join("final")).unwrap();
        let state = run.look();
        let sft = &state.stages[0];
        assert_eq!(sft.curve("loss").unwrap().points(), [[1.0, 1.0], [2.0, 2.0], [3.0, -3.0]]);
        assert!(sft.curve("eval_loss").unwrap().is_empty(), "what is no number is not drawn");
        assert_eq!((sft.progress, sft.n_skipped, sft.left_secs), (Progress::Finished, 1, None));
    }

    #[test]
    fn what_is_no_run_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert!(RunFolder::open(folder.path()).unwrap_err().to_string().contains("holds no run"));
        assert!(RunFolder::open(&folder.path().join("x")).unwrap_err().to_string().contains("no such"));
    }

    #[test]
    fn what_the_model_wrote_is_kept_newest_first_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        fs::write(dir.join(METRICS), row(1, 1.0)).unwrap();
        let lines: Vec<String> = (0..100)
            .map(|step| {
                format!("{{\"step\":{step},\"completion\":\"c\",\"rewards\":{{\"accuracy\":1.0}}}}\nbroken\n")
            })
            .collect();
        fs::write(dir.join(COMPLETIONS), lines.concat()).unwrap();
        let state = RunFolder::open(dir).unwrap().look();
        let samples = &state.stages[0].samples;
        assert_eq!((samples.len(), samples[0].step), (MOST_SAMPLES, 99));
        assert_eq!(samples[0].rewards, [("accuracy".to_owned(), 1.0)]);
    }
}
