//! The plots of the benches' report (`target/bench/report.json`), as SVG.
//!
//! Invariant: they show what is in the report and nothing else. The same report makes the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use serde::Deserialize;

/// What can go wrong.
pub type Error = Box<dyn std::error::Error>;

/// What is read of the report.
#[derive(Deserialize)]
pub struct Report {
    benches: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    ours: f64,
    peer_name: String,
    peer: f64,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const OURS: &str = "tollbar";
const TOLLBAR: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const TOLLBAR_TOO: RGBColor = RGBColor(0x17, 0xa2, 0x8a);
const GOVERNOR: RGBColor = RGBColor(0x7f, 0x7f, 0x7f);
const LRU: RGBColor = RGBColor(0xff, 0x7f, 0x0e);
const FONT: (&str, i32) = ("sans-serif", 13);
const LEGEND: (&str, i32) = ("sans-serif", 12);

/// A line of a plot.
struct Series<'a> {
    label: &'a str,
    color: RGBColor,
    points: Vec<(f64, f64)>,
}

impl Report {
    /// What this contestant did in the benches `before` + number + `after`, by that number.
    fn points(&self, before: &str, after: &str, who: &str) -> Vec<(f64, f64)> {
        let mut found = BTreeMap::new();
        for row in &self.benches {
            let middle = row
                .name
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after));
            let Some(number) = middle.and_then(|number| number.parse::<u64>().ok()) else {
                continue;
            };
            if who == OURS {
                found.insert(number, row.ours);
            } else if who == row.peer_name {
                found.insert(number, row.peer);
            }
        }
        found.into_iter().map(|(x, y)| (x as f64, y)).collect()
    }

    /// What this contestant did in one bench.
    fn value(&self, name: &str, who: &str) -> Option<f64> {
        let row = self
            .benches
            .iter()
            .find(|row| row.name == name && (who == OURS || row.peer_name == who))?;
        Some(if who == OURS { row.ours } else { row.peer })
    }
}

/// Draws all plots that the report has figures for into this folder.
///
/// # Errors
/// If a file can't be written.
pub fn draw(report: &Report, folder: &Path) -> Result<(), Error> {
    latency(report, &folder.join("latency.svg"))?;
    threads(report, &folder.join("threads.svg"))?;
    memory(report, &folder.join("memory.svg"))?;
    reload(report, &folder.join("reload.svg"))?;
    calls(report, &folder.join("calls.svg"))
}

fn latency(report: &Report, path: &Path) -> Result<(), Error> {
    let line = |label, color| Series {
        label,
        color,
        points: report.points("admitted/", "/1", label),
    };
    let series = [
        line(OURS, TOLLBAR),
        line("governor", GOVERNOR),
        line("mutex+lru", LRU),
    ];
    let root = SVGBackend::new(path, (760, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    curves(
        &root,
        ["One decision, one thread", "addresses", "ns"],
        &series,
        false,
    )?;
    root.present()?;
    Ok(())
}

fn threads(report: &Report, path: &Path) -> Result<(), Error> {
    let root = SVGBackend::new(path, (960, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let panels = root.split_evenly((1, 2));
    for (panel, ips) in panels.iter().zip(["1000", "1000000"]) {
        let series =
            [(OURS, TOLLBAR), ("governor", GOVERNOR), ("mutex+lru", LRU)].map(|(label, color)| {
                Series {
                    label,
                    color,
                    points: report
                        .points(&format!("admitted/{ips}/"), "", label)
                        .into_iter()
                        // Times are for an operation of each thread.
                        .map(|(threads, ns)| (threads, threads / ns * 1e3))
                        .collect(),
                }
            });
        let caption = format!("Decisions, {} addresses", number(ips.parse()?));
        curves(
            panel,
            [&caption, "threads", "million a second"],
            &series,
            false,
        )?;
    }
    root.present()?;
    Ok(())
}

fn memory(report: &Report, path: &Path) -> Result<(), Error> {
    let line = |label, color, what: &str, who| Series {
        label,
        color,
        points: report.points(&format!("memory, {what}/"), "", who),
    };
    let series = [
        line("tollbar, room for all", TOLLBAR, "room for all", OURS),
        line("tollbar, ip_limit 1000", TOLLBAR_TOO, "room for 1000", OURS),
        line("governor", GOVERNOR, "room for all", "governor"),
        line("mutex+lru, room for all", LRU, "room for all", "mutex+lru"),
    ];
    let root = SVGBackend::new(path, (760, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    curves(
        &root,
        ["Memory", "addresses that came", "bytes"],
        &series,
        true,
    )?;
    root.present()?;
    Ok(())
}

fn reload(report: &Report, path: &Path) -> Result<(), Error> {
    let root = SVGBackend::new(path, (960, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let panels = root.split_evenly((1, 2));
    let line = |label, color, what: &str, who| Series {
        label,
        color,
        points: report.points(&format!("reload/{what}/"), "", who),
    };
    let anew = "governor made anew, which refills everybody";
    let meanwhile = "decision while ip_limit changes every 10 ms";
    let call = [
        line(
            "tollbar, ip_limit changed",
            TOLLBAR,
            "ip_limit changed",
            OURS,
        ),
        line(
            "tollbar, event_limit changed",
            TOLLBAR_TOO,
            "event_limit changed",
            OURS,
        ),
        line("governor made anew", GOVERNOR, "ip_limit changed", anew),
        line(
            "mutex+lru resized",
            LRU,
            "ip_limit changed",
            "mutex+lru resized",
        ),
    ];
    let decisions = [
        line(
            "tollbar, first after",
            TOLLBAR,
            "first decision after",
            OURS,
        ),
        line("tollbar, meanwhile", TOLLBAR_TOO, meanwhile, OURS),
        line(
            "governor, first after",
            GOVERNOR,
            "first decision after",
            anew,
        ),
        line("mutex+lru, meanwhile", LRU, meanwhile, "mutex+lru resized"),
    ];
    curves(
        &panels[0],
        ["The call that changes limits", "clients", "ns"],
        &call,
        true,
    )?;
    curves(
        &panels[1],
        ["Decisions after it and meanwhile", "clients", "ns"],
        &decisions,
        true,
    )?;
    root.present()?;
    Ok(())
}

/// Draws lines over a logarithmic axis. `texts` are the caption and what the axes say.
fn curves(
    area: &Area<'_>,
    texts: [&str; 3],
    series: &[Series<'_>],
    logarithmic: bool,
) -> Result<(), Error> {
    let all = || series.iter().flat_map(|line| &line.points);
    let (mut left, mut right) = (f64::INFINITY, 1.0_f64);
    let (mut bottom, mut top) = (f64::INFINITY, 1.0_f64);
    for &(x, y) in all() {
        (left, right) = (left.min(x), right.max(x));
        (bottom, top) = (bottom.min(y), top.max(y));
    }
    if all().next().is_none() {
        (left, bottom) = (1.0, 1.0);
    }
    let xs = (left * 0.9..right.max(left * 2.0) * 1.1).log_scale();
    let mut chart = ChartBuilder::on(area);
    chart
        .caption(texts[0], ("sans-serif", 16))
        .margin(12)
        .set_label_area_size(LabelAreaPosition::Left, 70)
        .set_label_area_size(LabelAreaPosition::Bottom, 44);
    // Every number of threads or addresses that was measured gets its label, none in between.
    let mut marks: Vec<f64> = all().map(|&(x, _)| x).collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    let xs = xs.with_key_points(marks);
    macro_rules! draw {
        ($ys:expr, $format:expr) => {{
            let mut chart = chart.build_cartesian_2d(xs, $ys)?;
            chart
                .configure_mesh()
                .x_desc(texts[1])
                .y_desc(texts[2])
                .x_label_formatter(&|x| number(*x))
                .y_label_formatter(&$format)
                .label_style(FONT)
                .axis_desc_style(FONT)
                .draw()?;
            for line in series {
                let color = line.color;
                chart
                    .draw_series(LineSeries::new(
                        line.points.iter().copied(),
                        color.stroke_width(2),
                    ))?
                    .label(line.label)
                    .legend(move |(x, y)| {
                        Rectangle::new([(x, y - 5), (x + 14, y + 5)], color.filled())
                    });
                chart.draw_series(
                    line.points
                        .iter()
                        .map(|&point| Circle::new(point, 3, color.filled())),
                )?;
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .label_font(LEGEND)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK)
                .draw()?;
        }};
    }
    if logarithmic {
        // Room above for the legend.
        draw!((bottom * 0.5..top * 30.0).log_scale(), |y: &f64| number(*y));
    } else {
        draw!(0.0..top * 1.4, |y: &f64| format!("{y:.0}"));
    }
    Ok(())
}

/// A language's name, and what a call costs: ours, the same without us, a peer's.
type CallCost<'a> = (&'a str, Option<f64>, Option<f64>, Option<f64>);

/// Bars: what a decision costs in each language, what the same call costs without it, and a peer.
fn calls(report: &Report, path: &Path) -> Result<(), Error> {
    let rust = "the same call in Rust";
    let numpy = "python/batch of 1000, NumPy";
    let groups: [CallCost; 8] = [
        (
            "Rust",
            report.value("c_abi/check/anonymous", rust),
            None,
            None,
        ),
        (
            "C",
            report.value("c_abi/check/anonymous", OURS),
            report.value("c_abi/check/anonymous", rust),
            None,
        ),
        (
            "Go",
            report.value("go/Check", OURS),
            report.value("go/Check", "an empty call + the engine alone"),
            report.value("go/Admit/ips=1000/goroutines=1", "mutex+lru+rate"),
        ),
        (
            "Python",
            report.value("python/check, anonymous", OURS),
            report.value("python/check, anonymous", "empty PyO3 call"),
            report.value("python/check, anonymous", "limits + hmac.compare_digest"),
        ),
        (
            "Rust, of a batch of 64",
            report.value("c_abi/batch of 64/anonymous", rust),
            None,
            None,
        ),
        (
            "C, of a batch of 64",
            report.value("c_abi/batch of 64/anonymous", OURS),
            report.value("c_abi/batch of 64/anonymous", rust),
            None,
        ),
        (
            "Go, of a batch of 64",
            report.value("go/AdmitBatch/ips=1000", OURS),
            None,
            report.value("go/AdmitBatch/ips=1000", "mutex+lru+rate"),
        ),
        (
            "Python, of a batch of 1000",
            report.value(numpy, OURS),
            None,
            None,
        ),
    ];
    let root = SVGBackend::new(path, (960, 460)).into_drawing_area();
    root.fill(&WHITE)?;
    let rows = groups.len() as f64;
    let mut chart = ChartBuilder::on(&root)
        .caption(
            "One decision on an anonymous event, by language",
            ("sans-serif", 16),
        )
        .margin(12)
        .set_label_area_size(LabelAreaPosition::Left, 190)
        .set_label_area_size(LabelAreaPosition::Bottom, 40)
        .build_cartesian_2d((1.0..100_000.0).log_scale(), 0.0..rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .x_desc("ns")
        .x_label_formatter(&|x| number(*x))
        .label_style(FONT)
        .axis_desc_style(FONT)
        .draw()?;
    for (row, group) in groups.iter().enumerate() {
        let (_, y) = chart.backend_coord(&(1.0, rows - row as f64 - 0.5));
        root.draw(&Text::new(group.0, (14, y - 7), FONT))?;
    }
    for (index, (label, color)) in [
        ("tollbar", TOLLBAR),
        ("of that: the floor beside it in the table", GOVERNOR),
        ("a peer of that language", LRU),
    ]
    .into_iter()
    .enumerate()
    {
        let mut bars = Vec::new();
        for (row, group) in groups.iter().enumerate() {
            let Some(value) = [group.1, group.2, group.3][index] else {
                continue;
            };
            let upper = rows - row as f64 - 0.12 - 0.26 * index as f64;
            bars.push((value, upper));
        }
        chart
            .draw_series(bars.iter().map(|&(value, upper)| {
                Rectangle::new([(1.0, upper - 0.24), (value, upper)], color.filled())
            }))?
            .label(label)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], color.filled()));
        for (value, upper) in bars {
            let (x, y) = chart.backend_coord(&(value, upper - 0.12));
            root.draw(&Text::new(
                format!("{value:.0}"),
                (x + 4, y - 6),
                ("sans-serif", 11),
            ))?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font(LEGEND)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}

/// A round number, short.
fn number(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{}G", v / 1e9),
        v if v >= 1e6 => format!("{}M", v / 1e6),
        v if v >= 1e3 => format!("{}k", v / 1e3),
        v => format!("{v}"),
    }
}
