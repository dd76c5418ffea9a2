//! A case to test with: pictures drawn by arithmetic, questions in English and Chinese.
#![allow(dead_code, reason = "each test uses its part")]

use std::path::Path;
use std::sync::Arc;

use eosin_casebook::{AnswerEnd, AnswerId, CaseBook, ChatId, NewAnswer, NewImage, NewTurn, TurnId};
use eosin_core::{Mpp, Region, RegionScale, RgbTile, SlideId};
use serde_json::json;

pub(crate) fn open(path: &Path) -> CaseBook {
    CaseBook::open(path).unwrap().0
}

/// Something like stained tissue: rings in eosin and haematoxylin.
pub(crate) fn tissue(size_px: [u32; 2], seed: u32) -> Arc<RgbTile> {
    let mut pixels = Vec::with_capacity((size_px[0] * size_px[1] * 3) as usize);
    for y in 0..size_px[1] {
        for x in 0..size_px[0] {
            let centre = [(seed * 97 + 130) % 400, (seed * 53 + 90) % 300].map(|c| c as f32);
            let distance = ((x as f32 - centre[0]).powi(2) + (y as f32 - centre[1]).powi(2)).sqrt();
            let ring = (distance / 17.0).sin() * 0.5 + 0.5;
            let grain = ((x * 7919 + y * 104_729 + seed).wrapping_mul(2_654_435_761) >> 24) as f32 / 255.0;
            let shade = (ring * 0.8 + grain * 0.2).clamp(0.0, 1.0);
            let mix = |light: f32, dark: f32| (light + (dark - light) * shade) as u8;
            pixels.extend([mix(243.0, 110.0), mix(214.0, 72.0), mix(232.0, 150.0)]);
        }
    }
    Arc::new(RgbTile::new(size_px, pixels).unwrap())
}

pub(crate) fn image(size_px: [u32; 2], seed: u32, title: &str) -> NewImage {
    let slide = SlideId(format!("{:064x}", 0x1234_5678_9abc_def0_u64 + u64::from(seed)));
    NewImage {
        pixels: tissue(size_px, seed),
        region: Some(Region {
            slide,
            origin_base_px: [12_000 + seed, 8_000],
            size_px,
            scale: RegionScale::Mpp(Mpp::new(0.5).unwrap()),
        }),
        slide_title: Some(title.to_owned()),
        um_per_px: Some(0.5),
        seen_size_px: Some([504, 504]),
        n_token: Some(324),
    }
}

pub(crate) fn model() -> NewAnswer {
    NewAnswer {
        model_name: "Qwen2.5-VL-3B pathology (Q8_0)".to_owned(),
        model_hash: "sha256:9f2c4a6b8d0e1f3a5c7e9b1d3f5a7c9e0b2d4f6a8c0e2f4a6b8d0f1e3c5a7b9d".to_owned(),
        device: "NVIDIA RTX 4000 (wgpu:0)".to_owned(),
        settings: json!({
            "sampler": { "temperature": 0.7_f32, "top_p": 0.9_f32, "top_k": 40 },
            "max_tokens": 1024, "min_pixels": 3136, "max_pixels": 401_408, "style": "chain of thought",
        }),
        seed: Some(u64::MAX - 1),
    }
}

pub(crate) fn end(reasoning: &str, answer: &str) -> AnswerEnd {
    AnswerEnd {
        reason: "end_of_turn".to_owned(),
        text: format!("<think>{reasoning}</think><answer>{answer}</answer>"),
        reasoning: reasoning.to_owned(),
        answer: answer.to_owned(),
        prompt_ids: vec![151_644, 8_948, 198, u32::MAX],
        token_ids: vec![1, 2, 3, 151_645],
        usage: json!({
            "n_prompt": 712, "n_generated": 214, "n_context": 8192, "first_token_secs": 0.84,
            "tokens_per_sec": 41.6, "reasoning_secs": 3.21, "total_secs": 6.02,
        }),
        option_probabilities: None,
        error: None,
    }
}

pub(crate) fn ask(
    book: &CaseBook,
    chat: ChatId,
    parent: Option<AnswerId>,
    question: &str,
) -> (TurnId, AnswerId) {
    let turn = NewTurn { question: question.to_owned(), ..NewTurn::default() };
    let turn = book.add_turn(chat, parent, &turn).unwrap();
    let answer = book.begin_answer(turn, &model()).unwrap();
    book.finish_answer(answer, &end("Because.", "Yes.")).unwrap();
    (turn, answer)
}

/// A whole case: a choice with measured probabilities, a follow-up in Chinese with two versions, and an answer that
/// was stopped by an error.
pub(crate) fn case(book: &CaseBook) -> ChatId {
    let chat = book.new_chat("Colon biopsy Smith_John_0417.svs, rule out dysplasia").unwrap();
    let turn = NewTurn {
        question: "Which of these best describes the glands in the marked region?".to_owned(),
        choices: [
            "Normal colonic crypts",
            "Tubular adenoma with low-grade dysplasia",
            "Tubular adenoma with high-grade dysplasia",
            "Invasive adenocarcinoma",
        ]
        .map(str::to_owned)
        .to_vec(),
        style: "chain-of-thought".to_owned(),
        system: None,
        images: vec![image([640, 480], 1, "Smith_John_0417.svs")],
    };
    let turn = book.add_turn(chat, None, &turn).unwrap();
    let first = book.begin_answer(turn, &model()).unwrap();
    let reasoning = "The field shows elongated crypts with **pencillate, hyperchromatic nuclei** that reach up to half \
        of the cell height.\n\nWhat speaks for low grade:\n- nuclei keep their polarity\n- no cribriform glands, no \
        back-to-back crowding\n- goblet cells are reduced but present\n\nThe basement membrane is intact wherever it \
        can be followed, so there is no sign of invasion in Smith_John_0417.";
    let answer = "**B. Tubular adenoma with low-grade dysplasia.** Crowded crypts with stratified, pencil-shaped \
        nuclei; polarity is kept and there is no architectural complexity.";
    let probabilities = Some(vec![0.041, 0.862, 0.09, 0.007]);
    book.finish_answer(first, &AnswerEnd { option_probabilities: probabilities, ..end(reasoning, answer) })
        .unwrap();

    let turn = NewTurn {
        question: "请比较这两个视野：核分裂象在哪里更多？是否有坏死？".to_owned(),
        style: "chain-of-thought".to_owned(),
        system: Some("请用中文回答。先描述所见，再给出结论。".to_owned()),
        images: vec![
            image([512, 512], 2, "Smith_John_0417.svs"),
            NewImage {
                um_per_px: None,
                region: None,
                ..image([512, 384], 3, "/data/Smith, John/macro photo.png")
            },
        ],
        ..NewTurn::default()
    };
    let turn = book.add_turn(chat, Some(first), &turn).unwrap();
    for answer in [
        "第二个视野。",
        "第一个视野中核分裂象较多（约每高倍视野 3 个），第二个视野中少见。两个视野均未见坏死。",
    ] {
        let id = book.begin_answer(turn, &model()).unwrap();
        let reasoning = "图一可见腺体排列拥挤，细胞核增大、深染，呈假复层排列，并可见数个核分裂象。图二腺体间距较宽，\
            核极性尚存。两图均无明确的坏死碎屑或炎性渗出。";
        book.finish_answer(id, &end(reasoning, answer)).unwrap();
    }
    let second = book.chat(chat).unwrap().turns[1].answers[1].id;
    let turn = NewTurn { question: "Summarise for the report, please.".to_owned(), ..NewTurn::default() };
    let turn = book.add_turn(chat, Some(second), &turn).unwrap();
    let third = book.begin_answer(turn, &model()).unwrap();
    let stopped = AnswerEnd {
        reason: "failed".to_owned(),
        error: Some(
            "the slide went away while it was read: /media/usb/Smith John/Smith_John_0417.svs".to_owned(),
        ),
        ..end("", "Low-grade tubular adenoma of the colon; no evidence of")
    };
    book.finish_answer(third, &stopped).unwrap();
    chat
}
