//! Ring 1 and 3: the crate's public API under test, one binary.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod native;
mod render;
mod yaml;
