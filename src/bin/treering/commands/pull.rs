//! `pull`

use std::io::Write;

use clap::ValueEnum;
use treering::EntityRef;
use treering::edn::{pretty, read};

use crate::database::{Target, View, open_reader};
use crate::engine;
use crate::failure::Outcome;
use crate::output::{is_terminal, json_of};

/// Pull the attributes of an entity
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE, a pattern as [* {:friend [:name]}], and entities: ids, idents or lookup refs as [:name "Alice"]
    #[arg(value_name = "DATABASE PATTERN ENTITY")]
    words: Vec<String>,
    #[command(flatten)]
    view: View,
    /// How to write what was pulled
    #[arg(long, short, value_enum, default_value = "edn")]
    mode: Shown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shown {
    /// One EDN map for each entity
    Edn,
    /// One JSON object on each line
    Json,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, words) = args.target.split(&args.words, &["a pattern", "an entity"], usize::MAX)?;
    let Some((pattern, entities)) = words.split_first() else { return Ok(()) };
    let conn = open_reader(&config)?;
    let db = args.view.of(&conn.db())?;
    for text in entities {
        let entity = EntityRef::from_form(&read(text)?)?;
        let pulled = engine::pull(&db, pattern, entity)?;
        match args.mode {
            Shown::Json => writeln!(out, "{}", json_of(&pulled))?,
            Shown::Edn if is_terminal() => writeln!(out, "{}", pretty(&pulled.to_form(), 100))?,
            Shown::Edn => writeln!(out, "{}", pulled.to_form())?,
        }
    }
    Ok(())
}
