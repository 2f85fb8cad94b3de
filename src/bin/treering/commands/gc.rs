//! `gc`

use std::io::Write;
use std::time::Duration;

use treering::GcOptions;

use super::age;
use crate::database::{Target, open_writer};
use crate::failure::Outcome;
use crate::progress::grouped;

/// Delete what nothing needs any more: replaced indexes, and what was purged
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE
    #[arg(value_name = "DATABASE")]
    words: Vec<String>,
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Keep what was in use less than this long ago, for readers in other processes: a number with s, m, h or d
    #[arg(long, value_name = "AGE", default_value = "1h", value_parser = age)]
    min_age: Duration,
    /// List the keys of what is deleted
    #[arg(long, short)]
    list: bool,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, _) = args.target.split(&args.words, &[], 0)?;
    let conn = open_writer(&config)?;
    let report = conn.gc(GcOptions::new().min_age(args.min_age).dry_run(args.dry_run));
    // The first failure is the one to tell.
    let released = conn.release();
    let report = report?;
    released?;
    if args.list {
        report.deleted.iter().try_for_each(|key| writeln!(out, "{key}"))?;
    }
    let (verb, blobs, bytes) =
        (if args.dry_run { "could delete" } else { "deleted" }, report.deleted.len(), report.bytes);
    writeln!(out, "{verb} {} blobs, {} bytes", grouped(blobs as u64), grouped(bytes))?;
    if report.moved_bytes > 0 {
        writeln!(out, "moved {} bytes in use out of packs that were not", grouped(report.moved_bytes))?;
    }
    Ok(())
}
