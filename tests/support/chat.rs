//! A chat server on loopback, for tests of the judge: it answers rightly, rambles, stalls, refuses, or dies in the
//! middle of an answer.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// What the server does with one call.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Says this as a chat answer.
    Say(&'static str),
    /// Says this as the body.
    Raw(&'static str),
    /// Only a status.
    Status(u16),
    /// Closes in the middle of the body.
    Die,
    /// Says nothing until the caller has gone.
    Stall,
}

/// A chat server that gives its replies in turn, the last one over and over.
pub(crate) struct Server {
    /// Address up to `/v1`.
    pub(crate) url: String,
    n_call: Arc<AtomicUsize>,
    /// What was posted, call by call.
    pub(crate) bodies: Arc<Mutex<Vec<Value>>>,
    /// The calls' heads.
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts to listen on loopback.
    pub(crate) fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let n_call = Arc::new(AtomicUsize::new(0));
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let server = Self { url, n_call: n_call.clone(), bodies: bodies.clone(), heads: heads.clone() };
        // The thread ends with the test's process.
        std::thread::Builder::new()
            .name("judge-server".into())
            .spawn(move || {
                for stream in listener.incoming() {
                    let call_idx = n_call.fetch_add(1, Ordering::SeqCst);
                    let reply = replies[call_idx.min(replies.len() - 1)].clone();
                    let mut stream = stream.unwrap();
                    let Some((head, body)) = read_call(&stream) else { continue };
                    heads.lock().unwrap().push(head);
                    bodies.lock().unwrap().push(serde_json::from_slice(&body).unwrap_or(Value::Null));
                    answer(&mut stream, &reply);
                }
            })
            .unwrap();
        server
    }

    /// Calls so far.
    pub(crate) fn n_call(&self) -> usize {
        self.n_call.load(Ordering::SeqCst)
    }
}

fn read_call(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut n_byte) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            n_byte = length.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; n_byte];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn answer(stream: &mut TcpStream, reply: &Reply) {
    let send = |stream: &mut TcpStream, status: u16, body: &str| {
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    };
    match reply {
        Reply::Say(text) => {
            let body = json!({
                "choices": [{"message": {"role": "assistant", "content": text}}],
                "usage": {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100},
            });
            send(stream, 200, &body.to_string());
        }
        Reply::Raw(body) => send(stream, 200, body),
        Reply::Status(status) => send(stream, *status, "{}"),
        Reply::Die => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{\"choices\": [{");
        }
        Reply::Stall => {
            // Ends when the caller closes.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = stream.read(&mut [0]);
        }
    }
}
