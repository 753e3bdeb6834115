//! Every fault that a server can be made to have, against the engine, the Vault store and `net` as they are shipped: who
//! is told what and when, what is asked again, and who is left in peace. `family` has what must hold of all of them.

mod bed;
mod denials;
mod family;
mod foreign;
mod objects;
mod redirects;
mod replies;
mod states;
mod statuses;
mod storms;
mod times;
mod way;
mod wire;
