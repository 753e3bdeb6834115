//! What several parts of the suite need: the other sides of the agent, and the agent itself.

pub(crate) mod agent;
pub(crate) mod canary;
pub(crate) mod channel;
pub(crate) mod contract;
pub(crate) mod driver_like;
pub(crate) mod faulty;
pub(crate) mod issuer;
pub(crate) mod process;
pub(crate) mod provider;
