//! The driver's contract, generated from `proto/service.proto` by `build.rs`.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    clippy::use_self,
    reason = "generated code"
)]

tonic::include_proto!("v1alpha1");

/// The version of the contract that both sides speak.
pub const API_VERSION: &str = "v1alpha1";

/// What every Latchkey answers to `Version` on every socket; the rule of taking over recognises us by it.
pub const RUNTIME_NAME: &str = "latchkey";

impl MountResponse {
    /// Length of the encoded message in bytes, which is what the driver's limit counts.
    pub fn encoded_bytes(&self) -> usize {
        prost::Message::encoded_len(self)
    }
}
