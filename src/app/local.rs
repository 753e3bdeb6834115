//! The embedded store as the command line keeps it. Nothing of its own: it is the one way by which `cli` reaches a
//! store.

pub use crate::store::local::keeper::*;
