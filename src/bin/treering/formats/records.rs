//! Records: the objects of JSON and the lines of CSV.

use std::io::{BufRead, Read};

use indicatif::ProgressBar;
use serde_json::Value;
use treering::documents::kind_name;
use treering::edn::Span;
use treering::{Error, ErrorKind};

use super::{Dialect, Format, Pieces, Source};
use crate::failure::Outcome;

/// Names and values, and the line they begin on, from 1. In CSV every value is a string.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub line: u64,
    pub fields: Vec<(String, Value)>,
}

impl Record {
    /// Names with their values.
    pub fn fields(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.fields.iter().map(|(name, value)| (name, value))
    }
}

/// A record that cannot be read.
#[derive(Debug)]
pub struct Bad {
    pub line: u64,
    pub error: Error,
    /// Whether nothing can be read after it.
    pub fatal: bool,
}

/// Most bytes of one line of JSON.
const LONGEST: u64 = 256 << 20;

/// A reader of records.
pub type Records = Box<dyn Iterator<Item = Result<Record, Bad>>>;

/// The records of a source that is not EDN.
pub fn records(source: &Source, progress: &ProgressBar) -> Outcome<Records> {
    let input = source.open(progress)?;
    Ok(match source.format {
        Format::Csv => separated(input, b','),
        Format::Tsv => separated(input, b'\t'),
        Format::Jsonl => Box::new(lines(input)),
        Format::Json | Format::Edn | Format::Datoms => {
            Box::new(Pieces::new(input, Dialect::Json).map(|piece| match piece {
                Ok(piece) => object(piece.line, &piece.text),
                Err(error) => Err(Bad { line: 0, error, fatal: true }),
            }))
        }
    })
}

fn object(line: u64, text: &str) -> Result<Record, Bad> {
    let bad = |error| Err(Bad { line, error, fatal: false });
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Ok(Record { line, fields: fields.into_iter().collect() }),
        Ok(other) => {
            let got = kind_name(&other);
            bad(Error::new(ErrorKind::Syntax, "import/record", format!("an object {{…}} was wanted, got {got}")))
        }
        Err(cause) => {
            // Its line is that of the piece, told elsewhere; its column is shown with the text.
            let message = cause.to_string();
            let message = message.split(" at line").next().unwrap_or_default();
            let error = Error::new(ErrorKind::Syntax, "import/json", format!("not JSON: {message}"));
            let before: usize = text.split_inclusive('\n').take(cause.line().saturating_sub(1)).map(str::len).sum();
            let at = u32::try_from((before + cause.column().saturating_sub(1)).min(text.len())).unwrap_or(0);
            bad(error.at(Span { start: at, end: at }, text))
        }
    }
}

fn lines(mut input: Box<dyn BufRead>) -> impl Iterator<Item = Result<Record, Bad>> {
    let mut line = 0;
    let mut done = false;
    std::iter::from_fn(move || {
        while !done {
            let mut bytes = Vec::new();
            line += 1;
            match input.by_ref().take(LONGEST).read_until(b'\n', &mut bytes) {
                Ok(0) => return None,
                Ok(length) if length as u64 == LONGEST && !bytes.ends_with(b"\n") => {
                    done = true;
                    let message = format!("one line is longer than {LONGEST} bytes");
                    let error = Error::new(ErrorKind::Limit, "import/limit", message);
                    return Some(Err(Bad { line, error, fatal: true }));
                }
                Ok(_) => {}
                Err(cause) => {
                    done = true;
                    let error = Error::new(ErrorKind::Storage, "import/read", cause.to_string()).caused_by(cause);
                    return Some(Err(Bad { line, error, fatal: true }));
                }
            }
            let Ok(text) = std::str::from_utf8(&bytes) else {
                let error = Error::new(ErrorKind::Syntax, "import/utf-8", "text that is not UTF-8");
                return Some(Err(Bad { line, error, fatal: false }));
            };
            let text = text.trim().trim_start_matches('\u{feff}');
            if !text.is_empty() {
                return Some(object(line, text));
            }
        }
        None
    })
}

fn separated(input: Box<dyn BufRead>, delimiter: u8) -> Records {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(input);
    let header: Result<Vec<String>, csv::Error> = reader.headers().map(|header| {
        let names = header.iter().enumerate().map(|(i, name)| {
            let name = name.trim().trim_start_matches('\u{feff}');
            if name.is_empty() { format!("column-{}", i + 1) } else { name.to_owned() }
        });
        names.collect()
    });
    let mut done = false;
    let mut header = header.map_err(Some);
    Box::new(std::iter::from_fn(move || {
        if done {
            return None;
        }
        let names = match &mut header {
            Ok(names) => names,
            Err(cause) => {
                done = true;
                return cause.take().map(|cause| Err(bad_line(cause, 1)));
            }
        };
        let mut row = csv::StringRecord::new();
        let line = reader.position().line();
        match reader.read_record(&mut row) {
            Ok(false) => None,
            Ok(true) => {
                let line = row.position().map_or(line, csv::Position::line);
                let cells = names.iter().zip(row.iter());
                let fields = cells.map(|(name, text)| {
                    let value = if text.is_empty() { Value::Null } else { Value::String(text.to_owned()) };
                    (name.clone(), value)
                });
                Some(Ok(Record { line, fields: fields.collect() }))
            }
            Err(cause) => {
                let bad = bad_line(cause, line);
                done = bad.fatal;
                Some(Err(bad))
            }
        }
    }))
}

fn bad_line(cause: csv::Error, line: u64) -> Bad {
    let line = cause.position().map_or(line, csv::Position::line);
    let (code, message, fatal) = match cause.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            ("import/csv", format!("the header names {expected_len} columns, the line has {len}"), false)
        }
        csv::ErrorKind::Utf8 { .. } => ("import/utf-8", "text that is not UTF-8".to_owned(), false),
        _ => ("import/read", cause.to_string(), true),
    };
    let kind = if fatal { ErrorKind::Storage } else { ErrorKind::Syntax };
    Bad { line, error: Error::new(kind, code, message).caused_by(cause), fatal }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &[u8]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let source = Source::new(&path.to_string_lossy(), None).unwrap();
        let shown = |record: Result<Record, Bad>| match record {
            Ok(record) => {
                let fields: Vec<String> = record.fields.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("{} {}", record.line, fields.join(" "))
            }
            Err(bad) => format!("{} {} {}", bad.line, bad.error.code(), bad.fatal),
        };
        records(&source, &ProgressBar::hidden()).unwrap().map(shown).collect()
    }

    #[test]
    fn lines_of_json() {
        let text = b"{\"a\":1}\n\nnonsense\n[1]\n{\"b\":[true,null]}";
        assert_eq!(
            read("x.jsonl", text),
            ["1 a=1", "3 import/json false", "4 import/record false", "5 b=[true,null]",]
        );
        assert_eq!(read("x.jsonl", b"\xff\n{}"), ["1 import/utf-8 false", "2 "]);
    }

    #[test]
    fn arrays_of_json() {
        assert_eq!(read("x.json", b"[{\"a\":1},\n{\"a\":{\"b\":2}}]"), ["1 a=1", "2 a={\"b\":2}"]);
        assert_eq!(read("x.json", b"[{\"a\":1},\n{\"a\""), ["1 a=1", "2 import/json false"]);
        assert_eq!(read("x.json", b"[{\"a\":1},\n"), ["1 a=1", "0 import/cut-off true"]);
    }

    #[test]
    fn lines_of_csv() {
        let text = b"id,,name\n1,x,\"A\nB\"\n2,3\n4,,C\n";
        assert_eq!(
            read("x.csv", text),
            ["2 id=\"1\" column-2=\"x\" name=\"A\\nB\"", "4 import/csv false", "5 id=\"4\" column-2=null name=\"C\"",]
        );
        assert_eq!(read("x.tsv", b"a\tb\n1\t2\n"), ["2 a=\"1\" b=\"2\""]);
        assert_eq!(read("x.csv", b""), Vec::<String>::new());
    }

    #[test]
    fn compressed() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"{\"a\":1}\n{\"a\":2}").unwrap();
        let mut bytes = encoder.finish().unwrap();
        assert_eq!(read("x.jsonl.gz", &bytes), ["1 a=1", "2 a=2"]);
        bytes.truncate(bytes.len() - 9);
        assert!(read("x.jsonl.gz", &bytes).last().is_some_and(|last| last.ends_with("import/read true")));
    }
}
