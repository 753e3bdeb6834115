//! The integration tests, one binary. `layers` and `tidy` read the sources; `agent` runs the program as a process of
//! its own; every other module calls the library.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests own their process: they may read its environment, wait, and fail"
)]

mod agent;
mod audit;
mod call;
mod configuration;
mod daemonset;
mod driver;
mod endpoint;
mod examples;
mod go;
mod layers;
mod local;
mod native;
#[cfg(feature = "net")]
mod net;
mod papers;
mod reference;
mod render;
mod several;
mod support;
mod telemetry;
#[cfg(feature = "net")]
mod testkit;
mod text;
mod tidy;
mod vault;
mod yaml;
