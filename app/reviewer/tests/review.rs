//! The reviewer's window without the window: by its accessible names, and by pictures of it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests panic where the program must not, and say what they measured"
)]

#[path = "support/harness.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use eframe::egui::{Event, Key, Modifiers, PointerButton, vec2};
use egui::Pos2;
use eosin_core::annotation::Shape;
use eosin_core::{Mpp, RgbTile};
use eosin_reviewer::{STAGE, Tab};
use eosin_slide::{PyramidOptions, write_picture_pyramid};
use eosin_workbench::Measure;
use support::drawn::{DrawnSlide, Pace};
use support::{
    Model, Queryable, Theme, Window, egui, picture, save, settle, shared, until, window, window_with,
};

/// A slide file of 1600 × 1200 px, with or without a scale.
fn slide(folder: &Path, name: &str, mpp: Option<f64>) -> PathBuf {
    let size_px = [1600, 1200];
    let pixels = (0..size_px[1])
        .flat_map(|y| {
            (0..size_px[0]).flat_map(move |x| {
                let inside = ((x as f64 - 800.0) / 700.0).hypot((y as f64 - 600.0) / 500.0) < 1.0;
                let nucleus = (x / 16 + y / 16) % 5 == 0;
                match (inside, nucleus) {
                    (false, _) => [243, 241, 244],
                    (true, true) => [96, 64, 142],
                    (true, false) => [226, 158, 192],
                }
            })
        })
        .collect();
    let path = folder.join(name);
    let options = PyramidOptions { mpp: mpp.map(|mpp| Mpp::new(mpp).unwrap()), ..PyramidOptions::default() };
    write_picture_pyramid(&path, &RgbTile::new(size_px, pixels).unwrap(), &options).unwrap();
    path
}

/// A window with one slide, all of it there.
fn with_slide(mpp: Option<f64>, model: Model) -> Option<(Window, PathBuf)> {
    let mut window = window_with(Theme::Light, model)?;
    window.step();
    let path = slide(window.state().folder.path(), "case 7.tif", mpp);
    window.state_mut().open(vec![path.clone()]);
    settle(&mut window);
    Some((window, path))
}

fn front(window: &mut Window) -> &mut Tab {
    window.state_mut().get().front_mut().expect("a slide in front")
}

/// A point of the slide's area, by shares of its size.
fn stage_at(window: &Window, x: f32, y: f32) -> Pos2 {
    let rect = window.get_by_label(STAGE).rect();
    rect.lerp_inside(vec2(x, y))
}

fn press(window: &mut Window, at: Pos2, pressed: bool) {
    let event =
        Event::PointerButton { pos: at, button: PointerButton::Primary, pressed, modifiers: Modifiers::NONE };
    window.event(event);
    window.step();
}

fn drag(window: &mut Window, path: &[Pos2]) {
    window.event(Event::PointerMoved(path[0]));
    window.step();
    press(window, path[0], true);
    for at in &path[1..] {
        window.event(Event::PointerMoved(*at));
        window.step();
    }
    press(window, path[path.len() - 1], false);
    window.run_steps(2);
}

fn click(window: &mut Window, at: Pos2) {
    window.event(Event::PointerMoved(at));
    window.step();
    press(window, at, true);
    press(window, at, false);
    // Two clicks shortly after each other would be a double one.
    window.run_steps(40);
}

fn keys(window: &mut Window, modifiers: Modifiers, key: Key) {
    window.key_press_modifiers(modifiers, key);
    window.run_steps(3);
}

fn rest(window: &mut Window) {
    until(window, "the slide at rest", |window| !front(window).viewport.moves());
}

#[test]
fn slides_open_in_tabs_and_close() {
    let Some((mut window, path)) = with_slide(Some(0.25), Model::None) else { return };
    assert!(window.query_by_label("case 7.tif").is_some());
    let other = slide(window.state().folder.path(), "case 8.tif", None);
    let broken = window.state().folder.path().join("broken.svs");
    std::fs::write(&broken, b"no slide").unwrap();
    window.state_mut().open(vec![other, broken]);
    until(&mut window, "the second slide and the message", |window| {
        let reviewer = window.state_mut().get();
        reviewer.tabs().len() == 2 && !reviewer.messages().is_empty()
    });
    window.run_steps(2);
    let message = window.state_mut().get().messages()[0].clone();
    assert!(message.message.contains("broken.svs") && message.hint.is_some(), "{message:?}");
    window.get_by_label("Dismiss this message").click();
    window.run_steps(2);
    assert!(window.state_mut().get().messages().is_empty());

    assert_eq!(front(&mut window).title, "case 8.tif");
    keys(&mut window, Modifiers::COMMAND, Key::PageDown);
    assert_eq!(front(&mut window).title, "case 7.tif");
    window.get_by_label("Close tab: case 8.tif").click();
    window.run_steps(2);
    assert_eq!(window.state_mut().get().tabs().len(), 1);
    keys(&mut window, Modifiers::COMMAND, Key::W);
    assert!(window.query_by_label("Open a slide to begin").is_some());
    drop(path);
}

/// A file as the window system hands it over.
#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }
    fn bytes(&self) -> Result<Vec<u8>, String> {
        Err("nobody reads it here".to_owned())
    }
}

#[test]
fn dropped_files_and_folders_open() {
    let Some(mut window) = window(Theme::Light) else { return };
    window.step();
    let folder = window.state().folder.path().join("slides");
    std::fs::create_dir(&folder).unwrap();
    slide(&folder, "a.tif", None);
    slide(&folder, "b.tif", None);
    std::fs::write(folder.join("notes.txt"), b"text").unwrap();
    window.input_mut().dropped_files.push(Arc::new(Dropped(folder)));
    until(&mut window, "both slides of the folder", |window| window.state_mut().get().tabs().len() == 2);
    assert!(window.state_mut().get().messages().is_empty());
}

#[test]
fn it_pans_and_zooms_by_hand_wheel_and_keys() {
    let Some((mut window, _)) = with_slide(Some(0.25), Model::None) else { return };
    let begin = front(&mut window).viewport.pose();
    // The wheel zooms about the pointer.
    let at = stage_at(&window, 0.3, 0.4);
    window.event(Event::PointerMoved(at));
    window.step();
    let rect = window.get_by_label(STAGE).rect();
    let view = [f64::from(at.x - rect.left()), f64::from(at.y - rect.top())];
    let place = front(&mut window).viewport.base_from_view(view);
    for _ in 0..3 {
        window.event(Event::MouseWheel {
            unit: egui::MouseWheelUnit::Line,
            delta: vec2(0.0, 3.0),
            phase: egui::TouchPhase::Move,
            source: egui::MouseWheelSource::Wheel,
            modifiers: Modifiers::NONE,
        });
        window.run_steps(12);
    }
    let pose = front(&mut window).viewport.pose();
    assert!(pose.scale > begin.scale * 1.5, "{pose:?}");
    let still = front(&mut window).viewport.base_from_view(view);
    assert!((0..2).all(|k| (still[k] - place[k]).abs() < 1.0 / pose.scale), "{place:?} {still:?}");

    // The hand takes the place under it along.
    let (from, to) = (stage_at(&window, 0.5, 0.5), stage_at(&window, 0.6, 0.55));
    let grabbed = front(&mut window)
        .viewport
        .base_from_view([f64::from(from.x - rect.left()), f64::from(from.y - rect.top())]);
    window.event(Event::PointerMoved(from));
    window.step();
    press(&mut window, from, true);
    for k in 1..=10 {
        window.event(Event::PointerMoved(from.lerp(to, k as f32 / 10.0)));
        window.step();
    }
    let there = front(&mut window).viewport.view_from_base(grabbed);
    assert!((there[0] - f64::from(to.x - rect.left())).abs() < 8.0, "{there:?}");
    press(&mut window, to, false);
    rest(&mut window);

    // Keys: presets are true magnifications, arrows move, 0 shows the whole slide.
    keys(&mut window, Modifiers::NONE, Key::Num4);
    rest(&mut window);
    assert!((front(&mut window).viewport.pose().scale - 0.25).abs() < 1e-6, "10× of a 40× slide");
    let before = front(&mut window).viewport.pose().center_base_px;
    keys(&mut window, Modifiers::NONE, Key::ArrowRight);
    rest(&mut window);
    assert!(front(&mut window).viewport.pose().center_base_px[0] > before[0]);
    keys(&mut window, Modifiers::NONE, Key::CloseBracket);
    rest(&mut window);
    assert!((front(&mut window).viewport.pose().rotation_rad - 15_f64.to_radians()).abs() < 1e-6);
    keys(&mut window, Modifiers::NONE, Key::Backslash);
    rest(&mut window);
    keys(&mut window, Modifiers::NONE, Key::Num0);
    rest(&mut window);
    let whole = front(&mut window).viewport.view_rect();
    assert!(whole.size_base_px[0] >= 1600.0, "{whole:?}");
    window.get_all_by_label("20×").next().expect("the preset stands before the present").click();
    rest(&mut window);
    window.run_steps(20);
    assert!((front(&mut window).viewport.pose().scale - 0.5).abs() < 1e-6);
}

#[test]
fn shapes_are_drawn_edited_taken_back_and_found_again() {
    let Some((mut window, path)) = with_slide(Some(0.25), Model::None) else { return };
    let at = |window: &Window, x: f32, y: f32| stage_at(window, x, y);
    let n_mark = |window: &mut Window| front(window).marks.list().len();
    let corners = [at(&window, 0.3, 0.3), at(&window, 0.45, 0.3), at(&window, 0.5, 0.6)];

    keys(&mut window, Modifiers::NONE, Key::R);
    drag(&mut window, &corners);
    assert!(matches!(front(&mut window).marks.list()[0].annotation.shape, Shape::Rectangle { .. }));
    keys(&mut window, Modifiers::NONE, Key::N);
    drag(&mut window, &corners);
    keys(&mut window, Modifiers::NONE, Key::F);
    let bow = [corners[0], at(&window, 0.4, 0.3), corners[1], corners[2], at(&window, 0.35, 0.5)];
    drag(&mut window, &bow);
    keys(&mut window, Modifiers::NONE, Key::P);
    let place = at(&window, 0.7, 0.5);
    click(&mut window, place);
    keys(&mut window, Modifiers::NONE, Key::G);
    for corner in corners {
        click(&mut window, corner);
    }
    keys(&mut window, Modifiers::NONE, Key::Enter);
    assert_eq!(n_mark(&mut window), 5);
    keys(&mut window, Modifiers::NONE, Key::D);
    drag(&mut window, &corners[..2]);
    assert!(front(&mut window).ruler.is_some() && n_mark(&mut window) == 5, "a ruler is no annotation");

    // The last one drawn is selected: a class for it, and a note.
    keys(&mut window, Modifiers::COMMAND, Key::Num3);
    let chips: Vec<_> = window.query_all_by_label("Tumor").collect();
    chips.last().expect("the chosen shape has chips of its own").click();
    window.run_steps(2);
    let class = front(&mut window).marks.list()[4].annotation.class.clone();
    assert_eq!(class.map(|class| class.name).as_deref(), Some("Tumor"));
    keys(&mut window, Modifiers::COMMAND, Key::Z);
    assert!(front(&mut window).marks.list()[4].annotation.class.is_none());
    keys(&mut window, Modifiers::COMMAND, Key::Z);
    assert_eq!(n_mark(&mut window), 4);
    keys(&mut window, Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    assert_eq!(n_mark(&mut window), 5);

    // A corner is dragged; the one across stays.
    keys(&mut window, Modifiers::NONE, Key::V);
    let rectangle = front(&mut window).marks.list()[0].annotation.id.clone();
    front(&mut window).selected = Some(rectangle.clone());
    window.run_steps(2);
    let (way, corner) = (at(&window, 0.25, 0.25), at(&window, 0.2, 0.2));
    drag(&mut window, &[corners[0], way, corner]);
    let before = front(&mut window).marks.get(&rectangle).unwrap().shape.bounds();
    let rect = window.get_by_label(STAGE).rect();
    let place = front(&mut window)
        .viewport
        .base_from_view([f64::from(corner.x - rect.left()), f64::from(corner.y - rect.top())]);
    assert!((0..2).all(|k| (before.0[k] - place[k]).abs() < 3.0), "{before:?} {place:?}");
    keys(&mut window, Modifiers::NONE, Key::Delete);
    assert_eq!(n_mark(&mut window), 4);

    // Every step is on the disk: the slide opened again has them.
    keys(&mut window, Modifiers::COMMAND, Key::W);
    window.state_mut().open(vec![path]);
    settle(&mut window);
    assert_eq!(n_mark(&mut window), 4);
}

#[test]
fn a_missing_scale_is_typed_in_and_remembered() {
    let Some((mut window, path)) = with_slide(None, Model::None) else { return };
    assert!(window.query_by_label("1:4").is_some(), "parts of full resolution where there is no scale");
    window.get_by_label("No scale: set µm/px").click();
    window.run_steps(4);
    let field = window.get_by_label("Scale of your own");
    field.focus();
    window.run_steps(2);
    window.get_by_label("Scale of your own").type_text("0.5");
    window.run_steps(2);
    window.get_by_label("Use").click();
    window.run_steps(4);
    assert_eq!(front(&mut window).measure().um_per_px(), Some(0.5));
    assert!(window.query_all_by_label("20×").next().is_some() && window.query_by_label("1:4").is_none());
    keys(&mut window, Modifiers::COMMAND, Key::W);
    window.state_mut().open(vec![path]);
    settle(&mut window);
    assert_eq!(front(&mut window).measure().um_per_px(), Some(0.5));
}

#[test]
fn looks_change_the_tiles_and_are_remembered() {
    let Some((mut window, path)) = with_slide(Some(0.25), Model::None) else { return };
    keys(&mut window, Modifiers::NONE, Key::L);
    window.get_by_label("Haematoxylin").click();
    settle(&mut window);
    assert_eq!(front(&mut window).layer.look().stain.code(), "h");
    keys(&mut window, Modifiers::ALT, Key::Num3);
    settle(&mut window);
    let look = front(&mut window).layer.look();
    assert_eq!(look.stain.code(), "e");
    // Remembering is a thread's work.
    std::thread::sleep(std::time::Duration::from_millis(300));
    keys(&mut window, Modifiers::COMMAND, Key::W);
    window.state_mut().open(vec![path]);
    settle(&mut window);
    assert_eq!(front(&mut window).layer.look(), look);
    keys(&mut window, Modifiers::SHIFT, Key::L);
    assert!(front(&mut window).layer.look().is_neutral());
}

#[test]
fn commands_are_found_by_name_and_keys_are_listed() {
    let Some((mut window, _)) = with_slide(Some(0.25), Model::None) else { return };
    // The command that changes the language is written in both.
    window.ctx.set_missing_glyph_policy(egui::MissingGlyphPolicy::Tofu);
    keys(&mut window, Modifiers::NONE, Key::Num6);
    rest(&mut window);
    keys(&mut window, Modifiers::COMMAND, Key::K);
    window.get_by_label("Type a command").type_text("whole");
    window.run_steps(3);
    keys(&mut window, Modifiers::NONE, Key::Enter);
    rest(&mut window);
    assert!(front(&mut window).viewport.view_rect().size_base_px[0] >= 1600.0);
    keys(&mut window, Modifiers::NONE, Key::F1);
    window.run_steps(4);
    assert!(window.query_by_label("Move left").is_some() && window.query_by_label("Annotate").is_some());
    window.check_accessibility();
    keys(&mut window, Modifiers::NONE, Key::Escape);
    until(&mut window, "the list to go", |window| window.query_by_label("Move left").is_none());
    assert_eq!(window.unnamed_widgets(), Vec::<String>::new());
}

#[test]
fn questions_are_answered_stopped_answered_again_and_kept() {
    let Some((mut window, _)) = with_slide(Some(0.25), Model::Demo) else { return };
    until(&mut window, "the model and what it will see", |window| {
        window.query_all_by_label_contains("tokens").next().is_some()
    });
    keys(&mut window, Modifiers::NONE, Key::Slash);
    window.get_by_label("Question").type_text("Which tissue pattern dominates here?");
    window.run_steps(2);
    keys(&mut window, Modifiers::NONE, Key::Enter);
    until(&mut window, "an answer", |window| {
        let ask = window.state_mut().get().ask();
        !ask.answering() && ask.answers().first().is_some_and(|answer| !answer.is_empty())
    });
    window.run_steps(3);
    assert!(window.query_all_by_label_contains("tokens/s").next().is_some());
    window.check_accessibility();
    save(&mut window, "answer");

    window.get_by_label("Answer again").click();
    until(&mut window, "a second version", |window| window.state_mut().get().ask().answering());
    until(&mut window, "its end", |window| !window.state_mut().get().ask().answering());
    window.run_steps(3);
    assert!(window.query_by_label("2 / 2").is_some());
    window.get_by_label("The version before").click();
    window.run_steps(2);
    assert!(window.query_by_label("1 / 2").is_some());

    window.get_by_label("Question").focus();
    window.run_steps(2);
    window.get_by_label("Question").type_text("Describe this field in great detail.");
    window.run_steps(2);
    window.get_by_label("Ask").click();
    until(&mut window, "the third answer under way", |window| window.state_mut().get().ask().answering());
    keys(&mut window, Modifiers::NONE, Key::Escape);
    until(&mut window, "the stop", |window| !window.state_mut().get().ask().answering());

    let book = window.state().folder.path().join("casebook.sqlite");
    let (book, _) = eosin_casebook::CaseBook::open(&book).unwrap();
    let chats = book.chats(10).unwrap();
    assert_eq!(chats.len(), 1, "follow-ups stay in their chat");
    let chat = book.chat(chats[0].id).unwrap();
    assert_eq!(chat.turns.len(), 2);
    assert_eq!(chat.turns[0].answers.len(), 2);
    assert_eq!(chat.turns[0].images.len(), 1, "the view as it was asked about");
    assert_eq!(chat.turns[1].images.len(), 0, "the same view is not sent again");
}

#[test]
fn the_library_is_filled_and_searched_by_view_and_by_words() {
    let Some((mut window, path)) = with_slide(Some(0.25), Model::Demo) else { return };
    window.get_by_label("Similar images").click();
    window.run_steps(3);
    assert!(
        window.query_by_label("Search by the view, a region, a picture or words").is_some(),
        "what could be here is told"
    );
    window.state_mut().get().search().index(path.clone());
    until(&mut window, "the slide in the library", |window| {
        let search = window.state_mut().get().search();
        search.progress().is_some_and(|progress| progress.state.is_end())
    });
    window.get_by_label("Like this view").click();
    until(&mut window, "what is like the view", |window| {
        !window.state_mut().get().search().hits().is_empty()
    });
    until(&mut window, "its pictures", |window| window.state_mut().get().search().all_shown());
    window.run_steps(3);
    save(&mut window, "search");
    window.check_accessibility();
    window.get_by_label_contains("1: case 7.tif").click();
    rest(&mut window);
    assert!(front(&mut window).found.is_some(), "the place is marked");

    window.get_by_label("Search by words").focus();
    window.run_steps(2);
    window.get_by_label("Search by words").type_text("dark nuclei");
    window.run_steps(2);
    keys(&mut window, Modifiers::NONE, Key::Enter);
    until(&mut window, "what is like the words", |window| !window.state_mut().get().search().searching());
    assert!(!window.state_mut().get().search().hits().is_empty());
}

#[test]
fn the_words_are_there_in_chinese() {
    let Some(mut window) = window(Theme::Light) else { return };
    // The letters of every machine have none of these.
    window.ctx.set_missing_glyph_policy(egui::MissingGlyphPolicy::Tofu);
    window.step();
    keys(&mut window, Modifiers::COMMAND, Key::K);
    window.get_by_label("Type a command").type_text("english");
    window.run_steps(3);
    keys(&mut window, Modifiers::NONE, Key::Enter);
    window.run_steps(3);
    assert!(window.query_by_label("打开切片开始阅片").is_some());
    assert_eq!(window.unnamed_widgets(), Vec::<String>::new());
}

/// A window over the drawn slide, which looks the same on every machine.
fn over_drawn(theme: Theme) -> Option<Window> {
    let mut window = window(theme)?;
    window.step();
    let slide = DrawnSlide::new([100_000, 80_000], Pace::Fast);
    let reviewer = window.state_mut().get();
    let measure = Measure::with_mpp(Mpp::new(0.25).unwrap());
    let tab = Tab::of_source(slide, reviewer.developer(), "drawn.svs".into(), measure);
    reviewer.add_tab(tab);
    settle(&mut window);
    Some(window)
}

#[test]
fn it_looks_as_it_should_by_day() {
    let Some(mut window) = over_drawn(Theme::Light) else { return };
    picture(&mut window, "slide-light");
    front(&mut window).viewport.zoom_to(0.5);
    front(&mut window).viewport.turn(0.4);
    settle(&mut window);
    front(&mut window).ruler = Some([[49_600.0, 39_900.0], [50_300.0, 40_100.0]]);
    window.run_steps(3);
    picture(&mut window, "slide-near");
}

#[test]
fn it_looks_as_it_should_by_night() {
    let Some(mut window) = over_drawn(Theme::Dark) else { return };
    keys(&mut window, Modifiers::NONE, Key::L);
    window.run_steps(20);
    picture(&mut window, "look-dark");
}

#[test]
fn the_first_page_looks_as_it_should() {
    let Some(mut window) = window(Theme::Light) else { return };
    window.run_steps(4);
    picture(&mut window, "welcome");
}

#[test]
fn annotations_look_as_they_should() {
    let Some((mut window, _)) = with_slide(Some(0.25), Model::None) else { return };
    keys(&mut window, Modifiers::COMMAND, Key::Num3);
    window.get_by_label("Tumor").click();
    window.run_steps(2);
    keys(&mut window, Modifiers::NONE, Key::R);
    let corners = [stage_at(&window, 0.3, 0.3), stage_at(&window, 0.5, 0.6)];
    drag(&mut window, &corners);
    keys(&mut window, Modifiers::NONE, Key::G);
    for (x, y) in [(0.6, 0.3), (0.7, 0.25), (0.72, 0.5), (0.6, 0.55)] {
        let corner = stage_at(&window, x, y);
        click(&mut window, corner);
    }
    keys(&mut window, Modifiers::NONE, Key::Enter);
    keys(&mut window, Modifiers::NONE, Key::V);
    window.remove_cursor();
    window.run_steps(30);
    picture(&mut window, "annotations");
}

/// Pictures of real slides, for looking at: `EOSIN_PICTURES=folder`.
#[test]
fn pictures_to_look_at() {
    if std::env::var_os("EOSIN_PICTURES").is_none() {
        return;
    }
    for (theme, name) in [(Theme::Light, "real-light"), (Theme::Dark, "real-dark")] {
        let Some(mut window) = window_with(theme, Model::Demo) else { return };
        let Some(slide) = shared("data/slides/CMU-1-Small-Region.svs") else { return };
        window.ctx.set_missing_glyph_policy(egui::MissingGlyphPolicy::Tofu);
        window.step();
        window.state_mut().open(vec![slide]);
        settle(&mut window);
        until(&mut window, "the model", |window| {
            window.query_all_by_label_contains("tokens").next().is_some()
        });
        save(&mut window, name);
        if theme == Theme::Light {
            for key in [Key::I, Key::L, Key::S] {
                keys(&mut window, Modifiers::NONE, key);
                window.run_steps(10);
                save(&mut window, &format!("panel-{key:?}"));
            }
            keys(&mut window, Modifiers::COMMAND, Key::K);
            window.run_steps(10);
            save(&mut window, "palette");
            keys(&mut window, Modifiers::NONE, Key::Escape);
            keys(&mut window, Modifiers::NONE, Key::F1);
            window.run_steps(10);
            save(&mut window, "shortcuts");
        }
    }
}
