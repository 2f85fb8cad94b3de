//! Lines as they are typed: history, several lines to one input, completion.

use std::path::PathBuf;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use treering::{Aggregates, Db, Functions};

use super::dot::COMMANDS;
use crate::failure::{Failure, Outcome};
use crate::formats::is_complete;

/// Words with a colon that queries and transactions are made of.
const KEYWORDS: [&str; 18] = [
    ":find",
    ":where",
    ":in",
    ":with",
    ":keys",
    ":syms",
    ":strs",
    ":order-by",
    ":limit",
    ":offset",
    ":db/add",
    ":db/retract",
    ":db/retractEntity",
    ":db/cas",
    ":db/purge",
    ":db.fn/call",
    ":db/id",
    ":as",
];

/// Words that begin a list in a query and are no functions.
const CLAUSES: [&str; 6] = ["and", "not", "not-join", "or", "or-join", "pull"];

/// Reads inputs from the terminal.
pub struct Lines {
    editor: Editor<Words, DefaultHistory>,
    history: Option<PathBuf>,
}

/// What can be completed.
struct Words {
    files: FilenameCompleter,
    /// Attributes with their colon.
    attributes: Vec<String>,
    functions: Vec<String>,
}

/// Where inputs are remembered: the file of `TREERING_HISTORY`, or one in the user's state directory.
fn history_file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set("TREERING_HISTORY") {
        return Some(path);
    }
    let state =
        set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state"))).or_else(|| set("APPDATA"));
    state.map(|state| state.join("treering/history"))
}

fn failed(error: &ReadlineError) -> Failure {
    Failure::Io(format!("the terminal cannot be used: {error}"))
}

impl Lines {
    pub fn new() -> Outcome<Lines> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .history_ignore_dups(true)
            .map_err(|error| failed(&error))?
            .history_ignore_space(true)
            .max_history_size(10_000)
            .map_err(|error| failed(&error))?
            .build();
        let mut editor = Editor::with_config(config).map_err(|error| failed(&error))?;
        editor.set_helper(Some(Words::new()));
        let history = history_file();
        if let Some(path) = &history {
            if let Some(folder) = path.parent() {
                // Without the file inputs are forgotten at the end, and nothing else is lost.
                let _ = std::fs::create_dir_all(folder);
            }
            let _ = editor.load_history(path);
        }
        Ok(Lines { editor, history })
    }

    /// Takes the attributes of a database for completion.
    pub fn know(&mut self, db: &Db) {
        if let Some(words) = self.editor.helper_mut() {
            words.attributes = db.schema().attributes().iter().map(|attribute| attribute.ident.to_string()).collect();
        }
    }

    /// The next input.
    pub fn read(&mut self, prompt: &str) -> Result<String, ReadlineError> {
        let text = self.editor.readline(prompt)?;
        if !text.trim().is_empty()
            && self.editor.add_history_entry(text.as_str()).unwrap_or(false)
            && let Some(path) = &self.history
        {
            // A history that cannot be written is none.
            let _ = self.editor.append_history(path);
        }
        Ok(text)
    }
}

impl Words {
    fn new() -> Words {
        let functions = Functions::standard().names().into_iter().chain(Aggregates::standard().names());
        let mut functions: Vec<String> = functions.map(|name| name.to_string()).collect();
        functions.extend(CLAUSES.map(str::to_owned));
        functions.sort();
        functions.dedup();
        Words { files: FilenameCompleter::new(), attributes: Vec::new(), functions }
    }

    /// Where the word under the cursor begins, and what it can become.
    fn candidates(&self, line: &str, cursor: usize) -> (usize, Vec<String>) {
        let before = line.get(..cursor).unwrap_or(line);
        let is_end = |c: char| c.is_whitespace() || "()[]{}\",".contains(c);
        let start = before
            .rfind(is_end)
            .map_or(0, |at| at + before.get(at..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8));
        let word = before.get(start..).unwrap_or_default();
        if start == 0 && word.starts_with('.') {
            let commands = COMMANDS.iter().map(|(name, ..)| (*name).to_owned());
            return (start, commands.filter(|name| name.starts_with(word)).collect());
        }
        let mut found: Vec<String> = if word.starts_with(':') {
            let keywords = KEYWORDS.iter().map(|name| (*name).to_owned());
            self.attributes.iter().cloned().chain(keywords).filter(|name| name.starts_with(word)).collect()
        } else if word.starts_with('?') {
            // A variable that stands elsewhere in the input.
            let others = line.split(is_end).filter(|other| other.starts_with(word) && *other != word);
            others.map(str::to_owned).collect()
        } else if before.get(..start).is_some_and(|text| text.ends_with('(')) {
            self.functions.iter().filter(|name| name.starts_with(word)).cloned().collect()
        } else {
            Vec::new()
        };
        found.sort();
        found.dedup();
        (start, found)
    }
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _context: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let takes_file = [".read ", ".import "].iter().any(|name| line.starts_with(name));
        if takes_file {
            return self.files.complete_path(line, pos);
        }
        let (start, words) = self.candidates(line, pos);
        Ok((start, words.into_iter().map(|word| Pair { display: word.clone(), replacement: word }).collect()))
    }
}

impl Validator for Words {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let ready = text.trim_start().starts_with('.') || is_complete(text);
        Ok(if ready { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}

impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(line: &str) -> (usize, Vec<String>) {
        let mut words = Words::new();
        words.attributes = vec![":person/name".into(), ":person/age".into(), ":size".into()];
        words.candidates(line, line.len())
    }

    #[test]
    fn words_are_completed() {
        assert_eq!(complete(".his"), (0, vec![".history".to_owned()]));
        assert_eq!(complete("[?e :per"), (4, vec![":person/age".to_owned(), ":person/name".to_owned()]));
        assert_eq!(complete("[:fi"), (1, vec![":find".to_owned()]));
        assert_eq!(complete("[:find ?name ?n"), (13, vec!["?name".to_owned()]));
        let (at, functions) = complete("[(starts");
        assert_eq!(at, 2);
        assert!(functions.iter().all(|name| name.starts_with("starts")), "{functions:?}");
        assert!(complete("[:find (cou").1.contains(&"count".to_owned()));
        assert_eq!(complete("é "), (3, vec![]));
    }
}
