//! `import`

mod datoms;
mod edn;
mod writer;

use std::io::Write;
use std::time::Instant;

use clap::ValueEnum;
use treering::documents::{Hints, Plan, Shape};
use treering::edn::Keyword;
use treering::{Config, Connection, ErrorKind, Schema, SchemaFlexibility, ValueType, create_database, database_exists};

use crate::commands::{confirm, is_interactive};
use crate::database::{Target, is_memory, open_writer};
use crate::failure::{Failure, Outcome};
use crate::formats::{Format, Source, records};
use crate::output::{Layout, Mode, Rows};
use crate::progress::{self, grouped};
use writer::{Batches, Item};

/// Read entities from files into a database, which is created if it does not exist
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE and files: .edn, .datoms, .json, .jsonl, .csv, .tsv, each also with .gz; - is standard input
    #[arg(value_name = "DATABASE FILE")]
    words: Vec<String>,
    #[command(flatten)]
    options: Options,
}

/// How files are read.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The format, where the file's name does not tell it
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Entities in one transaction; 0 puts all into one
    #[arg(long, value_name = "N", default_value_t = 5000)]
    batch: usize,
    /// A key whose value tells the entity: a record with a known value adds to that entity
    #[arg(long, value_name = "KEY")]
    identity: Vec<String>,
    /// A key whose values name other entities, and the identity key or attribute that they name them by
    #[arg(long = "ref", value_name = "KEY=IDENTITY", value_parser = pair)]
    refs: Vec<(String, String)>,
    /// The type of a key's values, such as size=double, where it is not to be guessed
    #[arg(long = "type", value_name = "KEY=TYPE", value_parser = typed)]
    types: Vec<(String, ValueType)>,
    /// Put the attributes into this namespace
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Show the schema that would be used and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask; without a terminal nothing is asked
    #[arg(long, short)]
    yes: bool,
    /// What to do with a record that cannot be read or written
    #[arg(long, value_enum, default_value = "stop")]
    on_error: OnError,
    /// Give the entities and transactions of datoms new ids
    #[arg(long)]
    map_ids: bool,
}

/// What to do with a bad record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// End the import; what came before it is in the database
    Stop,
    /// Tell it and go on
    Skip,
}

impl Options {
    /// Records are found by the key `identity`; `refs` name others by it. Nothing is asked.
    pub fn by_identity(identity: &str, refs: &[&str]) -> Options {
        Options {
            format: None,
            batch: 5000,
            identity: vec![identity.to_owned()],
            refs: refs.iter().map(|key| ((*key).to_owned(), identity.to_owned())).collect(),
            types: Vec::new(),
            namespace: None,
            dry_run: false,
            yes: true,
            on_error: OnError::Stop,
            map_ids: false,
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, identity)) if !key.is_empty() && !identity.is_empty() => Ok((key.to_owned(), identity.to_owned())),
        _ => Err("KEY=IDENTITY was wanted, such as depends=name".to_owned()),
    }
}

fn typed(text: &str) -> Result<(String, ValueType), String> {
    let types = || ValueType::keywords().iter().map(|keyword| keyword.name()).collect::<Vec<_>>().join(", ");
    let (key, name) = text.split_once('=').ok_or("KEY=TYPE was wanted, such as size=double")?;
    let value_type = ValueType::from_keyword(Keyword::new(&format!("db.type/{name}")));
    value_type
        .map(|value_type| (key.to_owned(), value_type))
        .ok_or_else(|| format!("no type {name}; the types are {}", types()))
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, files) = args.target.split(&args.words, &["a file"], usize::MAX)?;
    let sources = files.iter().map(|file| Source::new(file, args.options.format)).collect::<Outcome<Vec<_>>>()?;
    // A file that is not there must not leave an empty database behind.
    for source in &sources {
        source.open(&indicatif::ProgressBar::hidden())?;
    }
    let conn = open(&config, args.options.dry_run)?;
    let done = sources.iter().try_for_each(|source| file(conn.as_ref(), source, &args.options, out));
    // The files' error matters more than one of the release that follows it.
    match conn.map(|conn| conn.release()) {
        Some(Err(error)) if done.is_ok() => Err(error.into()),
        _ => done,
    }
}

/// The writer of the database, created if need be; nothing for a dry run on a database that is not there.
fn open(config: &Config, dry_run: bool) -> Outcome<Option<Connection>> {
    if !is_memory(config) && !database_exists(config)? {
        if dry_run {
            return Ok(None);
        }
        create_database(config)?;
        if let Some(path) = config.store_config().path() {
            eprintln!("created {}", path.display());
        }
    }
    open_writer(config).map(Some)
}

/// Imports one file.
pub fn file(conn: Option<&Connection>, source: &Source, options: &Options, out: &mut dyn Write) -> Outcome {
    if matches!(source.format, Format::Edn | Format::Datoms) {
        let is_datoms = source.format == Format::Datoms || datoms::holds(source)?;
        return match conn {
            Some(conn) if !options.dry_run && is_datoms => datoms::import(conn, source, options, out),
            Some(conn) if !options.dry_run => edn::import(conn, source, options, out),
            _ => Err(Failure::Usage("--dry-run shows an inferred schema; EDN brings its own".to_owned())),
        };
    }
    let plan = plan(conn, source, options)?;
    let Some(conn) = conn.filter(|_| !options.dry_run) else {
        return show(&plan, source, out);
    };
    let declarations = plan.schema();
    let declares = declarations.items().is_some_and(|items| !items.is_empty());
    if declares || is_interactive() {
        out.flush()?;
        show(&plan, source, &mut std::io::stderr())?;
    }
    if is_interactive() && !options.yes && !confirm("Import with this schema?")? {
        return Err(Failure::Io("nothing was imported".to_owned()));
    }
    let began = Instant::now();
    if declares {
        conn.transact(declarations)?;
    }
    let bar = progress::over_bytes(source.bytes());
    let mut batches = Batches::new(conn, source, options, &bar, Some(&plan));
    for record in records(source, &bar)? {
        match record {
            Ok(record) => batches.push(record.line, Item::Record(record))?,
            Err(bad) if bad.fatal => return Err(bad.error.context(&source.name).into()),
            Err(bad) => {
                batches.flush()?;
                batches.bad(bad.line, bad.error)?;
            }
        }
    }
    let done = batches.finish()?;
    bar.finish_and_clear();
    done.tell(source, began.elapsed(), out)
}

/// Reads the file once to see what its values are.
fn plan(conn: Option<&Connection>, source: &Source, options: &Options) -> Outcome<Plan> {
    let bar = progress::over_bytes(source.bytes());
    bar.set_message("reading for the schema");
    let mut shape = Shape::default();
    let from_text = matches!(source.format, Format::Csv | Format::Tsv);
    let mut seen = 0_u64;
    for record in records(source, &bar)? {
        match record {
            Ok(record) => {
                seen += 1;
                shape.observe(record.fields(), from_text)?;
            }
            Err(bad) if options.on_error == OnError::Skip && !bad.fatal => {}
            Err(bad) => {
                bar.finish_and_clear();
                let place = if bad.line == 0 { source.name.clone() } else { format!("{}:{}", source.name, bad.line) };
                return Err(bad.error.context(place).into());
            }
        }
    }
    bar.finish_and_clear();
    if seen == 0 {
        return Err(Failure::Io(format!("{} holds no records", source.name)));
    }
    let hints = Hints {
        identities: options.identity.clone(),
        refs: options.refs.clone(),
        types: options.types.clone(),
        namespace: options.namespace.clone(),
    };
    let plan = match conn {
        Some(conn) => Plan::new(&shape, &hints, conn.db().schema()),
        None => Plan::new(&shape, &hints, &Schema::new(SchemaFlexibility::Write)),
    };
    // What is wrong is on the command line.
    plan.map_err(|error| Failure::Usage(error.message().to_owned()))
}

fn show(plan: &Plan, source: &Source, out: &mut dyn Write) -> Outcome {
    let columns = ["key", "attribute", "type", "notes"].map(str::to_owned).to_vec();
    let row = |line: [String; 4]| line.iter().map(|text| treering::Value::from(text.as_str())).collect();
    let rows = Rows { columns, rows: plan.describe().into_iter().map(row).collect() };
    writeln!(out, "schema of {}", source.name)?;
    rows.write(out, Mode::Table, &Layout::of_stdout(), &|| rows.to_form())
}

/// What an import did.
#[derive(Debug, Default)]
pub struct Done {
    entities: u64,
    datoms: u64,
    transactions: u64,
    skipped: u64,
}

impl Done {
    fn tell(&self, source: &Source, took: std::time::Duration, out: &mut dyn Write) -> Outcome {
        let rate = self.entities as f64 / took.as_secs_f64().max(1e-9);
        writeln!(
            out,
            "{}: {} entities, {} datoms, {} transactions in {:.2} s ({} entities/s)",
            source.name,
            grouped(self.entities),
            grouped(self.datoms),
            grouped(self.transactions),
            took.as_secs_f64(),
            grouped(rate as u64)
        )?;
        if self.skipped == 0 {
            return Ok(());
        }
        writeln!(out, "{} skipped", grouped(self.skipped))?;
        // Something of what was asked is missing.
        Err(Failure::Told)
    }
}

/// Whether an error is the data's fault, so that other records may be good.
fn is_of_data(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Syntax | ErrorKind::Transact | ErrorKind::Argument | ErrorKind::Query)
}
