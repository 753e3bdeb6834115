//! Renewals: when, what their replies change, and what failures do.

use super::*;

#[test]
fn the_same_one_is_given_at_every_poll_while_it_is_renewed() {
    let (mut bed, ticket) = Bed::lease(3600, true);
    let mut renewals = 0;
    for poll in 1..=1440 {
        for (_, act) in bed.until(poll * 60) {
            assert_eq!(act, Act::Renew(ticket));
            renewals += 1;
            let sent = bed.now;
            bed.step(Event::Renewed(ticket, grant(3600), sent));
        }
        for name in ["a", "b"] {
            assert_eq!(bed.offer(&volume(name)), Offer::Deliver(ticket));
            bed.step(Event::Delivered(&volume(name), ticket));
        }
    }
    // A day of two volumes' polls: a renewal each 40 minutes, noticed at the next poll.
    assert!((34..=36).contains(&renewals), "{renewals}");
}

#[test]
fn a_renewal_comes_after_two_thirds_and_takes_the_end_to_where_the_reply_says() {
    let (mut bed, ticket) = Bed::lease(3600, true);
    assert_eq!(bed.until(2400), [(2400, Act::Renew(ticket))]);
    assert_eq!(bed.state(ticket), Some(State::Renewing));
    // The reply took five seconds, and counts from before it was sent.
    let sent = bed.now;
    bed.until(2405);
    bed.step(Event::Renewed(ticket, grant(3600), sent));
    assert_eq!((bed.ends(ticket), bed.state(ticket)), (Some(2400 + 3600), Some(State::Fresh)));
    assert_eq!(bed.until(4799), []);
    assert_eq!(bed.until(4801), [(4800, Act::Renew(ticket))]);
}

#[test]
fn one_renewal_is_out_at_a_time_and_one_that_is_lost_counts_as_an_outage() {
    let (mut bed, ticket) = Bed::lease(3600, true);
    bed.until(2400);
    assert_eq!(bed.until(2519), []);
    // Lost after two minutes, and tried again a moment later.
    assert_eq!(bed.until(2530), [(2521, Act::Renew(ticket))]);
    assert_eq!(bed.state(ticket), Some(State::Retrying));
}

#[test]
fn an_outage_is_met_with_growing_pauses_and_no_new_credentials_until_two_polls_before_the_end() {
    let (mut bed, ticket) = Bed::lease(3600, true);
    let a = volume("a");
    let mut tries = Vec::new();
    let mut first = None;
    for second in 1..3600 {
        for (at, act) in bed.until(second) {
            assert_eq!(act, Act::Renew(ticket));
            tries.push(at);
            bed.step(Event::Refused(ticket, Why::Outage));
        }
        if second % 60 == 0 {
            match bed.offer(&a) {
                Offer::Deliver(given) => assert_eq!((given, first), (ticket, None)),
                Offer::Replace(given) => {
                    assert_eq!(given, ticket);
                    first.get_or_insert(second);
                }
                Offer::Issue => panic!("it is good until 3600, and was not offered at {second}"),
            }
        }
    }
    assert_eq!(first, Some(3600 - 2 * 60));
    let pauses: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Each is told of at the next whole second.
    assert_eq!(pauses[..6], [1, 1, 4, 6, 12, 24], "{tries:?}");
    // Three quarters of a minute in the middle of chance, and still tried until the very end.
    assert!(pauses[6..].iter().all(|pause| (44..=46).contains(pause)), "{pauses:?}");
    assert!(*tries.last().unwrap() > 3540);
    // Past its end it is given to nobody, whoever is out.
    assert_eq!(bed.until(3600), [(3600, Act::Forget(ticket))]);
    assert_eq!(bed.offer(&a), Offer::Issue);
}

#[test]
fn an_outage_that_is_over_in_time_leaves_everything_as_it_was() {
    let (mut bed, ticket) = Bed::lease(3600, true);
    let a = volume("a");
    bed.until(2400);
    bed.step(Event::Refused(ticket, Why::Outage));
    bed.until(3500);
    assert_eq!(bed.offer(&a), Offer::Replace(ticket));
    // The backend is back just before the poll that would have replaced it.
    let sent = bed.now;
    bed.step(Event::Renewed(ticket, grant(3600), sent));
    assert_eq!((bed.offer(&a), bed.state(ticket)), (Offer::Deliver(ticket), Some(State::Fresh)));
    assert_eq!(bed.ends(ticket), Some(7100));
}

#[test]
fn what_was_revoked_behind_our_back_is_never_given_again_and_nothing_is_revoked() {
    for why in [Why::NotFound, Why::TokenDead] {
        let (mut bed, ticket) = Bed::lease(3600, true);
        bed.until(2400);
        assert_eq!(bed.step(Event::Refused(ticket, why)), [Act::Forget(ticket)]);
        assert_eq!(bed.offer(&volume("a")), Offer::Issue);
        let second = bed.mount(&volume("a"), bed.leased(3600, true));
        assert_ne!(second, ticket);
        assert_eq!(bed.until(2600), []);
    }
}

#[test]
fn a_lease_that_may_not_be_renewed_is_kept_until_four_fifths_of_it() {
    for (why, told) in [(Why::NotRenewable, None), (Why::Forbidden, Some(Warning::RenewalForbidden))] {
        let (mut bed, ticket) = Bed::lease(3600, true);
        bed.polled_until(&volume("a"), 2400);
        assert_eq!(
            bed.step(Event::Refused(ticket, why)),
            told.map(Act::Warn).into_iter().collect::<Vec<_>>()
        );
        bed.polled_until(&volume("a"), 2879);
        bed.until(2881);
        assert_eq!(bed.offer(&volume("a")), Offer::Replace(ticket));
        // The next one meets the same, and nobody is told again.
        let second = bed.mount(&volume("a"), bed.leased(3600, true));
        bed.until(2881 + 2400);
        assert_eq!(bed.step(Event::Refused(second, why)), []);
    }
}

#[test]
fn a_reply_about_another_one_changes_nothing() {
    let (mut bed, first) = Bed::lease(3600, false);
    bed.until(3000);
    let second = bed.mount(&volume("a"), bed.leased(3600, true));
    let (sent, ends) = (bed.now, bed.ends(second));
    assert_eq!(bed.step(Event::Renewed(first, grant(9000), sent)), []);
    assert_eq!(bed.step(Event::Refused(first, Why::NotRenewable)), []);
    assert_eq!(bed.step(Event::Revoked(second)), []);
    assert_eq!(bed.ends(second), ends);
    assert_eq!(bed.offer(&volume("a")), Offer::Deliver(second));
}

#[test]
fn a_suspend_beyond_the_end_leaves_nothing_to_give_and_one_that_is_shorter_a_renewal_at_once() {
    let (mut bed, ticket) = Bed::lease(3600, true);
    bed.now = bed.zero + s(8 * 3600);
    assert_eq!(bed.offer(&volume("a")), Offer::Issue);
    assert_eq!(bed.acts, [(8 * 3600, Act::Forget(ticket))]);
    let (mut bed, ticket) = Bed::lease(3600, true);
    bed.now = bed.zero + s(3000);
    assert_eq!(bed.step(Event::Tick), [Act::Renew(ticket)]);
}

#[test]
fn one_long_pause_between_polls_does_not_make_everything_due() {
    let (mut bed, ticket) = Bed::lease(86_400, false);
    let a = volume("a");
    for poll in 1..=3 {
        bed.until(poll * 60);
        bed.offer(&a);
    }
    // A suspend of nine hours: the longest of the last polls says nothing about the next.
    bed.until(9 * 3600);
    for poll in 0..5 {
        bed.until(9 * 3600 + poll * 60);
        assert_eq!(bed.offer(&a), Offer::Deliver(ticket), "poll {poll}");
    }
}
