//! GCRA's compare-and-swap loop on one counter.

use std::sync::Arc;

use super::{
    Conformance, Gcra, NOW, SECOND, batch, charge, joined, key, limit, owned, spawn, table,
};

/// P1: three threads charge one key's counter; what is admitted is the burst exactly, and no charge is lost.
///
/// Kills: charge_stores
#[test]
fn p1_charges_of_one_counter_are_neither_lost_nor_too_many() {
    super::explore(|| {
        let (table, gcra) = (table(1), limit(3));
        let mut admitted = charge(&table, &gcra, key(1), 1);
        let threads = [1, 1].map(|n| {
            let table = Arc::clone(&table);
            spawn(move || charge(&table, &gcra, key(1), n))
        });
        admitted += charge(&table, &gcra, key(1), 1);
        admitted += threads.into_iter().map(joined).sum::<u64>();
        assert_eq!(admitted, 3, "the burst, to the last event");
        assert_eq!(table.slot(0).tat(), NOW + 3 * SECOND, "no charge is lost");
    });
}

/// P1 and P8: batches of several sizes at instants that are out of order; the TAT moves by what was admitted, never back.
///
/// Kills: charge_stores
#[test]
fn p8_a_late_now_rewinds_no_counter() {
    super::explore(|| {
        let (table, gcra) = (table(1), limit(3));
        let late = {
            let table = Arc::clone(&table);
            spawn(move || {
                let mut batch = batch(key(1), 1);
                batch.now = NOW - SECOND;
                let before = table.slot(0).tat();
                let _ = table.charge(&batch, &gcra, None);
                assert!(table.slot(0).tat() >= before);
            })
        };
        let admitted = charge(&table, &gcra, key(1), 2);
        joined(late);
        assert_eq!(
            admitted, 2,
            "one event a second earlier leaves room for two"
        );
        let tat = table.slot(0).tat();
        assert!((NOW + 2 * SECOND..=NOW + 3 * SECOND).contains(&tat));
    });
}

/// P7: a thread that is late charges a counter under the limits before a reload, beside two charges under those after it. Never more than
/// the highest rate allows for the longest tolerance; no charge is lost; and what is admitted lies within the tolerance of those who admitted it.
///
/// Kills: charge_stores
#[test]
fn p7_charges_under_two_limits() {
    // Another burst, another rate, and both; each pair either way round.
    for (one, other) in [((1, 2), (1, 4)), ((1, 2), (2, 2)), ((1, 3), (2, 1))] {
        under_two_limits(one, other);
        under_two_limits(other, one);
    }
}

fn under_two_limits(before: (u32, u32), after: (u32, u32)) {
    super::explore(move || {
        let table = table(1);
        // Nanoseconds of the counter's time that an event costs, and how many were admitted.
        let charged = |table: &super::Table, (rate, multiplier), n| {
            let gcra = Gcra::new(rate, multiplier);
            let mut batch = batch(key(1), n);
            batch.now = gcra.instant(NOW);
            let charge = table.charge(&batch, &gcra, None);
            let tat = charge.tat;
            match charge.conformance() {
                Conformance::Conforming { .. } => {
                    assert!(tat <= batch.now + gcra.tolerance());
                    (n * SECOND / u64::from(rate), n)
                }
                _ => (0, 0),
            }
        };
        let late = {
            let table = Arc::clone(&table);
            spawn(move || [1, 1].map(|n| charged(&table, before, n)))
        };
        let admitted = [2, 1].map(|n| charged(&table, after, n));
        let admitted = [admitted, joined(late)].concat();
        let (cost, events) = admitted
            .iter()
            .fold((0, 0), |(cost, events), (c, n)| (cost + c, events + n));
        let at_most = before.0.max(after.0) * before.1.max(after.1);
        assert!(events <= u64::from(at_most), "{events} of {at_most}");
        // Those of the shorter tolerance begin at a later instant; where both are as long, there is one TAT that this can be.
        let instants =
            [before, after].map(|(rate, multiplier)| Gcra::new(rate, multiplier).instant(NOW));
        let [first, last] =
            [instants.iter().min(), instants.iter().max()].map(|instant| instant.unwrap() + cost);
        assert!(
            (first..=last).contains(&table.slot(0).tat()),
            "a charge is lost"
        );
    });
}

/// A peek charges nothing and takes over nothing, whatever happens beside it.
#[test]
fn p4_a_peek_displaces_nobody() {
    super::explore(|| {
        let (table, gcra) = (table(1), limit(2));
        let peeking = {
            let table = Arc::clone(&table);
            spawn(move || {
                let _ = table.charge(&batch(key(2), 0), &gcra, None);
            })
        };
        let admitted: u64 = (0..3).map(|_| charge(&table, &gcra, key(1), 1)).sum();
        joined(peeking);
        assert_eq!(admitted, 2);
        assert_eq!(owned(&table, key(1)), [0]);
    });
}
