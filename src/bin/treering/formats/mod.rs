//! Files of data: their formats, how they are opened, and the records in them.

mod pieces;
mod records;
mod source;

pub use pieces::{Dialect, Pieces, is_complete};
pub use records::{Record, records};
pub use source::Source;

use clap::ValueEnum;

/// A format of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tx-data: entity maps and operations
    Edn,
    /// Datoms with their transactions, as EDN: [e a v tx added]
    Datoms,
    /// An array of objects, or objects one after another
    Json,
    /// One object on each line
    Jsonl,
    /// Comma-separated values with a header line
    Csv,
    /// Tab-separated values with a header line
    Tsv,
}

impl Format {
    /// The format that a file's name tells, a final `.gz` left out.
    pub fn of_name(name: &str) -> Option<Format> {
        let name = name.to_ascii_lowercase();
        let (_, extension) = name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?;
        Some(match extension {
            "edn" => Format::Edn,
            "datoms" => Format::Datoms,
            "json" => Format::Json,
            "jsonl" | "ndjson" => Format::Jsonl,
            "csv" => Format::Csv,
            "tsv" | "tab" => Format::Tsv,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_formats() {
        assert_eq!(Format::of_name("a/b.JSONL.gz"), Some(Format::Jsonl));
        assert_eq!(Format::of_name("x.edn"), Some(Format::Edn));
        assert_eq!(Format::of_name("x.datoms.gz"), Some(Format::Datoms));
        assert_eq!(Format::of_name("x.tar.gz"), None);
        assert_eq!(Format::of_name("csv"), None);
    }
}
