//! What several parts of the suite need: the other sides of the agent.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod driver_like;
pub(crate) mod provider;
