//! What several parts of the suite need: the other sides of the agent.

pub mod driver_like;
pub mod provider;
