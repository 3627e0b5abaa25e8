//! Simulates hostile traffic.

use tollbar_benches::simulation::{compare, traffic::SCENARIOS};

fn main() {
    for scenario in SCENARIOS {
        let c = compare(scenario, 1);
        for (name, o) in [("ours", &c.ours), ("lru", &c.lru), ("unb", &c.unbounded)] {
            println!(
                "{:15} {:5} adm {:9} p1 {:.3} refused {:.5} gain {:.1} share {:.5} displ {}",
                c.scenario,
                name,
                o.admitted,
                o.share_of_p1,
                o.well_behaved_refused,
                o.largest_gain,
                o.requests_gained,
                o.displaced
            );
        }
    }
}
