//! How results are shown.

mod json;
mod table;

pub use json::json_of;
pub use table::{Layout, cell_text};

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::ValueEnum;
use treering::edn::{Form, Keyword};
use treering::{TxReport, Value};

use crate::failure::Outcome;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A table that fits the terminal
    Table,
    /// One EDN form
    Edn,
    /// One JSON array of objects
    Json,
    /// One JSON object on each line
    Jsonl,
    /// Comma-separated values with a header line
    Csv,
}

/// Rows with names for their columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
}

/// What standard output is.
pub fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether colours may be used on a stream that is a terminal or not.
pub fn colours(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

impl Rows {
    /// Writes the rows. `form` is the whole result as the engine tells it, for EDN.
    pub fn write(&self, out: &mut dyn Write, mode: Mode, layout: &Layout, form: &dyn Fn() -> Form) -> Outcome {
        match mode {
            Mode::Table => table::write(self, out, layout)?,
            Mode::Edn => writeln!(out, "{}", form())?,
            Mode::Json => {
                out.write_all(b"[")?;
                for (i, row) in self.rows.iter().enumerate() {
                    write!(out, "{}{}", if i == 0 { "" } else { ",\n " }, self.object(row))?;
                }
                out.write_all(b"]\n")?;
            }
            Mode::Jsonl => {
                for row in &self.rows {
                    writeln!(out, "{}", self.object(row))?;
                }
            }
            Mode::Csv => self.write_csv(out)?,
        }
        Ok(())
    }

    fn object(&self, row: &[Value]) -> serde_json::Value {
        let fields = self.columns.iter().zip(row).map(|(name, value)| (plain(name), json_of(value)));
        serde_json::Value::Object(fields.collect())
    }

    fn write_csv(&self, out: &mut dyn Write) -> Outcome {
        let mut writer = csv::Writer::from_writer(out);
        let wrong = |cause: csv::Error| std::io::Error::from(cause);
        writer.write_record(self.columns.iter().map(|name| plain(name))).map_err(wrong)?;
        for row in &self.rows {
            writer.write_record(row.iter().map(cell_text)).map_err(wrong)?;
        }
        writer.flush()?;
        Ok(())
    }

    /// The rows as a vector of vectors.
    pub fn to_form(&self) -> Form {
        let row = |row: &Vec<Value>| Form::from(row.iter().map(Value::to_form).collect::<Vec<_>>());
        Form::from(self.rows.iter().map(row).collect::<Vec<_>>())
    }
}

/// The name of a variable or attribute without its mark.
fn plain(name: &str) -> String {
    name.trim_start_matches(['?', ':']).to_owned()
}

/// `12 rows in 3.4 ms`
pub fn foot(rows: usize, took: Option<Duration>) -> String {
    let noun = if rows == 1 { "row" } else { "rows" };
    match took {
        Some(took) => format!("{rows} {noun} in {}", milliseconds(took)),
        None => format!("{rows} {noun}"),
    }
}

/// Milliseconds with as many digits as matter.
pub fn milliseconds(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

/// What a transaction did, in a line or two.
pub fn report_lines(report: &TxReport) -> String {
    let added = report.tx_data.iter().filter(|datom| datom.added).count();
    let retracted = report.tx_data.len() - added;
    let mut text = format!("transaction {}: {added} added, {retracted} retracted", report.db_after.basis_t());
    let ids: Vec<String> = report
        .tempids
        .iter()
        .map(|(name, id)| (name.to_string(), id))
        .filter(|(name, _)| !name.contains("current-tx"))
        .map(|(name, id)| format!("{name} → {id}"))
        .collect();
    if !ids.is_empty() {
        const SHOWN: usize = 12;
        let more = ids.len().saturating_sub(SHOWN);
        let shown = ids.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        text.push_str(&format!("\ntempids: {shown}"));
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
    }
    text
}

/// What a transaction did, as a form.
pub fn report_form(report: &TxReport) -> Form {
    let key = |name: &str| Form::from(Keyword::new(name));
    let id = |id: treering::EntityId| Form::from(i64::try_from(id.0).unwrap_or(i64::MAX));
    let datoms = report.tx_data.iter().map(|datom| {
        let attribute = report.db_after.shown_attribute(datom.a).to_form();
        let value = datom.v.to_form();
        Form::from(vec![id(datom.e), attribute, value, id(datom.tx), Form::from(datom.added)])
    });
    let tempids = report.tempids.iter().map(|(name, to)| {
        let name = name.to_string();
        (name.parse::<i64>().map_or_else(|_| Form::from(name.trim_matches('"')), Form::from), id(*to))
    });
    Form::map(vec![
        (key("tx"), id(report.db_after.basis_t())),
        (key("tempids"), Form::map(tempids.collect())),
        (key("tx-data"), Form::from(datoms.collect::<Vec<_>>())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        Rows {
            columns: vec!["?name".into(), "?age".into(), "(sum ?x)".into()],
            rows: vec![
                vec![Value::from("A, \"B\""), Value::from(7_i64), Value::from(1.5)],
                vec![Value::from(Keyword::new("k/v")), Value::Nil, Value::from(vec![Value::from(1_i64)])],
            ],
        }
    }

    fn written(mode: Mode) -> String {
        let mut out = Vec::new();
        let rows = rows();
        rows.write(&mut out, mode, &Layout::default(), &|| rows.to_form()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn modes() {
        assert_eq!(written(Mode::Edn), "[[\"A, \\\"B\\\"\" 7 1.5] [:k/v nil [1]]]\n");
        assert_eq!(written(Mode::Csv), "name,age,(sum ?x)\n\"A, \"\"B\"\"\",7,1.5\n:k/v,,[1]\n");
        let lines = written(Mode::Jsonl);
        assert_eq!(lines.lines().next(), Some("{\"(sum ?x)\":1.5,\"age\":7,\"name\":\"A, \\\"B\\\"\"}"));
        assert_eq!(lines.lines().nth(1), Some("{\"(sum ?x)\":[1],\"age\":null,\"name\":\":k/v\"}"));
        let array: serde_json::Value = serde_json::from_str(&written(Mode::Json)).unwrap();
        assert_eq!(array.as_array().map(Vec::len), Some(2));
        assert_eq!(foot(1, None), "1 row");
        assert_eq!(foot(2, Some(Duration::from_micros(1500))), "2 rows in 1.50 ms");
    }

    #[test]
    fn tables_fit_their_width() {
        let table = written(Mode::Table);
        assert!(table.contains("│ ?name") && table.contains("A, \"B\""), "{table}");
        let wide = Rows { columns: vec!["?t".into()], rows: vec![vec![Value::from("x ".repeat(300).as_str())]] };
        let mut out = Vec::new();
        let layout = Layout { width: Some(40), ..Layout::default() };
        wide.write(&mut out, Mode::Table, &layout, &|| wide.to_form()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        let many = Rows { columns: vec!["?n".into()], rows: (0..50).map(|n| vec![Value::from(n as i64)]).collect() };
        let mut out = Vec::new();
        let layout = Layout { most: Some(10), ..Layout::default() };
        many.write(&mut out, Mode::Table, &layout, &|| many.to_form()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("40 more rows"), "{text}");
        assert!(text.contains(" 9 ") && !text.contains("10"), "{text}");
    }
}
