//! The other side of the contract: what the Secrets Store CSI Driver sends, how it reads the answer and how it writes
//! a volume. For `demo`, `mount --out`, the question "who answers at this socket?", and the tests.
//!
//! It does as driver 1.6.0 does; requests that real drivers sent are in `tests/data/driver`. It knows no engine and serves
//! nothing.

mod client;
mod request;
mod wire;
mod writer;

pub use client::{Answer, Client, Limit, Mounted, Refusal, Version, ask};
pub use request::{Flavour, Pod, PodToken, envelope, request};
pub use writer::{NewFile, Written, write};
