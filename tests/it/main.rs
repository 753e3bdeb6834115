//! Every test of the crate's behaviour, in one binary: one part, one module.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a test that meets the unexpected should stop, and says in its name what it holds"
)]

#[cfg(feature = "local")]
mod local;
