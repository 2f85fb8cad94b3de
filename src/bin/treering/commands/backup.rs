//! `backup` and `restore`

use std::io::Write;
use std::time::Duration;

use serde_json::json;
use treering::{BackupOptions, BackupReport, Config, backup, restore};

use super::age;
use crate::database::{Target, named};
use crate::failure::Outcome;
use crate::output::milliseconds;
use crate::progress::{self, grouped};

/// Copy a database to another store; the next time only what is new
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE and the store to copy it to: a path or a config map
    #[arg(value_name = "DATABASE TARGET")]
    words: Vec<String>,
    /// Copy this branch only; may be given several times
    #[arg(long = "only", value_name = "NAME")]
    branches: Vec<String>,
    /// Replace a database in the target that is no backup of this one
    #[arg(long)]
    overwrite: bool,
    /// Delete from the target what was replaced at least so long ago: a number with s, m, h or d
    #[arg(long, value_name = "AGE", value_parser = age)]
    prune: Option<Duration>,
    /// Write the report as JSON
    #[arg(long)]
    json: bool,
}

/// Make a database of a backup
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    target: Target,
    /// The backup and the DATABASE to make: paths or config maps
    #[arg(value_name = "BACKUP DATABASE")]
    words: Vec<String>,
    /// Restore this branch only; may be given several times
    #[arg(long = "only", value_name = "NAME")]
    branches: Vec<String>,
    /// Replace the database that the target holds
    #[arg(long)]
    overwrite: bool,
    /// Write the report as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (source, words) = args.target.split(&args.words, &["the target"], 1)?;
    let target = named(words.first().map_or("", String::as_str))?;
    let options = BackupOptions::new().overwrite(args.overwrite);
    let options = match args.prune {
        Some(age) => options.prune(age),
        None => options,
    };
    copy(backup, (&source, &target), options, &args.branches, ("copied", args.json), out)
}

pub fn run_restore(args: &RestoreArgs, out: &mut dyn Write) -> Outcome {
    let (source, words) = args.target.split(&args.words, &["the database to make"], 1)?;
    let target = named(words.first().map_or("", String::as_str))?;
    let options = BackupOptions::new().overwrite(args.overwrite);
    copy(restore, (&source, &target), options, &args.branches, ("restored", args.json), out)
}

type Copy = fn(&Config, &Config, &BackupOptions) -> treering::Result<BackupReport>;

fn copy(
    copy: Copy,
    (source, target): (&Config, &Config),
    options: BackupOptions,
    branches: &[String],
    (verb, as_json): (&str, bool),
    out: &mut dyn Write,
) -> Outcome {
    let options = branches.iter().fold(options, |options, name| options.branch(name.trim_start_matches(':')));
    let bar = progress::of_stages();
    let report = copy(source, target, &options.progress(progress::shown_on(&bar)));
    bar.finish_and_clear();
    let report = report?;
    let branches: serde_json::Map<String, serde_json::Value> =
        report.branches.iter().map(|(name, t)| (name.to_string(), json!(t.0))).collect();
    if as_json {
        let report = json!({
            "blobs": report.blobs, "bytes": report.bytes, "skipped": report.skipped, "transactions": report.transactions,
            "deleted": report.deleted, "branches": branches, "milliseconds": report.elapsed.as_millis() as u64,
        });
        writeln!(out, "{report}")?;
        return Ok(());
    }
    let (blobs, bytes) = (grouped(report.blobs), grouped(report.bytes));
    let took = milliseconds(report.elapsed);
    writeln!(out, "{verb} {blobs} blobs and {} transactions, {bytes} bytes, in {took}", grouped(report.transactions))?;
    for (name, t) in &report.branches {
        writeln!(out, "{name} up to transaction {t}")?;
    }
    if report.deleted > 0 {
        writeln!(out, "deleted {} blobs that were replaced", grouped(report.deleted))?;
    }
    Ok(())
}
