//! P8, time: whatever a clock does (stands still in a suspended machine, jumps, is read out of order by threads, is a caller's own), no
//! counter runs backwards, nothing is over-admitted, and all is well again once time goes on.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use proptest::prelude::*;
use support::{Limits, Random, SECOND, check, check_bound, client};
use tollbar::Engine;

const LIMITS: Limits = Limits {
    ip_limit: 4,
    event_limit: 10,
    burst_multiplier: 3,
};
const BURST: u64 = 30;
const HOUR: u64 = 3_600 * SECOND;

fn engine() -> Engine {
    Engine::new(LIMITS.config()).unwrap()
}

/// How many events are admitted, one by one, at this instant.
fn admitted(engine: &Engine, number: u32, now: u64) -> u64 {
    let admitted = (0..10 * BURST).take_while(|_| check(engine, client(number), 1, now).allowed());
    admitted.count() as u64
}

/// How much room the client has at this instant.
fn remaining(engine: &Engine, number: u32, now: u64) -> u64 {
    let rate = check(engine, client(number), 0, now).rate.unwrap();
    rate.remaining()
}

#[test]
fn p8_a_machine_that_was_suspended_owes_one_burst_and_no_more() {
    let engine = engine();
    let suspended = HOUR;
    assert_eq!(admitted(&engine, 0, suspended), BURST);
    // A monotonic clock stands still meanwhile: nothing has passed.
    assert_eq!(admitted(&engine, 0, suspended), 0);
    assert_eq!(admitted(&engine, 0, suspended + SECOND), 10);
    // One that counts the time asleep jumps: there is a burst, not what eight hours would add up to.
    let resumed = suspended + 8 * HOUR;
    assert_eq!(admitted(&engine, 0, resumed), BURST);
    assert_eq!(
        admitted(&engine, 0, resumed + SECOND),
        10,
        "and then the usual rate"
    );
}

#[test]
fn p8_a_clock_that_jumps_back_refills_nobody() {
    let engine = engine();
    let before = 10 * HOUR;
    assert_eq!(admitted(&engine, 0, before), BURST);
    for back in [1, SECOND, HOUR, 9 * HOUR, before] {
        assert_eq!(admitted(&engine, 0, before - back), 0, "{back} ns back");
        let decision = check(&engine, client(0), 1, before - back);
        let wait = decision.rate.unwrap().retry_after_ns;
        assert_eq!(
            wait,
            Some(back + SECOND / 10),
            "it says when there is room, by that clock"
        );
    }
    // Where time goes on, so does the counter: as if nothing had happened.
    assert_eq!(admitted(&engine, 0, before + 2 * SECOND), 20);
}

#[test]
fn p8_after_a_jump_forward_the_rate_is_the_usual_one() {
    let engine = engine();
    let mut history = Vec::new();
    let mut now = SECOND;
    // Jumps of all sizes, up to a century.
    for shift in 0..62 {
        now = now.max(1 << shift);
        for _ in 0..40 {
            now += SECOND / 20;
            if check(&engine, client(1), 1, now).allowed() {
                history.push((now, 1));
            }
        }
    }
    assert!(history.len() >= 62 * 20, "half of them: the limit's rate");
    check_bound(&mut history, 1, LIMITS).unwrap();
}

#[test]
fn p8_the_ends_of_time_are_harmless() {
    let engine = engine();
    for now in [0, 1, u64::MAX - 1, u64::MAX, 1 << 62, 1 << 63] {
        for n in [0, 1, BURST, BURST + 1, u64::MAX] {
            let _ = check(&engine, client(2), n, now);
        }
    }
    // Whoever was charged at the end of time is owed for as long; others are not.
    assert_eq!(admitted(&engine, 2, HOUR), 0);
    assert_eq!(admitted(&engine, 3, HOUR), BURST);
}

proptest! {
    /// Instants in any order: each client keeps to its bound, all together to P1, and what room there is at one instant never grows.
    #[test]
    fn p8_out_of_order_instants_rewind_no_counter(seed: u64, spread in 1..100u64) {
        let engine = engine();
        let mut random = Random::new(seed);
        let instant = 200 * SECOND;
        let mut histories = vec![Vec::new(); 4];
        let mut room = [BURST; 4];
        for _ in 0..400 {
            let number = random.below(4) as u32;
            let now = instant - random.below(spread) * SECOND - random.below(SECOND);
            let n = 1 + random.below(5);
            if check(&engine, client(number), n, now).allowed() {
                histories[number as usize].push((now, n));
            }
            let left = remaining(&engine, number, instant);
            prop_assert!(left <= room[number as usize], "a counter ran backwards");
            room[number as usize] = left;
        }
        let mut all: Vec<_> = histories.concat();
        for history in &mut histories {
            prop_assert!(check_bound(history, 1, LIMITS).is_ok());
        }
        prop_assert!(check_bound(&mut all, LIMITS.ip_limit, LIMITS).is_ok());
    }
}
