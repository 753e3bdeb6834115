//! Ring 4: a real OpenBao server, with the logins that clusters use. `tests/run --ring openbao` gets the program; the
//! tests here fail without it, and no other ring runs them.

mod admin;
mod bed;
mod cluster;
mod contract;
mod front;
mod logins;
mod mounts;
mod outages;
mod server;
mod store;
