//! Tables for people: columns that line up, no frames. Cells arrive painted.

use super::style::{QUIET, paint};

/// A table with headings and nothing around it.
pub fn draw(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(visible(cell));
        }
    }
    let headings = headings.iter().map(|heading| paint(QUIET, *heading)).collect();
    let mut text = String::new();
    for row in std::iter::once(headings).chain(rows) {
        let last = row.len().saturating_sub(1);
        let mut line = String::new();
        for (number, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(cell);
            if number < last {
                line.push_str(&" ".repeat(width.saturating_sub(visible(cell)) + 2));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// How many characters of a painted cell are seen.
fn visible(cell: &str) -> usize {
    anstream::adapter::strip_str(cell).to_string().chars().count()
}
