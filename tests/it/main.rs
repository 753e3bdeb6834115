//! The integration tests, one binary. `layers` and `tidy` read the sources; every other module runs them.

#![allow(
    clippy::disallowed_methods,
    reason = "tests own their process: they may read its environment and wait"
)]

mod layers;
mod native;
mod render;
mod tidy;
mod yaml;
mod driver;
mod support;
