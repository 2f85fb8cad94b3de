//! `shell`: queries and transactions as they are typed.

mod dot;
mod editor;
mod session;

use std::io::{BufRead, IsTerminal, Write};

use rustyline::error::ReadlineError;
use treering::{ErrorKind, create_database, database_exists};

use crate::database::{Target, is_memory, open_reader, open_writer};
use crate::failure::{Failure, Outcome};
use crate::formats::is_complete;
use editor::Lines;
use session::Session;

/// Type queries and transactions
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// DATABASE; :memory, one that ends with the shell, if it is left out
    #[arg(value_name = "DATABASE")]
    words: Vec<String>,
    /// Create the database if it does not exist
    #[arg(long)]
    create: bool,
    /// Do not become the writer
    #[arg(long)]
    read_only: bool,
    /// Run this input and end; may be given more than once
    #[arg(long, short, value_name = "INPUT")]
    command: Vec<String>,
}

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let words = match (&args.target.config, args.words.as_slice()) {
        (None, []) => vec![":memory".to_owned()],
        (_, words) => words.to_vec(),
    };
    let (config, _) = args.target.split(&words, &[], 0)?;
    if args.create && !is_memory(&config) && !database_exists(&config)? {
        create_database(&config)?;
    }
    let (conn, notice) = if args.read_only {
        (open_reader(&config)?, None)
    } else {
        match open_writer(&config) {
            // Another process writes, or this one may not.
            Err(Failure::Engine(error)) if error.kind() == ErrorKind::Fenced || error.code() == "store/denied" => {
                let notice = format!("{}\nopened for reading only", error.message());
                (open_reader(&config)?, Some(notice))
            }
            opened => (opened?, None),
        }
    };
    let interactive = args.command.is_empty() && std::io::stdin().is_terminal();
    let mut session = Session::new(config, conn, interactive);
    if let Some(notice) = notice {
        eprintln!("{notice}");
    }
    let done = if !args.command.is_empty() {
        entries(&mut session, args.command.iter().map(|text| Ok(text.clone())), out)
    } else if interactive {
        converse(&mut session, out)
    } else {
        entries(&mut session, Joined { lines: std::io::stdin().lock().lines() }, out)
    };
    let closed = session.close();
    done.and(closed)
}

/// Runs inputs that nobody types: all of them, and tells at the end whether one failed.
fn entries(
    session: &mut Session,
    texts: impl Iterator<Item = std::io::Result<String>>,
    out: &mut dyn Write,
) -> Outcome {
    let mut failed = false;
    for text in texts {
        let text = text.map_err(|cause| Failure::io("standard input cannot be read", &cause))?;
        let entered = session.enter(&text, out);
        // A program at the other end of the pipe waits for the answer.
        out.flush()?;
        match entered {
            Ok(true) => {}
            Ok(false) => break,
            Err(Failure::Pipe) => return Err(Failure::Pipe),
            Err(failure) => {
                crate::tell(&failure, ".help");
                failed = true;
            }
        }
    }
    if failed { Err(Failure::Told) } else { Ok(()) }
}

/// Lines joined until their brackets balance.
struct Joined<L> {
    lines: L,
}

impl<L: Iterator<Item = std::io::Result<String>>> Iterator for Joined<L> {
    type Item = std::io::Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut text = String::new();
        for line in self.lines.by_ref() {
            match line {
                Ok(line) => {
                    text.push_str(&line);
                    text.push('\n');
                }
                Err(cause) => return Some(Err(cause)),
            }
            if text.trim_start().starts_with('.') || is_complete(&text) {
                return Some(Ok(text));
            }
        }
        (!text.is_empty()).then_some(Ok(text))
    }
}

/// Reads from the terminal until its end.
fn converse(session: &mut Session, out: &mut dyn Write) -> Outcome {
    let mut lines = Lines::new()?;
    writeln!(out, "treering {}; .help tells what can be typed", env!("CARGO_PKG_VERSION"))?;
    loop {
        out.flush()?;
        lines.know(&session.db());
        match lines.read(&session.prompt()) {
            Ok(text) => match session.enter(&text, out) {
                Ok(true) => {}
                Ok(false) => break,
                Err(Failure::Pipe) => return Err(Failure::Pipe),
                Err(failure) => {
                    out.flush()?;
                    crate::tell(&failure, ".help");
                }
            },
            // Ctrl-C takes back what was typed.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(other) => return Err(Failure::Io(format!("the terminal cannot be read: {other}"))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_until_they_are_complete() {
        let lines = "[:find ?e\n :where [?e :a]]\n.mode csv\n{:a \"x\ny\"}\n[open";
        let joined: Vec<String> =
            Joined { lines: lines.as_bytes().lines() }.map(|text| text.unwrap().trim_end().to_owned()).collect();
        assert_eq!(joined, ["[:find ?e\n :where [?e :a]]", ".mode csv", "{:a \"x\ny\"}", "[open"]);
    }
}
