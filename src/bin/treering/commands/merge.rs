//! `merge`

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use treering::{Conflict, Connection, Merge, Revision};

use crate::commands::text_of;
use crate::database::{Target, open_writer};
use crate::engine;
use crate::failure::{Failure, Outcome};
use crate::output::report_lines;
use crate::progress::grouped;

/// Merge a branch or a commit into a branch: --branch names it, or else it is :db
///
/// What the two have changed since they parted is worked out, unless tx-data is given. Where both have changed the same,
/// nothing is written and the conflicts are listed.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE, the branch or commit to merge, and perhaps tx-data as EDN; - reads it from standard input
    #[arg(value_name = "DATABASE FROM [TX-DATA]")]
    words: Vec<String>,
    /// Read the tx-data from a file; - is standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Settle conflicts
    #[arg(long, value_enum)]
    take: Option<Side>,
    /// Only show conflicts and how much there is to do
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Side {
    /// The branch stays as it is
    Ours,
    /// What is merged wins
    Theirs,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, words) = args.target.split(&args.words, &["the branch or commit to merge"], 2)?;
    let from = Revision::from(words.first().map(String::as_str).unwrap_or_default());
    let given = if words.len() > 1 || args.file.is_some() {
        Some(text_of(words.get(1), args.file.as_deref(), "the tx-data")?)
    } else {
        None
    };
    let conn = open_writer(&config)?;
    let merged = match given {
        Some(text) if !args.dry_run => {
            let made = engine::tx_data(&text).and_then(|data| conn.merge_db([from], data));
            made.map(|report| report_lines(&report))
        }
        _ => merge(args, &conn, from, out)?,
    };
    // The first failure is the one to tell.
    let released = conn.release();
    let told = merged?;
    released?;
    writeln!(out, "{told}")?;
    Ok(())
}

/// Works the merge out and makes it; what is to be told of it.
fn merge(args: &Args, conn: &Connection, from: Revision, out: &mut dyn Write) -> Outcome<treering::Result<String>> {
    let found = match conn.merge_from(from) {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    let Merge { ops, conflicts } = match args.take {
        Some(Side::Ours) => found.keep_ours(),
        Some(Side::Theirs) => found.take_theirs(),
        None => found,
    };
    for conflict in &conflicts {
        writeln!(out, "{}", line(conflict))?;
    }
    if args.dry_run {
        let told = format!("{} operations, {} conflicts", grouped(ops.len() as u64), grouped(conflicts.len() as u64));
        return Ok(Ok(told));
    }
    if !conflicts.is_empty() {
        let _ = conn.release();
        let message = format!(
            "{} conflicts, nothing was merged: give --take ours or --take theirs, or tx-data that settles them",
            grouped(conflicts.len() as u64)
        );
        return Err(Failure::Io(message));
    }
    Ok(conn.merge_db([from], ops).map(|report| report_lines(&report)))
}

/// A conflict in one line.
fn line(conflict: &Conflict) -> String {
    let [base, ours, theirs] = [0, 1, 2]
        .map(|i| conflict.values.get(i).and_then(Option::as_ref).map_or("nothing".to_owned(), |v| format!("{v:?}")));
    let kind = conflict.kind.as_str();
    let entity = conflict.ours.map_or_else(|| format!("their entity {}", conflict.theirs), |e| format!("entity {e}"));
    match conflict.attribute {
        Some(attribute) => format!("{kind}: {entity} {attribute}: base {base}, ours {ours}, theirs {theirs}"),
        None => format!("{kind}: {entity}"),
    }
}
