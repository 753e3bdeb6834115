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
mod authority;
mod call;
#[cfg(feature = "cluster")]
mod cluster;
mod configuration;
#[cfg(feature = "vault")]
mod configuration_tls;
mod contract;
#[cfg(feature = "vault")]
mod corpus;
mod daemonset;
mod dependencies;
mod dialect_vault;
mod driver;
mod endpoint;
mod engine;
mod engine_budget;
mod examples;
#[cfg(feature = "vault")]
mod faults;
mod go;
mod image;
mod layers;
mod lease;
mod lint;
mod local;
mod native;
#[cfg(feature = "net")]
mod net;
#[cfg(feature = "vault")]
mod openbao;
mod papers;
mod policy;
mod reference;
mod render;
mod several;
mod support;
mod telemetry;
mod testkit;
mod text;
mod tidy;
mod vault;
mod yaml;
