//! Draws contention as an SVG: rate and tail latency by the number of contenders, a column for each
//! kind of conflict, a line without and with the contention lock. Its colours follow the reader's
//! preference for light or dark.
//!
//! Of `bench sweep`, and of the benchmark `fence_retry`, so it knows neither.

use std::fmt::Write;

/// What was measured in one cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// The kind of conflict, in words.
    pub(crate) conflict: &'static str,
    pub(crate) has_lock: bool,
    pub(crate) contenders: usize,
    /// Compared with one contender without the lock.
    pub(crate) rate: f64,
    pub(crate) p99_ms: f64,
}

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 470.0;
/// A panel, and where the first one begins.
const PANEL: (f64, f64) = (230.0, 150.0);
const ORIGIN: (f64, f64) = (64.0, 66.0);
const STEP: (f64, f64) = (278.0, 200.0);

const STYLE: &str = "\
    svg { font: 12px system-ui, sans-serif; }\n\
    .back { fill: #ffffff; } text { fill: #1f2328; } .title { font-weight: 600; font-size: 13px; }\n\
    .grid { stroke: #d1d9e0; stroke-width: 1; } .frame { stroke: #818b98; fill: none; }\n\
    .none { stroke: #0969da; } .always { stroke: #bc4c00; stroke-dasharray: 6 3; }\n\
    polyline { fill: none; stroke-width: 2; } circle { stroke-width: 2; fill: #ffffff; }\n\
    circle.always { stroke-dasharray: none; }\n\
    @media (prefers-color-scheme: dark) {\n\
    .back { fill: #0d1117; } text { fill: #f0f6fc; } .grid { stroke: #2f3742; }\n\
    .frame { stroke: #6e7681; } .none { stroke: #58a6ff; } .always { stroke: #ffa657; }\n\
    circle { fill: #0d1117; }\n\
    }";

/// What a row of panels shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    /// Compared with one contender, on a linear axis from 0.
    Rate,
    /// On a logarithmic axis, in milliseconds.
    Tail,
}

impl Row {
    fn title(self) -> &'static str {
        match self {
            Row::Rate => "rate; one without the lock is 1",
            Row::Tail => "99 of 100 operations end within, ms",
        }
    }

    fn value(self, point: &Point) -> f64 {
        match self {
            Row::Rate => point.rate,
            Row::Tail => point.p99_ms,
        }
    }

    /// The lines of the grid: below and above all points, so that one axis serves the whole row.
    fn ticks(self, points: &[Point]) -> Vec<f64> {
        let values = || points.iter().map(|point| self.value(point));
        let most = values().fold(0.0, f64::max);
        match self {
            Row::Rate => {
                let step = if most > 1.5 { 0.5 } else { 0.25 };
                (0..=(most / step).ceil().min(40.0) as u32)
                    .map(|number| f64::from(number) * step)
                    .collect()
            }
            Row::Tail => {
                let least = values().fold(f64::INFINITY, f64::min).clamp(0.01, 1e6);
                let (first, last) = (least.log10().floor(), most.max(0.1).log10().ceil());
                (first as i32..=last.max(first + 1.0) as i32)
                    .map(|power| 10f64.powi(power))
                    .collect()
            }
        }
    }

    /// Where a value is between the first and the last tick, from 0 to 1.
    fn place(self, value: f64, ticks: &[f64]) -> f64 {
        let (first, last) = (ticks.first().copied(), ticks.last().copied());
        let (Some(first), Some(last)) = (first, last) else {
            return 0.0;
        };
        match self {
            Row::Rate => value / last,
            Row::Tail => {
                let logarithm = |value: f64| value.max(first).log10();
                (logarithm(value) - logarithm(first)) / (logarithm(last) - logarithm(first))
            }
        }
    }
}

pub(crate) fn svg(points: &[Point]) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Rate and tail latency by the number of contenders\">\n<style>\n{STYLE}\n</style>\n\
         <rect class=\"back\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n"
    );
    for (x, has_lock, name) in [(64, false, "no lock"), (170, true, "lock always")] {
        let class = class(has_lock);
        let _ = writeln!(
            out,
            "<polyline class=\"{class}\" points=\"{x},20 {},20\"/><text x=\"{}\" y=\"24\">{name}</text>",
            x + 28,
            x + 36
        );
    }
    let mut contenders: Vec<usize> = points.iter().map(|point| point.contenders).collect();
    contenders.sort_unstable();
    contenders.dedup();
    let mut conflicts: Vec<&str> = points.iter().map(|point| point.conflict).collect();
    conflicts.dedup();
    for (line, row) in [Row::Rate, Row::Tail].into_iter().enumerate() {
        let ticks = row.ticks(points);
        let top = ORIGIN.1 + line as f64 * STEP.1;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\">{}</text>",
            ORIGIN.0,
            top - 8.0,
            row.title()
        );
        for (column, conflict) in conflicts.iter().copied().enumerate() {
            let left = ORIGIN.0 + column as f64 * STEP.0;
            if row == Row::Rate {
                let _ = writeln!(
                    out,
                    "<text class=\"title\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                    left + PANEL.0,
                    top - 24.0,
                    conflict
                );
            }
            panel(&mut out, (left, top), row, &ticks, &contenders);
            for has_lock in [false, true] {
                let of_line =
                    |point: &&Point| point.conflict == conflict && point.has_lock == has_lock;
                let line: Vec<_> = points
                    .iter()
                    .filter(of_line)
                    .map(|point| {
                        let at = contenders
                            .iter()
                            .position(|other| *other == point.contenders);
                        let x = left + across(at.unwrap_or(0), contenders.len());
                        let y = top + PANEL.1 * (1.0 - row.place(row.value(point), &ticks));
                        (x, y)
                    })
                    .collect();
                curve(&mut out, class(has_lock), &line);
            }
        }
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">contenders</text>\n</svg>",
        WIDTH / 2.0,
        HEIGHT - 12.0
    );
    out
}

fn class(has_lock: bool) -> &'static str {
    if has_lock { "always" } else { "none" }
}

/// Numbers of contenders are at equal distances.
fn across(at: usize, count: usize) -> f64 {
    (at as f64 + 0.5) / count.max(1) as f64 * PANEL.0
}

fn panel(out: &mut String, (left, top): (f64, f64), row: Row, ticks: &[f64], contenders: &[usize]) {
    let (width, height) = PANEL;
    for tick in ticks {
        let y = top + height * (1.0 - row.place(*tick, ticks));
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{left}\" y1=\"{y:.1}\" x2=\"{}\" y2=\"{y:.1}\"/><text x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{tick}</text>",
            left + width,
            left - 6.0,
            y + 4.0
        );
    }
    for (at, number) in contenders.iter().enumerate() {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{number}</text>",
            left + across(at, contenders.len()),
            top + height + 16.0
        );
    }
    let _ = writeln!(
        out,
        "<rect class=\"frame\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>"
    );
}

fn curve(out: &mut String, class: &str, points: &[(f64, f64)]) {
    let line: Vec<_> = points
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let _ = writeln!(
        out,
        "<polyline class=\"{class}\" points=\"{}\"/>",
        line.join(" ")
    );
    for (x, y) in points {
        let _ = writeln!(
            out,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
        );
    }
}
