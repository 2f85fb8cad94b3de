//! `migrate`

use std::io::Write;
use std::path::PathBuf;

use treering::{Migrations, TxReport};

use crate::database::{Target, open_reader, open_writer};
use crate::failure::Outcome;

/// Transact the files of a folder that the database has not had, in the order of their names
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE and the folder of .edn files
    #[arg(value_name = "DATABASE FOLDER")]
    words: Vec<String>,
    /// Show what would be done and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Write checksums.edn into the folder, which later runs compare the files with; the database is not touched
    #[arg(long, conflicts_with = "dry_run")]
    write_checksums: bool,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, words) = args.target.split(&args.words, &["a folder"], 1)?;
    let folder = words.first().map(PathBuf::from).unwrap_or_default();
    if args.write_checksums {
        let count = Migrations::write_checksums(&folder)?.all().len();
        writeln!(out, "wrote the checksums of {count} migrations to {}", folder.join("checksums.edn").display())?;
        return Ok(());
    }
    let migrations = Migrations::read(&folder)?;
    let conn = if args.dry_run { open_reader(&config) } else { open_writer(&config) }?;
    let db = conn.db();
    let names: Result<Vec<_>, _> = migrations.pending(&db).map(|all| all.iter().map(|one| one.name()).collect());
    let done = names.and_then(|names| match args.dry_run {
        true => migrations.dry_run(&db).map(|reports| (names, reports.iter().map(datoms).collect())),
        false => migrations.apply(&conn).map(|reports| (names, reports.iter().map(|one| datoms(one)).collect())),
    });
    let released = conn.release();
    let (names, datoms): (Vec<_>, Vec<usize>) = done?;
    released?;
    let done = if args.dry_run { "would be applied" } else { "applied" };
    for (name, datoms) in names.iter().zip(datoms) {
        writeln!(out, "{done}: {} ({datoms} datoms)", name.as_str())?;
    }
    if names.is_empty() {
        writeln!(out, "nothing to do: all {} were applied before", migrations.all().len())?;
    }
    Ok(())
}

fn datoms(report: &TxReport) -> usize {
    report.tx_data.len()
}
