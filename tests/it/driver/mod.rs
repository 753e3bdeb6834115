//! The other side of the contract: requests, client, writer, and the driver-like client of the suite itself.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod like;
mod request;
mod writer;
