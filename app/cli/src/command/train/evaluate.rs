//! `eosin train evaluate`: questions with known answers, put to a model and scored.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use eosin_core::DeviceChoice;
use eosin_training::data::Files;
use eosin_training::evaluate::answers::Answer;
use eosin_training::evaluate::exam::{Decoding, Exam, Subject};
use eosin_training::evaluate::figures;
use eosin_training::evaluate::session::Bundle;
use eosin_training::evaluate::store::{ANSWERS, Evaluation};
use eosin_training::evaluate::table::{Rule, Table};
use eosin_training::phantom::{Content, Domain, Listing, PhantomSource, Split, Style};

use crate::printer::{Printer, told};

const EXAMPLES: &str = "\
Examples:
  eosin train evaluate --bundle assets/demo/vlm --count 500 --out runs/demo/evaluation
  eosin train evaluate --bundle runs/beta/bundle --against runs/alpha/evaluation --out runs/beta/evaluation
  eosin train evaluate --bundle patho-r1-3b --data pathmmu=PathMMU/data.json --runs 5 --out pathmmu-3b --reuse";

/// Which phantoms are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Seeds {
    /// Never looked at during training
    Test,
    /// Looked at during training, to choose checkpoints
    Validation,
}

/// What was asked of `eosin train evaluate`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The model: a bundle, a Hugging Face folder or a GGUF file
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// Which phantoms are shown
    #[arg(long, value_enum, default_value = "test")]
    seeds: Seeds,
    /// Phantoms of either laboratory, that of training and another, one question each [default: 200, or none
    /// where there is --data]
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Index of the first phantom
    #[arg(long, default_value_t = 0, value_name = "N")]
    first: u64,
    /// Training phantoms that the baselines learn from
    #[arg(long, default_value_t = 500, value_name = "N")]
    baseline_count: u64,
    /// Files of questions with their answers, with a name for the table if it is not to be the file's:
    /// `PathMMU`'s data.json, `PathVQA`, `OmniMedVQA`, sharegpt, parquet, …
    #[arg(long, value_name = "[NAME=]FILE")]
    data: Vec<String>,
    /// Folder of the pictures that --data names, if it is not the usual one
    #[arg(long, value_name = "DIR", requires = "data")]
    images: Option<PathBuf>,
    /// Most questions of each file
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
    /// Training files that the baselines learn from, beside training phantoms
    #[arg(long, value_name = "FILE")]
    baseline_data: Vec<PathBuf>,
    /// Side of the phantoms
    #[arg(long, default_value_t = 168, value_name = "PX")]
    image_px: u32,
    /// Longest answer in tokens
    #[arg(long, default_value_t = 256, value_name = "N")]
    max_new_tokens: usize,
    /// Draw this many runs at temperature 0.7 and top-p 0.9 (seeds 42, 43, …) instead of one greedy run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=100))]
    runs: Option<u64>,
    /// Folder for answers, scores and tables
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take up answers that lie in the --out folder already, where nothing changed that decides them
    #[arg(long, requires = "out")]
    reuse: bool,
    /// Folders of other evaluations, to stand in the same table and be compared on the same questions
    #[arg(long, value_name = "DIR")]
    against: Vec<PathBuf>,
    /// Also write settings and scores to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// State the figures in the bundle's card and seal it anew
    #[arg(long)]
    state: bool,
    /// Where to compute: auto, cpu, wgpu[:N] or cuda[:N]
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: DeviceChoice,
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    let others =
        args.against.iter().map(|dir| Evaluation::read(dir)).collect::<Result<Vec<_>, _>>().map_err(told)?;
    let exam = exam(&args)?;
    if exam.questions().is_empty() {
        for skip in exam.skipped().iter().take(3) {
            printer.say(format!("{}: {}", skip.id, skip.reason));
        }
        anyhow::bail!("there is nothing to ask");
    }
    let decoding = decoding(&args);
    let mut bundle = Bundle::open(&args.bundle, args.device).map_err(told)?;
    let name = bundle.about().model;
    let cache = cache(&args)?;
    let bar = printer.progress((exam.questions().len() * decoding.n_run()) as u64);
    let asked =
        exam.ask(&mut bundle, &decoding, cache.as_deref(), &mut |n_done| bar.set_position(n_done as u64));
    bar.finish_and_clear();
    let outcome = asked.map_err(told)?;
    let evaluation = Evaluation::of(&name, &outcome);
    let table = table(others, (name, outcome.answers.clone()));
    if let Some(dir) = &args.out {
        evaluation.write(dir, &outcome).map_err(told)?;
        table.write(dir).map_err(told)?;
    }
    if let Some(path) = &args.json {
        let mut text = serde_json::to_string_pretty(&evaluation)?;
        text.push('\n');
        std::fs::write(path, text)
            .with_context(|| format!("cannot write the scores to {}", path.display()))?;
    }
    if args.state {
        figures::state(&args.bundle, &evaluation, &command(&args)).map_err(told)?;
    }
    for (subset, n_missing) in &outcome.n_missing {
        printer.say(format!("{subset}: {n_missing} questions could not be asked"));
    }
    printer.line(table.to_markdown())?;
    Ok(())
}

/// The questions.
fn exam(args: &Args) -> anyhow::Result<Exam> {
    let mut exam = Exam::default();
    let split = match args.seeds {
        Seeds::Test => Split::HeldOut,
        Seeds::Validation => Split::Validation,
    };
    let phantoms = |split, n_sample, domain| PhantomSource {
        split,
        n_sample,
        domain,
        image_px: args.image_px,
        content: Content::Choices { style: Style::Cot, listing: Listing::Words },
    };
    for named in &args.data {
        let (name, path) = named_file(named);
        let files = Files { images: args.images.clone(), ..Files::new(path) };
        exam.add_files(name, &files, args.limit).map_err(told)?;
    }
    for path in &args.baseline_data {
        exam.learn_files(&Files::new(path), u64::MAX).map_err(told)?;
    }
    let count = count(args);
    if count > 0 {
        let last = args.first.saturating_add(count);
        for (name, domain) in [("in-domain", Domain::In), ("out-of-domain", Domain::Out)] {
            exam.add_range(name, &phantoms(split, last, domain), args.first..last);
        }
        exam.learn(&phantoms(Split::Train, args.baseline_count, Domain::In), args.baseline_count);
    }
    Ok(exam)
}

/// Phantoms of each laboratory.
fn count(args: &Args) -> u64 {
    args.count.unwrap_or(if args.data.is_empty() { 200 } else { 0 })
}

/// `NAME=FILE`, or a file under its own name.
fn named_file(named: &str) -> (&str, &Path) {
    if let Some((name, path)) = named.split_once('=')
        && !name.is_empty()
        && !name.contains(['/', '\\'])
    {
        return (name, Path::new(path));
    }
    let path = Path::new(named);
    (path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("data"), path)
}

fn decoding(args: &Args) -> Decoding {
    let max_new_tokens = args.max_new_tokens;
    match args.runs {
        None => Decoding::greedy(max_new_tokens),
        Some(n) => Decoding { max_new_tokens, seeds: (42..42 + n).collect(), ..Decoding::repeated() },
    }
}

/// The file that answers are kept in; an old one goes unless it is to be taken up.
fn cache(args: &Args) -> anyhow::Result<Option<PathBuf>> {
    let Some(dir) = &args.out else { return Ok(None) };
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create the folder {}", dir.display()))?;
    let path = dir.join(ANSWERS);
    if !args.reuse && path.exists() {
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(Some(path))
}

/// The table of this and other evaluations; each other one is compared with this one.
fn table(others: Vec<(Evaluation, Vec<Answer>)>, own: (String, Vec<Answer>)) -> Table {
    let mut variants: Vec<(String, Vec<Answer>)> = Vec::new();
    for (other, answers) in others {
        // Two models of one name would otherwise be compared with themselves.
        let name = free_name(&variants, &other.scores.name);
        variants.push((name, answers));
    }
    let name = free_name(&variants, &own.0);
    let pairs: Vec<[String; 2]> = variants.iter().map(|(other, _)| [other.clone(), name.clone()]).collect();
    variants.push((name, own.1));
    Table::of(Rule::Exact, &variants, &pairs)
}

fn free_name(variants: &[(String, Vec<Answer>)], name: &str) -> String {
    let is_free = |name: &str| variants.iter().all(|(other, _)| other != name);
    if is_free(name) {
        return name.to_owned();
    }
    // One of so many names is free: there is at most one taken name for each variant.
    (2..variants.len() + 3)
        .map(|number| format!("{name} ({number})"))
        .find(|name| is_free(name))
        .unwrap_or_default()
}

/// The command as it would be typed again; an absolute path, which tells of this machine, is left to its last
/// name.
fn command(args: &Args) -> String {
    let bundle = match args.bundle.file_name() {
        Some(name) if args.bundle.is_absolute() => Path::new(name),
        _ => args.bundle.as_path(),
    };
    let seeds = match args.seeds {
        Seeds::Test => "test",
        Seeds::Validation => "validation",
    };
    let runs = args.runs.map_or(String::new(), |n| format!(" --runs {n}"));
    format!(
        "eosin train evaluate --bundle {} --seeds {seeds} --first {} --count {} --baseline-count {} --image-px {} \
--max-new-tokens {}{runs}",
        bundle.display(),
        args.first,
        count(args),
        args.baseline_count,
        args.image_px,
        args.max_new_tokens
    )
}
