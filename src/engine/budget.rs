//! How often, and how many at once, a backend is asked. For now: once, and as many as come.

use crate::clock::{Clock, Instant};
use crate::error::Fault;
use crate::model::StoreName;
use crate::model::endpoint::Endpoint;
use crate::secret::Digest;
use crate::telemetry::Metrics;

/// What is about to be done, for whom.
#[expect(dead_code, reason = "what a budget is kept by")]
pub(super) struct Turn<'a> {
    pub(super) store: &'a StoreName,
    pub(super) endpoint: Option<&'a Endpoint>,
    pub(super) principal: Digest,
    pub(super) first: bool,
    pub(super) deadline: Instant,
    pub(super) work: Work,
}

/// What kind of work it is.
#[expect(dead_code, reason = "what decides about another attempt")]
pub(super) enum Work {
    /// A login.
    Exchange,
    /// A read; `harmless` where a doubtful failure may be repeated.
    Read { harmless: bool },
}

/// The budgets of all endpoints.
pub(super) struct Budgets;

impl Budgets {
    pub(super) fn new(_: Clock, _: Metrics) -> Self {
        Self
    }

    /// Runs `attempt` until it succeeds or must not be repeated.
    pub(super) async fn attempt<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        _: &Turn<'_>,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Fault> {
        attempt().await
    }
}
