//! A virtual display, `WebKitWebDriver`, and the window under it: what every test of the window stands on.
//!
//! With `EOSIN_SCREENSHOTS=FOLDER` the states on the way are kept as pictures (`cargo xtask screenshots`).

#![expect(clippy::expect_used, reason = "tests panic where the program must not")]
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "shared by tests, each of which is a program")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest wait for anything: a cold start on a busy machine with two cores.
pub const PATIENCE: Duration = Duration::from_secs(90);

static TURN: Mutex<()> = Mutex::new(());

/// A virtual display, a driver, and a data folder of its own; all end with the test, whatever happened.
pub struct Desk {
    _turn: MutexGuard<'static, ()>,
    processes: Vec<Child>,
    driver_url: String,
    display: String,
    /// What the program keeps: survives the windows of this desk.
    pub data: tempfile::TempDir,
}

impl Desk {
    /// `None`, with a word why, where the machine lacks what it takes.
    pub fn open() -> Option<Self> {
        for tool in ["/usr/bin/Xvfb", "/usr/bin/WebKitWebDriver"] {
            if !Path::new(tool).exists() {
                eprintln!("skipped: {tool} is not installed");
                return None;
            }
        }
        // One window at a time: three web views on two cores would only wait for each other.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let data = tempfile::tempdir().expect("a folder");
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
                .env("EOSIN_DATA", data.path())
                // What WebKit itself keeps is the test's too.
                .env("XDG_DATA_HOME", data.path())
                .env("XDG_CACHE_HOME", data.path())
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
            display,
            data,
        };
        wait_for("the driver", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(desk)
    }

    /// The display's name.
    pub fn display(&self) -> &str {
        &self.display
    }

    /// A window of the program, started with arguments; waits until it can be used.
    pub fn start(&self, args: &[&str]) -> Window {
        self.start_binary(Path::new(env!("CARGO_BIN_EXE_eosin")), args)
    }

    /// The same through another binary that runs the program.
    pub fn start_binary(&self, binary: &Path, args: &[&str]) -> Window {
        let options = json!({ "webkitgtk:browserOptions": { "binary": binary, "args": args } });
        let asked = json!({ "capabilities": { "alwaysMatch": options } });
        let session = call("POST", &format!("{}/session", self.driver_url), &asked);
        let id = session["sessionId"].as_str().expect("the window starts under the driver");
        let window = Window {
            url: format!("{}/session/{id}", self.driver_url),
            display: self.display.clone(),
            group: self.processes[0].id(),
            killed: false,
        };
        window.until("the page", "document.body.classList.contains('ready')");
        window
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
        .args(["-displayfd", "1", "-screen", "0", "1360x860x24", "-nolisten", "tcp"])
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

/// One request to the driver; its value, or a panic with the driver's own words.
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
pub struct Window {
    url: String,
    display: String,
    /// Process group of the driver, which the program is in.
    group: u32,
    killed: bool,
}

impl Window {
    pub fn execute(&self, script: &str) -> Value {
        call("POST", &format!("{}/execute/sync", self.url), &json!({ "script": script, "args": [] }))
    }

    pub fn execute_async(&self, script: &str) -> Value {
        call("POST", &format!("{}/execute/async", self.url), &json!({ "script": script, "args": [] }))
    }

    /// Calls a command of the program as the page does; its value, or the error it gave.
    pub fn invoke(&self, command: &str, args: &Value) -> Value {
        self.execute_async(&format!(
            "const done = arguments[0]; window.__TAURI_INTERNALS__.invoke({}, {args}).then((value) => done({{ value }}), (error) => done({{ error }}))",
            json!(command)
        ))
    }

    fn element(&self, selector: &str) -> String {
        let found = json!({ "using": "css selector", "value": selector });
        let element = call("POST", &format!("{}/element", self.url), &found);
        let id = element.as_object().and_then(|names| names.values().next()?.as_str());
        format!("{}/element/{}", self.url, id.expect("an element"))
    }

    pub fn click(&self, selector: &str) {
        call("POST", &format!("{}/click", self.element(selector)), &json!({}));
    }

    pub fn send_keys(&self, selector: &str, text: &str) {
        call("POST", &format!("{}/value", self.element(selector)), &json!({ "text": text }));
    }

    /// Presses keys together, by their `WebDriver` letters or themselves.
    pub fn press(&self, keys: &[&str]) {
        let down = keys.iter().map(|key| json!({ "type": "keyDown", "value": key }));
        let up = keys.iter().rev().map(|key| json!({ "type": "keyUp", "value": key }));
        let steps: Vec<Value> = down.chain(up).collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": steps }] });
        call("POST", &format!("{}/actions", self.url), &actions);
    }

    /// Drags over an element, from and to shares of its size.
    pub fn drag(&self, selector: &str, from: [f64; 2], to: [f64; 2]) {
        let place = self.execute(&format!(
            "const b = document.querySelector({}).getBoundingClientRect(); return [b.x, b.y, b.width, b.height]",
            json!(selector)
        ));
        let side = |k: usize| place[k].as_f64().unwrap_or_default();
        let at = |share: [f64; 2]| [0, 1].map(|k| (side(k) + share[k] * side(k + 2)).round() as i64);
        let (from, to) = (at(from), at(to));
        let middle = [0, 1].map(|k| i64::midpoint(from[k], to[k]));
        let go = |[x, y]: [i64; 2]| json!({ "type": "pointerMove", "duration": 60, "x": x, "y": y });
        let steps = [
            go(from),
            json!({ "type": "pointerDown", "button": 0 }),
            go(middle),
            go(to),
            json!({ "type": "pointerUp", "button": 0 }),
        ];
        let actions = json!({ "actions": [{ "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": steps }] });
        call("POST", &format!("{}/actions", self.url), &actions);
    }

    /// Waits until the page's expression is true.
    pub fn until(&self, what: &str, expression: &str) {
        let begun = Instant::now();
        while self.execute(&format!("return Boolean({expression})")) != json!(true) {
            let page = || self.execute("return document.body.innerText");
            assert!(begun.elapsed() < PATIENCE, "{what} did not come; the page says: {}", page());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn text(&self, selector: &str) -> String {
        let found =
            self.execute(&format!("return document.querySelector({})?.textContent ?? ''", json!(selector)));
        found.as_str().unwrap_or_default().to_owned()
    }

    /// How many elements there are.
    pub fn count(&self, selector: &str) -> usize {
        let n = self.execute(&format!("return document.querySelectorAll({}).length", json!(selector)));
        n.as_u64().unwrap_or_default() as usize
    }

    /// Keeps a picture of the window, where pictures are wanted: the screen as it is, with what WebKit draws.
    pub fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("EOSIN_SCREENSHOTS").map(PathBuf::from) else { return };
        std::fs::create_dir_all(&folder).expect("the folder for pictures");
        // The last frame is on the screen a moment after the page says that it is done.
        std::thread::sleep(Duration::from_millis(900));
        let path = folder.join(format!("{name}.jpg"));
        let taken = Command::new("import")
            .args(["-window", "root", "-quality", "88", "-strip"])
            .arg(&path)
            .env("DISPLAY", &self.display)
            .status();
        assert!(taken.is_ok_and(|taken| taken.success()), "pictures need ImageMagick's `import`");
    }

    /// Asks in the field of the panel.
    pub fn ask(&self, question: &str) {
        self.send_keys("#question", question);
        self.click("#send");
    }

    /// Waits until as many answers are complete.
    pub fn until_answers(&self, n: usize) {
        self.until(
            "an answer",
            &format!(
                "document.querySelectorAll('.turn').length === {n} && !document.querySelector('.turn.running') && \
                 document.getElementById('stop').hidden"
            ),
        );
    }

    /// Waits for the model and the pictures that go with a question.
    pub fn until_ready(&self) {
        self.until("the model", "document.getElementById('model').dataset.state === 'ready'");
        self.until("the preview", "document.querySelectorAll('.tray-picture img').length > 0");
    }

    /// Kills the program as a fault of the system would: nothing can be written any more.
    pub fn kill(mut self) {
        self.killed = true;
        let binary = env!("CARGO_BIN_EXE_eosin");
        // Only of this desk: other desks on the machine run the same binary.
        let group = self.group.to_string();
        let killed =
            Command::new("pkill").args(["-KILL", "-g", &group, "-f", &format!("^{binary}")]).status();
        assert!(killed.is_ok_and(|killed| killed.success()), "the program is there to be killed");
        // The driver learns of it, and lets another window begin.
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build()
            .into();
        let _ = agent.delete(&self.url).call();
        std::thread::sleep(Duration::from_millis(300));
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.killed {
            call("DELETE", &self.url, &json!({}));
        }
    }
}

/// A slide of drawn tissue.
pub fn phantom_slide(folder: &Path) -> PathBuf {
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
pub const TILES_SHOWN: &str = "(() => { const c = document.querySelector('.openseadragon-canvas canvas'); if (!c || !c.width) return false; \
    const d = c.getContext('2d').getImageData(c.width / 2 - 20, c.height / 2 - 20, 40, 40).data; \
    const seen = new Set(); for (let i = 0; i < d.length; i += 4) if (d[i + 3]) seen.add(d[i] * 65536 + d[i + 1] * 256 + d[i + 2]); \
    return seen.size > 8; })()";
