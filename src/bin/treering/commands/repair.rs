//! `repair`

use std::io::Write;

use serde_json::json;
use treering::{RepairOptions, RepairReport, repair};

use crate::database::{Target, named};
use crate::failure::{Failure, Outcome};
use crate::output::milliseconds;
use crate::progress::{self, grouped};

/// Save what a damaged store still has into a new one; exit code 1 if something is lost
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// The damaged DATABASE and the store to make: a path or a config map
    #[arg(value_name = "DATABASE TARGET")]
    words: Vec<String>,
    /// Write the report as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (source, words) = args.target.split(&args.words, &["the store to make"], 1)?;
    let target = named(words.first().map_or("", String::as_str))?;
    let bar = progress::of_stages();
    let report = repair(&source, &target, &RepairOptions::new().progress(progress::shown_on(&bar)));
    bar.finish_and_clear();
    let report = report?;
    if args.json {
        write_json(&report, out)?
    } else {
        write_text(&report, out)?
    }
    if report.losses.is_empty() { Ok(()) } else { Err(Failure::Told) }
}

fn write_json(report: &RepairReport, out: &mut dyn Write) -> Outcome {
    let loss = |loss: &treering::Loss| {
        json!({
            "branch": loss.branch.to_string(), "rows": loss.rows, "what": loss.what,
            "transactions": loss.transactions.map(|(first, last)| [first.0, last.0]),
        })
    };
    let branches: serde_json::Map<String, serde_json::Value> =
        report.branches.iter().map(|(name, t)| (name.to_string(), json!(t.0))).collect();
    let report = json!({
        "branches": branches, "rows": report.rows, "replayed": report.replayed, "transactions": report.transactions,
        "losses": report.losses.iter().map(loss).collect::<Vec<_>>(), "notes": report.notes,
        "milliseconds": report.elapsed.as_millis() as u64,
    });
    writeln!(out, "{report}")?;
    Ok(())
}

fn write_text(report: &RepairReport, out: &mut dyn Write) -> Outcome {
    report.notes.iter().try_for_each(|note| writeln!(out, "damaged: {note}"))?;
    for loss in &report.losses {
        writeln!(out, "lost from {}: {}", loss.branch, loss.what)?;
    }
    let took = milliseconds(report.elapsed);
    writeln!(out, "saved {} rows and {} transactions in {took}", grouped(report.rows), grouped(report.transactions))?;
    for (name, t) in &report.branches {
        writeln!(out, "{name} up to transaction {t}")?;
    }
    if report.losses.is_empty() {
        writeln!(out, "nothing is lost")?;
    }
    Ok(())
}
