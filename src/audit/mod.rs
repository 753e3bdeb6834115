//! Who got which object, from where, and how it ended: one JSON line each ([`Line`]), in order, through a bounded queue
//! to a thread that writes. Recording never waits for the sink longer than [`Audit::WAIT`]. It does not decide what is
//! recorded, and never sees a value. `docs/AUDIT.md` is the page for those who read the lines.

mod line;
mod queue;
mod sink;

use std::fmt;
use std::future::{Future, ready};
use std::io::Write;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use tokio::sync::oneshot;

pub use self::line::{Caller, Event, Line, MountId, Outcome, Source};

use self::queue::{Batch, Queue};
use self::sink::{Sink, Watched};
use crate::clock::{Clock, Instant};
use crate::error::{Problem, Reason};

/// The settings of this module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file that lines go to; `None` for stdout.
    pub file: Option<PathBuf>,
    /// Whether a mount fails when its lines cannot be written.
    pub required: bool,
    /// Most lines that wait to be written; one of more than a KiB counts for each KiB that it begins. One subject has
    /// a quarter of them.
    pub queue_lines: usize,
}

impl Config {
    /// As many lines wait as a rule.
    pub const QUEUE_LINES: usize = 4096;
}

impl Default for Config {
    fn default() -> Self {
        Self { file: None, required: false, queue_lines: Self::QUEUE_LINES }
    }
}

/// Told how many lines were lost.
pub type OnDropped = Arc<dyn Fn(u64) + Send + Sync>;

/// The record of what was delivered and refused. Clones write to the same sink; when the last one goes, the thread
/// writes what it still has and ends.
#[derive(Clone)]
pub struct Audit(Arc<Handle>);

struct Handle {
    queue: Arc<Queue>,
    required: bool,
    clock: Clock,
    on_dropped: OnDropped,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Why lines are not recorded, where they must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrecorded {
    /// The queue, or the subject's share of it, stayed full, or the sink did not take the lines in time.
    Full,
    /// The sink failed.
    Sink,
}

impl From<Unrecorded> for Problem {
    fn from(why: Unrecorded) -> Self {
        let (what, remedy) = match why {
            Unrecorded::Full => (
                "the audit sink does not keep up, and audit is required",
                "see why its reader or disk is slow; the mount is tried again by itself",
            ),
            Unrecorded::Sink => (
                "the audit sink fails, and audit is required",
                "see the agent's log for its error; the mount is tried again by itself",
            ),
        };
        Self::new(Reason::Busy, what).remedy(remedy)
    }
}

impl Audit {
    /// Longest wait of one [`Self::record`].
    pub const WAIT: Duration = Duration::from_secs(1);

    /// Opens the sink and starts the thread that writes. `stdout` is used where the settings name no file.
    ///
    /// # Errors
    /// `setup`: the file cannot be opened for appending, or the system refuses a thread.
    pub fn start(
        config: &Config,
        stdout: Box<dyn Write + Send>,
        clock: Clock,
        on_dropped: OnDropped,
    ) -> Result<Self, Problem> {
        let sink = match &config.file {
            None => Sink::Stream(stdout),
            Some(path) => Sink::File(Watched::open(path.clone()).map_err(|error| {
                Problem::new(Reason::Setup, format!("the audit file cannot be opened ({})", error.kind()))
                    .parameter("audit.sink")
                    .hop(path.display().to_string())
                    .remedy("name a file in a folder that exists and that the agent may write to")
            })?),
        };
        let queue = Arc::new(Queue::new(config.queue_lines));
        let (taken, lost) = (Arc::clone(&queue), Arc::clone(&on_dropped));
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(&taken, sink, &lost))
            .map_err(|error| {
                let what = format!("the audit thread does not start ({})", error.kind());
                Problem::new(Reason::Setup, what).remedy("raise the limit of processes")
            })?;
        Ok(Self(Arc::new(Handle { queue, required: config.required, clock, on_dropped })))
    }

    /// Records the lines of one mount: all or none, in order. `subject` is whose share of the queue they take.
    ///
    /// The lines are queued before this returns, where there is room; only then may the future be dropped unfinished
    /// without losing them. Where there is none, the future waits for it, [`Self::WAIT`] at most; then the lines are
    /// lost, and counted.
    ///
    /// Unless audit is required, that is all, and the answer is always good. Where it is, the future waits until the
    /// system has taken the lines (a write returned; not that a disk has them), and a good answer promises so. On a
    /// bad one they may still be written later: a line can tell of a delivery that did not take place, but no delivery
    /// goes untold.
    ///
    /// # Errors
    /// Only where audit is required: the lines were not written in time.
    pub fn record(
        &self,
        subject: &str,
        lines: &[Line<'_>],
    ) -> impl Future<Output = Result<(), Unrecorded>> + Send + use<> {
        let (done, written) = if self.0.required { Some(oneshot::channel()).unzip() } else { (None, None) };
        let mut bytes = Vec::with_capacity(lines.len() * 512);
        for line in lines {
            line.write(&mut bytes);
        }
        let subject = self.0.queue.subject(subject);
        let batch = Batch { subject, lines: lines.len() as u64, bytes, done };
        match (self.0.queue.push(batch), written) {
            (Ok(()), None) => Either::Left(ready(Ok(()))),
            (Ok(()), Some(written)) => Either::Right(self.clone().settle(None, Some(written))),
            (Err(batch), written) => {
                let homeless = Homeless { batch: Some(batch), on_dropped: Arc::clone(&self.0.on_dropped) };
                Either::Right(self.clone().settle(Some(homeless), written))
            }
        }
    }

    /// Waits until everything that was recorded is written, until `deadline` at most; says whether it was.
    pub async fn flush(&self, deadline: Instant) -> bool {
        let queue = &self.0.queue;
        let empty = async {
            loop {
                let mut changed = pin!(queue.room.notified());
                changed.as_mut().enable();
                if queue.is_empty() {
                    return;
                }
                changed.await;
            }
        };
        self.0.clock.until(deadline, empty).await.is_some()
    }

    async fn settle(
        self,
        homeless: Option<Homeless>,
        written: Option<oneshot::Receiver<bool>>,
    ) -> Result<(), Unrecorded> {
        let deadline = self.0.clock.now() + Self::WAIT;
        let settled = async {
            if let Some(homeless) = homeless {
                self.place(homeless).await;
            }
            let Some(written) = written else { return Ok(()) };
            if written.await.unwrap_or(false) { Ok(()) } else { Err(Unrecorded::Sink) }
        };
        match self.0.clock.until(deadline, settled).await {
            Some(result) => result,
            None if self.0.required => Err(Unrecorded::Full),
            None => Ok(()),
        }
    }

    async fn place(&self, mut homeless: Homeless) {
        let queue = &self.0.queue;
        loop {
            let mut room = pin!(queue.room.notified());
            room.as_mut().enable();
            match homeless.batch.take().map(|batch| queue.push(batch)) {
                Some(Err(batch)) => homeless.batch = Some(batch),
                Some(Ok(())) | None => return,
            }
            room.await;
        }
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Audit")
    }
}

/// Lines without room. Counted as lost when they are given up, however that comes about.
struct Homeless {
    batch: Option<Batch>,
    on_dropped: OnDropped,
}

impl Drop for Homeless {
    fn drop(&mut self) {
        if let Some(batch) = &self.batch {
            (self.on_dropped)(batch.lines);
        }
    }
}

/// The thread: takes what waits and writes it in one go. A failure is told once, until a write succeeds again.
fn write_all(queue: &Queue, mut sink: Sink, on_dropped: &OnDropped) {
    let mut batches = Vec::new();
    let mut bytes = Vec::new();
    let mut failing = false;
    while queue.take(&mut batches).is_some() {
        bytes.clear();
        batches.iter().for_each(|batch| bytes.extend_from_slice(&batch.bytes));
        let whole = match sink.write(&bytes) {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("the audit sink takes lines again");
                }
                batches.len()
            }
            Err((written, error)) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(error = %error.kind(), "the audit sink fails, lines are lost");
                }
                on_dropped(lost(&bytes[written..]));
                whole(&batches, written)
            }
        };
        queue.finish(&mut batches, whole);
    }
}

/// How many lines did not reach the sink, one that reached it in part included.
fn lost(unwritten: &[u8]) -> u64 {
    unwritten.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// How many batches lie within the first `written` bytes.
fn whole(batches: &[Batch], mut written: usize) -> usize {
    batches
        .iter()
        .take_while(|batch| {
            let fits = batch.bytes.len() <= written;
            written = written.saturating_sub(batch.bytes.len());
            fits
        })
        .count()
}
