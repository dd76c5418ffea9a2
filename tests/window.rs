//! The window from end to end: a real web view under a virtual display, driven through `WebKitWebDriver`.
//!
//! With `EOSIN_SCREENSHOTS=FOLDER` the states on the way are kept as pictures (`cargo xtask screenshots`).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest wait for anything: a cold start on a busy machine with two cores.
const PATIENCE: Duration = Duration::from_secs(90);

static TURN: Mutex<()> = Mutex::new(());

/// A virtual display and a driver; both end with the test, whatever happened.
struct Desk {
    _turn: MutexGuard<'static, ()>,
    processes: Vec<Child>,
    driver_url: String,
}

impl Desk {
    /// `None`, with a word why, where the machine lacks what it takes.
    fn open() -> Option<Self> {
        for tool in ["/usr/bin/Xvfb", "/usr/bin/WebKitWebDriver"] {
            if !Path::new(tool).exists() {
                eprintln!("skipped: {tool} is not installed");
                return None;
            }
        }
        // One window at a time: three web views on two cores would only wait for each other.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (screen, display) = virtual_display();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .expect("a free port")
            .local_addr()
            .expect("bound")
            .port();
        let driver = spawn(
            Command::new("/usr/bin/WebKitWebDriver")
                .stdout(Stdio::null())
                .arg(format!("--port={port}"))
                .env("DISPLAY", &display)
                .env("TAURI_WEBVIEW_AUTOMATION", "true")
                // A software display: no accelerated compositing, no portal, no desktop services.
                .env("GDK_BACKEND", "x11")
                .env("LIBGL_ALWAYS_SOFTWARE", "1")
                .env("WEBKIT_DISABLE_DMABUF_RENDERER", "1")
                .env("NO_AT_BRIDGE", "1")
                .env_remove("WAYLAND_DISPLAY"),
        );
        let desk = Self {
            _turn: turn,
            processes: vec![driver, screen],
            driver_url: format!("http://127.0.0.1:{port}"),
        };
        wait_for("the driver", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(desk)
    }

    fn start(&self, args: &[&str]) -> Window {
        let binary = env!("CARGO_BIN_EXE_eosin");
        let options = json!({ "webkitgtk:browserOptions": { "binary": binary, "args": args } });
        let asked = json!({ "capabilities": { "alwaysMatch": options } });
        let session = call("POST", &format!("{}/session", self.driver_url), &asked);
        let id = session["sessionId"].as_str().expect("the window starts under the driver");
        Window { url: format!("{}/session/{id}", self.driver_url) }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // The driver started the window in its own group: ending the driver alone would leave it.
            let group = format!("-{}", process.id());
            let _ = Command::new("kill").args(["-TERM", "--", &group]).stderr(Stdio::null()).status();
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A display that the server itself chose, so that no two can meet.
fn virtual_display() -> (Child, String) {
    use std::io::BufRead as _;
    let mut command = Command::new("/usr/bin/Xvfb");
    command
        .args(["-displayfd", "1", "-screen", "0", "1440x900x24", "-nolisten", "tcp"])
        .stdout(Stdio::piped());
    let mut screen = spawn(&mut command);
    let mut number = String::new();
    let told = screen.stdout.take().map(|out| std::io::BufReader::new(out).read_line(&mut number));
    assert!(told.is_some_and(|told| told.is_ok()), "the virtual display names itself");
    (screen, format!(":{}", number.trim()))
}

fn spawn(command: &mut Command) -> Child {
    use std::os::unix::process::CommandExt as _;
    let silent = command.stdin(Stdio::null()).stderr(Stdio::null());
    silent.process_group(0).spawn().expect("an installed program starts")
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One `WebDriver` command; its value, or a panic with the driver's own words.
fn call(method: &str, url: &str, body: &Value) -> Value {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .build()
        .into();
    let answer = match method {
        "GET" => agent.get(url).call(),
        "DELETE" => agent.delete(url).call(),
        _ => agent.post(url).send_json(body),
    };
    let mut answer = answer.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    let status = answer.status();
    let value: Value = answer.body_mut().read_json().expect("the driver speaks JSON");
    assert!(status.is_success(), "{method} {url}: {value}");
    value["value"].clone()
}

/// The window under the driver (the part of the W3C `WebDriver` protocol that these tests need).
struct Window {
    url: String,
}

impl Window {
    fn execute(&self, script: &str) -> Value {
        call("POST", &format!("{}/execute/sync", self.url), &json!({ "script": script, "args": [] }))
    }

    fn execute_async(&self, script: &str) -> Value {
        call("POST", &format!("{}/execute/async", self.url), &json!({ "script": script, "args": [] }))
    }

    fn element(&self, selector: &str) -> String {
        let found = json!({ "using": "css selector", "value": selector });
        let element = call("POST", &format!("{}/element", self.url), &found);
        let id = element.as_object().and_then(|names| names.values().next()?.as_str());
        format!("{}/element/{}", self.url, id.expect("an element"))
    }

    fn click(&self, selector: &str) {
        call("POST", &format!("{}/click", self.element(selector)), &json!({}));
    }

    fn send_keys(&self, selector: &str, text: &str) {
        call("POST", &format!("{}/value", self.element(selector)), &json!({ "text": text }));
    }

    /// Waits until the page's expression is true.
    fn until(&self, what: &str, expression: &str) {
        let begun = Instant::now();
        while self.execute(&format!("return Boolean({expression})")) != json!(true) {
            let page = || self.execute("return document.body.innerText");
            assert!(begun.elapsed() < PATIENCE, "{what} did not come; the page says: {}", page());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn text(&self, selector: &str) -> String {
        let found =
            self.execute(&format!("return document.querySelector({})?.textContent ?? ''", json!(selector)));
        found.as_str().unwrap_or_default().to_owned()
    }

    /// Keeps a picture of the window, where pictures are wanted.
    fn picture(&self, name: &str) {
        use base64::Engine as _;
        let Some(folder) = std::env::var_os("EOSIN_SCREENSHOTS").map(PathBuf::from) else { return };
        std::fs::create_dir_all(&folder).expect("the folder for pictures");
        let png = call("GET", &format!("{}/screenshot", self.url), &json!({}));
        let png = base64::engine::general_purpose::STANDARD.decode(png.as_str().unwrap_or_default());
        std::fs::write(folder.join(format!("{name}.png")), png.expect("base64"))
            .expect("the picture is written");
    }

    fn ask(&self, question: &str) {
        self.send_keys("#question", question);
        self.click("#send");
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            call("DELETE", &self.url, &json!({}));
        }
    }
}

fn phantom_slide(folder: &Path) -> PathBuf {
    let path = folder.join("phantom.tif");
    let drawn = Command::new(env!("CARGO_BIN_EXE_eosin"))
        .args(["train", "phantom", "--slide"])
        .arg(&path)
        .output()
        .expect("eosin runs");
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    path
}

/// A tile has been drawn: the viewer's canvas holds colours that the empty stage does not have.
const TILES_SHOWN: &str = "(() => { const c = document.querySelector('.openseadragon-canvas canvas'); if (!c || !c.width) return false; \
    const d = c.getContext('2d').getImageData(c.width / 2 - 20, c.height / 2 - 20, 40, 40).data; \
    const seen = new Set(); for (let i = 0; i < d.length; i += 4) if (d[i + 3]) seen.add(d[i] * 65536 + d[i + 1] * 256 + d[i + 2]); \
    return seen.size > 8; })()";

#[test]
fn a_slide_is_opened_and_asked_about() {
    let Some(desk) = Desk::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let slide = phantom_slide(folder.path());
    let window = desk.start(&["open", slide.to_str().expect("utf-8")]);
    window.until("the slide", "document.getElementById('title').textContent.includes('phantom')");
    window.until("tiles", TILES_SHOWN);
    window.until("the model", "document.getElementById('model').textContent !== ''");
    let notice = window.text("#notice");
    assert!(notice.contains("not for diagnosis"), "the notice stands from the start: {notice}");
    window.picture("slide");

    // Wheel turns over the upper right quarter bring the scale that the demonstration model was taught at. The
    // viewer takes one turn in 50 ms, so each waits until the one before has moved the slide.
    for times in 1..=9 {
        window.execute(
            "const c = document.querySelector('.openseadragon-canvas'); const b = c.getBoundingClientRect(); \
             c.dispatchEvent(new WheelEvent('wheel', { deltaY: -100, bubbles: true, cancelable: true, \
             clientX: b.x + 0.8 * b.width, clientY: b.y + 0.25 * b.height }))",
        );
        let zoom = 8.0 * 1.19_f64.powi(times);
        let zoomed = format!("parseFloat(document.getElementById('zoom').textContent) > {zoom}");
        window.until("the zoom", &zoomed);
    }
    window.until("sharper tiles", TILES_SHOWN);

    window.ask("Are there mitotic figures?");
    window.until("an answer", "document.querySelector('.turn .cost')?.textContent.includes('tokens/s')");
    let reasoning = window.text(".turn .reasoning div");
    let answer = window.text(".turn .answer");
    assert!(!reasoning.trim().is_empty(), "reasoning arrived apart from the answer");
    assert!(!answer.trim().is_empty(), "an answer arrived");
    for shown in [&reasoning, &answer] {
        assert!(!shown.contains("<think") && !shown.contains("answer>"), "a raw tag is shown: {shown}");
    }
    let seen = window.text(".turn .seen");
    assert!(seen.contains("tokens") && seen.contains("µm/px"), "what the model saw is stated: {seen}");
    window.until("the picture that the model saw", "document.querySelector('.turn img').naturalWidth > 0");

    // A multiple-choice question shows its letter with the words of the choice.
    window.execute("document.querySelector('.choices').open = true; document.getElementById('options').value = 'glands\\nsolid sheet\\nfibrous stroma\\nnecrosis'");
    window.ask("Which pattern dominates?");
    window.until("a second answer", "[...document.querySelectorAll('.turn .cost')].at(-1).textContent.includes('tokens/s') && document.querySelectorAll('.turn').length === 2");
    window.execute("document.querySelectorAll('.reasoning').forEach((box) => (box.open = true))");
    window.picture("answer");

    // Nothing but the program's own protocol can be reached from the page.
    let fetched = window.execute_async("const done = arguments[0]; fetch('http://127.0.0.1:1/').then(() => done('reached'), (e) => done(String(e)))");
    assert_ne!(fetched, json!("reached"));
}

/// The answer is made to go on for as long as the context has room: there is time to stop it.
#[test]
fn an_answer_is_stopped_and_its_text_kept() {
    let Some(desk) = Desk::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let slide = phantom_slide(folder.path());
    let args = ["open", slide.to_str().expect("utf-8"), "--max-tokens", "1900", "--ignore-eos"];
    let window = desk.start(&args);
    window.until("tiles", TILES_SHOWN);
    window.until("the model", "document.getElementById('model').textContent !== ''");
    window.ask("Describe this field.");
    window.until("some text", "(document.querySelector('.turn .answer')?.textContent.length ?? 0) + (document.querySelector('.turn .reasoning div')?.textContent.length ?? 0) > 0");
    window.click("#stop");
    window.until("the stop", "document.querySelector('.turn .cost')?.textContent.startsWith('stopped')");
    let kept = window.text(".turn .answer") + &window.text(".turn .reasoning div");
    assert!(!kept.is_empty(), "the text so far is kept");
    window.until("the composer", "!document.getElementById('send').hidden");
}

#[test]
fn a_broken_slide_is_told_and_the_window_stays() {
    let Some(desk) = Desk::open() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("broken.svs");
    std::fs::write(&broken, b"this is no slide").expect("written");
    let window = desk.start(&["open", broken.to_str().expect("utf-8")]);
    window.until("the error", "!document.getElementById('error').hidden");
    let message = window.text("#error-message");
    assert!(message.contains("broken.svs"), "the file is named: {message}");
    window.picture("error");
    window.click("#error-close");
    window.until(
        "the empty window",
        "document.getElementById('error').hidden && !document.getElementById('empty').hidden",
    );
}
