//! `branch` and `delete-branch`

use std::io::Write;

use treering::Revision;
use treering::edn::Keyword;

use crate::database::{Target, open_writer};
use crate::failure::Outcome;

/// Make a branch
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE and the name of the new branch
    #[arg(value_name = "DATABASE NAME")]
    words: Vec<String>,
    /// The branch or the commit that it is made from; without it, the branch that --branch names
    #[arg(long, value_name = "BRANCH|COMMIT")]
    from: Option<String>,
}

/// Delete a branch; what only it refers to goes with a collection of garbage after its minimum age
#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    target: Target,
    /// DATABASE and the name of the branch
    #[arg(value_name = "DATABASE NAME")]
    words: Vec<String>,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let (config, words) = args.target.split(&args.words, &["the name of the branch"], 1)?;
    let name = words.first().map(String::as_str).unwrap_or_default();
    let conn = open_writer(&config)?;
    let from = args.from.as_deref().map_or(Revision::Branch(conn.branch_name()), Revision::from);
    let made = conn.branch(from, name);
    // The first failure is the one to tell.
    let released = conn.release();
    made?;
    released?;
    writeln!(out, "made branch {} of {from}", Keyword::new(name.strip_prefix(':').unwrap_or(name)))?;
    Ok(())
}

pub fn delete(args: &DeleteArgs, out: &mut dyn Write) -> Outcome {
    let (config, words) = args.target.split(&args.words, &["the name of the branch"], 1)?;
    let name = words.first().map(String::as_str).unwrap_or_default();
    let conn = open_writer(&config)?;
    let deleted = conn.delete_branch(name);
    let released = conn.release();
    deleted?;
    released?;
    writeln!(out, "deleted branch {}", Keyword::new(name.strip_prefix(':').unwrap_or(name)))?;
    Ok(())
}
