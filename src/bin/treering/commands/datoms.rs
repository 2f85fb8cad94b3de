//! `datoms`

use std::io::Write;

use clap::ValueEnum;
use treering::edn::{Form, FormKind, read};
use treering::index::Direction;
use treering::{Cut, Datom, Db, EntityRef, Key, Order, Value};

use crate::database::{Target, View, open_reader};
use crate::failure::{Failure, Outcome};
use crate::output::{Layout, Mode, Rows, foot, is_terminal};

/// List the datoms of an index
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE and up to four components in the order of the index, as EDN: entity, attribute, value, transaction
    #[arg(value_name = "DATABASE COMPONENTS")]
    words: Vec<String>,
    /// Which index to read
    #[arg(long, value_enum, default_value = "eavt")]
    index: IndexName,
    #[command(flatten)]
    view: View,
    /// How to write the datoms; a table on a terminal, EDN elsewhere
    #[arg(long, short, value_enum)]
    mode: Option<Mode>,
    /// Stop after so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// From the end of the index
    #[arg(long)]
    reverse: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum IndexName {
    /// By entity
    Eavt,
    /// By attribute
    Aevt,
    /// By attribute and value: indexed, unique and ref attributes
    Avet,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, words) = args.target.split(&args.words, &[], 4)?;
    let conn = open_reader(&config)?;
    let db = args.view.of(&conn.db())?;
    let order = match args.index {
        IndexName::Eavt => Order::Eavt,
        IndexName::Aevt => Order::Aevt,
        IndexName::Avet => Order::Avet,
    };
    let forms = words.iter().map(|word| read(word)).collect::<treering::Result<Vec<_>>>()?;
    let key = key(&db, order, &forms)?;
    let direction = if args.reverse { Direction::Reverse } else { Direction::Forward };
    let rows = list(&db, order, key, direction, args.limit.unwrap_or(usize::MAX))?;
    let mode = args.mode.unwrap_or(if is_terminal() { Mode::Table } else { Mode::Edn });
    rows.write(out, mode, &Layout::of_stdout(), &|| rows.to_form())?;
    if mode == Mode::Table {
        writeln!(out, "{}", foot(rows.rows.len(), None))?;
    }
    Ok(())
}

/// The key that components in the sequence of the index make.
fn key(db: &Db, order: Order, forms: &[Form]) -> Outcome<Key> {
    let sequence = match order {
        Order::Aevt => ['a', 'e', 'v', 't'],
        Order::Avet => ['a', 'v', 'e', 't'],
        _ => ['e', 'a', 'v', 't'],
    };
    let mut key = Key::default();
    let mut is_ref = false;
    // The attribute says how a value is meant, wherever it stands.
    if let Some(place) = sequence.iter().position(|c| *c == 'a')
        && let Some(form) = forms.get(place)
    {
        let attribute = match form.kind {
            FormKind::Keyword(_) | FormKind::Int(_) => db.attribute_of(&EntityRef::from_form(form)?)?,
            _ => {
                let message = format!("an attribute was wanted as component {}, got {form}", place + 1);
                return Err(Failure::Usage(message));
            }
        };
        is_ref = attribute.is_ref();
        key.a = Some(attribute.id);
    }
    for (component, form) in sequence.iter().zip(forms) {
        match component {
            'e' => key.e = Some(db.entid_strict(&EntityRef::from_form(form)?)?.0),
            'v' if is_ref => key.v = Some(Value::Ref(db.entid_strict(&EntityRef::from_form(form)?)?)),
            'v' => {
                let value = Value::from_form(form);
                key.v = Some(value.ok_or_else(|| Failure::Usage(format!("a value was wanted, got {form}")))?);
            }
            't' => {
                let FormKind::Int(t) = form.kind else {
                    return Err(Failure::Usage(format!("a transaction id was wanted, got {form}")));
                };
                key.tx = u64::try_from(t).ok();
            }
            _ => {}
        }
    }
    Ok(key)
}

/// The datoms that begin with the key.
fn list(db: &Db, order: Order, key: Key, direction: Direction, limit: usize) -> Outcome<Rows> {
    let columns = ["e", "a", "v", "tx", "added"].map(str::to_owned).to_vec();
    let mut rows = Rows { columns, rows: Vec::new() };
    let mut cursor = db.cursor(order, Some(&Cut::before(key.clone())), Some(&Cut::after(key)), direction)?;
    while let Some(chunk) = cursor.next()? {
        let mut places: Vec<usize> = chunk.rows().collect();
        if direction == Direction::Reverse {
            places.reverse();
        }
        for place in places {
            if rows.rows.len() >= limit {
                return Ok(rows);
            }
            rows.rows.push(row(db, &Db::datom(&chunk.columns.row(place))));
        }
    }
    Ok(rows)
}

fn row(db: &Db, datom: &Datom) -> Vec<Value> {
    vec![
        Value::Ref(datom.e),
        db.shown_attribute(datom.a),
        datom.v.clone(),
        Value::Ref(datom.tx),
        Value::Bool(datom.added),
    ]
}
