//! The window from end to end, the stage: tabs and their return after a kill, magnifications, looks, scales,
//! annotations and their files, figures, what a file hides, the keyboard, themes and languages.
//!
//! A real web view under a virtual display; `tests/window.rs` has the side panels.

#![expect(clippy::unwrap_used, reason = "tests panic where the program must not")]

#[path = "support/desk.rs"]
mod desk;

use std::path::{Path, PathBuf};

use desk::{Desk, TILES_SHOWN, Window, phantom_slide};
use serde_json::{Value, json};

/// `WebDriver` letters of keys.
const CONTROL: &str = "\u{e009}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const RIGHT: &str = "\u{e014}";
const DOWN: &str = "\u{e015}";
const DELETE: &str = "\u{e017}";

/// The words of the tab in front.
const FRONT: &str = "document.querySelector('.tab[aria-selected=true]')?.textContent";

fn utf8(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A plain picture, which states no scale.
fn picture(folder: &Path) -> PathBuf {
    let path = folder.join("field.png");
    let pixel = |x: u32, y: u32| image::Rgb([200, (x / 3 % 200) as u8, (y / 2 % 200) as u8]);
    image::RgbImage::from_fn(900, 600, pixel).save(&path).unwrap();
    path
}

/// Gives the slide the keys.
fn focus(window: &Window) {
    window.execute("document.getElementById('viewer').focus()");
}

fn zoom(window: &Window) -> f64 {
    window.execute("return parseFloat(document.getElementById('zoom').textContent)").as_f64().unwrap()
}

/// Annotations that the program keeps of the slide in front.
fn annotations(window: &Window) -> Vec<Value> {
    let slide = window.execute("return document.getElementById('viewer').dataset.handle");
    let kept = window.invoke("annotations", &json!({ "slide": slide }));
    kept["value"]["changed"].as_array().unwrap_or_else(|| panic!("{kept}")).clone()
}

#[test]
fn tabs_come_back_where_they_were_after_a_kill() {
    let Some(desk) = Desk::open() else { return };
    let (slide, field) = (phantom_slide(desk.data.path()), picture(desk.data.path()));
    let window = desk.start(&["open", utf8(&slide), utf8(&field)]);
    window.until("two tabs", "document.querySelectorAll('.tab').length === 2");
    window.until("tiles", TILES_SHOWN);
    assert!(window.execute(&format!("return {FRONT}")).as_str().unwrap().contains("phantom"));

    focus(&window);
    window.press(&["4"]);
    window.until("10×", "document.getElementById('zoom').textContent === '10×'");
    window.press(&["]"]);
    window.until("the rotation", "document.getElementById('rotation').textContent === '15°'");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let unmoved = window.invoke("startup", &json!({}))["value"]["tabs"].clone();
    window.press(&[RIGHT]);
    // The other tab and back: each keeps its place.
    window.press(&[CONTROL, "\u{e00f}"]);
    window.until("the picture", &format!("{FRONT}?.includes('field')"));
    window.until("its scale in pixels", "document.getElementById('scale-text').textContent.endsWith('px')");
    window.press(&[CONTROL, "\u{e00e}"]);
    window.until("the slide", "document.getElementById('zoom').textContent === '10×'");
    // The place is on the disk a moment after the view rests.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let before = window.invoke("startup", &json!({}))["value"]["tabs"].clone();
    assert_eq!(before.as_array().unwrap().len(), 2, "{before}");
    assert!((before[0]["placement"]["downsample"].as_f64().unwrap() - 4.0).abs() < 0.01, "{before}");
    // To the right of what is seen, which is turned; and as far as it was on its way to when the tab was left.
    let centre = |tabs: &Value| [0, 1].map(|k| tabs[0]["placement"]["center_base_px"][k].as_f64().unwrap());
    let ([from_x, from_y], [to_x, to_y]) = (centre(&unmoved), centre(&before));
    let direction_degrees = (to_y - from_y).atan2(to_x - from_x).to_degrees();
    assert!((direction_degrees + 15.0).abs() < 0.5, "moved {direction_degrees}° from {unmoved} to {before}");
    // The next window has a wider side, and so a stage that is narrower than when its viewer was made.
    window.invoke("remember_sidebar", &json!({ "widthPx": 600 }));
    window.kill();

    let window = desk.start(&["open"]);
    window.until("the slide", "document.getElementById('zoom').textContent === '10×'");
    window.until("the rotation", "document.getElementById('rotation').textContent === '15°'");
    window.until("tiles", TILES_SHOWN);
    assert!(window.execute(&format!("return {FRONT}")).as_str().unwrap().contains("phantom"));
    // Until somebody moves it, it stays so, whatever becomes of the stage; and so it is remembered.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(window.text("#zoom"), "10×");
    let after = window.invoke("startup", &json!({}))["value"]["tabs"].clone();
    assert!((after[0]["placement"]["downsample"].as_f64().unwrap() - 4.0).abs() < 0.01, "{after}");
    for k in 0..2 {
        assert!((centre(&before)[k] - centre(&after)[k]).abs() < 4.0, "{before} {after}");
    }
    // A closed tab stays closed, and its file is among the recent ones.
    window.press(&[CONTROL, "w"]);
    window.until("one tab", "document.querySelectorAll('.tab').length === 1");
    window.press(&[CONTROL, "w"]);
    window.until("the empty screen", "!document.getElementById('empty').hidden");
    window.until("recent files", "document.querySelectorAll('.recent').length === 2");
    window.picture("empty");
    window.click(".recent");
    window.until("the tab again", "document.querySelectorAll('.tab').length === 1");
}

#[test]
fn annotations_are_drawn_changed_taken_back_and_kept() {
    let Some(desk) = Desk::open() else { return };
    let slide = phantom_slide(desk.data.path());
    let window = desk.start(&["open", utf8(&slide)]);
    window.until("tiles", TILES_SHOWN);
    window.press(&[CONTROL, "3"]);
    let drawn = |n: usize| format!("document.querySelectorAll('.mark').length === {n}");

    // A rectangle by dragging; its words; another class.
    focus(&window);
    window.press(&["r"]);
    window.drag("#viewer", [0.3, 0.3], [0.5, 0.5]);
    window.until("a rectangle", &drawn(1));
    assert_eq!(annotations(&window)[0]["shape"]["kind"], "rectangle");
    window.send_keys(".marks-detail input:not(.color)", "Front\t");
    window.execute("const of = document.querySelector('.marks-detail select'); of.value = 'Tumor'; of.dispatchEvent(new Event('change'))");
    window.until("its words", "document.querySelector('.mark').textContent.includes('Front')");
    window.until("all saved", "document.querySelector('.marks-state').classList.contains('saved')");
    assert_eq!(annotations(&window)[0]["class"]["name"], "Tumor");

    // Freehand and a line by dragging, a point by a click, a polygon with the keyboard alone.
    focus(&window);
    window.press(&["f"]);
    window.drag("#viewer", [0.6, 0.3], [0.8, 0.6]);
    window.press(&["n"]);
    window.drag("#viewer", [0.2, 0.7], [0.5, 0.8]);
    window.until("a line", "document.querySelectorAll('.mark').length >= 2");
    window.press(&["p"]);
    window.drag("#viewer", [0.5, 0.6], [0.5, 0.6]);
    window.press(&["g"]);
    window.press(&[ENTER]);
    window.press(&[RIGHT]);
    std::thread::sleep(std::time::Duration::from_millis(700));
    window.press(&[ENTER]);
    window.press(&[DOWN]);
    std::thread::sleep(std::time::Duration::from_millis(700));
    window.press(&[ENTER]);
    window.press(&["\u{e008}", ENTER]);
    window.until(
        "a polygon",
        "[...document.querySelectorAll('.mark-name')].some((each) => each.textContent === 'Polygon')",
    );
    let kept = annotations(&window);
    let kinds: Vec<_> = kept.iter().map(|each| each["shape"]["kind"].as_str().unwrap().to_owned()).collect();
    for kind in ["rectangle", "line", "point", "polygon"] {
        assert!(kinds.iter().any(|each| each == kind), "{kind} of {kinds:?}");
    }
    let n = kept.len();
    window.picture("annotations");

    // Deleted, taken back, done again, taken back.
    focus(&window);
    window.press(&[DELETE]);
    window.until("one less", &drawn(n - 1));
    window.press(&[CONTROL, "z"]);
    window.until("all again", &drawn(n));
    window.press(&[CONTROL, "y"]);
    window.until("one less again", &drawn(n - 1));
    window.press(&[CONTROL, "z"]);
    window.until("all at last", &drawn(n));

    // Out to a file that QuPath reads, and all of it is there after a kill.
    let handle = window.execute("return document.getElementById('viewer').dataset.handle");
    let file = desk.data.path().join("out.geojson");
    let out = window.invoke("export_annotations", &json!({ "slide": handle, "path": utf8(&file) }));
    assert_eq!(out["value"], utf8(&file), "{out}");
    let written: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written["type"], "FeatureCollection");
    assert_eq!(written["features"].as_array().unwrap().len(), n);
    window.kill();
    let window = desk.start(&["open"]);
    window.press(&[CONTROL, "3"]);
    window.until("all after the kill", &drawn(n));

    // And in again: the same ones are known.
    let handle = window.execute("return document.getElementById('viewer').dataset.handle");
    let read = window.invoke("import_annotations", &json!({ "slide": handle, "path": utf8(&file) }));
    assert_eq!(read["value"]["imported"]["n_unchanged"], n, "{read}");

    // A folder that cannot be written: said, not lost, and saved when it can be again.
    let folder = desk.data.path().join("annotations");
    let aside = desk.data.path().join("aside");
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, b"in the way").unwrap();
    focus(&window);
    window.press(&["p"]);
    window.drag("#viewer", [0.4, 0.4], [0.4, 0.4]);
    window.until("the failure", "document.querySelector('.marks-state').classList.contains('failed')");
    window.until("one more all the same", &drawn(n + 1));
    window.picture("unsaved");
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    window.click(".marks-state .link");
    window.until("all saved", "document.querySelector('.marks-state').classList.contains('saved')");
}

#[test]
fn looks_scales_and_figures_belong_to_their_slide() {
    let Some(desk) = Desk::open() else { return };
    let field = picture(desk.data.path());
    let window = desk.start(&["open", utf8(&field)]);
    window.until("tiles", TILES_SHOWN);
    let middle = "(() => { const c = document.querySelector('.openseadragon-canvas canvas'); return [...c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data].join() })()";
    let natural = window.execute(&format!("return {middle}"));

    // Another look, by the keyboard and by the sliders.
    focus(&window);
    window.press(&["\u{e00a}", "2"]);
    window.until("haematoxylin", &format!("{middle} !== {natural}"));
    window.click("#look-button");
    window.until("the popover", "document.getElementById('look').matches(':popover-open')");
    window.execute("const [, contrast] = document.querySelectorAll('#look input[type=range]'); contrast.value = 40; contrast.dispatchEvent(new Event('input'))");
    window.picture("look");
    window.press(&[ESCAPE]);
    window.until("no popover", "!document.getElementById('look').matches(':popover-open')");

    // A scale, which the picture does not state.
    assert!(window.text("#scale-text").ends_with("px"));
    window.execute("document.querySelector('#zoom').click(); [...document.querySelectorAll('#zoom-menu button')].at(-1).click()");
    window.send_keys("dialog input", "0.5");
    window.press(&[ENTER]);
    window.until("µm", "document.getElementById('scale-text').textContent.endsWith('µm')");
    window.until("magnification", "document.getElementById('zoom').textContent.endsWith('×')");
    focus(&window);
    window.press(&["5"]);
    window.until("20×", "document.getElementById('zoom').textContent === '20×'");

    // A measured line, in micrometres.
    window.press(&["d"]);
    window.drag("#viewer", [0.3, 0.5], [0.6, 0.5]);
    window.until("the distance", "document.getElementById('measured').textContent.includes('µm')");

    // A figure of twice the screen.
    let handle = window.execute("return document.getElementById('viewer').dataset.handle");
    let file = desk.data.path().join("figure.png");
    let figure = json!({
        "center_base_px": [450, 300], "downsample": 0.5, "width_px": 1200, "height_px": 800,
        "rotation_degrees": 0, "look": "0.0.100.all", "annotations": true, "scale_bar": "bottom_left",
        "ending": "png",
    });
    let asked = format!(
        "const done = arguments[0]; const i = window.__TAURI_INTERNALS__; const id = i.transformCallback(() => {{}}); \
         i.invoke('export_figure', {{ slide: {handle}, figure: {figure}, path: {}, progress: `__CHANNEL__:${{id}}` }}).then((value) => done({{ value }}), (error) => done({{ error }}))",
        json!(utf8(&file))
    );
    let written = window.execute_async(&asked);
    assert_eq!(written["value"], utf8(&file), "{written}");
    assert_eq!(image::image_dimensions(&file).unwrap(), (1200, 800));

    std::thread::sleep(std::time::Duration::from_millis(600));
    window.kill();
    let window = desk.start(&["open"]);
    window.until("the look", "document.getElementById('look-button').classList.contains('changed')");
    window.until("the scale", "document.getElementById('scale-text').textContent.endsWith('µm')");
}

#[test]
fn everything_can_be_done_from_the_keyboard_in_both_languages_and_themes() {
    let Some(desk) = Desk::open() else { return };
    let slide = phantom_slide(desk.data.path());
    let window = desk.start(&["open", utf8(&slide)]);
    window.until("tiles", TILES_SHOWN);

    // The palette finds a command by a few letters and does it.
    window.press(&[CONTROL, "k"]);
    window.send_keys(".palette-input", "measure");
    window.picture("palette");
    window.press(&[ENTER]);
    window.until("the tool", "document.querySelector('[data-tool=measure]').ariaPressed === 'true'");
    window.press(&[ESCAPE]);
    window.until("no tool", "document.querySelector('[data-tool=pan]').ariaPressed === 'true'");

    // Zoom presets are what they say.
    focus(&window);
    for (key, shown) in [("1", 1.25), ("3", 5.0), ("5", 20.0)] {
        window.press(&[key]);
        window.until(
            "the preset",
            &format!("Math.abs(parseFloat(document.getElementById('zoom').textContent) - {shown}) < 0.06"),
        );
    }
    assert!((zoom(&window) - 20.0).abs() < 0.1);
    window.press(&["0"]);

    // The list of shortcuts names the keys of the table.
    window.execute("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'F1', bubbles: true }))");
    window
        .until("the list", "document.querySelector('.shortcuts')?.textContent.includes('Draw a rectangle')");
    window.picture("shortcuts");
    window.press(&[ESCAPE]);
    window.until("no dialog", "!document.querySelector('dialog[open]')");

    // What may name a patient is hidden until it is asked for.
    focus(&window);
    window.press(&["i"]);
    window.until("the information", "document.querySelector('.information')");
    assert_eq!(window.count(".information .properties"), 0, "the file's own words are hidden");
    window.execute("[...document.querySelectorAll('.information .veil .button')].at(-1)?.click()");
    window
        .until("the file's own words", "document.querySelectorAll('.information .properties dt').length > 3");
    window.picture("information");
    window.press(&[ESCAPE]);

    // Every control says what it is.
    let nameless = window.execute(
        "return [...document.querySelectorAll('button, input, select, textarea, [role=tab], [role=tablist], [role=separator]')] \
         .filter((each) => each.checkVisibility() && !each.textContent.trim() && !each.ariaLabel && !each.labels?.length && !each.getAttribute('aria-labelledby')) \
         .map((each) => each.outerHTML)",
    );
    assert_eq!(nameless, json!([]), "controls without a name");

    // Chinese and dark, at once and after a restart.
    window.execute("document.querySelector('[data-command=language]').click(); document.querySelector('[data-command=theme]').click()");
    window.until("Chinese", "document.getElementById('notice').textContent.includes('仅供')");
    let theme = window.execute("return document.documentElement.dataset.theme");
    window.picture("chinese");
    std::thread::sleep(std::time::Duration::from_millis(300));
    drop(window);
    let window = desk.start(&["open"]);
    window.until("Chinese", "document.documentElement.lang === 'zh-Hans'");
    assert_eq!(window.execute("return document.documentElement.dataset.theme"), theme);
}

#[test]
fn a_thousand_annotations_are_drawn_without_lag() {
    let Some(desk) = Desk::open() else { return };
    let slide = phantom_slide(desk.data.path());
    let window = desk.start(&["open", utf8(&slide)]);
    window.until("tiles", TILES_SHOWN);
    let features: Vec<Value> = (0..1000)
        .map(|at: i32| {
            let (x, y) = (f64::from(at % 40) * 25.0 + 10.0, f64::from(at / 40) * 25.0 + 10.0);
            let corner = |step: i32| {
                let angle = f64::from(step) * std::f64::consts::TAU / 24.0;
                json!([x + 9.0 * angle.cos(), y + 9.0 * angle.sin()])
            };
            let ring: Vec<Value> = (0..24).chain([0]).map(corner).collect();
            json!({ "type": "Feature", "geometry": { "type": "Polygon", "coordinates": [ring] }, "properties": {} })
        })
        .collect();
    let file = desk.data.path().join("many.geojson");
    std::fs::write(&file, json!({ "type": "FeatureCollection", "features": features }).to_string()).unwrap();
    let handle = window.execute("return document.getElementById('viewer').dataset.handle");
    let read = window.invoke("import_annotations", &json!({ "slide": handle, "path": utf8(&file) }));
    assert_eq!(read["value"]["imported"]["n_added"], 1000, "{read}");
    // The page reads them with the next opening.
    window.press(&[CONTROL, "w"]);
    window.until("no tab", "!document.querySelector('.tab')");
    window.until("the recent file", "document.querySelector('.recent')");
    window.click(".recent");
    window.until("all of them", "document.querySelectorAll('.mark').length === 1000");
    window.until("tiles", TILES_SHOWN);
    // What lies over the slide is drawn in the same frame: its cost is the time of one call.
    focus(&window);
    window.press(&["+"]);
    window.press(&["0"]);
    window.until("the view to rest", "document.getElementById('overlay').dataset.drawMs");
    std::thread::sleep(std::time::Duration::from_millis(900));
    let cost_ms = window.execute("return parseFloat(document.getElementById('overlay').dataset.drawMs)");
    println!("1,000 annotations in view: {cost_ms} ms a frame");
    assert!(cost_ms.as_f64().unwrap() < 100.0, "{cost_ms}");
}
