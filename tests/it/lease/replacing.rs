//! Replacement: when a poll brings a newer one, and what becomes of the one before.

use super::*;

#[test]
fn a_truncated_lease_is_replaced_with_an_overlap_and_then_revoked() {
    let (mut bed, first) = Bed::lease(3600, true);
    let a = volume("a");
    bed.polled_until(&a, 2400);
    let sent = bed.now;
    // Nine tenths of what was asked for is in full, less is truncated.
    bed.step(Event::Renewed(first, Grant { granted: s(3000), renewable: true }, sent));
    bed.polled_until(&a, 4380);
    bed.until(4400);
    assert_eq!(bed.offer(&a), Offer::Replace(first));
    let from = bed.acts.len();
    let second = bed.mount(&a, bed.leased(3600, true));
    assert_eq!((bed.state(first), bed.state(second)), (Some(State::Superseded), Some(State::Fresh)));
    // It would have lasted 1,000 s longer: ten minutes are enough for whoever uses it.
    bed.until(5000);
    assert_eq!(bed.acts[from..], [(5000, Act::Revoke(first))]);
    assert_eq!(bed.state(first), Some(State::Revoking));
    assert_eq!(bed.step(Event::Revoked(first)), [Act::Forget(first)]);
    assert_eq!(bed.state(first), None);
    assert_eq!(bed.offer(&a), Offer::Deliver(second));
}

#[test]
fn what_is_truncated_is_told_by_nine_tenths_of_what_was_asked_or_by_less_than_before() {
    let truncated = |asked: u64, granted: u64, renewable: bool| {
        let (mut bed, ticket) = Bed::lease(asked, true);
        bed.now = bed.zero + s(asked * 2 / 3);
        let sent = bed.now;
        bed.step(Event::Renewed(ticket, Grant { granted: s(granted), renewable }, sent));
        let bound = bed.entry.bound(ticket);
        assert!(bound.is_none_or(|bound| bound == sent + s(granted)));
        bound.is_some()
    };
    assert!(!truncated(3600, 3600, true) && !truncated(3600, 4000, true));
    // A second is rounding, more than that is a maximum.
    assert!(!truncated(3600, 3599, true) && truncated(3600, 3598, true));
    // Of a few seconds, one is more than a tenth.
    assert!(truncated(6, 5, true) && !truncated(60, 59, true));
    // What can be renewed no more is as good as truncated, however long it was granted.
    assert!(truncated(3600, 3600, false));
}

#[test]
fn a_replacement_comes_two_polls_before_the_end_however_slow_they_are() {
    for cadence in [30, 60, 120, 600, 1500] {
        // Four fifths of it would be too late for the slower ones.
        let (mut bed, first) = Bed::lease(3600, false);
        let a = volume("a");
        let mut replaced = None;
        for poll in 1.. {
            bed.until(poll * cadence);
            if let Offer::Replace(ticket) = bed.offer(&a) {
                assert_eq!(ticket, first);
                replaced = Some(poll * cadence);
                break;
            }
        }
        let wanted = (3600 - 2 * cadence).min(2880).next_multiple_of(cadence);
        assert_eq!(replaced, Some(wanted), "polled each {cadence} s");
    }
}

#[test]
fn the_slowest_holder_decides_how_early_that_is() {
    let (mut bed, first) = Bed::lease(3600, false);
    for poll in 1..=60 {
        bed.until(poll * 30);
        bed.mount(&volume("a"), bed.leased(3600, false));
        if poll % 20 == 0 {
            bed.mount(&volume("b"), bed.leased(3600, false));
        }
    }
    // The other one comes each ten minutes.
    bed.until(2399);
    assert_eq!(bed.offer(&volume("a")), Offer::Deliver(first));
    bed.until(2400);
    assert_eq!(bed.offer(&volume("a")), Offer::Replace(first));
}

#[test]
fn an_overlap_begins_when_the_last_holder_has_the_newer_one() {
    let (mut bed, first) = Bed::lease(36_000, false);
    let (a, b) = (volume("a"), volume("b"));
    bed.mount(&b, bed.leased(36_000, false));
    bed.until(30_000);
    let second = bed.mount(&a, bed.leased(36_000, false));
    assert_eq!(bed.until(31_800), []);
    assert_eq!(bed.offer(&b), Offer::Deliver(second));
    // Polled, but its mount failed for another reason: it still has the first.
    assert_eq!(bed.until(32_700), []);
    bed.step(Event::Delivered(&b, second));
    assert_eq!(bed.until(33_299), []);
    assert_eq!(bed.until(33_300), [(33_300, Act::Revoke(first))]);
}

#[test]
fn what_a_silent_volume_still_has_is_left_to_its_own_end() {
    let (mut bed, first) = Bed::lease(3600, false);
    let (a, b) = (volume("a"), volume("b"));
    bed.mount(&b, bed.leased(3600, false));
    bed.until(3000);
    bed.mount(&a, bed.leased(36_000, false));
    assert_eq!(bed.until(4000), [(3600, Act::Forget(first))]);
}

#[test]
fn a_holder_that_is_given_the_one_before_once_more_takes_it_out_of_its_overlap() {
    let (mut bed, first) = Bed::lease(36_000, false);
    let (a, b) = (volume("a"), volume("b"));
    bed.until(30_000);
    // The second volume's mount began before the first one's replaced it, and ends after.
    assert_eq!(bed.offer(&b), Offer::Replace(first));
    let second = bed.mount(&a, bed.leased(36_000, false));
    bed.step(Event::Delivered(&b, first));
    assert_eq!(bed.until(35_000), []);
    bed.step(Event::Delivered(&b, second));
    assert_eq!(bed.until(35_700), [(35_600, Act::Revoke(first))]);
}

#[test]
fn an_overlap_ends_with_what_it_keeps() {
    let (mut bed, first) = Bed::lease(100, false);
    bed.until(90);
    bed.mount(&volume("a"), bed.leased(1000, true));
    assert_eq!(bed.until(101), [(100, Act::Forget(first))]);
}

#[test]
fn a_certificate_is_replaced_after_two_thirds_and_there_is_nothing_to_revoke() {
    let mut bed = Bed::new();
    let a = volume("a");
    let first = bed.mount(&a, Terms::certificate(bed.span(86_400)));
    for poll in 1..960 {
        assert_eq!(bed.until(poll * 60), []);
        assert_eq!(bed.offer(&a), Offer::Deliver(first));
    }
    bed.until(57_600);
    assert_eq!(bed.offer(&a), Offer::Replace(first));
    bed.step(Event::Issued(Terms::certificate(bed.span(86_400))));
    assert_eq!(bed.acts, [(57_600, Act::Forget(first))]);
}

#[test]
fn a_static_role_is_read_once_after_each_rotation_and_from_memory_in_between() {
    let mut bed = Bed::new();
    let a = volume("a");
    let mut reads = 0;
    for poll in 0..=60 {
        bed.until(poll * 60);
        let offer = bed.offer(&a);
        if !matches!(offer, Offer::Deliver(_)) {
            reads += 1;
            // It rotates each ten minutes, and is read a second later at the soonest.
            let next = bed.zero + s((bed.secs() / 600 + 1) * 600 + 1);
            bed.step(Event::Issued(Terms::static_role(bed.now, next)));
        }
        let ticket = bed.entry.current().unwrap();
        bed.step(Event::Delivered(&a, ticket));
    }
    assert_eq!(reads, 6);
    assert!(bed.acts.iter().all(|(_, act)| matches!(act, Act::Forget(_))), "{:?}", bed.acts);
}

#[test]
fn a_static_role_that_cannot_be_read_is_given_for_its_stale_time_and_no_longer() {
    let mut bed = Bed::new();
    let a = volume("a");
    let ticket = bed.mount(&a, Terms::static_role(bed.now, bed.now + s(601)));
    for poll in 1..=70 {
        bed.until(poll * 60);
        let offer = bed.offer(&a);
        bed.step(Event::NotIssued);
        match poll * 60 {
            0..=600 => assert_eq!(offer, Offer::Deliver(ticket)),
            601..=4200 => assert_eq!(offer, Offer::Replace(ticket), "poll {poll}"),
            _ => assert_eq!(offer, Offer::Issue),
        }
    }
}

#[test]
fn what_cannot_be_replaced_goes_on_being_given_and_is_not_asked_for_at_every_call() {
    let (mut bed, ticket) = Bed::lease(3600, false);
    let a = volume("a");
    let mut asked = Vec::new();
    for second in 2880..3600 {
        bed.until(second);
        match bed.offer(&a) {
            Offer::Replace(given) => {
                assert_eq!(given, ticket);
                asked.push(second);
                bed.step(Event::NotIssued);
            }
            Offer::Deliver(given) => assert_eq!(given, ticket),
            Offer::Issue => panic!("it is good until 3600, and was not offered at {second}"),
        }
    }
    // A call a second, and a pause that grows to 22 s in the middle of chance.
    assert!((30..40).contains(&asked.len()), "{asked:?}");
    bed.until(3600);
    // With nothing left to give there is nothing to wait for.
    assert_eq!(bed.offer(&a), Offer::Issue);
}

#[test]
fn what_lives_shorter_than_two_polls_is_replaced_at_each_and_told_once() {
    let (mut bed, mut before) = Bed::lease(100, false);
    let a = volume("a");
    for poll in 1..20 {
        bed.until(poll * 60);
        assert_eq!(bed.offer(&a), Offer::Replace(before), "poll {poll}");
        before = bed.mount(&a, bed.leased(100, false));
    }
    let told: Vec<_> = bed.acts.iter().filter(|(_, act)| matches!(act, Act::Warn(_))).collect();
    assert_eq!(told, [&(60, Act::Warn(Warning::TooShort(s(100))))]);
    // Each of them has gone by itself, and one is in its overlap.
    assert_eq!(bed.entry.views(bed.now).len(), 2);
}

#[test]
fn a_short_lease_that_can_be_renewed_for_long_is_kept_over_many_polls() {
    let (mut bed, ticket) = Bed::lease(30, true);
    let a = volume("a");
    for poll in 1..200 {
        let end = poll * 60;
        while let Some(next) = bed.entry.next(&bed.timing).filter(|next| *next <= bed.zero + s(end)) {
            bed.now = next;
            assert_eq!(bed.step(Event::Tick), [Act::Renew(ticket)]);
            let sent = bed.now;
            bed.step(Event::Renewed(ticket, grant(30), sent));
        }
        bed.until(end);
        assert_eq!(bed.offer(&a), Offer::Deliver(ticket), "poll {poll}");
    }
}

#[test]
fn where_rotation_is_off_it_is_renewed_as_long_as_that_helps_and_told_once_before_the_end() {
    let (mut bed, ticket) = Bed::lease(3600, true);
    let mut ends = 3600;
    // A maximum of three hours.
    while let Some(next) = bed.entry.next(&bed.timing) {
        bed.now = next;
        if bed.step(Event::Tick).contains(&Act::Renew(ticket)) {
            let granted = 3600.min(10_800 - bed.secs());
            ends = bed.secs() + granted;
            let sent = bed.now;
            bed.step(Event::Renewed(ticket, grant(granted), sent));
        }
        if bed.over() {
            break;
        }
    }
    assert!((10_799..=10_800).contains(&ends), "{ends}");
    let renewals = bed.acts.iter().filter(|(_, act)| *act == Act::Renew(ticket)).count();
    assert!((4..=7).contains(&renewals), "{:?}", bed.acts);
    let told: Vec<_> =
        bed.acts.iter().filter(|(_, act)| matches!(act, Act::Warn(Warning::NotPolled(_)))).collect();
    assert_eq!(told.len(), 1, "{:?}", bed.acts);
    assert!(told[0].0 < ends && told[0].0 + 3600 > ends, "{told:?}");
    assert!(bed.acts.last() == Some(&(ends, Act::Forget(ticket))) || bed.over());
}

#[test]
fn who_is_polled_is_not_told_that_rotation_is_off() {
    let (mut bed, mut ticket) = Bed::lease(3600, false);
    for poll in 1..200 {
        bed.until(poll * 60);
        let now = bed.mount(&volume("a"), bed.leased(3600, false));
        if now != ticket {
            ticket = now;
        }
    }
    assert!(!bed.acts.iter().any(|(_, act)| matches!(act, Act::Warn(_))), "{:?}", bed.acts);
}
