//! Datoms with the transactions that said them: a database with its history.

use std::io::Write;
use std::time::Instant;

use indicatif::ProgressBar;
use treering::edn::read_all;
use treering::{Connection, LoadIds, LoadOptions, LoadReport, RawDatom};

use super::{OnError, Options};
use crate::failure::{Failure, Outcome};
use crate::formats::{Dialect, Pieces, Source};
use crate::progress::{self, grouped};

/// Whether a file of EDN holds datoms instead of tx-data, as its beginning tells.
pub fn holds(source: &Source) -> Outcome<bool> {
    Ok(matches!(datoms(source, &ProgressBar::hidden())?.next(), Some(Ok(_))))
}

/// Imports a file of vectors `[e a v tx added]`, or of a vector of them.
pub fn import(conn: &Connection, source: &Source, options: &Options, out: &mut dyn Write) -> Outcome {
    if !(options.identity.is_empty() && options.refs.is_empty() && options.types.is_empty()) {
        let message = "--identity, --ref and --type say how records become entities; datoms are what they are";
        return Err(Failure::Usage(message.to_owned()));
    }
    if options.on_error == OnError::Skip {
        let message =
            "--on-error skip leaves out records; without a datom the transactions after it may mean something else";
        return Err(Failure::Usage(message.to_owned()));
    }
    let began = Instant::now();
    let ids = if options.map_ids { LoadIds::Map } else { LoadIds::Keep };
    let in_order = comes_in_order(source)?;
    let bar = progress::over_bytes(source.bytes());
    let before = conn.db().basis_t();
    let report = conn.load(datoms(source, &bar)?, &LoadOptions { ids, in_order });
    bar.finish_and_clear();
    let report = report.map_err(|error| {
        let last = conn.db().basis_t();
        if last > before {
            eprintln!("stopped; the transactions before it are in the database, up to {last}");
        }
        error.context(&source.name)
    })?;
    tell(&report, source, began.elapsed(), out)
}

/// Reads the file once to see whether its datoms come in the order of their transactions, so that they need not be
/// gathered.
fn comes_in_order(source: &Source) -> Outcome<bool> {
    let bar = progress::over_bytes(source.bytes());
    bar.set_message("looking at the order");
    let mut last = treering::EntityId(0);
    for datom in datoms(source, &bar)? {
        let tx = datom.map_err(|error| error.context(&source.name))?.tx;
        if tx < last {
            return Ok(false);
        }
        last = tx;
    }
    Ok(true)
}

fn datoms(source: &Source, bar: &ProgressBar) -> Outcome<impl Iterator<Item = treering::Result<RawDatom>> + use<>> {
    let pieces = Pieces::new(source.open(bar)?, Dialect::Edn);
    Ok(pieces.flat_map(|piece| {
        let read = |text: &str| -> treering::Result<Vec<RawDatom>> {
            read_all(text)?.iter().map(RawDatom::from_form).collect()
        };
        let read = piece
            .and_then(|piece| read(&piece.text).map_err(|error| error.context(format_args!("line {}", piece.line))));
        match read {
            Ok(datoms) => datoms.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }
    }))
}

fn tell(report: &LoadReport, source: &Source, took: std::time::Duration, out: &mut dyn Write) -> Outcome {
    writeln!(
        out,
        "{}: {} assertions, {} retractions, {} transactions in {:.2} s",
        source.name,
        grouped(report.asserted),
        grouped(report.retracted),
        grouped(report.transactions),
        took.as_secs_f64(),
    )?;
    let notes = [
        (report.repeated, "assertions of what held already left out"),
        (report.orphans, "retractions of what did not hold left out"),
        (report.replaced, "values of one ended by the next without a retraction"),
        (report.derived, "values of composite tuples made again from their members"),
        (report.reserved, "datoms about the engine's own entities left out"),
        (report.instants, "transactions set a millisecond after the one before"),
    ];
    for (count, what) in notes.iter().filter(|(count, _)| *count > 0) {
        writeln!(out, "{} {what}", grouped(*count))?;
    }
    Ok(())
}
