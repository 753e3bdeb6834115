//! Who has no use for it any more: proof and suspicion, pods and syncs, and mounts that failed.

use super::*;

/// A volume that is polled each minute, and renewed each time that it wants to be.
fn polled(minutes: u64) -> (Bed, Ticket) {
    let (mut bed, ticket) = Bed::lease(3600, true);
    for minute in 1..=minutes {
        renew(&mut bed, minute * 60, ticket);
        assert_eq!(bed.offer(&volume("a")), Offer::Deliver(ticket));
        bed.step(Event::Delivered(&volume("a"), ticket));
    }
    (bed, ticket)
}

fn renew(bed: &mut Bed, until: u64, ticket: Ticket) -> Vec<Act> {
    let acts: Vec<Act> = bed.until(until).into_iter().map(|(_, act)| act).collect();
    if acts.contains(&Act::Renew(ticket)) {
        let sent = bed.now;
        bed.step(Event::Renewed(ticket, grant(3600), sent));
    }
    acts
}

#[test]
fn a_pod_that_is_proved_gone_is_revoked_after_its_grace() {
    let (mut bed, ticket) = polled(5);
    bed.step(Event::Left(&volume("a"), Left::Gone));
    assert_eq!(bed.until(359), []);
    assert_eq!(bed.until(360), [(360, Act::Revoke(ticket))]);
    assert_eq!(bed.step(Event::Revoked(ticket)), [Act::Forget(ticket)]);
    assert!(bed.over() && bed.entry.next(&bed.timing).is_none());
}

#[test]
fn two_volumes_of_a_pod_are_waited_for() {
    let (mut bed, ticket) = polled(5);
    bed.mount(&volume("b"), bed.leased(3600, true));
    bed.step(Event::Left(&volume("a"), Left::Gone));
    assert_eq!(bed.until(600), []);
    assert_eq!(bed.offer(&volume("b")), Offer::Deliver(ticket));
    bed.step(Event::Left(&volume("b"), Left::Gone));
    assert_eq!(bed.until(660), [(660, Act::Revoke(ticket))]);
}

#[test]
fn a_poll_within_the_grace_takes_the_proof_back() {
    let (mut bed, ticket) = polled(5);
    bed.step(Event::Left(&volume("a"), Left::Gone));
    bed.until(330);
    assert_eq!(bed.offer(&volume("a")), Offer::Deliver(ticket));
    assert_eq!(bed.until(2000), []);
}

#[test]
fn within_the_grace_nothing_is_renewed() {
    let (mut bed, ticket) = polled(39);
    bed.timing.grace = s(900);
    bed.step(Event::Left(&volume("a"), Left::Gone));
    assert_eq!(bed.until(3239), []);
    assert_eq!(bed.until(3240), [(3240, Act::Revoke(ticket))]);
}

#[test]
fn what_was_superseded_goes_with_the_pod() {
    let (mut bed, first) = Bed::lease(36_000, false);
    bed.until(30_000);
    let second = bed.mount(&volume("a"), bed.leased(36_000, false));
    bed.step(Event::Left(&volume("a"), Left::Gone));
    let mut acts = bed.until(30_060);
    acts.sort_by_key(|(_, act)| format!("{act:?}"));
    assert_eq!(acts, [(30_060, Act::Revoke(first)), (30_060, Act::Revoke(second))]);
}

#[test]
fn a_class_that_names_the_object_no_more_lets_go_of_it_after_an_overlap() {
    let (mut bed, ticket) = polled(5);
    bed.step(Event::Left(&volume("a"), Left::Released));
    assert_eq!(bed.until(899), []);
    assert_eq!(bed.until(900), [(900, Act::Revoke(ticket))]);
}

#[test]
fn a_volume_that_falls_silent_while_others_are_polled_is_renewed_no_more_and_never_revoked() {
    let (mut bed, ticket) = polled(10);
    bed.others = Some(bed.zero + s(2400));
    assert_eq!(bed.until(3599), [(2400, Act::StopRenewing(ticket))]);
    assert_eq!(bed.state(ticket), Some(State::Paused));
    assert_eq!(bed.until(36_000), [(3600, Act::Forget(ticket))]);
    assert!(bed.over());
}

#[test]
fn a_silent_volume_that_is_polled_again_is_renewed_at_once() {
    let (mut bed, ticket) = polled(10);
    bed.others = Some(bed.zero + s(2400));
    bed.until(3000);
    assert_eq!(bed.offer(&volume("a")), Offer::Deliver(ticket));
    assert_eq!(bed.until(3001), [(3000, Act::Renew(ticket))]);
}

#[test]
fn silence_of_all_volumes_at_once_is_the_drivers_and_stops_nothing() {
    for others in [None, Some(600), Some(700)] {
        let (mut bed, ticket) = polled(10);
        bed.others = others.map(|others| bed.zero + s(others));
        assert_eq!(bed.until(2500), [(2400, Act::Renew(ticket))], "{others:?}");
    }
}

#[test]
fn a_volume_of_which_another_one_is_polled_is_renewed() {
    let (mut bed, ticket) = polled(10);
    bed.others = Some(bed.zero + s(2400));
    bed.until(2350);
    bed.mount(&volume("b"), bed.leased(3600, true));
    assert_eq!(bed.until(2500), [(2400, Act::Renew(ticket))]);
}

#[test]
fn a_volume_that_was_mounted_once_is_never_silent_however_often_that_was_tried() {
    let mut bed = Bed::new();
    let a = volume("a");
    bed.step(Event::Polled(&a));
    bed.step(Event::Issued(bed.leased(3600, true)));
    let ticket = bed.entry.current().unwrap();
    // Kubelet tries six times until the mount succeeds, and then never comes again: rotation is off.
    for second in [1, 3, 7, 15, 31] {
        bed.until(second);
        assert_eq!(bed.offer(&a), Offer::Deliver(ticket));
    }
    bed.step(Event::Delivered(&a, ticket));
    bed.others = Some(bed.zero + s(2400));
    assert_eq!(bed.until(2500), [(2400, Act::Renew(ticket))]);
}

#[test]
fn a_sync_is_renewed_while_it_comes_and_then_lapses_without_a_revocation() {
    let mut bed = Bed::new();
    let holder = sync();
    let ticket = bed.mount(&holder, bed.leased(3600, true));
    for half in 1..=6 {
        renewed(&mut bed, half * 43_200, ticket);
        assert_eq!(bed.offer(&holder), Offer::Deliver(ticket));
    }
    // It comes no more: renewed for a day, and then left alone.
    renewed(&mut bed, 400_000, ticket);
    let stopped = bed.acts.iter().find(|(_, act)| *act == Act::StopRenewing(ticket)).unwrap().0;
    assert!((6 * 43_200 + 25 * 3600..6 * 43_200 + 26 * 3600).contains(&stopped), "{stopped}");
    assert!(!bed.acts.iter().any(|(_, act)| matches!(act, Act::Revoke(_))));
    assert!(bed.over());
}

#[test]
fn what_a_sync_was_given_is_not_revoked_when_there_is_a_newer_one() {
    let mut bed = Bed::new();
    let holder = sync();
    let first = bed.mount(&holder, bed.leased(36_000, false));
    bed.until(30_000);
    bed.mount(&holder, bed.leased(36_000, false));
    assert_eq!(bed.until(36_001), [(36_000, Act::Forget(first))]);
}

/// Lets time pass and renews at each turn.
fn renewed(bed: &mut Bed, until: u64, ticket: Ticket) {
    while let Some(next) = bed.entry.next(&bed.timing).filter(|next| *next <= bed.zero + s(until)) {
        bed.now = next;
        if bed.step(Event::Tick).contains(&Act::Renew(ticket)) {
            let sent = bed.now;
            bed.step(Event::Renewed(ticket, grant(3600), sent));
        }
        if bed.over() {
            break;
        }
    }
    bed.now = bed.zero + s(until);
}

#[test]
fn what_a_failed_first_mount_issued_is_kept_for_the_next_try_and_not_issued_again() {
    let mut bed = Bed::new();
    let a = volume("a");
    assert_eq!(bed.offer(&a), Offer::Issue);
    bed.step(Event::Issued(bed.leased(3600, true)));
    let ticket = bed.entry.current().unwrap();
    assert_eq!(bed.state(ticket), Some(State::Pending));
    // Tries further and further apart, as kubelet makes them, for longer than any one is kept.
    for second in [1, 3, 7, 15, 31, 63, 127, 249, 371, 493] {
        assert_eq!(bed.until(second), []);
        assert_eq!(bed.offer(&a), Offer::Deliver(ticket));
    }
    assert_eq!(bed.until(792), []);
    assert_eq!(bed.until(793), [(793, Act::Revoke(ticket))]);
    assert_eq!(bed.step(Event::Revoked(ticket)), [Act::Forget(ticket)]);
    assert!(bed.over());
}

#[test]
fn whoever_left_while_it_was_issued_leaves_it_to_be_ended() {
    let mut bed = Bed::new();
    let a = volume("a");
    bed.offer(&a);
    bed.step(Event::Left(&a, Left::Gone));
    bed.until(90);
    bed.step(Event::Issued(bed.leased(3600, true)));
    let ticket = bed.entry.current().unwrap();
    bed.step(Event::Delivered(&a, ticket));
    assert_eq!(bed.until(91), [(90, Act::Revoke(ticket))]);
}

#[test]
fn a_revocation_that_fails_is_tried_a_few_times_and_then_left_to_the_end() {
    let (mut bed, ticket) = Bed::lease(36_000, true);
    bed.step(Event::Left(&volume("a"), Left::Gone));
    let mut tries = Vec::new();
    for second in 1..2000 {
        for (at, act) in bed.until(second) {
            if act == Act::Revoke(ticket) {
                tries.push(at);
                bed.step(Event::NotRevoked(ticket));
            } else {
                assert_eq!(act, Act::Forget(ticket));
            }
        }
    }
    assert_eq!(tries.len(), 8);
    assert!(tries.windows(3).all(|three| three[2] - three[1] >= three[1] - three[0]), "{tries:?}");
    assert!(bed.over());
}

#[test]
fn a_revocation_that_is_lost_is_tried_again() {
    let (mut bed, ticket) = Bed::lease(36_000, true);
    bed.step(Event::Left(&volume("a"), Left::Gone));
    assert_eq!(bed.until(300), [(60, Act::Revoke(ticket)), (181, Act::Revoke(ticket))]);
}

#[test]
fn where_nothing_may_be_revoked_everything_is_left_to_its_own_end() {
    let (mut bed, first) = Bed::lease(3600, false);
    bed.timing.revoke = false;
    bed.until(3000);
    let second = bed.mount(&volume("a"), bed.leased(36_000, true));
    bed.step(Event::Left(&volume("a"), Left::Gone));
    assert_eq!(bed.until(40_000), [(3600, Act::Forget(first)), (39_000, Act::Forget(second))]);
    assert!(bed.over());
}
