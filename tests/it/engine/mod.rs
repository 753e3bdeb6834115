//! The engine with a scripted backend, under a clock that stands still: whose session, whose object, for how long, and
//! what is left when the backend is out.

mod backend;
mod mint;
mod model;
mod objects;
mod outage;
mod sessions;
mod stateless;
mod world;
