//! The report as one HTML file, plots included: it needs nothing else, and no script.

use jiff::Timestamp;
use minijinja::{AutoEscape, Environment, context};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::Outcome;
use super::terminal::{alternatives, figures, grouped};
use super::timeline::{Bucket, Timeline};
use crate::Error;

const TOP: usize = 50;
const SIZE: (u32, u32) = (960, 280);
const ADMITTED: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const REFUSED: RGBColor = RGBColor(0xd6, 0x27, 0x28);
const IN_USE: RGBColor = RGBColor(0x2c, 0xa0, 0x2c);

pub fn page(log: &str, outcome: &Outcome) -> Result<String, Error> {
    let mut plots = Vec::new();
    if let Some(timeline) = &outcome.tally.timeline {
        let seconds = timeline.width as f64 / 1e9;
        let rate = |events: u64| events as f64 / seconds;
        plots.push(plot(
            timeline,
            "Events a second",
            &[
                ("admitted", ADMITTED, &|bucket| rate(bucket.admitted)),
                ("refused", REFUSED, &|bucket| rate(bucket.refused)),
            ],
        )?);
        let counters = f64::from(outcome.limits.ip_limit);
        plots.push(plot(
            timeline,
            "Counters in use, per cent of ip_limit",
            &[("in use", IN_USE, &|bucket| {
                bucket.live as f64 * 100.0 / counters
            })],
        )?);
    }
    let clients = outcome.tally.clients.top(TOP);
    let most = clients.first().map_or(1, |(_, sent)| sent.refused.max(1));
    let clients: Vec<_> = clients
        .iter()
        .map(|(client, sent)| {
            context! {
                name => client.to_string(),
                refused => grouped(sent.refused),
                admitted => grouped(sent.admitted),
                width => sent.refused * 100 / most,
            }
        })
        .collect();
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    let page = templates.render_str(
        include_str!("report.html"),
        context! {
            log,
            version => env!("CARGO_PKG_VERSION"),
            figures => figures(outcome),
            plots,
            clients,
            missing => outcome.tally.clients.error,
            alternatives => if outcome.alternatives.is_empty() { Vec::new() } else { alternatives(outcome) },
            notes => &outcome.notes,
            bad => if outcome.bad.count > 0 { outcome.bad.to_string() } else { String::new() },
        },
    )?;
    Ok(page)
}

type Line<'a> = (&'a str, RGBColor, &'a dyn Fn(&Bucket) -> f64);

/// Lines over the time of the log, as SVG.
fn plot(timeline: &Timeline, title: &str, lines: &[Line<'_>]) -> Result<String, Error> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        draw(&area, timeline, title, lines).map_err(|error| Error::Plot(error.to_string()))?;
    }
    Ok(svg)
}

fn draw(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    timeline: &Timeline,
    title: &str,
    lines: &[Line<'_>],
) -> Result<(), Box<dyn std::error::Error>> {
    area.fill(&WHITE)?;
    let highest = timeline
        .buckets
        .iter()
        .flat_map(|bucket| lines.iter().map(|(_, _, value)| value(bucket)))
        .fold(1.0, f64::max);
    let at = |bucket: usize| (timeline.start + timeline.width * bucket as u64) as f64 / 1e9;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(70)
        .build_cartesian_2d(
            at(0)..at(timeline.buckets.len().max(1)),
            0.0..highest * 1.05,
        )?;
    chart
        .configure_mesh()
        .x_labels(8)
        .x_label_formatter(&|seconds| clock(*seconds))
        .light_line_style(WHITE)
        .draw()?;
    for &(name, colour, value) in lines {
        let points = timeline.buckets.iter().enumerate();
        // A bucket is as wide as it is: steps, not slopes.
        let steps =
            points.flat_map(|(i, bucket)| [(at(i), value(bucket)), (at(i + 1), value(bucket))]);
        chart
            .draw_series(LineSeries::new(steps, colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    if lines.len() > 1 {
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .draw()?;
    }
    area.present()?;
    Ok(())
}

/// `13:55:36` in UTC.
fn clock(seconds: f64) -> String {
    match Timestamp::from_second(seconds as i64) {
        Ok(at) => at.strftime("%H:%M:%S").to_string(),
        Err(_) => String::new(),
    }
}
