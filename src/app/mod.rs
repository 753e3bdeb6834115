//! Composition: the only place that names concrete stores.

#[cfg(feature = "local")]
pub mod local;
