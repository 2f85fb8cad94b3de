//! `delete-database`

use std::io::Write;

use treering::{database_exists, delete_database};

use crate::commands::{confirm, is_interactive};
use crate::database::Target;
use crate::failure::{Failure, Outcome};

/// Delete a database with all that it holds
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE: the directory to remove
    #[arg(value_name = "DATABASE")]
    words: Vec<String>,
    /// Do not ask; without a terminal, nothing is deleted unless this is given
    #[arg(long, short)]
    yes: bool,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, _) = args.target.split(&args.words, &[], 0)?;
    let name = match config.store_config().path() {
        Some(path) => path.display().to_string(),
        None => format!("{:?}", config.store_config()),
    };
    if !database_exists(&config)? {
        return Err(Failure::Io(format!("there is no database {name}; nothing was deleted\n(:db-does-not-exist)")));
    }
    if !args.yes {
        if !is_interactive() {
            return Err(Failure::Usage(format!("deleting {name} cannot be undone: give --yes to do it")));
        }
        if !confirm(&format!("Delete {name} for ever?"))? {
            return Err(Failure::Io("nothing was deleted".to_owned()));
        }
    }
    delete_database(&config)?;
    writeln!(out, "deleted {name}")?;
    Ok(())
}
