//! `verify`

use std::io::Write;

use serde_json::json;
use treering::{VerifyOptions, VerifyReport, verify};

use crate::database::Target;
use crate::failure::{Failure, Outcome};
use crate::output::milliseconds;
use crate::progress::{self, grouped};

/// Read and check everything that a store holds; exit code 1 if anything is wrong
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE
    #[arg(value_name = "DATABASE")]
    words: Vec<String>,
    /// List the blobs that nothing refers to
    #[arg(long)]
    garbage: bool,
    /// Tell of at most so many problems
    #[arg(long, value_name = "N", default_value_t = 1000)]
    most: usize,
    /// Write the report as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, _) = args.target.split(&args.words, &[], 0)?;
    let bar = progress::of_stages();
    let options = VerifyOptions::new().most_problems(args.most).progress(progress::shown_on(&bar));
    let report = verify(&config, &options);
    bar.finish_and_clear();
    let report = report?;
    if args.json {
        write_json(&report, out)?
    } else {
        write_text(&report, args.garbage, out)?
    }
    if report.is_sound() { Ok(()) } else { Err(Failure::Told) }
}

fn write_json(report: &VerifyReport, out: &mut dyn Write) -> Outcome {
    let problem = |p: &treering::Problem| json!({ "code": format!(":{}", p.code), "key": p.key, "what": p.what });
    let garbage = |(key, size): &(String, u64)| json!({ "key": key, "bytes": size });
    let report = json!({
        "sound": report.is_sound(), "blobs": report.blobs, "bytes": report.bytes, "commits": report.commits,
        "nodes": report.nodes, "rows": report.rows, "transactions": report.transactions,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(), "more-problems": report.more_problems,
        "garbage": report.garbage.iter().map(garbage).collect::<Vec<_>>(),
        "milliseconds": report.elapsed.as_millis() as u64,
    });
    writeln!(out, "{report}")?;
    Ok(())
}

fn write_text(report: &VerifyReport, garbage: bool, out: &mut dyn Write) -> Outcome {
    for problem in &report.problems {
        writeln!(out, "{}: {} (:{})", problem.key, problem.what, problem.code)?;
    }
    if garbage {
        report.garbage.iter().try_for_each(|(key, size)| writeln!(out, "{key}: {} bytes unused", grouped(*size)))?;
    }
    let (blobs, bytes, rows) = (grouped(report.blobs), grouped(report.bytes), grouped(report.rows));
    let (took, transactions) = (milliseconds(report.elapsed), grouped(report.transactions));
    writeln!(out, "{blobs} blobs, {bytes} bytes, {rows} rows, {transactions} transactions read in {took}")?;
    let unused: u64 = report.garbage.iter().map(|(_, size)| size).sum();
    if unused > 0 {
        writeln!(out, "{} blobs, {} bytes are in no use", grouped(report.garbage.len() as u64), grouped(unused))?;
    }
    match report.problems.len() as u64 + report.more_problems {
        0 => writeln!(out, "everything is as it must be")?,
        1 => writeln!(out, "1 problem")?,
        n => writeln!(out, "{} problems", grouped(n))?,
    }
    Ok(())
}
