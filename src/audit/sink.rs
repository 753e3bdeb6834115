//! Where audit lines go: a stream that is handed over, or a file that is opened here, and again when it was moved or
//! deleted. Runs on a thread of its own; everything in it may block.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

/// A place that takes bytes.
pub(super) enum Sink {
    Stream(Box<dyn Write + Send>),
    File(Watched),
}

/// A file that is kept at its path.
pub(super) struct Watched {
    path: PathBuf,
    /// `None` after a failure: opened again before the next write.
    file: Option<File>,
    /// The last write ended inside a line.
    torn: bool,
}

impl Watched {
    /// Opens or creates the file, for its owner only, and never cuts it.
    ///
    /// # Errors
    /// Those of opening. A pipe that nobody reads yet is none: it is tried again at each write.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let file = match open(&path) {
            Ok(file) => Some(file),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path, file, torn: false })
    }

    /// Holds the file that is at the path now.
    fn follow(&mut self) -> io::Result<()> {
        if self.file.as_ref().is_some_and(|file| is_at(file, &self.path)) {
            return Ok(());
        }
        self.file = None;
        let file = open(&self.path)?;
        if file.metadata()?.len() == 0 {
            self.torn = false;
        }
        self.file = Some(file);
        Ok(())
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let id = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata().map(id), std::fs::metadata(path).map(id)) {
        (Ok(ours), Ok(there)) => ours == there,
        _ => false,
    }
}

/// Without waiting for the reader of a pipe, which may never come; writing waits for it.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::fcntl_setfl(&fd, OFlags::APPEND)?;
    Ok(File::from(fd))
}

impl Sink {
    /// Writes all of it. On failure says how many bytes were written before.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        match self {
            Self::Stream(out) => write(out, bytes),
            Self::File(watched) => {
                watched.follow().map_err(|error| (0, error))?;
                let torn = watched.torn;
                let Some(file) = &mut watched.file else { return Err((0, ErrorKind::NotFound.into())) };
                if torn {
                    // The torn line ends here, so that the next can be read.
                    write(file, b"\n").map_err(|(_, error)| (0, error))?;
                }
                let result = write(file, bytes);
                let written = result.as_ref().map_or_else(|(written, _)| *written, |()| bytes.len());
                watched.torn = bytes[..written].last().is_some_and(|last| *last != b'\n');
                if result.is_err() {
                    watched.file = None;
                }
                result
            }
        }
    }
}

fn write(out: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A stream that another process made non-blocking is full: there is nothing to do but to try again.
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::park_timeout(FULL_PAUSE),
            Err(error) => return Err((written, error)),
        }
    }
    out.flush().map_err(|error| (written, error))
}

/// Between two tries at a full stream.
const FULL_PAUSE: Duration = Duration::from_millis(5);
