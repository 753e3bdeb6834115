//! The ring cluster: Latchkey as a DaemonSet on a real kubelet, behind the real Secrets Store CSI Driver, before a real OpenBao
//! that takes the pods' real tokens. `tests/run --ring cluster` makes the cluster (`tests/cluster/bed`) and runs this in
//! it, once for each version of the driver; without a cluster every test here fails.
//!
//! Each scenario has a Kubernetes namespace of its own and says what the pod sees, what its events tell, and what our
//! figures and audit lines do.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests own their process: they may read its environment, wait, print and fail"
)]

mod agent;
mod backend;
mod kubectl;
mod lives;
mod mounts;
mod namespace;
mod openbao;
mod pod;
mod recovery;
mod refusals;
mod rotation;
