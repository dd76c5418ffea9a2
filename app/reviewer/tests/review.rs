//! The reviewer's window without the window.

mod support;

use support::*;

#[test]
fn pictures_to_look_at() {
    let Some(mut harness) = window(Theme::Light) else { return };
    let slide = shared("slides/CMU-1-Small-Region.svs");
    let Some(slide) = slide else { return };
    harness.state_mut().open(vec![slide]);
    settle(&mut harness);
    save(&mut harness, "light");
}
