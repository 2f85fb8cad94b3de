//! `create-database`

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use treering::{SchemaFlexibility, create_database};

use crate::database::Target;
use crate::failure::Outcome;

/// Create a database
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE: the directory to create
    #[arg(value_name = "DATABASE")]
    words: Vec<String>,
    /// The keyword of the index kind, such as datahike.index/persistent-set
    #[arg(long, value_name = "KEYWORD")]
    index: Option<String>,
    /// Forget replaced and retracted facts
    #[arg(long)]
    no_history: bool,
    /// Whether attributes must be declared before they are written
    #[arg(long, value_enum)]
    schema_flexibility: Option<Flexibility>,
    /// Show attributes as entities
    #[arg(long)]
    attribute_refs: bool,
    /// Make the first transaction from this EDN file
    #[arg(long, value_name = "FILE")]
    initial_tx: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Flexibility {
    /// Any attribute is accepted
    Read,
    /// Attributes are declared first
    Write,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (mut config, _) = args.target.split(&args.words, &[], 0)?;
    if let Some(index) = &args.index {
        config = config.index(index.strip_prefix(':').unwrap_or(index));
    }
    if args.no_history {
        config = config.keep_history(false);
    }
    if args.attribute_refs {
        config = config.attribute_refs(true);
    }
    config = match args.schema_flexibility {
        Some(Flexibility::Read) => config.schema_flexibility(SchemaFlexibility::Read),
        Some(Flexibility::Write) => config.schema_flexibility(SchemaFlexibility::Write),
        None => config,
    };
    if let Some(path) = &args.initial_tx {
        config = config.initial_tx_file(path);
    }
    create_database(&config)?;
    match config.store_config().path() {
        Some(path) => writeln!(out, "created {}", path.display())?,
        None => writeln!(out, "created {:?}", config.store_config())?,
    }
    Ok(())
}
