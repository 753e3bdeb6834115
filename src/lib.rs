//! Latchkey: one agent per Kubernetes node that delivers secrets from every store a team uses into pods.
//! `ARCHITECTURE.md` is the map of this crate.

pub mod app;
pub mod audit;
pub mod cli;
pub mod clock;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod config;
pub mod dialect;
pub mod driver;
pub mod engine;
pub mod error;
pub mod lint;
pub mod model;
#[cfg(feature = "net")]
pub mod net;
pub mod policy;
pub mod proto;
pub mod room;
pub mod secret;
pub mod serve;
pub mod store;
pub mod telemetry;
pub mod text;
pub mod yaml;
