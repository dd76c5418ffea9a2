//! Phantoms through their public face: how they look, how fast they are drawn, what colour alone tells.
//!
//! `EOSIN_SHEET=<folder>` writes contact sheets there.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use eosin_training::phantom::{Examiner, Phantom, Settings, Split, Style, Subfield, Tier};

/// Pictures side by side, subfields in columns and tiers in rows, several of each.
#[test]
fn contact_sheets_can_be_written() {
    let Ok(dir) = std::env::var("EOSIN_SHEET") else {
        println!("skipped: EOSIN_SHEET names no folder");
        return;
    };
    let settings = Settings::default();
    for subfield in Subfield::ALL {
        let (columns, rows, side) = (8_u32, 6_u32, 168_u32);
        let mut sheet = image::RgbImage::new(columns * (side + 4), rows * (side + 4));
        let mut lines = String::new();
        for cell in 0..columns * rows {
            let tier = Tier::ALL[(cell / columns / 2) as usize];
            let seed = Split::Demo.seed(u64::from(cell) + 1000);
            let phantom = Phantom::draw_kind(subfield, tier, seed, &settings);
            let tile = image::RgbImage::from_raw(side, side, phantom.tile.pixels().to_vec())
                .expect("the size is right");
            let (x, y) = (cell % columns * (side + 4), cell / columns * (side + 4));
            image::imageops::replace(&mut sheet, &tile, x.into(), y.into());
            let mut examiner = Examiner::new(&phantom.truth, Style::Cot, seed);
            let _ = writeln!(lines, "{cell} {tier:?} {}", examiner.description());
            for question in examiner.conversation(3) {
                let _ = writeln!(lines, "    {}\n    {}", question.user, question.assistant);
            }
        }
        let path = Path::new(&dir).join(format!("{}.png", subfield.name()));
        sheet.save(&path).expect("the folder can be written to");
        std::fs::write(path.with_extension("txt"), lines).expect("the folder can be written to");
    }
}

#[test]
fn drawing_is_fast() {
    let settings = Settings::default();
    for subfield in Subfield::ALL {
        let start = Instant::now();
        let n = 60;
        for idx in 0..n {
            Phantom::draw_kind(subfield, Tier::ALL[idx % 3], idx as u64, &settings);
        }
        let rate = n as f64 / start.elapsed().as_secs_f64();
        println!("{}: {rate:.0} phantoms a second on one core", subfield.name());
    }
}
