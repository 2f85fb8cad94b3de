//! `explain`

use std::io::Write;
use std::path::PathBuf;

use crate::commands::query::inputs;
use crate::commands::text_of;
use crate::database::{Target, View, open_reader};
use crate::engine::{self, PlanFormat};
use crate::failure::Outcome;

/// Show the plan of a query
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
    /// Run the query, and tell what each step did
    #[arg(long)]
    analyze: bool,
    /// How to write the plan
    #[arg(long, value_enum, default_value = "text")]
    format: PlanFormat,
    #[command(flatten)]
    view: View,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, words) = args.target.split(&args.words, &[], 1)?;
    let text = text_of(words.first(), args.file.as_deref(), "the query")?;
    let inputs = inputs(&args.input)?;
    let conn = open_reader(&config)?;
    let db = args.view.of(&conn.db())?;
    writeln!(out, "{}", engine::explain(&db, &text, inputs, args.analyze, args.format)?)?;
    Ok(())
}
