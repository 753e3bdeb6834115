//! Tokens, and what hangs on them.

use super::*;

fn token(seconds: u64, renewable: bool) -> (Bed, Ticket) {
    let mut bed = Bed::new();
    let ticket = bed.mount(&volume("a"), Terms::token(bed.span(seconds), renewable));
    (bed, ticket)
}

#[test]
fn a_periodic_token_is_renewed_for_ever_and_bounds_nothing() {
    let (mut bed, ticket) = token(1200, true);
    for minute in 1..=600 {
        if bed.until(minute * 60).iter().any(|(_, act)| *act == Act::Renew(ticket)) {
            let sent = bed.now;
            bed.step(Event::Renewed(ticket, grant(1200), sent));
        }
        assert_eq!(bed.offer(&volume("a")), Offer::Deliver(ticket));
        assert_eq!(bed.entry.bound(ticket), None);
    }
}

#[test]
fn a_token_without_an_end_is_left_alone() {
    let mut bed = Bed::new();
    let ticket = bed.mount(&volume("a"), Terms::token(Span { from: bed.now, until: None }, false));
    assert_eq!(bed.until(10_000_000), []);
    assert_eq!(bed.offer(&volume("a")), Offer::Deliver(ticket));
    assert_eq!(bed.entry.bound(ticket), None);
}

#[test]
fn a_token_that_cannot_be_renewed_bounds_what_hangs_on_it_from_the_beginning() {
    let (mut bed, ticket) = token(3600, false);
    assert_eq!(bed.entry.bound(ticket), Some(bed.zero + s(3600)));
    bed.until(2880);
    assert_eq!(bed.offer(&volume("a")), Offer::Replace(ticket));
}

#[test]
fn a_token_near_its_maximum_bounds_what_hangs_on_it_from_then_on() {
    let (mut bed, ticket) = token(3600, true);
    bed.until(2400);
    assert_eq!(bed.entry.bound(ticket), None);
    let sent = bed.now;
    bed.step(Event::Renewed(ticket, grant(2000), sent));
    assert_eq!(bed.entry.bound(ticket), Some(bed.zero + s(4400)));
}

#[test]
fn a_superseded_token_stays_until_nothing_hangs_on_it() {
    let (mut bed, first) = token(3600, false);
    bed.until(3000);
    let second = bed.mount(&volume("a"), Terms::token(bed.span(3600), false));
    assert_ne!(first, second);
    assert_eq!(bed.entry.bound(first), Some(bed.zero + s(3600)));
    assert_eq!(bed.until(3500), []);
    bed.step(Event::Unused(first));
    assert_eq!(bed.until(3501), [(3500, Act::Revoke(first))]);
    // With something on it, it goes at its own end.
    let (mut bed, first) = token(3600, false);
    bed.until(3000);
    bed.mount(&volume("a"), Terms::token(bed.span(3600), false));
    assert_eq!(bed.until(3700), [(3600, Act::Forget(first))]);
}

#[test]
fn a_token_of_a_pod_that_is_gone_is_revoked_with_the_one_before_it() {
    let (mut bed, first) = token(36_000, false);
    bed.until(30_000);
    let second = bed.mount(&volume("a"), Terms::token(bed.span(36_000), false));
    bed.step(Event::Left(&volume("a"), Left::Gone));
    let mut acts = bed.until(30_060);
    acts.sort_by_key(|(_, act)| format!("{act:?}"));
    assert_eq!(acts, [(30_060, Act::Revoke(first)), (30_060, Act::Revoke(second))]);
}

#[test]
fn a_token_that_a_failed_first_mount_got_is_revoked_if_nobody_comes_for_it() {
    let mut bed = Bed::new();
    bed.offer(&volume("a"));
    bed.step(Event::Issued(Terms::token(bed.span(36_000), true)));
    let ticket = bed.entry.current().unwrap();
    assert_eq!(bed.until(301), [(300, Act::Revoke(ticket))]);
}

#[test]
fn a_lease_that_its_token_cuts_short_is_issued_anew_two_polls_before_and_told_once() {
    let (mut bed, first) = Bed::lease(36_000, true);
    let a = volume("a");
    for poll in 1..=10 {
        bed.until(poll * 60);
        assert_eq!(bed.offer(&a), Offer::Deliver(first));
    }
    let end = bed.zero + s(1200);
    assert_eq!(bed.step(Event::Limited(first, Some(end))), [Act::Warn(Warning::TokenEnds(end))]);
    assert_eq!(bed.step(Event::Limited(first, Some(end))), []);
    for poll in 11..=17 {
        bed.until(poll * 60);
        assert_eq!(bed.offer(&a), Offer::Deliver(first), "poll {poll}");
    }
    bed.until(1080);
    assert_eq!(bed.offer(&a), Offer::Replace(first));
    // What is issued on the next token, which ends too, is told no second time.
    let terms = Terms { limit: Some(bed.now + s(1200)), ..bed.leased(36_000, true) };
    let second = bed.mount(&a, terms);
    assert_ne!(second, first);
    assert_eq!(bed.acts.len(), 1, "{:?}", bed.acts);
    // The first dies with its token, and there is nothing to revoke.
    assert_eq!(bed.until(1200), [(1200, Act::Forget(first))]);
}

#[test]
fn past_the_end_of_its_token_a_lease_is_given_to_nobody() {
    let (mut bed, first) = Bed::lease(36_000, true);
    bed.step(Event::Limited(first, Some(bed.zero + s(1200))));
    bed.until(1199);
    assert_eq!(bed.offer(&volume("a")), Offer::Replace(first));
    bed.until(1200);
    assert_eq!(bed.offer(&volume("a")), Offer::Issue);
}

#[test]
fn a_token_that_can_be_renewed_after_all_takes_its_limit_back() {
    let (mut bed, first) = Bed::lease(36_000, true);
    bed.step(Event::Limited(first, Some(bed.zero + s(1200))));
    bed.until(1100);
    assert_eq!(bed.offer(&volume("a")), Offer::Replace(first));
    bed.step(Event::Limited(first, None));
    assert_eq!(bed.offer(&volume("a")), Offer::Deliver(first));
}

#[test]
fn a_token_that_outlasts_its_lease_is_not_told_of() {
    let mut bed = Bed::new();
    bed.offer(&volume("a"));
    let terms = Terms { limit: Some(bed.now + s(7200)), ..bed.leased(3600, false) };
    assert_eq!(bed.step(Event::Issued(terms)), []);
    // Where it could have been renewed beyond, it is.
    bed.offer(&volume("a"));
    let limit = bed.now + s(7200);
    let acts = bed.step(Event::Issued(Terms { limit: Some(limit), ..bed.leased(3600, true) }));
    assert_eq!(acts, [Act::Warn(Warning::TokenEnds(limit))]);
}

#[test]
fn what_hung_on_a_token_that_died_is_forgotten_unrevoked() {
    let (mut bed, first) = Bed::lease(36_000, false);
    bed.until(30_000);
    let second = bed.mount(&volume("a"), bed.leased(36_000, false));
    assert_eq!(bed.step(Event::Refused(first, Why::TokenDead)), [Act::Forget(first)]);
    assert_eq!(bed.step(Event::Refused(second, Why::TokenDead)), [Act::Forget(second)]);
    assert_eq!(bed.offer(&volume("a")), Offer::Issue);
    assert_eq!(bed.until(30_299), []);
}
