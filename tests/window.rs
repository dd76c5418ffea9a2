//! The window from end to end, the side panels: asking, stopping, answering again, editing, the models, the case book
//! and its survival of kill -9, similar images, labels; and that nothing goes over a network.
//!
//! A real web view under a virtual display, driven through `WebKitWebDriver`; `tests/window_stage.rs` has the slides.

#[path = "support/desk.rs"]
mod desk;
#[path = "support/drop.rs"]
mod drop;

use std::path::Path;
use std::process::Command;

use desk::{Desk, TILES_SHOWN, phantom_slide};
use serde_json::json;

#[test]
fn a_slide_is_opened_and_asked_about() {
    let Some(desk) = Desk::open() else { return };
    let slide = phantom_slide(desk.data.path());
    let window = desk.start(&["open", slide.to_str().unwrap()]);
    window.until("tiles", TILES_SHOWN);
    window.until_ready();
    let notice = window.text("#notice");
    assert!(
        notice.to_lowercase().contains("not for diagnosis"),
        "the notice stands from the start: {notice}"
    );
    let seen = window.text(".tray-picture figcaption");
    assert!(
        seen.contains("tokens") && seen.contains("µm/px"),
        "what the model will see is stated before: {seen}"
    );
    window.picture("slide");

    window.ask("Describe the image.");
    window.until_answers(1);
    let (reasoning, answer) = (window.text(".turn .reasoning div"), window.text(".turn .answer"));
    assert!(!reasoning.trim().is_empty(), "reasoning arrived apart from the answer");
    assert!(!answer.trim().is_empty(), "an answer arrived");
    for shown in [&reasoning, &answer] {
        assert!(!shown.contains("<think") && !shown.contains("answer>"), "a raw tag is shown: {shown}");
    }
    assert_eq!(window.execute("return document.querySelector('.turn .reasoning').open"), json!(false));
    let cost = window.text(".turn .cost");
    for part in ["tokens/s", "first after", "context"] {
        assert!(cost.contains(part), "{part} is kept with the answer: {cost}");
    }
    window.until("the picture that the model saw", "document.querySelector('.turn img').naturalWidth > 0");

    // A follow-up about the same view sends no picture twice.
    window.until(
        "the tray to rest",
        "document.querySelector('#tray').textContent.includes('has seen this view')",
    );
    window.execute("document.getElementById('settings').open = true; document.getElementById('options').value = 'no cells\\nfew cells\\nmany cells\\nlymphocytes'");
    window.ask("Which inflammatory cells are seen?");
    window.until_answers(2);
    window.execute("document.getElementById('settings').open = false; document.querySelectorAll('.reasoning').forEach((box) => (box.open = true))");
    if window.count(".turn .options.measured") > 0 {
        let shares = window.execute("return [...document.querySelectorAll('.options.measured meter')].reduce((sum, bar) => sum + bar.value, 0)");
        assert!((shares.as_f64().unwrap() - 1.0).abs() < 0.01, "probabilities add to one: {shares}");
    }
    window.picture("answer");

    // The view is moved away; the picture of the answer leads back to it.
    let zoom = "parseFloat(document.getElementById('zoom').textContent)";
    let before = window.execute(&format!("return {zoom}")).as_f64().unwrap();
    window.execute("document.getElementById('viewer').focus()");
    for _ in 0..3 {
        window.press(&["+"]);
    }
    window.until("another magnification", &format!("{zoom} > {}", before * 1.5));
    window.click(".turn .asked-picture");
    window.until("the old view", &format!("Math.abs({zoom} / {before} - 1) < 0.2"));

    // Nothing but the program's own protocol can be reached from the page.
    let fetched = window.execute_async("const done = arguments[0]; fetch('http://127.0.0.1:1/').then(() => done('reached'), (e) => done(String(e)))");
    assert_ne!(fetched, json!("reached"));
}

/// The answer is made to go on for as long as the context has room: there is time to stop it.
#[test]
fn an_answer_is_stopped_and_its_text_kept() {
    let Some(desk) = Desk::open() else { return };
    let slide = phantom_slide(desk.data.path());
    let args = ["open", slide.to_str().unwrap(), "--max-tokens", "1900", "--ignore-eos"];
    let window = desk.start(&args);
    window.until_ready();
    window.ask("Describe the image.");
    window.until("some text", "(document.querySelector('.turn .answer')?.textContent.length ?? 0) + (document.querySelector('.turn .reasoning div')?.textContent.length ?? 0) > 0");
    window.press(&["\u{e00c}"]);
    window.until("the stop", "document.querySelector('.turn .cost')?.textContent.startsWith('stopped')");
    let kept = window.text(".turn .answer") + &window.text(".turn .reasoning div");
    assert!(!kept.is_empty(), "the text so far is kept");
    window.until("the composer", "!document.getElementById('send').hidden");
}

#[test]
fn a_broken_slide_is_told_and_the_window_stays() {
    let Some(desk) = Desk::open() else { return };
    let broken = desk.data.path().join("broken.svs");
    std::fs::write(&broken, b"this is no slide").unwrap();
    let window = desk.start(&["open", broken.to_str().unwrap()]);
    window.until("the error", "document.querySelector('.toast.failed')");
    let message = window.text(".toast-message");
    assert!(message.contains("broken.svs"), "the file is named: {message}");
    window.picture("error");
    window.click(".toast .icon-button");
    window.until(
        "the empty window",
        "!document.querySelector('.toast') && !document.getElementById('empty').hidden",
    );
}

/// Every version of an answer and of a question is there after a kill in the middle of one more.
#[test]
fn versions_are_kept_and_survive_a_kill() {
    let Some(desk) = Desk::open() else { return };
    let slide = phantom_slide(desk.data.path());
    let window = desk.start(&["open", slide.to_str().unwrap()]);
    window.until_ready();
    window.ask("Describe the image.");
    window.until_answers(1);
    let first = window.text(".turn .answer");
    window.click(".turn [data-tool=again]");
    window.until("a second answer", "document.querySelector('.turn .stepper-place')?.textContent.includes('2/2') && !document.querySelector('.turn.running')");
    window.ask("Which organ is this?");
    window.until_answers(2);
    // The first question in other words: what followed stays with the old one.
    window.click(".turn [data-tool=edit]");
    window.execute("document.querySelector('.edit-question').value = 'What do you see?'");
    window.click(".edit-form [type=submit]");
    window.until(
        "the edited question",
        "document.querySelector('.turn .question')?.textContent === 'What do you see?'",
    );
    window.until_answers(1);
    assert!(
        window.text(".turn .stepper-place").contains("2/2"),
        "both versions of the question can be reached"
    );
    window.click(".turn .stepper .icon-button");
    window.until("the old branch", "document.querySelectorAll('.turn').length === 2");
    drop(window);

    // An answer without an end, killed on its way.
    let args = ["open", slide.to_str().unwrap(), "--max-tokens", "1900", "--ignore-eos"];
    let window = desk.start(&args);
    window.until_ready();
    window.ask("Describe the image.");
    window
        .until("some text", "(document.querySelector('.turn .reasoning div')?.textContent.length ?? 0) > 20");
    window.kill();

    let window = desk.start(&[]);
    window.click("#tab-cases");
    window.until("both chats", "document.querySelectorAll('.case').length === 2");
    window.execute("[...document.querySelectorAll('.case-open')].at(-1).click()");
    window.until("the chat", "document.querySelectorAll('.turn').length === 2");
    assert!(window.text(".turn .stepper-place").contains("1/2"));
    window.execute("document.querySelector('.turn [aria-label=\"Answer\"] .icon-button').click()");
    window.until(
        "the first answer",
        &format!("document.querySelector('.turn .answer').textContent === {}", json!(first)),
    );
    window.click("#tab-cases");
    window.until("the list", "document.querySelectorAll('.case').length === 2");
    window.send_keys("#case-search", "organ");
    window.until(
        "what was found",
        "document.querySelectorAll('.case').length === 1 && document.querySelector('.case-snippet')",
    );
    window.picture("cases");
    window.click("#audit");
    window.until("the audit", "document.querySelector('.toast.news')?.textContent.includes('whole')");
    let verified = Command::new(env!("CARGO_BIN_EXE_eosin"))
        .args(["audit", "verify"])
        .env("EOSIN_DATA", desk.data.path())
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[test]
fn a_model_is_unloaded_and_loaded_while_the_window_lives() {
    let Some(desk) = Desk::open() else { return };
    let slide = phantom_slide(desk.data.path());
    let window = desk.start(&["open", slide.to_str().unwrap()]);
    window.until_ready();
    window.click("#model");
    window.until("the models", "document.querySelector('.model-card .primary')");
    let card = window.text(".model-card");
    for part in ["licence", "MB", "memory"] {
        assert!(card.contains(part), "{part}: {card}");
    }
    window.picture("models");
    window.execute("[...document.querySelectorAll('.dialog.models .button')].at(-1).click()");
    window.until("no model", "document.getElementById('model').dataset.state === 'unloaded'");
    window.send_keys("#question", "?");
    assert_eq!(window.execute("return document.getElementById('send').disabled"), json!(true));
    // A folder without a model is told of, and the window stays.
    let nothing =
        json!({ "source": { "kind": "files", "model": desk.data.path(), "mmproj": null }, "device": "cpu" });
    window.invoke("load_model", &nothing);
    window.click("#model");
    window.until("the models", "document.querySelectorAll('.model-card').length === 2");
    assert!(window.text(".model-card.broken").contains("no model"), "{}", window.text(".model-card.broken"));
    window.click(".model-card .primary");
    window.until("the model", "document.getElementById('model').dataset.state === 'ready'");
    window.until("the button", "!document.getElementById('send').disabled");
}

#[test]
fn similar_images_are_found_opened_and_labelled_after_a_kill() {
    let Some(desk) = Desk::open() else { return };
    let slide = phantom_slide(desk.data.path());
    let folder = desk.data.path().join("pictures");
    std::fs::create_dir(&folder).unwrap();
    for (name, color) in [("violet", [120, 60, 150]), ("pink", [235, 150, 190]), ("brown", [140, 90, 50])] {
        let picture = image::RgbImage::from_fn(224, 224, |x, y| {
            let shade = ((x / 9 + y / 7) % 3) as u8 * 12;
            image::Rgb(color.map(|side: u8| side.saturating_add(shade)))
        });
        picture.save(folder.join(format!("{name}.png"))).unwrap();
    }
    let window = desk.start(&["open", slide.to_str().unwrap()]);
    window.until("tiles", TILES_SHOWN);
    window.click("#tab-similar");
    window.until(
        "the empty library",
        "document.querySelector('.hits .panel-empty')?.textContent.includes('empty')",
    );
    let begun = window.invoke("index_path", &json!({ "path": folder }));
    assert_eq!(begun["value"], json!(true), "{begun}");
    // Killed at once: what is there stays, the rest is added at the next run.
    window.kill();

    let window = desk.start(&["open", slide.to_str().unwrap()]);
    window.until("tiles", TILES_SHOWN);
    let progress = "(await window.__TAURI_INTERNALS__.invoke('index_progress'))?.state";
    for path in [&folder, &slide] {
        window.invoke("index_path", &json!({ "path": path }));
        let wait = format!(
            "const done = arguments[0]; (async () => {{ while (['running', 'paused'].includes({progress})) await new Promise((next) => setTimeout(next, 100)); done({progress}) }})()"
        );
        assert_eq!(window.execute_async(&wait), json!("done"));
    }
    window.click("#tab-similar");
    window.until("the library", "document.getElementById('library-sum').textContent.includes('4 files')");
    window.click("[data-command=similar-view]");
    window.until("hits", "document.querySelectorAll('.hit').length > 3");
    window.execute("document.getElementById('library').open = false; document.getElementById('similar-words').value = 'glands'; document.querySelector('#similar-form').requestSubmit()");
    window.until("what words found", "document.getElementById('similar-said').textContent.includes('found') && !document.querySelector('.hits[aria-busy]')");
    window.picture("similar");
    let tabs = window.count("[role=tab].tab");
    window.execute(
        "[...document.querySelectorAll('.hit-open')].find((hit) => hit.textContent.includes('.png')).click()",
    );
    window.until(
        "the picture in its own tab",
        &format!("document.querySelectorAll('[role=tab].tab').length === {}", tabs + 1),
    );
    window.press(&["\u{e009}", "\u{e00e}"]);
    window.until(
        "the slide again",
        "document.querySelector('.tab[aria-selected=true]').textContent.includes('phantom')",
    );
    window.until("tiles", TILES_SHOWN);

    window.execute("document.getElementById('labels').open = true; document.getElementById('label-classes').value = 'glands\\nfibrous stroma\\nempty background'; document.querySelector('#label-form').requestSubmit()");
    window.until("the labels", "!document.getElementById('label-result').hidden");
    let shares = window.execute("return [...document.querySelectorAll('#label-classes-found meter')].reduce((sum, bar) => sum + bar.value, 0)");
    assert!((shares.as_f64().unwrap() - 1.0).abs() < 0.01, "shares of the tissue add to one: {shares}");
    window.execute("document.getElementById('label-result').scrollIntoView()");
    window.picture("labels");
}

/// Files dragged in from elsewhere, by the protocol that file managers speak.
#[test]
fn dropped_files_open_in_tabs() {
    let Some(desk) = Desk::open() else { return };
    let slide = phantom_slide(desk.data.path());
    let picture = desk.data.path().join("field.png");
    image::RgbImage::from_pixel(90, 60, image::Rgb([200, 120, 160])).save(&picture).unwrap();
    let window = desk.start(&[]);
    drop::drop_files(desk.display(), &[&slide, &picture]);
    window.until("both tabs", "document.querySelectorAll('[role=tab].tab').length === 2");
    window.until("tiles", TILES_SHOWN);
}

/// What assistive technology is told: every control has a name, and none is out of the keyboard's reach.
#[test]
fn every_control_has_a_name_and_can_be_reached() {
    const NAMELESS: &str = "return [...document.querySelectorAll('button, input, select, textarea, summary, [role=tab], [role=button], [role=listbox], [tabindex=\"0\"]')]\
        .filter((each) => each.checkVisibility())\
        .filter((each) => !(each.getAttribute('aria-label') || each.getAttribute('aria-labelledby') || each.textContent.trim() || each.title || each.placeholder || each.labels?.[0]?.textContent.trim()))\
        .map((each) => each.outerHTML.slice(0, 200))";
    const UNREACHED: &str = "return [...document.querySelectorAll('button, input, select, textarea, summary, a[href]')]\
        .filter((each) => each.checkVisibility() && !each.disabled && each.tabIndex > 0).map((each) => each.outerHTML.slice(0, 200))";
    let Some(desk) = Desk::open() else { return };
    let slide = phantom_slide(desk.data.path());
    let window = desk.start(&["open", slide.to_str().unwrap()]);
    window.until_ready();
    window.ask("Describe the image.");
    window.until_answers(1);
    for panel in ["ask", "similar", "annotations", "cases"] {
        window.click(&format!("#tab-{panel}"));
        window.execute("document.querySelectorAll('details').forEach((box) => (box.open = true))");
        assert_eq!(window.execute(NAMELESS), json!([]), "controls without a name in {panel}");
        // An order of its own would jump about: the page's order is the keyboard's.
        assert_eq!(window.execute(UNREACHED), json!([]), "controls out of order in {panel}");
    }
    // Texts of another language come from the same catalogue; none is left behind.
    let before = window
        .execute("return [...document.querySelectorAll('[data-text]')].map((each) => each.textContent)");
    window.execute("document.querySelector('[data-command=language]').click()");
    window.until("Chinese", "document.documentElement.lang === 'zh-Hans'");
    let after = window
        .execute("return [...document.querySelectorAll('[data-text]')].map((each) => each.textContent)");
    let same = before.as_array().unwrap().iter().zip(after.as_array().unwrap()).filter(|(en, zh)| en == zh);
    let same: Vec<_> =
        same.map(|(en, _)| en.as_str().unwrap_or_default()).filter(|text| text.len() > 6).collect();
    assert!(same.is_empty(), "words that did not change: {same:?}");
    window.click("#tab-ask");
    window.picture("chinese");
}

/// A whole session, every socket of which is watched: nothing but this machine's own is opened.
#[test]
fn nothing_goes_over_a_network() {
    if !Path::new("/usr/bin/strace").exists() {
        return eprintln!("skipped: strace is not installed");
    }
    let Some(desk) = Desk::open() else { return };
    let slide = phantom_slide(desk.data.path());
    let (script, log) = (desk.data.path().join("watched"), desk.data.path().join("sockets.log"));
    let watched = format!(
        "#!/bin/sh\nexec /usr/bin/strace -f --seccomp-bpf -qq -e trace=connect,sendto,bind -e signal=none -o '{}' '{}' \"$@\"\n",
        log.display(),
        env!("CARGO_BIN_EXE_eosin")
    );
    std::fs::write(&script, watched).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    let window = desk.start_binary(&script, &["open", slide.to_str().unwrap()]);
    window.until("tiles", TILES_SHOWN);
    window.until_ready();
    window.ask("Describe the image.");
    window.until_answers(1);
    window.click("#tab-similar");
    window.invoke("index_path", &json!({ "path": slide }));
    window.until("the library", "!document.getElementById('library-sum').textContent.startsWith('0')");
    window.execute("document.getElementById('similar-words').value = 'glands'; document.querySelector('#similar-form').requestSubmit()");
    window.until("hits", "document.getElementById('similar-said').textContent.includes('found')");
    drop(window);
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("AF_UNIX"), "the watch saw the display's socket: {log}");
    let foreign: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("AF_INET"))
        // The driver that steers this test listens on this machine.
        .filter(|line| !line.contains("inet_addr(\"127.0.0.1\")") && !line.contains("\"::1\""))
        .collect();
    assert!(foreign.is_empty(), "sockets to elsewhere: {foreign:#?}");
}
