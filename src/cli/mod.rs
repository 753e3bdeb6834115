//! The command line.

#[cfg(feature = "local")]
pub mod local;
