//! `transact`

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::commands::text_of;
use crate::database::{Target, open_writer};
use crate::engine;
use crate::failure::Outcome;
use crate::output::{report_form, report_lines};

/// Make one transaction
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE and the tx-data as EDN; - reads it from standard input
    #[arg(value_name = "DATABASE TX-DATA")]
    words: Vec<String>,
    /// Read the tx-data from a file; - is standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How to show what was done
    #[arg(long, value_enum, default_value = "text")]
    mode: Shown,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shown {
    /// A line for people
    Text,
    /// An EDN map of tx, tempids and datoms
    Edn,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, words) = args.target.split(&args.words, &[], 1)?;
    let text = text_of(words.first(), args.file.as_deref(), "the tx-data")?;
    let conn = open_writer(&config)?;
    let report = match engine::transact(&conn, &text) {
        Ok(report) => report,
        Err(failure) => {
            // The error that matters is the first.
            let _ = conn.release();
            return Err(failure);
        }
    };
    conn.release()?;
    match args.mode {
        Shown::Text => writeln!(out, "{}", report_lines(&report))?,
        Shown::Edn => writeln!(out, "{}", report_form(&report))?,
    }
    Ok(())
}
