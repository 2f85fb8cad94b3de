//! `branches`

use std::io::Write;

use crate::database::{Target, open_reader};
use crate::failure::Outcome;

/// List the branches of a database: name, last transaction, and the commit if that is one
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE
    #[arg(value_name = "DATABASE")]
    words: Vec<String>,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, _) = args.target.split(&args.words, &[], 0)?;
    let conn = open_reader(&config)?;
    for branch in conn.branches()? {
        let db = conn.branch_as_db(branch.as_str())?;
        let commit = db.commit_id().map_or_else(String::new, |id| format!(" {id}"));
        writeln!(out, "{branch} {}{commit}", db.basis_t())?;
    }
    conn.release()?;
    Ok(())
}
