//! Attempts, budgets and the breaker of an endpoint, against a scripted backend on a clock that is held.

mod bed;
mod breaker;
mod leaving;
mod line;
mod model;
mod patience;
mod retries;
