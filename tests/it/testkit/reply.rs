//! Answers: what is said, and how it goes wrong on the wire.

use std::time::Duration;

use serde_json::Value;

/// One canned answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) manner: Manner,
    /// How long it lets the client wait, in real time.
    pub(crate) after: Duration,
}

/// How an answer goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it should, with a Content-Length.
    Whole,
    /// As it should, in chunks of this many bytes.
    Chunked(usize),
    /// The head promises the whole body; this many bytes come, and the connection is closed in good order.
    Truncated(usize),
    /// The same, and the connection is reset.
    Reset(usize),
    /// The body comes over and over again, in chunks, and never ends.
    Endless,
    /// A byte each time this has passed, in real time.
    Slow(Duration),
    /// No answer, ever.
    Hang,
    /// The head, and this much of the body, and then nothing more, ever.
    HangAfter(usize),
    /// The connection is closed without an answer.
    Close,
    /// The connection is reset without an answer.
    ResetAtOnce,
    /// The body is all that is said: no status line, no headers.
    Raw,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let (headers, manner) = (Vec::new(), Manner::Whole);
        Self { status, headers, body: body.into(), manner, after: Duration::ZERO }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, body.to_string()).header("content-type", "application/json")
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self::new(status, body).header("content-type", "text/plain")
    }

    /// 204.
    pub(crate) fn empty() -> Self {
        Self::new(204, "")
    }

    pub(crate) fn redirect(status: u16, to: &str) -> Self {
        Self::new(status, "").header("location", to)
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub(crate) fn manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }

    #[must_use]
    pub(crate) fn after(mut self, span: Duration) -> Self {
        self.after = span;
        self
    }
}

impl From<Manner> for Reply {
    /// 200 with a body of 1,000 bytes of JSON.
    fn from(manner: Manner) -> Self {
        let filler = "x".repeat(1_000 - r#"{"data":""}"#.len());
        Self::new(200, format!(r#"{{"data":"{filler}"}}"#)).manner(manner)
    }
}
