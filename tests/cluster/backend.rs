//! A server that speaks as much of Vault's API as a login and a read take, and fails as a scenario wants: what a real
//! server does not do on demand. Each has a port of its own, and the agent a store for each.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::openbao::NODE;

/// The stores that the agent's configuration has for these servers.
pub(crate) const STORES: [(&str, u16); 7] = [
    ("throttled", 8301),
    ("upstream", 8302),
    ("timeout", 8303),
    ("unreachable", 8304),
    ("oversized", 8305),
    ("outage", 8306),
    ("held", 8307),
];

/// What a read is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    /// A secret with this in its field `value`.
    Value(String),
    /// A status with an error of the server's own.
    Status(u16),
    /// Nothing, on a connection that stays open.
    Silence,
}

struct State {
    answer: Answer,
    reads: usize,
}

pub(crate) struct Backend {
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Backend {
    /// The server of the store of this name.
    pub(crate) fn start(store: &str, answer: Answer) -> Self {
        let port = STORES.iter().find(|(name, _)| *name == store).expect("a store").1;
        let listener = TcpListener::bind((NODE, port)).expect("the port is free");
        let state = Arc::new((Mutex::new(State { answer, reads: 0 }), Condvar::new()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(connection, &state));
            }
        });
        Self { state }
    }

    /// From now on, and also for reads that wait in silence.
    pub(crate) fn answers(&self, answer: Answer) {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner).answer = answer;
        self.state.1.notify_all();
    }

    /// How many reads have come.
    pub(crate) fn reads(&self) -> usize {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner).reads
    }
}

/// One request a connection.
fn serve(connection: TcpStream, state: &(Mutex<State>, Condvar)) -> Option<()> {
    let mut reader = BufReader::new(connection);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request).ok()?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim().to_ascii_lowercase().split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    let (status, body) = if request.contains("/login ") { (200, session()) } else { read(state) };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nConnection: close\r\n");
    write!(reader.get_mut(), "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok()
}

fn read((state, changed): &(Mutex<State>, Condvar)) -> (u16, Value) {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.reads += 1;
    while matches!(state.answer, Answer::Silence) {
        state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    match &state.answer {
        Answer::Value(value) => (200, secret(value)),
        Answer::Status(status) => (*status, json!({ "errors": ["the backend of the tests says so"] })),
        Answer::Silence => unreachable!("it was waited for"),
    }
}

fn secret(value: &str) -> Value {
    json!({
        "request_id": "", "lease_id": "", "renewable": false, "lease_duration": 0,
        "data": { "data": { "value": value }, "metadata": { "version": 1, "destroyed": false, "deletion_time": "" } },
    })
}

fn session() -> Value {
    json!({ "auth": {
        "client_token": "s.of-the-tests", "accessor": "a", "policies": ["app"], "token_policies": ["app"],
        "metadata": {}, "entity_id": "e", "lease_duration": 3600, "renewable": true, "token_type": "service",
    } })
}
