//! A real drop: the source's side of XDND version 5, so that a file reaches the window as from a file manager.
//!
//! Source: "Drag-and-Drop Protocol for the X Window System" (XDND), freedesktop.org.

#![expect(clippy::expect_used, reason = "tests panic where the program must not")]
#![allow(unreachable_pub, reason = "shared by tests, each of which is a program")]

use std::path::Path;
use std::time::{Duration, Instant};

use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ClientMessageEvent, ConnectionExt as _, CreateWindowAux, EventMask, PropMode,
    SELECTION_NOTIFY_EVENT, SelectionNotifyEvent, SelectionRequestEvent, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// Longest wait for the window's part.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the drop ends, in pixels of the screen: over the slide.
const PLACE: [u32; 2] = [420, 420];

struct Source {
    connection: RustConnection,
    window: Window,
    target: Window,
    uris: Vec<u8>,
    uri_list: Atom,
}

/// Drops files on the program's window of a display.
pub fn drop_files(display: &str, files: &[&Path]) {
    let (connection, screen) = RustConnection::connect(Some(display)).expect("the display");
    let root = connection.setup().roots[screen].root;
    let window = connection.generate_id().expect("an id");
    let aux = CreateWindowAux::new().override_redirect(1);
    connection
        .create_window(0, window, root, 0, 0, 1, 1, 0, WindowClass::INPUT_ONLY, 0, &aux)
        .expect("a window");
    let uris: Vec<String> = files.iter().map(|file| format!("file://{}\r\n", file.display())).collect();
    let uri_list = atom(&connection, "text/uri-list");
    let target = aware(&connection, root).expect("a window that takes drops");
    let source = Source { connection, window, target, uris: uris.concat().into_bytes(), uri_list };
    source.run();
}

fn atom(connection: &RustConnection, name: &str) -> Atom {
    let cookie = connection.intern_atom(false, name.as_bytes()).expect("sent");
    cookie.reply().expect("an atom").atom
}

/// The window under the root that says it takes drops.
fn aware(connection: &RustConnection, root: Window) -> Option<Window> {
    let aware = atom(connection, "XdndAware");
    let mut windows = vec![root];
    while let Some(window) = windows.pop() {
        let found = connection.get_property(false, window, aware, AtomEnum::ATOM, 0, 1).ok()?.reply();
        if found.is_ok_and(|found| found.value_len > 0) {
            return Some(window);
        }
        windows.extend(
            connection.query_tree(window).ok()?.reply().map(|tree| tree.children).unwrap_or_default(),
        );
    }
    None
}

impl Source {
    fn run(&self) {
        let selection = atom(&self.connection, "XdndSelection");
        self.connection.set_selection_owner(self.window, selection, x11rb::CURRENT_TIME).expect("sent");
        let copy = atom(&self.connection, "XdndActionCopy");
        self.send("XdndEnter", [self.window, 5 << 24, self.uri_list, 0, 0]);
        // The pointer comes in from the side, as a hand's does.
        for step in 0..6 {
            let place = ((PLACE[0] - 10 + step * 2) << 16) | (PLACE[1] - 10 + step * 2);
            self.send("XdndPosition", [self.window, 0, place, x11rb::CURRENT_TIME, copy]);
            self.until("XdndStatus");
        }
        self.send("XdndDrop", [self.window, 0, x11rb::CURRENT_TIME, 0, 0]);
        self.until("XdndFinished");
    }

    fn send(&self, name: &str, data: [u32; 5]) {
        let event = ClientMessageEvent::new(32, self.target, atom(&self.connection, name), data);
        self.connection.send_event(false, self.target, EventMask::NO_EVENT, event).expect("sent");
        self.connection.flush().expect("flushed");
    }

    /// Serves the window's wishes for the data until it says this.
    fn until(&self, name: &str) {
        let wanted = atom(&self.connection, name);
        let begun = Instant::now();
        loop {
            match self.connection.poll_for_event().expect("the display lives") {
                Some(Event::ClientMessage(message)) if message.type_ == wanted => return,
                Some(Event::SelectionRequest(request)) => self.serve(&request),
                Some(_) => {}
                None => {
                    assert!(begun.elapsed() < PATIENCE, "the window never said {name}");
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    fn serve(&self, request: &SelectionRequestEvent) {
        let known = request.target == self.uri_list;
        if known {
            let (window, property) = (request.requestor, request.property);
            self.connection
                .change_property8(PropMode::REPLACE, window, property, self.uri_list, &self.uris)
                .expect("sent");
        }
        let answer = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: request.time,
            requestor: request.requestor,
            selection: request.selection,
            target: request.target,
            property: if known { request.property } else { x11rb::NONE },
        };
        self.connection.send_event(false, request.requestor, EventMask::NO_EVENT, answer).expect("sent");
        self.connection.flush().expect("flushed");
    }
}
