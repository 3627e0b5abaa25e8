//! GCRA's compare-and-swap loop on one counter.

use std::sync::Arc;

use super::{NOW, SECOND, batch, charge, joined, key, limit, owned, spawn, table};

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
