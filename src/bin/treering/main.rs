//! `treering`: databases from the command line.

mod commands;
mod database;
mod engine;
mod failure;
mod formats;
mod output;
mod progress;
mod shell;

use std::io::{BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};

use failure::{Failure, Outcome};

/// An embedded Datalog database: facts that accrete, time that can be travelled.
///
/// DATABASE is the path of a database, :memory for one that ends with the command, or a config map as EDN; --config FILE
/// stands in its place.
#[derive(Debug, Parser)]
#[command(name = "treering", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    CreateDatabase(commands::create::Args),
    DeleteDatabase(commands::delete::Args),
    Transact(commands::transact::Args),
    #[command(visible_alias = "q")]
    Query(commands::query::Args),
    Pull(commands::pull::Args),
    Datoms(commands::datoms::Args),
    Import(commands::import::Args),
    Export(commands::export::Args),
    Migrate(commands::migrate::Args),
    Explain(commands::explain::Args),
    Stats(commands::stats::Args),
    Gc(commands::gc::Args),
    Branches(commands::branches::Args),
    Branch(commands::branch::Args),
    DeleteBranch(commands::branch::DeleteArgs),
    Merge(commands::merge::Args),
    Backup(commands::backup::Args),
    Restore(commands::backup::RestoreArgs),
    Verify(commands::verify::Args),
    Repair(commands::repair::Args),
    Tour(commands::tour::Args),
    Shell(shell::Args),
}

fn run(command: &Command, out: &mut dyn Write) -> Outcome {
    match command {
        Command::CreateDatabase(args) => commands::create::run(args, out),
        Command::DeleteDatabase(args) => commands::delete::run(args, out),
        Command::Transact(args) => commands::transact::run(args, out),
        Command::Query(args) => commands::query::run(args, out),
        Command::Pull(args) => commands::pull::run(args, out),
        Command::Datoms(args) => commands::datoms::run(args, out),
        Command::Import(args) => commands::import::run(args, out),
        Command::Export(args) => commands::export::run(args, out),
        Command::Migrate(args) => commands::migrate::run(args, out),
        Command::Explain(args) => commands::explain::run(args, out),
        Command::Stats(args) => commands::stats::run(args, out),
        Command::Gc(args) => commands::gc::run(args, out),
        Command::Branches(args) => commands::branches::run(args, out),
        Command::Branch(args) => commands::branch::run(args, out),
        Command::DeleteBranch(args) => commands::branch::delete(args, out),
        Command::Merge(args) => commands::merge::run(args, out),
        Command::Backup(args) => commands::backup::run(args, out),
        Command::Restore(args) => commands::backup::run_restore(args, out),
        Command::Verify(args) => commands::verify::run(args, out),
        Command::Repair(args) => commands::repair::run(args, out),
        Command::Tour(args) => commands::tour::run(args, out),
        Command::Shell(args) => shell::run(args, out),
    }
}

fn main() -> ExitCode {
    let colour = output::colours(std::io::stdout().is_terminal());
    let choice = if colour { ColorChoice::Auto } else { ColorChoice::Never };
    let matches = Cli::command().color(choice).get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let done = run(&cli.command, &mut out).and_then(|()| Ok(out.flush()?));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // What was written before the failure comes first.
            let _ = out.flush();
            tell(&failure, "--help");
            ExitCode::from(failure.code())
        }
    }
}

/// Tells of a failure; `help` is what to type for more where the words that were typed mean nothing.
fn tell(failure: &Failure, help: &str) {
    if matches!(failure, Failure::Told | Failure::Pipe) {
        return;
    }
    let mut stderr = std::io::stderr().lock();
    let (begin, end) = if output::colours(stderr.is_terminal()) { ("\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "") };
    let help = match failure {
        Failure::Usage(_) => format!("\n\nFor more information, try '{help}'."),
        _ => String::new(),
    };
    // Nobody is left to be told that this failed.
    let _ = writeln!(stderr, "{begin}error:{end} {failure}{help}");
}
