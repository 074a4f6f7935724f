//! Prints figures as an aligned Markdown table.

use std::fmt;

/// How many attempts each committed operation took.
pub(crate) struct Attempts(Vec<u64>);

impl Attempts {
    pub(crate) fn new(mut attempts: Vec<u64>) -> Self {
        attempts.sort_unstable();
        Self(attempts)
    }
}

/// The least value that `permille` of a thousand of these, which are in order, do not exceed.
pub(crate) fn quantile<T: Copy + Default>(sorted: &[T], permille: usize) -> T {
    let rank = (sorted.len() * permille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mean = self.0.iter().sum::<u64>() as f64 / self.0.len().max(1) as f64;
        let [p50, p99, most] = [500, 990, 1000].map(|permille| quantile(&self.0, permille));
        write!(f, "{mean:.2}/{p50}/{p99}/{most}")
    }
}

pub(crate) fn print(title: &str, headers: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max();
        widest.unwrap_or(0).max(headers[column].chars().count())
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let cells = cells.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:>width$}"))
            .collect();
        println!("| {} |", cells.join(" | "));
    };
    println!("\n{title}\n");
    line(headers.to_vec());
    let rules: Vec<String> = widths
        .iter()
        .map(|width| "-".repeat(width - 1) + ":")
        .collect();
    line(rules.iter().map(String::as_str).collect());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
    println!();
}
