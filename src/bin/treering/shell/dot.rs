//! Dot commands.

use std::io::Write;

use clap::{Parser, ValueEnum};
use treering::edn::{Keyword, Reader, pretty};
use treering::{EntityRef, Value};

use super::Joined;
use super::session::Session;
use crate::commands::{import, stats};
use crate::database::Moment;
use crate::engine::{self, PlanFormat};
use crate::failure::{Failure, Outcome};
use crate::formats::Source;
use crate::output::{Layout, Mode, Rows};

/// Name, arguments, and what it does.
pub const COMMANDS: [(&str, &str, &str); 14] = [
    (".as-of", "T|off", "see the database as it was: a transaction, or a date as 2026-01-31"),
    (".exit", "", "end the shell; so does Ctrl-D"),
    (".explain", "[analyze] [json|edn] QUERY [INPUTS]", "show the plan of a query; analyze runs it"),
    (".help", "", "show this"),
    (".history", "on|off", "see every assertion and retraction"),
    (".import", "FILE [OPTIONS]", "read entities from a file; options as of the command import"),
    (".mode", "table|edn|json|jsonl|csv", "how rows are written"),
    (".pull", "PATTERN ENTITY", "pull the attributes of an entity"),
    (".quit", "", "as .exit"),
    (".read", "FILE", "run the inputs in a file"),
    (".schema", "[PREFIX]", "list the attributes"),
    (".since", "T|off", "see only what was said after"),
    (".stats", "", "datoms, attributes, bytes"),
    (".timer", "on|off", "show how long queries take"),
];

/// Most files that read each other.
const DEEPEST: usize = 16;

/// Runs a dot command; false where it ends the shell.
pub fn run(session: &mut Session, text: &str, out: &mut dyn Write) -> Outcome<bool> {
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    match name {
        ".exit" | ".quit" => return Ok(false),
        ".help" => help(out)?,
        ".as-of" => session.view.as_of = moment(name, rest)?,
        ".since" => session.view.since = moment(name, rest)?,
        ".history" => session.view.history = switch(name, rest)?,
        ".timer" => session.timer = switch(name, rest)?,
        ".mode" => {
            session.mode = Mode::from_str(rest, true)
                .map_err(|_| Failure::Usage(format!(".mode wants table, edn, json, jsonl or csv; got {rest:?}")))?;
        }
        ".schema" => schema(session, rest, out)?,
        ".stats" => stats::show(&session.viewed()?, &session.config, out)?,
        ".explain" => explain(session, rest, out)?,
        ".pull" => pull(session, rest, out)?,
        ".import" => import_file(session, rest, out)?,
        ".read" => return read_file(session, rest, out),
        other => {
            let names: Vec<&str> = COMMANDS.iter().map(|(name, ..)| *name).collect();
            return Err(Failure::Usage(format!("there is no command {other}; there are {}", names.join(" "))));
        }
    }
    Ok(true)
}

fn help(out: &mut dyn Write) -> Outcome {
    writeln!(out, "[:find …] or {{:find …}}, then its inputs: a query")?;
    writeln!(out, "[{{…}} …], {{…}} or [:db/add …]: a transaction")?;
    for (name, args, what) in COMMANDS {
        let usage = format!("{name} {args}");
        writeln!(out, "{usage:44} {what}")?;
    }
    Ok(())
}

fn switch(name: &str, text: &str) -> Outcome<bool> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(Failure::Usage(format!("{name} wants on or off; got {other:?}"))),
    }
}

fn moment(name: &str, text: &str) -> Outcome<Option<String>> {
    match text {
        "off" => Ok(None),
        "" => Err(Failure::Usage(format!("{name} wants a point in time, or off"))),
        text => {
            Moment::parse(text)?;
            Ok(Some(text.to_owned()))
        }
    }
}

fn schema(session: &Session, prefix: &str, out: &mut dyn Write) -> Outcome {
    let db = session.db();
    let prefix = prefix.strip_prefix(':').unwrap_or(prefix);
    let columns = ["attribute", "type", "cardinality", "properties"].map(str::to_owned).to_vec();
    let mut rows = Rows { columns, rows: Vec::new() };
    for attribute in db.schema().attributes() {
        let hidden = prefix.is_empty() && attribute.is_builtin();
        if hidden || !attribute.ident.as_str().starts_with(prefix) {
            continue;
        }
        rows.rows.push(vec![
            Value::Keyword(attribute.ident),
            attribute
                .value_type
                .map_or_else(|| Value::from("any"), |t| Value::Keyword(Keyword::new(t.keyword().as_str()))),
            Value::from(if attribute.is_many() { "many" } else { "one" }),
            Value::from(stats::properties(attribute).as_str()),
        ]);
    }
    rows.write(out, session.mode, &Layout::of_stdout(), &|| rows.to_form())
}

/// The text of the first form, and the forms after it.
fn first_and_rest<'a>(name: &str, text: &'a str) -> Outcome<(&'a str, Vec<treering::edn::Form>)> {
    let mut reader = Reader::new(text);
    let first = reader.next_form()?.ok_or_else(|| Failure::Usage(format!("{name} wants more; .help tells what")))?;
    let mut rest = Vec::new();
    while let Some(form) = reader.next_form()? {
        rest.push(form);
    }
    Ok((text.get(first.span.start as usize..first.span.end as usize).unwrap_or(text), rest))
}

fn explain(session: &Session, text: &str, out: &mut dyn Write) -> Outcome {
    let (analyze, text) = match text.strip_prefix("analyze") {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let (format, text) = match text.split_once(char::is_whitespace) {
        Some(("json", rest)) => (PlanFormat::Json, rest),
        Some(("edn", rest)) => (PlanFormat::Edn, rest),
        _ => (PlanFormat::Text, text),
    };
    let (query, inputs) = first_and_rest(".explain", text)?;
    writeln!(out, "{}", engine::explain(&session.viewed()?, query, inputs, analyze, format)?)?;
    Ok(())
}

fn pull(session: &Session, text: &str, out: &mut dyn Write) -> Outcome {
    let (pattern, entities) = first_and_rest(".pull", text)?;
    if entities.is_empty() {
        return Err(Failure::Usage(".pull wants a pattern and an entity".to_owned()));
    }
    let db = session.viewed()?;
    for entity in &entities {
        let pulled = engine::pull(&db, pattern, EntityRef::from_form(entity)?)?;
        let width = Layout::of_stdout().width.map_or(100, usize::from);
        writeln!(out, "{}", pretty(&pulled.to_form(), width))?;
    }
    Ok(())
}

/// The arguments of `.import`.
#[derive(Debug, Parser)]
#[command(name = ".import", no_binary_name = true, disable_help_flag = true)]
struct ImportLine {
    file: String,
    #[command(flatten)]
    options: import::Options,
}

fn import_file(session: &Session, text: &str, out: &mut dyn Write) -> Outcome {
    let line = ImportLine::try_parse_from(words(text)).map_err(|error| {
        let told = error.to_string();
        Failure::Usage(told.strip_prefix("error: ").unwrap_or(&told).trim_end().to_owned())
    })?;
    let source = Source::new(&line.file, None)?;
    import::file(Some(&session.conn), &source, &line.options, out)
}

/// The words of a line; those with blanks stand in quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if matches!(c, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn read_file(session: &mut Session, path: &str, out: &mut dyn Write) -> Outcome<bool> {
    if path.is_empty() {
        return Err(Failure::Usage(".read wants a file".to_owned()));
    }
    if session.reading >= DEEPEST {
        return Err(Failure::Usage(format!("{path}: files that read each other are at most {DEEPEST} deep")));
    }
    let text = std::fs::read_to_string(path).map_err(|cause| Failure::io(format!("{path} cannot be read"), &cause))?;
    session.reading += 1;
    let mut outcome = Ok(true);
    for entry in (Joined { lines: text.lines().map(|line| Ok(line.to_owned())) }) {
        let entry = entry?;
        outcome = session.enter(&entry, out);
        if !matches!(outcome, Ok(true)) {
            break;
        }
    }
    session.reading -= 1;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_quotes() {
        assert_eq!(words("a  'b c' --x=\"d\"e ''"), ["a", "b c", "--x=de", ""]);
        let line = ImportLine::try_parse_from(words("x.csv --identity id --ref a=id --batch 7")).unwrap();
        assert_eq!(line.file, "x.csv");
        assert!(ImportLine::try_parse_from(words("x.csv --ref a")).is_err());
    }

    #[test]
    fn switches_and_moments() {
        assert!(switch(".timer", "on").unwrap());
        assert_eq!(switch(".timer", "yes").unwrap_err().code(), 2);
        assert_eq!(moment(".as-of", "off").unwrap(), None);
        assert_eq!(moment(".as-of", "2026-01-01").unwrap().as_deref(), Some("2026-01-01"));
        assert_eq!(moment(".as-of", "soon").unwrap_err().code(), 2);
    }
}
