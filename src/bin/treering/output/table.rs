//! Rows as a table.

use std::io::Write;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use treering::Value;
use treering::edn::inst;

use super::Rows;
use crate::failure::Outcome;

/// What a table has to fit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layout {
    /// Characters of a line; any number where there is none.
    pub width: Option<u16>,
    /// Most rows that are shown; all where there is none.
    pub most: Option<usize>,
}

impl Layout {
    /// The layout for standard output: that of the terminal, if it is one.
    pub fn of_stdout() -> Layout {
        if !super::is_terminal() {
            return Layout::default();
        }
        let (_, columns) = console::Term::stdout().size();
        Layout { width: Some(columns.max(20)), most: Some(1000) }
    }
}

/// Longest text of a cell, in characters: past it nothing is gained by showing more.
const LONGEST: usize = 2000;

/// The text of a value in a table or a CSV file: strings bare, instants as RFC 3339, nothing for `nil`.
pub fn cell_text(value: &Value) -> String {
    match value {
        Value::Nil => String::new(),
        Value::Str(text) | Value::Uri(text) => text.to_string(),
        Value::Instant(ms) => inst::format(*ms),
        Value::Uuid(id) => id.to_string(),
        other => other.to_form().to_string(),
    }
}

/// The text without what would leave its cell: control characters become spaces.
fn printable(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c });
    let mut shown: String = clean.clone().take(LONGEST).collect();
    if clean.count() > LONGEST {
        shown.push('…');
    }
    shown
}

fn is_number(value: &Value) -> bool {
    matches!(
        value,
        Value::Long(_) | Value::Double(_) | Value::Float(_) | Value::BigInt(_) | Value::BigDec(_) | Value::Ref(_)
    )
}

pub fn write(rows: &Rows, out: &mut dyn Write, layout: &Layout) -> Outcome {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    if let Some(width) = layout.width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table.set_header(rows.columns.iter().map(|name| printable(name)));
    let shown = rows.rows.len().min(layout.most.unwrap_or(usize::MAX));
    for row in rows.rows.iter().take(shown) {
        table.add_row(row.iter().map(|value| {
            let cell = Cell::new(printable(&cell_text(value)));
            if is_number(value) { cell.set_alignment(CellAlignment::Right) } else { cell }
        }));
    }
    writeln!(out, "{table}")?;
    if shown < rows.rows.len() {
        writeln!(out, "… {} more rows; the other modes show all", rows.rows.len() - shown)?;
    }
    Ok(())
}
