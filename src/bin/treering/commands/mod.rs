//! The commands, one file each.

pub mod backup;
pub mod branch;
pub mod branches;
pub mod create;
pub mod datoms;
pub mod delete;
pub mod explain;
pub mod export;
pub mod gc;
pub mod import;
pub mod merge;
pub mod migrate;
pub mod pull;
pub mod query;
pub mod repair;
pub mod stats;
pub mod tour;
pub mod transact;
pub mod verify;

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::time::Duration;

use crate::failure::{Failure, Outcome};

/// The text that a command works on: a word of the command line, a file, or standard input for `-`.
pub fn text_of(word: Option<&String>, file: Option<&Path>, what: &str) -> Outcome<String> {
    match (word, file) {
        (Some(_), Some(_)) => Err(Failure::Usage(format!("{what} is given twice: as a word and by --file"))),
        (None, None) => Err(Failure::Usage(format!("{what} is missing"))),
        (Some(word), None) if word == "-" => standard_input(),
        (Some(word), None) => Ok(word.clone()),
        (None, Some(path)) if path == Path::new("-") => standard_input(),
        (None, Some(path)) => std::fs::read_to_string(path)
            .map_err(|cause| Failure::io(format!("{} cannot be read", path.display()), &cause)),
    }
}

fn standard_input() -> Outcome<String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map_err(|cause| Failure::io("standard input cannot be read", &cause))?;
    Ok(text)
}

/// Whether somebody can be asked.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for a yes.
pub fn confirm(question: &str) -> Outcome<bool> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|cause| Failure::io("standard input cannot be read", &cause))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// `90s`, `30m`, `1h`, `7d`, or a number of seconds.
pub fn age(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(format!("an age is a number with s, m, h or d, such as 30m; got {text:?}")),
    };
    let n: u64 = digits.parse().map_err(|_| format!("an age begins with a number, such as 30m; got {text:?}"))?;
    Ok(Duration::from_secs(n.saturating_mul(seconds)))
}
