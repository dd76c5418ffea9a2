//! How long frames take on a slide of 100 000 × 80 000 px, and that none of them waits for a tile.
//!
//! `EOSIN_BENCH=1 cargo test --workspace --test frames -- --nocapture` prints the times; without it they are
//! only held against bounds that a loaded machine keeps, too.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests panic where the program must not, and say what they measured"
)]

#[path = "support/harness.rs"]
mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use eosin_core::Mpp;
use eosin_reviewer::Tab;
use eosin_workbench::Measure;
use support::drawn::{DrawnSlide, Pace};
use support::{Theme, Window, settle, window};

const BASE_PX: [u32; 2] = [100_000, 80_000];

/// A frame that waited for a tile of [`slow`] would take longer than this.
const LONGEST: Duration = Duration::from_millis(250);

fn slow() -> Pace {
    Pace::Slow(Duration::from_millis(400))
}

/// A window with the drawn slide in front.
fn drawn(pace: Pace) -> Option<(Window, std::sync::Arc<DrawnSlide>)> {
    let mut window = window(Theme::Light)?;
    window.step();
    let slide = DrawnSlide::new(BASE_PX, pace);
    let reviewer = window.state_mut().get();
    let measure = Measure::with_mpp(Mpp::new(0.25).unwrap());
    let tab = Tab::of_source(slide.clone(), reviewer.developer(), "drawn.svs".into(), measure);
    reviewer.add_tab(tab);
    window.step();
    Some((window, slide))
}

/// Pans with the hand over a frame-by-frame path at a magnification; gives the time of each frame.
fn pan(window: &mut Window, scale: f64, n_frame: usize, draw: bool) -> Vec<Duration> {
    let tab = window.state_mut().get().front_mut().unwrap();
    tab.viewport.zoom_to(scale);
    tab.viewport.settle();
    (0..n_frame)
        .map(|frame| {
            let tab = window.state_mut().get().front_mut().unwrap();
            // Half a tile a frame: faster than a hand, and never over the same ground twice.
            let turn = frame as f64 * 0.02;
            tab.viewport.drag([-180.0 * turn.cos(), -180.0 * turn.sin()]);
            let begun = Instant::now();
            window.step();
            if draw {
                window.render().unwrap();
            }
            begun.elapsed()
        })
        .collect()
}

fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * share) as usize]
}

#[test]
fn no_frame_waits_for_a_tile() {
    for pace in [slow(), Pace::Never] {
        let Some((mut window, slide)) = drawn(pace) else { return };
        for _ in 0..5 {
            window.step();
        }
        // Twenty tiles of 400 ms lie in each of these views; frames go on all the same.
        let longest = pan(&mut window, 1.0, 60, false).into_iter().max().unwrap();
        assert!(longest < LONGEST, "{longest:?} with {pace:?}");
        let stats = window.state_mut().get().front().unwrap().layer.stats();
        assert!(stats.n_asked <= 48, "{stats:?}");
        assert!(stats.n_withdrawn > 0, "what scrolled away is not waited for: {stats:?}");
        let asked = slide.n_asked.load(Ordering::Relaxed);
        let drawn = slide.n_drawn.load(Ordering::Relaxed);
        assert!(drawn * 4 < asked, "{drawn} of {asked} were drawn: the others were withdrawn");
    }
}

#[test]
fn coarser_tiles_stand_in_and_textures_are_bounded() {
    let Some((mut window, _slide)) = drawn(Pace::Fast) else { return };
    settle(&mut window);
    let capacity = 24 << 20;
    window.state_mut().get().front_mut().unwrap().layer.set_capacity(capacity);
    let mut n_missing = 0;
    for _ in 0..3 {
        pan(&mut window, 0.5, 40, false);
        n_missing += window.state_mut().get().front().unwrap().drawn.n_missing;
        settle(&mut window);
        let stats = window.state_mut().get().front().unwrap().layer.stats();
        // What is seen may be more than the bound; nothing else is kept then.
        assert!(stats.held_bytes <= capacity + (12 << 20), "{stats:?}");
        assert!(
            window.state_mut().get().front().unwrap().layer.overview().is_some(),
            "the whole slide stays"
        );
    }
    println!("{n_missing} tiles were missing at the end of three fast pans");
}

#[test]
fn uploads_are_spread_over_frames() {
    let Some((mut window, _slide)) = drawn(Pace::Fast) else { return };
    settle(&mut window);
    let tab = window.state_mut().get().front_mut().unwrap();
    tab.viewport.zoom_to(1.0);
    tab.viewport.settle();
    // Let all of the view's tiles arrive before the next frame takes them.
    window.step();
    std::thread::sleep(Duration::from_millis(700));
    let mut most = 0;
    for _ in 0..20 {
        window.step();
        most = most.max(window.state_mut().get().front().unwrap().layer.stats().uploaded_bytes);
    }
    assert!(most > 1 << 20 && most <= 7 << 20, "{most} bytes in one frame");
}

#[test]
fn frame_times_while_panning() {
    let Some((mut window, _slide)) = drawn(Pace::Fast) else { return };
    settle(&mut window);
    let n_frame = if std::env::var_os("EOSIN_BENCH").is_some() { 400 } else { 40 };
    for (name, draw) in [("without drawing", false), ("drawn by software Vulkan", true)] {
        for (magnification, scale) in [("40×", 1.0), ("10×", 0.25), ("2.5×", 0.0625)] {
            let mut times = pan(&mut window, scale, n_frame, draw);
            let (p50, p95) = (percentile(&mut times, 0.5), percentile(&mut times, 0.95));
            println!("{magnification}, {name}: p50 {p50:.1?}, p95 {p95:.1?} of {n_frame} frames");
            assert!(p50 < Duration::from_millis(if draw { 400 } else { 60 }), "{p50:?}");
        }
    }
}
