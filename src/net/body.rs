//! The body of an answer: whole, within bounds, in one buffer that is zeroed, with room taken for what is large.

use zeroize::Zeroizing;

use super::failure::Failure;
use crate::clock::{Clock, Instant};
use crate::room::Claim;
use crate::secret::Secret;

/// Reads all of it, until `by`.
pub(super) async fn read(
    mut reply: reqwest::Response,
    max: usize,
    claim: &Claim,
    clock: &Clock,
    by: Instant,
) -> Result<Secret, Failure> {
    let told = reply.content_length().map(|told| usize::try_from(told).unwrap_or(usize::MAX));
    if told.is_some_and(|told| told > max) {
        return Err(Failure::TooLarge(max));
    }
    let mut free = Claim::FREE;
    if let Some(told) = told.filter(|told| *told > free) {
        take(claim, told, clock, by).await?;
        free = told;
    }
    let mut body = Zeroizing::new(Vec::with_capacity(told.unwrap_or(FIRST_BYTES)));
    while let Some(piece) =
        clock.until(by, reply.chunk()).await.ok_or(Failure::NoEnd)?.map_err(|_| Failure::Truncated)?
    {
        let grown = body.len() + piece.len();
        if grown > max {
            return Err(Failure::TooLarge(max));
        }
        if grown > free {
            // How much is to come was not told.
            take(claim, max, clock, by).await?;
            free = max;
        }
        if grown > body.capacity() {
            // By hand: a vector that grows by itself leaves its old bytes behind.
            let mut larger = Zeroizing::new(Vec::with_capacity(grown.max(2 * body.capacity()).min(max)));
            larger.extend_from_slice(&body);
            body = larger;
        }
        body.extend_from_slice(&piece);
    }
    Ok(Secret::new(body))
}

async fn take(claim: &Claim, bytes: usize, clock: &Clock, by: Instant) -> Result<(), Failure> {
    let taken = clock.until(by, claim.take(bytes)).await.unwrap_or(false);
    taken.then_some(()).ok_or(Failure::NoRoom)
}

const FIRST_BYTES: usize = 4 << 10;
