//! `stats`

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use treering::index::Direction;
use treering::{AttrId, Config, Cut, Db, Key, Order, TX0, Value};

use crate::database::{Target, View, open_reader};
use crate::failure::Outcome;
use crate::output::{Layout, Mode, Rows, is_terminal};
use crate::progress::grouped;

/// Show what a database holds: datoms, attributes, bytes
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE
    #[arg(value_name = "DATABASE")]
    words: Vec<String>,
    #[command(flatten)]
    view: View,
    /// How to write the attributes; a table with a summary unless it is given
    #[arg(long, short, value_enum)]
    mode: Option<Mode>,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, _) = args.target.split(&args.words, &[], 0)?;
    let conn = open_reader(&config)?;
    let db = args.view.of(&conn.db())?;
    match args.mode {
        Some(mode) => {
            let rows = attributes(&db, &counts(&db)?);
            rows.write(out, mode, &Layout::of_stdout(), &|| rows.to_form())
        }
        None => show(&db, &config, out),
    }
}

/// Writes the summary and the attributes.
pub fn show(db: &Db, config: &Config, out: &mut dyn Write) -> Outcome {
    let counts = counts(db)?;
    writeln!(out, "basis-t      {} (transaction {})", db.basis_t(), db.basis_t().0.saturating_sub(TX0))?;
    if let Some(t) = db.as_of_t() {
        writeln!(out, "as-of        {t} (transaction {})", t.0.saturating_sub(TX0))?;
    }
    writeln!(out, "datoms       {}", grouped(counts.values().sum()))?;
    writeln!(out, "entities     ids up to {}", db.max_eid())?;
    if let Some(path) = config.store_config().path() {
        writeln!(out, "on disk      {} bytes in {}", grouped(bytes_under(&path)), path.display())?;
    }
    let rows = attributes(db, &counts);
    writeln!(out, "attributes   {}", rows.rows.len())?;
    let layout = if is_terminal() { Layout::of_stdout() } else { Layout::default() };
    rows.write(out, Mode::Table, &layout, &|| rows.to_form())
}

/// The attributes that are not built in, and those built-in ones that are used, with their datoms.
fn attributes(db: &Db, counts: &HashMap<AttrId, u64>) -> Rows {
    let columns = ["attribute", "type", "cardinality", "properties", "datoms"].map(str::to_owned).to_vec();
    let mut rows = Rows { columns, rows: Vec::new() };
    for attribute in db.schema().attributes() {
        let count = counts.get(&attribute.id).copied().unwrap_or(0);
        if attribute.is_builtin() && count == 0 {
            continue;
        }
        let value_type = attribute.value_type.map_or("any", |value_type| value_type.keyword().name());
        let datoms = i64::try_from(count).unwrap_or(i64::MAX);
        rows.rows.push(vec![
            Value::Keyword(attribute.ident),
            Value::from(value_type),
            Value::from(if attribute.is_many() { "many" } else { "one" }),
            Value::from(properties(attribute).as_str()),
            Value::from(datoms),
        ]);
    }
    rows
}

/// The datoms of each attribute, exactly: subtree counts for the database itself, a walk for a view.
fn counts(db: &Db) -> Outcome<HashMap<AttrId, u64>> {
    let mut counts = HashMap::new();
    if db.is_current() {
        for attribute in db.schema().attributes() {
            let key = Key { a: Some(attribute.id), ..Key::default() };
            let count = db.count(Order::Aevt, Some(&Cut::before(key.clone())), Some(&Cut::after(key)))?;
            counts.insert(attribute.id, count.rows);
        }
        return Ok(counts);
    }
    let mut cursor = db.cursor(Order::Aevt, None, None, Direction::Forward)?;
    while let Some(chunk) = cursor.next()? {
        for place in chunk.rows() {
            *counts.entry(chunk.columns.row(place).a).or_default() += 1;
        }
    }
    Ok(counts)
}

/// What else there is to say of an attribute.
pub fn properties(attribute: &treering::Attribute) -> String {
    let mut words = Vec::new();
    words.extend(attribute.unique.map(|unique| match unique {
        treering::Unique::Identity => "identity",
        treering::Unique::Value => "unique",
    }));
    words.extend(attribute.indexed.then_some("index"));
    words.extend(attribute.component.then_some("component"));
    words.extend(attribute.no_history.then_some("no history"));
    words.extend(attribute.tuple.is_some().then_some("tuple"));
    words.join(", ")
}

/// Bytes of all files under a directory; what cannot be read counts nothing.
fn bytes_under(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => bytes_under(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}
