//! `export`

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use indicatif::ProgressBar;
use serde_json::{Map, Value as Json};
use treering::edn::{Form, FormKind, Keyword};
use treering::index::Direction;
use treering::{Attribute, Connection, Cut, Datom, Db, EntityId, Key, Mode as DbMode, Order, TX0, Value, builtin};

use crate::database::{Target, View, open_reader};
use crate::failure::{Failure, Outcome};
use crate::formats::Format;
use crate::output::{cell_text, json_of};
use crate::progress;

/// Write the entities of a database to a file
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE and the file to write, compressed if its name ends in .gz; - is standard output
    #[arg(value_name = "DATABASE FILE")]
    words: Vec<String>,
    /// The format, where the file's name does not tell it
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    view: View,
    /// Replace the file if it exists
    #[arg(long)]
    overwrite: bool,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, words) = args.target.split(&args.words, &["a file"], 1)?;
    let file = words.first().map_or("-", String::as_str);
    let told = args.format.or_else(|| Format::of_name(file));
    let format = told.ok_or_else(|| {
        Failure::Usage(format!("the name {file} does not tell the format: give --format edn|datoms|json|jsonl|csv|tsv"))
    })?;
    if args.view.history && format != Format::Datoms {
        let message = "entities are of a state: with --history the format is datoms, such as FILE.datoms";
        return Err(Failure::Usage(message.to_owned()));
    }
    let conn = open_reader(&config)?;
    let db = args.view.of(&conn.db())?;
    let bar = progress::over_count(db.count(Order::Eavt, None, None)?.rows, "datoms");
    let mut write = |out: &mut dyn Write| write(&conn, &db, format, out, &bar);
    let written = if file == "-" { write(out)? } else { write_file(Path::new(file), args.overwrite, &mut write)? };
    bar.finish_and_clear();
    if file != "-" {
        let noun = if format == Format::Datoms { "datoms" } else { "entities" };
        writeln!(out, "{} {noun} written to {file}", progress::grouped(written))?;
    }
    Ok(())
}

fn write_file(path: &Path, overwrite: bool, write: &mut dyn FnMut(&mut dyn Write) -> Outcome<u64>) -> Outcome<u64> {
    let failed = |cause: std::io::Error| Failure::io(format!("{} cannot be written", path.display()), &cause);
    let mut options = File::options();
    let options = options.write(true);
    let options = if overwrite { options.create(true).truncate(true) } else { options.create_new(true) };
    let file = options.open(path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::Usage(format!("{} exists; give --overwrite to replace it", path.display()))
        }
        _ => failed(cause),
    })?;
    let mut buffered = BufWriter::new(file);
    let written = if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz")) {
        let mut encoder = GzEncoder::new(&mut buffered, Compression::default());
        let written = write(&mut encoder)?;
        encoder.finish().map_err(failed)?;
        written
    } else {
        write(&mut buffered)?
    };
    buffered.flush().map_err(failed)?;
    Ok(written)
}

/// The datoms of one entity: values by attribute, in the order of the attributes' names.
struct Entity<'a> {
    e: u64,
    values: BTreeMap<Keyword, (&'a Attribute, Vec<Value>)>,
}

/// Calls `visit` with every entity that is no transaction.
fn each_entity(db: &Db, bar: &ProgressBar, visit: &mut dyn FnMut(&Entity<'_>) -> Outcome) -> Outcome {
    debug_assert_eq!(db.mode(), DbMode::State);
    let mut entity = Entity { e: 0, values: BTreeMap::new() };
    let mut cursor = db.cursor(Order::Eavt, None, None, Direction::Forward)?;
    while let Some(chunk) = cursor.next()? {
        bar.inc(chunk.len() as u64);
        for place in chunk.rows() {
            let row = chunk.columns.row(place);
            // What carries the first id of all, a new database says of itself.
            if treering::EntityId(row.e).is_transaction() || row.tx == TX0 {
                continue;
            }
            if row.e != entity.e && !entity.values.is_empty() {
                visit(&entity)?;
                entity.values.clear();
            }
            entity.e = row.e;
            if let Some(attribute) = db.schema().get(row.a) {
                let (_, values) = entity.values.entry(attribute.ident).or_insert((attribute, Vec::new()));
                values.push(named(db, attribute, row.v));
            }
        }
    }
    if entity.values.is_empty() { Ok(()) } else { visit(&entity) }
}

/// The value as another database understands it: what is an entity of the engine in this one, by its name.
fn named(db: &Db, attribute: &Attribute, value: Value) -> Value {
    match value {
        Value::Ref(id) if attribute.is_builtin() => {
            db.schema().ident_of_entity(id.0).map_or(Value::Ref(id), Value::Keyword)
        }
        value => value,
    }
}

/// Whether the entity is the definition of an attribute.
fn is_schema(entity: &Entity<'_>) -> bool {
    entity
        .values
        .values()
        .any(|(attribute, _)| matches!(attribute.id, builtin::VALUE_TYPE | builtin::CARDINALITY | builtin::TUPLE_ATTRS))
}

fn write(conn: &Connection, db: &Db, format: Format, out: &mut dyn Write, bar: &ProgressBar) -> Outcome<u64> {
    let mut entities = 0;
    match format {
        Format::Datoms if db.mode() == DbMode::Events => return write_history(conn, db, out, bar),
        Format::Datoms => return write_datoms(db, out, bar),
        Format::Edn => {
            // The schema goes first, so that an import knows it.
            for schema in [true, false] {
                bar.set_position(0);
                each_entity(db, bar, &mut |entity| {
                    if is_schema(entity) == schema {
                        entities += 1;
                        writeln!(out, "{}", form(entity))?;
                    }
                    Ok(())
                })?;
            }
        }
        Format::Json | Format::Jsonl => {
            let lines = format == Format::Jsonl;
            out.write_all(if lines { b"" } else { b"[" })?;
            each_entity(db, bar, &mut |entity| {
                if is_schema(entity) {
                    return Ok(());
                }
                if !lines && entities > 0 {
                    out.write_all(b",\n")?;
                }
                entities += 1;
                serde_json::to_writer(&mut *out, &object(entity)).map_err(std::io::Error::from)?;
                if lines {
                    out.write_all(b"\n")?;
                }
                Ok(())
            })?;
            out.write_all(if lines { b"" } else { b"]\n" })?;
        }
        Format::Csv | Format::Tsv => {
            let delimiter = if format == Format::Csv { b',' } else { b'\t' };
            entities = write_separated(db, delimiter, out, bar)?;
        }
    }
    Ok(entities)
}

/// All that was said in the time of the view, in order.
fn write_history(conn: &Connection, db: &Db, out: &mut dyn Write, bar: &ProgressBar) -> Outcome<u64> {
    let mut datoms = 0;
    for made in conn.tx_range(db.since_t().unwrap_or(EntityId(TX0)), db.as_of_t())? {
        for datom in made?.datoms {
            writeln!(out, "{}", datom_form(db, &datom))?;
            datoms += 1;
            bar.inc(1);
        }
    }
    Ok(datoms)
}

/// What holds, with the transactions that said it.
fn write_datoms(db: &Db, out: &mut dyn Write, bar: &ProgressBar) -> Outcome<u64> {
    let mut datoms = 0;
    let mut cursor = db.cursor(Order::Eavt, None, None, Direction::Forward)?;
    while let Some(chunk) = cursor.next()? {
        bar.inc(chunk.len() as u64);
        for place in chunk.rows() {
            writeln!(out, "{}", datom_form(db, &Db::datom(&chunk.columns.row(place))))?;
            datoms += 1;
        }
    }
    Ok(datoms)
}

fn datom_form(db: &Db, datom: &Datom) -> Form {
    let id = |id: EntityId| Form::from(i64::try_from(id.0).unwrap_or(i64::MAX));
    let a = db.ident(datom.a).map_or(Form::nil(), Form::from);
    Form::from(vec![id(datom.e), a, datom.v.to_form(), id(datom.tx), Form::from(FormKind::Bool(datom.added))])
}

/// A composite tuple is kept by the transactor from the attributes that it is of, which are written too.
fn is_derived(attribute: &Attribute) -> bool {
    matches!(attribute.tuple, Some(treering::TupleShape::Composite(_)))
}

fn form(entity: &Entity<'_>) -> Form {
    let id = i64::try_from(entity.e).unwrap_or(i64::MAX);
    let mut pairs = vec![(Form::from(Keyword::new("db/id")), Form::from(id))];
    for (ident, (attribute, values)) in entity.values.iter().filter(|(_, (attribute, _))| !is_derived(attribute)) {
        let mut forms: Vec<Form> = values.iter().map(Value::to_form).collect();
        let value = if attribute.is_many() { Some(Form::from(forms)) } else { forms.pop() };
        pairs.extend(value.map(|value| (Form::from(*ident), value)));
    }
    Form::map(pairs)
}

fn object(entity: &Entity<'_>) -> Json {
    let mut fields = Map::new();
    fields.insert("db/id".to_owned(), Json::from(entity.e));
    for (ident, (attribute, values)) in &entity.values {
        let mut items: Vec<Json> = values.iter().map(json_of).collect();
        let value = if attribute.is_many() { Some(Json::Array(items)) } else { items.pop() };
        fields.extend(value.map(|value| (ident.as_str().to_owned(), value)));
    }
    Json::Object(fields)
}

fn write_separated(db: &Db, delimiter: u8, out: &mut dyn Write, bar: &ProgressBar) -> Outcome<u64> {
    let used = |attribute: &&std::sync::Arc<Attribute>| -> Outcome<bool> {
        let key = Key { a: Some(attribute.id), ..Key::default() };
        Ok(!attribute.is_builtin()
            && db.count(Order::Aevt, Some(&Cut::before(key.clone())), Some(&Cut::after(key)))?.rows > 0)
    };
    let mut columns = Vec::new();
    for attribute in db.schema().attributes() {
        if used(&attribute)? || attribute.id == builtin::DOC || attribute.id == builtin::IDENT {
            columns.push(attribute.ident);
        }
    }
    let wrong = |cause: csv::Error| Failure::from(std::io::Error::from(cause));
    let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(out);
    writer.write_field("db/id").map_err(wrong)?;
    writer.write_record(columns.iter().map(|ident| ident.as_str())).map_err(wrong)?;
    let mut entities = 0;
    each_entity(db, bar, &mut |entity| {
        if is_schema(entity) {
            return Ok(());
        }
        entities += 1;
        writer.write_field(entity.e.to_string()).map_err(wrong)?;
        let cells = columns.iter().map(|ident| match entity.values.get(ident) {
            None => String::new(),
            Some((_, values)) => match values.as_slice() {
                [one] => cell_text(one),
                many => many.iter().map(cell_text).collect::<Vec<_>>().join(";"),
            },
        });
        writer.write_record(cells).map_err(wrong)
    })?;
    writer.flush()?;
    Ok(entities)
}
