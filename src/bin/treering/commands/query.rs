//! `query`

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use treering::edn::{Form, read};

use crate::commands::text_of;
use crate::database::{Target, View, open_reader};
use crate::engine;
use crate::failure::Outcome;
use crate::output::{Layout, Mode, foot, is_terminal};

/// Ask a query
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE and the query as EDN; - reads it from standard input
    #[arg(value_name = "DATABASE QUERY")]
    words: Vec<String>,
    /// Read the query from a file; - is standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// An input after the database, as EDN; give it once for each
    #[arg(long, short, value_name = "EDN")]
    input: Vec<String>,
    #[command(flatten)]
    view: View,
    /// How to write the rows; a table on a terminal, EDN elsewhere
    #[arg(long, short, value_enum)]
    mode: Option<Mode>,
    /// End the query after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// End the query when a step of it makes more rows
    #[arg(long, value_name = "ROWS")]
    max_rows: Option<u64>,
}

/// The inputs after the database. A text that is no EDN is an error that names it.
pub fn inputs(texts: &[String]) -> Outcome<Vec<Form>> {
    let read =
        |(i, text): (usize, &String)| Ok(read(text).map_err(|error| error.context(format!("--input {}", i + 1)))?);
    texts.iter().enumerate().map(read).collect()
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, words) = args.target.split(&args.words, &[], 1)?;
    let text = text_of(words.first(), args.file.as_deref(), "the query")?;
    let inputs = inputs(&args.input)?;
    let conn = open_reader(&config)?;
    let db = args.view.of(&conn.db())?;
    let limits = engine::Limits {
        timeout: args.timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        max_rows: args.max_rows,
    };
    let answer = engine::query(&db, &text, inputs, &limits)?;
    let mode = args.mode.unwrap_or(if is_terminal() { Mode::Table } else { Mode::Edn });
    answer.rows.write(out, mode, &Layout::of_stdout(), &|| answer.form.clone())?;
    if mode == Mode::Table {
        writeln!(out, "{}", foot(answer.rows.rows.len(), Some(answer.took)))?;
    }
    Ok(())
}
