//! Holds the drawings to their truth, the questions to their contract, and the shares to chance.
//!
//! This file is long because every subfield, tier and judge line is held here, one test each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rayon::prelude::*;

use super::*;
use crate::data::{Source, Task};

/// Largest difference of a quadrant's mean colour between machines whose `sinf` rounds differently.
const COLOUR_TOLERANCE: f64 = 0.5;

fn small() -> Settings {
    Settings { size_px: [112, 112], ..Settings::default() }
}

fn draw_many(split: Split, n_phantom: u64) -> Vec<(u64, Phantom)> {
    (0..n_phantom)
        .into_par_iter()
        .map(|idx| (split.seed(idx), Phantom::draw(split.seed(idx), &Settings::default())))
        .collect()
}

/// Mean colour of the whole picture and of its upper left quadrant.
fn fingerprint(tile: &RgbTile) -> [f64; 6] {
    let [width_px, height_px] = tile.size_px();
    let mut sums = [0.0; 6];
    for (idx, pixel) in tile.pixels().chunks_exact(3).enumerate() {
        let [x, y] = [idx as u32 % width_px, idx as u32 / width_px];
        for channel in 0..3 {
            let value = f64::from(pixel[channel]);
            sums[channel] += value / f64::from(width_px * height_px);
            if x < width_px / 2 && y < height_px / 2 {
                sums[3 + channel] += value / f64::from((width_px / 2) * (height_px / 2));
            }
        }
    }
    sums
}

#[test]
fn a_seed_always_gives_the_same_picture() {
    let check = |idx: u64, expected: [f64; 6]| {
        let seed = Split::Train.seed(idx);
        let [once, again] = [0, 1].map(|_| Phantom::draw(seed, &Settings::default()));
        assert_eq!(once.tile, again.tile);
        assert_eq!(once.truth, again.truth);
        let found = fingerprint(&once.tile);
        let is_close =
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < COLOUR_TOLERANCE);
        assert!(is_close, "phantom {idx}: {found:.2?}");
    };
    GOLDEN.into_iter().enumerate().for_each(|(idx, expected)| check(idx as u64, expected));
    let [first, second] = [0, 1].map(|idx| Phantom::draw(Split::Train.seed(idx), &small()));
    assert_ne!(first.tile, second.tile);
}

/// Fingerprints of the first training phantoms, one of each subfield: a change here means that the drawings
/// changed, and that a model trained on the old ones is asked about new ones.
const GOLDEN: [[f64; 6]; 5] = [
    [203.06, 83.86, 161.18, 201.21, 81.16, 158.76],
    [147.67, 155.50, 191.75, 143.28, 151.36, 188.21],
    [149.18, 119.22, 96.72, 144.49, 123.03, 97.67],
    [202.93, 207.67, 214.56, 204.79, 210.10, 216.44],
    [11.79, 10.68, 32.65, 11.89, 10.83, 32.74],
];

#[test]
fn any_size_can_be_drawn() {
    for size_px in [[140, 252], [252, 140], [168, 168], [28, 28], [1, 1], [3, 400], [500, 500]] {
        for idx in 0..15 {
            let phantom = Phantom::draw(Split::Train.seed(idx), &Settings { size_px, ..Settings::default() });
            assert_eq!(phantom.tile.size_px(), size_px);
            let inside =
                |mark: &Mark| (0..2).all(|axis| (0.0..size_px[axis] as f32).contains(&mark.centre_px[axis]));
            assert!(phantom.truth.marks.iter().all(inside));
            Examiner::new(&phantom.truth, Style::Cot, idx).conversation(4);
        }
    }
}

/// Optical density of brown over blue: what a person calls brown.
fn brownness(tile: &RgbTile) -> f64 {
    let total: f64 =
        tile.pixels().chunks_exact(3).map(|pixel| (f64::from(pixel[0]) - f64::from(pixel[2])).max(0.0)).sum();
    total / (tile.pixels().len() / 3) as f64
}

#[test]
fn brown_rises_with_the_grade() {
    // Laboratories differ so much that grades of different ones may meet; within one they may not.
    let settings = Settings { stain_variation: 0.2, ..small() };
    for localisation in [Localisation::Nuclear, Localisation::Membranous, Localisation::Cytoplasmic] {
        let at_grade = |grade: u8| -> Vec<f64> {
            let localisation = if grade == 0 { Localisation::Negative } else { localisation };
            let positive_fraction = if grade == 0 { 0.0 } else { 0.9 };
            let marker = Some(Marker { localisation, grade, positive_fraction });
            let plan = Plan { stain: Stain::Dab, marker, ..Plan::he(Pattern::Sheet) };
            (0..8).map(|seed| brownness(&Phantom::draw_plan(&plan, seed, &settings).tile)).collect()
        };
        let grades: Vec<Vec<f64>> = (0..4).map(at_grade).collect();
        for pair in grades[..3].windows(2) {
            let highest = pair[0].iter().copied().fold(f64::MIN, f64::max);
            let lowest = pair[1].iter().copied().fold(f64::MAX, f64::min);
            assert!(highest < lowest, "{localisation:?}: {grades:.1?}");
        }
        // The strongest label is nearly black, which is darker, not browner.
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        assert!(mean(&grades[3]) > 2.0 * mean(&grades[0]), "{localisation:?}: {grades:.1?}");
    }
}

#[test]
fn marks_lie_on_what_they_name() {
    let luminance = |tile: &RgbTile, [x, y]: [f32; 2]| {
        let at = (y as usize * tile.width_px() as usize + x as usize) * 3;
        tile.pixels()[at..at + 3].iter().map(|&value| f64::from(value)).sum::<f64>() / 3.0
    };
    let mean_at = |plan: &Plan, kind: MarkKind| {
        let phantom = Phantom::draw_plan(plan, 3, &Settings::default());
        let places: Vec<f64> = phantom
            .truth
            .marks
            .iter()
            .filter(|mark| mark.kind == kind)
            .map(|mark| luminance(&phantom.tile, mark.centre_px))
            .collect();
        assert!(!places.is_empty(), "{kind:?}");
        places.iter().sum::<f64>() / places.len() as f64
    };
    let inflamed = |infiltrate| Plan { infiltrate, ..Plan::he(Pattern::Stroma) };
    let mitotic = Plan { mitoses: Mitoses::Present, ..Plan::he(Pattern::Sheet) };
    assert!(mean_at(&inflamed(Infiltrate::Lymphocytes), MarkKind::Lymphocyte) < 80.0);
    assert!(mean_at(&mitotic, MarkKind::Mitosis) < 120.0);
    assert!(mean_at(&Plan::he(Pattern::Glands), MarkKind::Gland) > 225.0, "a lumen is clear");
    assert!(mean_at(&Plan::he(Pattern::Glands), MarkKind::EpithelialNucleus) < 120.0);
}

/// Splits by the strict rule: each tag once, in order, nothing outside.
fn parse(text: &str) -> Option<(&str, &str)> {
    let once =
        ["<think>", "</think>", "<answer>", "</answer>"].iter().all(|tag| text.matches(tag).count() == 1);
    let (reasoning, rest) = text.strip_prefix("<think>")?.split_once("</think>")?;
    let answer = rest.trim().strip_prefix("<answer>")?.strip_suffix("</answer>")?;
    once.then_some((reasoning, answer))
}

/// Words and marks, about as a tokenizer of whole words counts them.
fn n_token(text: &str) -> usize {
    let is_mark = |letter: char| letter.is_ascii_punctuation();
    text.split_whitespace().map(|word| 1 + word.chars().filter(|letter| is_mark(*letter)).count()).sum()
}

#[test]
fn every_answer_keeps_the_contract() {
    for (seed, phantom) in draw_many(Split::Train, 150) {
        let truth = &phantom.truth;
        for style in [Style::Cot, Style::Cod] {
            let mut examiner = Examiner::new(truth, style, seed);
            let mut questions = examiner.conversation(5);
            questions.extend(Topic::ALL.into_iter().filter_map(|topic| examiner.choice(topic)));
            questions.extend(Topic::ALL.into_iter().filter_map(|topic| examiner.open(topic)));
            questions.extend(examiner.why());
            for question in questions {
                let (reasoning, answer) = parse(&question.assistant).expect("the contract");
                assert_eq!([reasoning, answer], [&question.reasoning, &question.gold]);
                match question.form {
                    Form::Choice => check_choice(&question, truth),
                    Form::YesNo => assert!(["Yes", "No"].contains(&answer)),
                    Form::Open | Form::Caption | Form::Reasoning => assert!(!answer.is_empty()),
                }
                if style == Style::Cod {
                    assert!(reasoning.ends_with("\n####"));
                    let is_short = |step: &str| step.split_whitespace().count() <= 5;
                    assert!(reasoning.lines().all(is_short), "{reasoning}");
                } else {
                    let most = [30, 52, 78][truth.tier as usize];
                    assert!((3..=most).contains(&n_token(reasoning)), "{:?}: {reasoning}", truth.tier);
                }
            }
        }
    }
}

fn check_choice(question: &Question, truth: &Truth) {
    let topic = question.topic.expect("a choice has a topic");
    let place = question.options.iter().position(|option| *option == question.gold).expect("an option");
    let n_option = question.options.len();
    assert!((2..=6).contains(&n_option));
    assert_eq!(question.options.iter().collect::<HashSet<_>>().len(), n_option, "options differ");
    assert!(Topic::of(truth.subfield).contains(&topic), "options of another subfield");
    let class_idx = topic.class_of(truth).expect("clear-cut");
    assert_eq!(question.options[place], topic.classes()[class_idx].name);
    assert_eq!(question.gold_letter, LETTERS[place].chars().next());
    for (letter, option) in LETTERS.iter().zip(&question.options) {
        assert!(question.user.contains(&format!(" /n {letter}. {option}")), "{}", question.user);
        assert!(topic.classes().iter().any(|class| class.name == *option), "an own option");
    }
}

#[test]
fn options_can_be_lettered() {
    for (seed, phantom) in draw_many(Split::Reinforce, 30) {
        let mut examiner = Examiner::new(&phantom.truth, Style::Cot, seed).listing(Listing::Lettered);
        for topic in examiner.topics() {
            let question = examiner.choice(topic).expect("clear-cut");
            let letter = question.gold_letter.expect("an option");
            let place = (letter as u8 - b'A') as usize;
            assert_eq!(question.gold, format!("{letter}) {}", question.options[place]));
            assert!(question.user.contains(&format!("\nOptions:\nA) {}", question.options[0])));
            assert!(question.assistant.ends_with(&format!("<answer>{}</answer>", question.gold)));
        }
    }
}

#[test]
fn everything_can_be_asked() {
    let mut classes: HashSet<(Topic, usize)> = HashSet::new();
    for (_, phantom) in draw_many(Split::Validation, 900) {
        classes.extend(
            Topic::ALL.into_iter().filter_map(|topic| Some((topic, topic.class_of(&phantom.truth)?))),
        );
    }
    for topic in Topic::ALL {
        for (idx, class) in topic.classes().iter().enumerate() {
            assert!(classes.contains(&(topic, idx)), "{topic:?}: {} never came", class.name);
        }
    }
}

#[test]
fn hallmarks_are_told_apart() {
    for subfield in Subfield::ALL {
        for topic in Topic::of(subfield) {
            let of = |text: fn(&Class) -> &'static str| -> HashSet<&str> {
                topic.classes().iter().map(text).collect()
            };
            assert_eq!(of(|class| class.hallmark).len(), topic.classes().len(), "{topic:?}");
            assert_eq!(of(|class| class.name).len(), topic.classes().len(), "{topic:?}");
        }
    }
}

/// Questions of examinations, with the classes behind their options.
struct Asked {
    phantom_idx: usize,
    topic: Topic,
    options: Vec<&'static str>,
    gold: &'static str,
}

fn examine(phantoms: &[(u64, Phantom)]) -> Vec<Asked> {
    let mut all = Vec::new();
    for (phantom_idx, (seed, phantom)) in phantoms.iter().enumerate() {
        let mut examiner = Examiner::new(&phantom.truth, Style::Cot, *seed);
        for topic in examiner.fair_topics() {
            let question = examiner.choice_of(topic, 4).expect("clear-cut");
            let gold = question.options.iter().find(|option| **option == question.gold).copied();
            all.push(Asked { phantom_idx, topic, gold: gold.expect("an option"), options: question.options });
        }
    }
    all
}

#[test]
fn guessing_stays_near_chance() {
    let mut asked = examine(&draw_many(Split::Validation, 900));
    asked.retain(|question| question.options.len() == 4);
    let mut letters = [0_usize; 4];
    let mut golds: BTreeMap<Topic, HashMap<&str, usize>> = BTreeMap::new();
    for question in &asked {
        letters[question.options.iter().position(|option| *option == question.gold).expect("gold")] += 1;
        *golds.entry(question.topic).or_default().entry(question.gold).or_default() += 1;
    }
    let expected = asked.len() as f64 / 4.0;
    let chi_square: f64 = letters.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
    assert!(chi_square < 16.3, "letters are not uniform (3 degrees of freedom, p < 0.001): {letters:?}");
    // The best guesser without eyes knows how often each class is right, and takes the likeliest option.
    let right = asked
        .iter()
        .filter(|question| {
            let counts = &golds[&question.topic];
            let count = |option: &&str| counts.get(option).copied().unwrap_or(0);
            question.options.iter().copied().max_by_key(count) == Some(question.gold)
        })
        .count();
    let majority = right as f64 / asked.len() as f64;
    println!("majority guess: {majority:.3} of {} questions", asked.len());
    assert!(majority < 0.38, "{majority}");
}

#[test]
fn colour_alone_does_not_answer() {
    // The nearest neighbour by colour histogram among 900 labelled pictures: what the tint tells without any shape.
    let known = draw_many(Split::Train, 900);
    let unknown = draw_many(Split::Validation, 300);
    let histogram = |tile: &RgbTile| -> Vec<f32> {
        let mut bins = vec![0.0; 216];
        for pixel in tile.pixels().chunks_exact(3) {
            let bin = pixel.iter().fold(0, |bin, value| bin * 6 + usize::from(*value) * 6 / 256);
            bins[bin] += 3.0 / tile.pixels().len() as f32;
        }
        bins
    };
    let known_bins: Vec<Vec<f32>> = known.par_iter().map(|(_, phantom)| histogram(&phantom.tile)).collect();
    let bins: Vec<Vec<f32>> = unknown.par_iter().map(|(_, phantom)| histogram(&phantom.tile)).collect();
    let mut tally: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    for question in examine(&unknown).into_iter().filter(|question| question.options.len() == 4) {
        let of = &bins[question.phantom_idx];
        let overlap = |other: &[f32]| -> f32 { of.iter().zip(other).map(|(a, b)| a.min(*b)).sum() };
        let nearest = known
            .iter()
            .zip(&known_bins)
            .filter_map(|((_, phantom), bins)| {
                Some((overlap(bins), question.topic.classes()[question.topic.class_of(&phantom.truth)?].name))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let guess = nearest.expect("every topic is known").1;
        let score = if question.options.contains(&guess) {
            f64::from(u8::from(guess == question.gold))
        } else {
            0.25
        };
        let subfield = unknown[question.phantom_idx].1.truth.subfield.name();
        for key in [subfield, "all"] {
            let [right, all] = tally.entry(key.to_owned()).or_default();
            *right += score;
            *all += 1.0;
        }
    }
    for (key, [right, all]) in &tally {
        println!("colour histogram, {key}: {:.3} of {all}", right / all);
    }
    let share = |key: &str| tally[key][0] / tally[key][1];
    assert!(share("all") < 0.65, "colour answers too much");
    for subfield in ["fish", "gross"] {
        assert!(share(subfield) < 0.60, "colour answers {subfield}");
    }
}

#[test]
fn any_fifteen_seeds_hold_every_stratum() {
    for first in [0, 7, 1_000_003] {
        let strata: HashSet<(Subfield, Tier)> =
            (first..first + 15).map(|idx| Split::stratum(Split::HeldOut.seed(idx))).collect();
        assert_eq!(strata.len(), 15);
    }
    for (idx, (_, phantom)) in draw_many(Split::Train, 15).into_iter().enumerate() {
        let seed = Split::Train.seed(idx as u64);
        assert_eq!((phantom.truth.subfield, phantom.truth.tier), Split::stratum(seed));
    }
}

/// Spots of one colour: connected pixels in which a channel stands out from both others.
fn n_spot(tile: &RgbTile, channel: usize) -> usize {
    let [width, height] = tile.size_px().map(|side| side as usize);
    let stands_out = |idx: usize| {
        let pixel = &tile.pixels()[idx * 3..idx * 3 + 3];
        let others = (0..3).filter(|other| *other != channel).map(|other| f64::from(pixel[other]));
        let highest = others.fold(0.0, f64::max);
        f64::from(pixel[channel]) > 70.0 && f64::from(pixel[channel]) > 1.08 * highest
    };
    let mut open: Vec<bool> = (0..width * height).map(stands_out).collect();
    let mut n_spot = 0;
    for start in 0..width * height {
        let mut stack = vec![start];
        let mut n_pixel = 0;
        while let Some(idx) = stack.pop() {
            if !std::mem::take(&mut open[idx]) {
                continue;
            }
            n_pixel += 1;
            let (x, y) = (idx % width, idx / width);
            if x > 0 {
                stack.push(idx - 1);
            }
            if x + 1 < width {
                stack.push(idx + 1);
            }
            if y > 0 {
                stack.push(idx - width);
            }
            if y + 1 < height {
                stack.push(idx + width);
            }
        }
        n_spot += usize::from(n_pixel >= 3);
    }
    n_spot
}

#[test]
fn fish_signals_can_be_counted() {
    let settings = Settings { noise: 0.0, blur: 0.0, ..Settings::default() };
    let mut n_checked = [0_usize; 2];
    let mut missed = [0_usize; 2];
    for seed in 0..40 {
        let phantom = Phantom::draw_kind(Subfield::Fish, Tier::Easy, seed, &settings);
        let Facts::Fish(facts) = phantom.truth.facts else { panic!("not a FISH picture") };
        if facts.signals == Signals::Fusion {
            assert!(phantom.truth.count(MarkKind::FusedSignal) > 0);
            continue;
        }
        for (channel, kind) in [(0, MarkKind::RedSignal), (1, MarkKind::GreenSignal)] {
            let drawn = phantom.truth.count(kind);
            n_checked[channel] += drawn;
            missed[channel] += drawn.abs_diff(n_spot(&phantom.tile, channel));
        }
        // The modal counts are those of the facts.
        let n_nucleus = phantom.truth.count(MarkKind::ProbedNucleus);
        let green = phantom.truth.count(MarkKind::GreenSignal) as f64 / n_nucleus as f64;
        assert!((green - f64::from(facts.n_green)).abs() < 0.8, "seed {seed}: {green} {facts:?}");
    }
    println!("signals: {n_checked:?}, missed {missed:?}");
    assert!(
        missed.iter().zip(n_checked).all(|(missed, all)| missed * 12 < all),
        "{missed:?} of {n_checked:?}"
    );
}

#[test]
fn cut_surfaces_change_where_the_lesion_is() {
    for seed in 0..30 {
        let phantom = Phantom::draw_kind(Subfield::Gross, Tier::Easy, seed, &Settings::default());
        let Facts::Gross(facts) = phantom.truth.facts else { panic!("not a cut surface") };
        let n_lesion = phantom.truth.count(MarkKind::Lesion);
        match facts.lesion {
            Lesion::Multiple => assert!(n_lesion >= 2, "seed {seed}"),
            _ => assert_eq!(n_lesion, 1, "seed {seed}"),
        }
        if facts.lesion == Lesion::Ulcer {
            assert_eq!(facts.organ, Organ::Stomach);
        }
        if !matches!(facts.lesion, Lesion::Nodule | Lesion::Infiltrating) {
            assert_eq!(facts.change, Change::None);
        }
    }
}

#[test]
fn smears_hold_what_they_say() {
    for seed in 0..40 {
        let phantom = Phantom::draw_kind(Subfield::Cytology, Tier::Easy, seed, &Settings::default());
        let Facts::Cytology(facts) = phantom.truth.facts else { panic!("not a smear") };
        let is_many = |kind| phantom.truth.count(kind) >= 8;
        let expected = [Background::Inflammatory, Background::Bloody, Background::Necrotic]
            .map(|background| facts.background == background);
        let found = [MarkKind::Neutrophil, MarkKind::RedCell, MarkKind::PyknoticNucleus].map(is_many);
        assert_eq!(found, expected, "seed {seed}");
        assert!(phantom.truth.count(MarkKind::SmearCell) >= 2, "seed {seed}");
    }
}

#[test]
fn another_laboratory_looks_different() {
    for idx in 0..15 {
        let seed = Split::HeldOut.seed(idx);
        let at_home = Settings::of_domain(Domain::In, 168, seed);
        let away = Settings::of_domain(Domain::Out, 168, seed);
        assert_eq!(at_home, Settings::default());
        assert!(away.stain_strength < 0.8 && away.blur > 0.7 && away.scale > 1.1);
        assert!(away.hue_turn_deg.abs() > 8.0);
        let [here, there] = [&at_home, &away].map(|settings| Phantom::draw(seed, settings));
        assert_ne!(here.tile, there.tile);
        // The plan is the same: only how it is drawn differs.
        let diagnosis = Topic::diagnosis_of(here.truth.subfield);
        if let (Some(one), Some(other)) = (diagnosis.class_of(&here.truth), diagnosis.class_of(&there.truth))
        {
            assert_eq!(one, other, "seed {idx}");
        }
    }
}

#[test]
fn sources_are_repeatable_and_even() {
    let contents = [
        Content::Captions,
        Content::Conversations { n_question: 3, style: Style::Cot, listing: Listing::Words },
        Content::Choices { style: Style::Cot, listing: Listing::Lettered },
    ];
    for content in contents {
        let source = PhantomSource {
            split: Split::Reinforce,
            n_sample: 45,
            domain: Domain::In,
            image_px: 112,
            content,
        };
        let mut strata: BTreeMap<[String; 2], usize> = BTreeMap::new();
        for idx in 0..source.n_sample() {
            let [sample, again] = [0, 1].map(|_| source.sample(idx).expect("within the source"));
            sample.check().expect("marks and pictures match");
            assert_eq!(sample.messages, again.messages);
            assert_eq!(sample.task, again.task);
            *strata.entry(["subfield", "tier"].map(|tag| sample.tags[tag].clone())).or_default() += 1;
            assert!(["domain", "form", "topic"].iter().all(|tag| sample.tags.contains_key(*tag)));
            if let Content::Choices { .. } = content {
                let task = sample.task.expect("a question has an answer");
                assert!(task.gold_letter.is_some() && task.options.len() >= 2 && task.truth.is_some());
                assert_eq!(sample.messages.len(), 2);
            }
        }
        assert_eq!(strata.len(), 15);
        assert!(strata.values().all(|count| *count == 3), "{strata:?}");
        assert!(source.sample(45).is_err());
    }
}

#[test]
fn captions_differ() {
    let source = PhantomSource {
        split: Split::Pretrain,
        n_sample: 256,
        domain: Domain::In,
        image_px: 168,
        content: Content::Captions,
    };
    let captions: Vec<String> = (0..source.n_sample)
        .into_par_iter()
        .map(|idx| source.sample(idx).expect("within the source").caption().expect("a pair").to_owned())
        .collect();
    let mut n_same = 0;
    for batch in captions.chunks(64) {
        n_same += batch.len() - batch.iter().collect::<HashSet<_>>().len();
    }
    assert!(n_same * 10 < captions.len(), "{n_same} of {} captions repeat within a batch", captions.len());
    for caption in &captions {
        assert!((4..=25).contains(&caption.split_whitespace().count()), "{caption}");
    }
}

/// A phantom whose truth is a gland-forming carcinoma without anything else.
fn adenocarcinoma() -> (Truth, Task) {
    let plan = Plan { nuclei: Nuclei::Pleomorphic, ..Plan::he(Pattern::Glands) };
    let truth = Phantom::draw_plan(&plan, 5, &Settings::default()).truth;
    let options = ["fibrous stroma", "solid sheet", "glands", "necrosis"].map(str::to_owned).to_vec();
    let task = Task { gold: "glands".into(), gold_letter: Some('C'), options, ..Task::default() };
    (truth, task)
}

#[test]
fn sheets_follow_the_reasoning() {
    let (truth, task) = adenocarcinoma();
    let check = |reasoning: &str, answer: &str, expected: [u32; 4]| {
        let output = format!("<think>{reasoning}</think><answer>{answer}</answer>");
        let sheets =
            [SheetVersion::V1, SheetVersion::V2].map(|version| judge(&truth, &task, &output, version));
        let found = [sheets[0].n_missing(), sheets[0].n_error(), sheets[1].n_missing(), sheets[1].n_error()];
        assert_eq!(found, expected, "{reasoning} → {answer}: {sheets:?}");
    };
    let whole = "Rings of cells surround open lumina. Hallmark of glands: open lumina. \
        Not solid sheet, for lack of cohesive cells. Not necrosis, for lack of granular debris.";
    check(whole, "glands", [0, 0, 0, 0]);
    check(whole, "C) glands", [0, 0, 0, 0]);
    check("", "glands", [3, 0, 3, 0]);
    check("Rings of cells surround open lumina. This fits glands.", "glands", [2, 0, 2, 0]);
    // One option ruled out is enough for the second sheet only.
    check(
        "Rings of cells surround open lumina. Hallmark of glands: open lumina. Not necrosis, for lack of granular debris.",
        "glands",
        [1, 0, 0, 0],
    );
    // Ruling out the same option twice counts once.
    check("Not necrosis. Not necrosis.", "glands", [3, 0, 2, 0]);
    // What was not drawn.
    check("Granular debris with nuclear dust fills the field. This fits glands.", "glands", [2, 1, 2, 1]);
    check("Wavy folds. Two red signals lie in each nucleus.", "glands", [2, 1, 2, 1]);
    // A true finding denied.
    check("No open lumina are seen.", "glands", [3, 1, 3, 1]);
    // The conclusion is not the answer.
    check("Rings of cells surround open lumina. This fits glands.", "necrosis", [2, 1, 2, 1]);
    // The answer was ruled out.
    check("Not glands, for lack of open lumina.", "glands", [3, 2, 2, 2]);
    // A criterion of another class.
    check("Hallmark of necrosis: open lumina.", "necrosis", [2, 1, 2, 1]);
    check("Open lumina means glands.", "glands", [2, 0, 2, 0]);
    // A letter of other length and text that is not read.
    check("Something else entirely", "glands", [3, 0, 3, 0]);
}

#[test]
fn scores_are_those_of_the_paper() {
    let check = |n_missing: usize, n_error: usize, expected: f64| {
        let has = |n_fault: usize| [0, 1, 2].map(|idx| idx < n_fault);
        let [features, elimination, knowledge] = has(n_missing).map(|missing| !missing);
        let [definition_error, contradiction, wrong_criterion] = has(n_error);
        let sheet = Sheet {
            image_features: features,
            elimination,
            medical_knowledge: knowledge,
            definition_error,
            contradiction,
            wrong_criterion,
        };
        assert!((sheet.reward() - expected).abs() < 1e-12, "{n_missing} {n_error}: {}", sheet.reward());
    };
    [(0, 0, 1.0), (1, 0, 0.8), (2, 0, 0.6), (3, 0, 0.5), (2, 3, 0.1), (3, 3, 0.0), (0, 2, 0.6)]
        .into_iter()
        .for_each(|(n_missing, n_error, expected)| check(n_missing, n_error, expected));
}

#[test]
fn references_please_the_judge() {
    let source = PhantomSource {
        split: Split::Reinforce,
        n_sample: 300,
        domain: Domain::In,
        image_px: 168,
        content: Content::Choices { style: Style::Cot, listing: Listing::Words },
    };
    let mut rewards: BTreeMap<Tier, Vec<f64>> = BTreeMap::new();
    for idx in 0..source.n_sample {
        let sample = source.sample(idx).expect("within the source");
        let task = sample.task.clone().expect("a question has an answer");
        let truth: Arc<Truth> = task.truth.clone().expect("drawn");
        let said = &sample.messages[1].text;
        let sheet = judge(&truth, &task, said, SheetVersion::V2);
        assert_eq!(sheet.n_error(), 0, "{:?}: {} {said}: {sheet:?}", truth.facts, sample.messages[0].text);
        rewards.entry(truth.tier).or_default().push(sheet.reward());
    }
    let mean = |tier: Tier| rewards[&tier].iter().sum::<f64>() / rewards[&tier].len() as f64;
    println!("reward of the references: {:?}", Tier::ALL.map(mean));
    assert!(mean(Tier::Medium) > 0.97 && mean(Tier::Hard) > 0.97);
    assert!(mean(Tier::Easy) < 0.8, "easy reasoning is short on purpose");
}
