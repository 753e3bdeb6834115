//! `kubectl` and `bao` as people use them, and waiting for what a cluster does in its own time.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test gives up. It is only ever waited for in full where something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// What a command prints, or what it says where it fails.
pub(crate) fn attempt(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!("{program} {}: {}", arguments.join(" "), text(&output.stderr)))
}

/// What `kubectl` prints; it must succeed.
pub(crate) fn kubectl(arguments: &[&str]) -> String {
    attempt("kubectl", arguments, "").unwrap_or_else(|error| panic!("{error}"))
}

/// An object, or a list of them, as JSON; `null` where there is none.
pub(crate) fn get(arguments: &[&str]) -> Value {
    let arguments = [&["get", "-o", "json"], arguments].concat();
    let text = attempt("kubectl", &arguments, "").unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// Applies a manifest.
pub(crate) fn apply(manifest: &str) {
    attempt("kubectl", &["apply", "-f", "-"], manifest).unwrap_or_else(|error| panic!("{error}"));
}

/// What `look` finds, once it does; what it says instead is told where that takes too long.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) => assert!(start.elapsed() < PATIENCE, "{what}: not in time; at last: {last}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// For `eventually`: whether it holds, and what is there instead.
pub(crate) fn holds(condition: bool, instead: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(instead()) }
}
