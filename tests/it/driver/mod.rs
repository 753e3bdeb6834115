//! The other side of the contract: requests, client, writer, and the driver-like client of the suite itself.

mod client;
mod like;
mod request;
mod writer;
