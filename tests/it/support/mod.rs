//! What several parts of the suite need: the other sides of the agent, and the agent itself.

pub mod agent;
pub mod channel;
pub mod driver_like;
pub mod faulty;
pub mod process;
pub mod provider;
