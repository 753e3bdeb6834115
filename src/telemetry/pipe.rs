//! The way of a log line out of the process. A bounded queue and a thread that writes: whoever logs never waits for
//! whoever reads. Lines that find no room are dropped and counted.
//!
//! `tracing-appender` does nearly this, but its guard prints to stdout when it cannot flush, where audit lines go.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::Metrics;
use crate::text::printable;

/// Most lines that wait.
pub(super) const LINES_MAX: usize = 4096;
/// Most bytes that wait: a line can be long.
pub(super) const BYTES_MAX: usize = 4 << 20;

/// The entrance of the queue.
#[derive(Clone)]
pub(super) struct Pipe {
    shared: Arc<Shared>,
    metrics: Metrics,
    /// Whether control characters are escaped here. In JSON they already are, in JSON's own way.
    escape: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    done: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    writing: bool,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn start(
        out: Box<dyn Write + Send>,
        escape: bool,
        metrics: Metrics,
    ) -> io::Result<(Self, Drain)> {
        let shared = Arc::new(Shared { queue: Mutex::default(), work: Condvar::new(), done: Condvar::new() });
        let worker = Arc::clone(&shared);
        let lost = metrics.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&worker, out, &lost))?;
        Ok((Self { shared: Arc::clone(&shared), metrics, escape }, Drain(shared)))
    }

    fn push(&self, line: Box<[u8]>) {
        let mut queue = self.shared.lock();
        if queue.closed || queue.lines.len() >= LINES_MAX || queue.bytes + line.len() > BYTES_MAX {
            drop(queue);
            self.metrics.log_dropped(1);
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line);
        let idle = !queue.writing;
        drop(queue);
        if idle {
            self.shared.work.notify_one();
        }
    }
}

/// The thread: takes what waits, writes it line by line, so that no line is torn among those of other writers.
fn write_all(shared: &Shared, mut out: Box<dyn Write + Send>, metrics: &Metrics) {
    loop {
        let mut queue = shared.lock();
        queue.writing = false;
        shared.done.notify_all();
        while queue.lines.is_empty() {
            if queue.closed {
                return;
            }
            queue = shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let lines = std::mem::take(&mut queue.lines);
        queue.bytes = 0;
        queue.writing = true;
        drop(queue);
        let lost = lines.iter().filter(|line| out.write_all(line).is_err()).count();
        let lost = if out.flush().is_err() { lines.len() } else { lost };
        metrics.log_dropped(lost as u64);
    }
}

/// The far end of the queue.
pub(super) struct Drain(Arc<Shared>);

impl Drain {
    /// Waits until all that was logged is written, at most `limit`; says whether it was.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let busy = |queue: &mut Queue| queue.writing || !queue.lines.is_empty();
        let waited = self.0.done.wait_timeout_while(self.0.lock(), limit, busy);
        let (_queue, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.work.notify_one();
    }
}

impl<'a> MakeWriter<'a> for Pipe {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// One event's line: the formatter hands it over in a single write.
pub(super) struct Line<'a>(&'a Pipe);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let body = line.strip_suffix(b"\n").unwrap_or(line);
        let escaped = match std::str::from_utf8(body) {
            Ok(text) if self.0.escape => Box::from([printable(text).as_bytes(), b"\n"].concat()),
            Ok(_) | Err(_) => Box::from(line),
        };
        self.0.push(escaped);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
