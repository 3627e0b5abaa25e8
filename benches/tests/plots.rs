//! The plots of the page of benches are those of the report beside it.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use tollbar_benches::plots::draw;

#[test]
fn the_plots_that_are_checked_in_show_the_report_that_is() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plots");
    std::fs::create_dir_all(&folder).unwrap();
    let report = std::fs::read(docs.join("report.json")).unwrap();
    draw(&serde_json::from_slice(&report).unwrap(), &folder).unwrap();

    let plots: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
    assert_eq!(plots.len(), 5);
    let mut marks = 0;
    for plot in plots {
        let plot = plot.unwrap();
        let drawn = std::fs::read_to_string(plot.path()).unwrap();
        let checked_in = std::fs::read_to_string(docs.join(plot.file_name())).unwrap();
        assert!(
            drawn == checked_in,
            "{:?} shows another report: make benchmarks-page",
            plot.file_name()
        );
        marks += drawn.matches("<circle").count();
    }
    // Plots without their lines would be equal to themselves, too.
    assert!(marks >= 16, "{marks} marks");
}
