//! The ring openbao: a real OpenBao server, with the logins that clusters use, and a real PostgreSQL behind its database engine.
//! `tests/run --ring openbao` gets the programs; the tests here fail without them, and no other ring runs them.

mod admin;
mod bed;
mod cluster;
mod contract;
mod examples;
mod front;
mod logins;
mod mounts;
mod node;
mod outages;
mod polls;
mod postgres;
mod scenarios;
mod server;
mod store;
