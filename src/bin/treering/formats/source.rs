//! Where data comes from.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;

use super::Format;
use crate::failure::{Failure, Outcome};

/// A file or standard input, which can be read more than once.
#[derive(Debug, Clone)]
pub struct Source {
    /// What messages call it.
    pub name: String,
    pub format: Format,
    place: Place,
    gzip: bool,
}

#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    /// Standard input, all of it.
    Bytes(Arc<[u8]>),
}

const BUFFER: usize = 1 << 16;

impl Source {
    /// The file `path`, or standard input for `-`; the format is told by the name unless it is given.
    pub fn new(path: &str, format: Option<Format>) -> Outcome<Source> {
        let told = format.or_else(|| Format::of_name(path));
        let format = told.ok_or_else(|| {
            let name = if path == "-" { "standard input" } else { path };
            Failure::Usage(format!(
                "the name {name} does not tell the format: give --format edn|datoms|json|jsonl|csv|tsv"
            ))
        })?;
        if path == "-" {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|cause| Failure::io("standard input cannot be read", &cause))?;
            let gzip = bytes.starts_with(&[0x1f, 0x8b]);
            return Ok(Source { name: "standard input".into(), format, place: Place::Bytes(bytes.into()), gzip });
        }
        let gzip = path.to_ascii_lowercase().ends_with(".gz");
        Ok(Source { name: path.to_owned(), format, place: Place::File(path.into()), gzip })
    }

    /// How many bytes it has as it lies there.
    pub fn bytes(&self) -> Option<u64> {
        match &self.place {
            Place::File(path) => std::fs::metadata(path).ok().map(|data| data.len()),
            Place::Bytes(bytes) => Some(bytes.len() as u64),
        }
    }

    /// The text from its beginning; the bytes read of it are told to `progress`.
    pub fn open(&self, progress: &ProgressBar) -> Outcome<Box<dyn BufRead>> {
        let raw: Box<dyn Read> = match &self.place {
            Place::File(path) => {
                let failed = |cause: std::io::Error| Failure::io(format!("{} cannot be read", self.name), &cause);
                let file = File::open(path).map_err(failed)?;
                // Some systems open a folder and fail to read it.
                if file.metadata().map_err(failed)?.is_dir() {
                    return Err(failed(std::io::ErrorKind::IsADirectory.into()));
                }
                Box::new(file)
            }
            Place::Bytes(bytes) => Box::new(Cursor::new(Arc::clone(bytes))),
        };
        let counted = progress.wrap_read(raw);
        Ok(if self.gzip {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(BufReader::with_capacity(BUFFER, counted))))
        } else {
            Box::new(BufReader::with_capacity(BUFFER, counted))
        })
    }
}
