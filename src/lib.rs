//! Latchkey: one agent per Kubernetes node that delivers secrets from every store a team uses into pods.
//! `ARCHITECTURE.md` is the map of this crate.

pub mod audit;
pub mod clock;
pub mod dialect;
pub mod error;
pub mod model;
pub mod proto;
pub mod secret;
pub mod store;
pub mod telemetry;
