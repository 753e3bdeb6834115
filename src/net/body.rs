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
    let (mut covered, mut taken) = (0, 0);
    if let Some(told) = told {
        taken += cover(claim, told, told, clock, by).await?;
        covered = told;
    }
    let mut body = Zeroizing::new(Vec::with_capacity(told.unwrap_or(FIRST_BYTES)));
    while let Some(piece) =
        clock.until(by, reply.chunk()).await.ok_or(Failure::NoEnd)?.map_err(|_| Failure::Truncated)?
    {
        let grown = body.len() + piece.len();
        if grown > max {
            return Err(Failure::TooLarge(max));
        }
        if grown > covered {
            // How much is to come was not told.
            let small = grown.next_power_of_two().max(FIRST_BYTES);
            let whole = if small <= Claim::FREE { small.min(max) } else { max };
            taken += cover(claim, whole - covered, whole, clock, by).await?;
            covered = whole;
        }
        if grown > body.capacity() {
            // By hand: a vector that grows by itself leaves its old bytes behind.
            let mut larger = Zeroizing::new(Vec::with_capacity(grown.max(2 * body.capacity()).min(max)));
            larger.extend_from_slice(&body);
            body = larger;
        }
        body.extend_from_slice(&piece);
    }
    // Much was taken for want of a word, and the next large answer waits for it.
    claim.give_back(taken.min(covered - body.len()));
    Ok(Secret::new(body))
}

/// Sees that so many more bytes of an answer of this size may be held; how much room that took.
pub(super) async fn cover(
    claim: &Claim,
    bytes: usize,
    whole: usize,
    clock: &Clock,
    by: Instant,
) -> Result<usize, Failure> {
    if whole <= Claim::FREE && claim.is_free(bytes) {
        return Ok(0);
    }
    let taken = clock.until(by, claim.take(bytes)).await.unwrap_or(false);
    taken.then_some(bytes).ok_or(Failure::NoRoom)
}

const FIRST_BYTES: usize = 4 << 10;
