//! What people read on standard output.

use std::io::Write as _;

/// Prints a line. With care, for a pipe may be closed.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// A table that grows while it is measured.
pub(crate) struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// Prints the head: titles with the least width of their column.
    pub(crate) fn new(columns: &[(&str, usize)]) -> anyhow::Result<Self> {
        let widths = columns
            .iter()
            .map(|(title, width)| title.chars().count().max(*width))
            .collect();
        let table = Self { widths };
        let titles: Vec<String> = columns
            .iter()
            .map(|(title, _)| (*title).to_owned())
            .collect();
        table.row(&titles)?;
        Ok(table)
    }

    /// Prints a row.
    pub(crate) fn row(&self, cells: &[String]) -> anyhow::Result<()> {
        let padded: Vec<String> = cells
            .iter()
            .zip(&self.widths)
            .map(|(cell, width)| format!("{cell:>width$}"))
            .collect();
        say(&format!("  {}", padded.join("  ")))
    }
}

/// The middle value; 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The smallest value that this share of all does not exceed; 0 of none.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(median(&values), 3.0);
        assert_eq!(quantile(&values, 0.95), 5.0);
        assert_eq!(quantile(&values, 0.2), 1.0);
        assert_eq!(median(&[]), 0.0);
    }
}
