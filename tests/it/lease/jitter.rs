//! That chance really spreads what it is to spread.

use super::*;

/// SplitMix64, from 0 to nearly 1.
pub(super) fn chance(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *seed;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    f64::from(u32::try_from(bits >> 32).unwrap()) / (f64::from(u32::MAX) + 1.0)
}

/// When the same life wants to be looked at for the first time, ten thousand times over, in parts of the life.
fn spread(life: u64, first: impl Fn(&mut Bed) -> Duration) -> Vec<f64> {
    let mut seed = 7;
    let mut parts: Vec<f64> = (0..10_000)
        .map(|_| {
            let mut bed = Bed { jitter: chance(&mut seed), ..Bed::new() };
            first(&mut bed).as_secs_f64() / s(life).as_secs_f64()
        })
        .collect();
    parts.sort_by(f64::total_cmp);
    parts
}

/// All alike from `low` to `high`: edges, mean and quarters.
fn is_flat(parts: &[f64], low: f64, high: f64) {
    let width = high - low;
    let near = |value: f64, wanted: f64| (value - wanted).abs() < width / 50.0;
    assert!(parts.iter().all(|part| (low - 1e-9..=high + 1e-9).contains(part)));
    assert!(near(parts[0], low) && near(parts[parts.len() - 1], high), "the edges are not reached");
    let mean = parts.iter().sum::<f64>() / 10_000.0;
    assert!(near(mean, f64::midpoint(low, high)), "mean {mean}");
    for quarter in 1..4u32 {
        let value = parts[parts.len() / 4 * quarter as usize];
        assert!(near(value, low + width * f64::from(quarter) / 4.0), "quarter {quarter}: {value}");
    }
}

#[test]
fn renewals_are_spread_evenly_a_tenth_to_either_side_of_two_thirds() {
    let parts = spread(86_400, |bed| {
        bed.mount(&volume("a"), bed.leased(86_400, true));
        bed.entry.next(&bed.timing).unwrap() - bed.zero
    });
    is_flat(&parts, 0.6, 0.6 + 0.4 / 3.0);
}

#[test]
fn renewals_after_the_first_are_spread_too() {
    let parts = spread(86_400, |bed| {
        let ticket = bed.mount(&volume("a"), bed.leased(86_400, true));
        bed.until(70_000);
        let sent = bed.now;
        bed.step(Event::Renewed(ticket, grant(86_400), sent));
        bed.entry.next(&bed.timing).unwrap() - sent
    });
    is_flat(&parts, 0.6, 0.6 + 0.4 / 3.0);
}

#[test]
fn short_leases_that_are_renewed_early_are_spread_all_the_same() {
    let parts = spread(300, |bed| {
        bed.mount(&volume("a"), bed.leased(300, true));
        bed.entry.next(&bed.timing).unwrap() - bed.zero
    });
    is_flat(&parts, 0.3, 0.3 + 0.2 / 3.0);
}

#[test]
fn replacements_are_spread_so_that_replicas_do_not_go_together() {
    let fixed = spread(86_400, |bed| {
        let ticket = bed.mount(&volume("a"), bed.leased(86_400, false));
        let view = bed.entry.views(bed.now)[0];
        assert_eq!(view.ticket, ticket);
        view.next.unwrap() - bed.zero
    });
    is_flat(&fixed, 0.72, 0.88);
    let certificates = spread(86_400, |bed| {
        bed.mount(&volume("a"), Terms::certificate(bed.span(86_400)));
        bed.entry.views(bed.now)[0].next.unwrap() - bed.zero
    });
    is_flat(&certificates, 0.6, 0.6 + 0.4 / 3.0);
}

#[test]
fn pauses_between_failed_renewals_are_spread_over_half_of_themselves() {
    let parts = spread(60, |bed| {
        let ticket = bed.mount(&volume("a"), bed.leased(86_400, true));
        bed.until(70_000);
        for _ in 0..12 {
            bed.step(Event::Refused(ticket, Why::Outage));
        }
        bed.entry.next(&bed.timing).unwrap() - bed.now
    });
    is_flat(&parts, 0.5, 1.0);
}

#[test]
fn a_chance_that_is_none_is_taken_for_the_middle() {
    for jitter in [f64::NAN, f64::INFINITY, -1.0, 2.0] {
        let mut bed = Bed { jitter, ..Bed::new() };
        bed.mount(&volume("a"), bed.leased(30_000, true));
        assert_eq!((bed.entry.next(&bed.timing).unwrap() - bed.zero).as_secs(), 20_000);
    }
}

#[test]
fn no_part_that_is_configured_puts_a_renewal_behind_the_end() {
    for renew in [1.0, 5.0, f64::NAN] {
        let mut bed = Bed { jitter: 1.0, ..Bed::new() };
        bed.timing.renew = renew;
        bed.mount(&volume("a"), bed.leased(100_000, true));
        let next = bed.entry.next(&bed.timing).unwrap() - bed.zero;
        assert!(next < s(100_000) && next > s(80_000), "{next:?}");
    }
}
