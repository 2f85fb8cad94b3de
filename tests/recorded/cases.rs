//! The records as they lie there: one map to a line.

use std::path::Path;

use treering::edn::{self, Form, FormKind, Keyword};

use crate::oracle::replay::texts;

/// One recorded call.
pub struct Case {
    /// The namespace, the line, and the call in short.
    pub name: String,
    pub op: String,
    form: Result<Form, String>,
}

/// The members of a vector, list or set.
pub fn members(form: Option<&Form>) -> &[Form] {
    match form.map(|form| &form.kind) {
        Some(FormKind::Set(members)) => members,
        _ => form.and_then(Form::items).unwrap_or(&[]),
    }
}

/// The text of a record in terms that there are here: a ratio or a map that is a value is its own text, and DataScript's second name of `:db/valueType` is the first.
fn translated(line: &str) -> String {
    let mut text = line.replace(" 22/7", " \"22/7\"").replace(":db/type :db.type/ref", ":db/valueType :db.type/ref");
    for (from, to) in MAPS {
        text = text.replace(from, to);
    }
    text
}

/// Maps that stand as values in the records.
const MAPS: [(&str, &str); 6] = [
    // In the order that they have there.
    ("{:map 3}", "\"a map\""),
    ("{:map 2}", "\"map\""),
    ("{:map 1}", "\"the map\""),
    ("{:another :map}", "\"another map\""),
    ("{:some-key :some-value}", "\"some-key some-value\""),
    // What names no entity.
    ("{:regex \"regexp\"}", "1.5"),
];

pub fn get<'a>(form: &'a Form, key: &str) -> Option<&'a Form> {
    form.get(Keyword::new(key))
}

/// The names of all records of some operations.
pub fn names(folder: &Path, ops: &[&str]) -> Vec<String> {
    read(folder, ops).into_iter().map(|case| case.name).collect()
}

/// All records of some operations, by file and line.
pub fn read(folder: &Path, ops: &[&str]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (file, text) in texts(folder) {
        for (i, line) in text.lines().enumerate() {
            let Some(op) = ops.iter().find(|op| line.contains(&format!(", :op :{op}, "))) else { continue };
            let name = format!("{file}:{}", i + 1);
            let form = edn::read(&translated(line.trim_start_matches('['))).map_err(|error| error.to_string());
            cases.push(Case { name, op: (*op).to_owned(), form });
        }
    }
    cases
}

impl Case {
    /// # Errors
    /// When it is not EDN.
    pub fn check(&self) -> Result<(), String> {
        self.form.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    pub fn get(&self, key: &str) -> Option<&Form> {
        get(self.form.as_ref().ok()?, key)
    }

    pub fn args(&self) -> &[Form] {
        self.get("args").and_then(Form::items).unwrap_or(&[])
    }

    /// The database that the first argument stands for.
    pub fn database(&self) -> Option<&Form> {
        let key = get(self.args().first()?, "db")?;
        self.get("dbs")?.pairs()?.iter().find(|(k, _)| k == key).map(|(_, db)| db)
    }

    /// The keyword of the recorded error: its text without the colon, empty where it had none.
    pub fn error(&self) -> Option<String> {
        let error = self.get("error")?;
        let code = get(error, "data").and_then(|data| get(data, "error")).and_then(Form::as_keyword);
        Some(code.map_or(String::new(), |code| code.as_str().to_owned()))
    }

    /// Compares what was recorded with an outcome: `same` judges a result.
    pub fn judge<T: std::fmt::Debug>(
        &self,
        outcome: treering::Result<T>,
        same: impl FnOnce(&Form, &T) -> Result<(), String>,
    ) -> Result<(), String> {
        let result = self.get("result").cloned().unwrap_or_else(Form::nil);
        match (self.error(), outcome) {
            (None, Ok(outcome)) => same(&result, &outcome),
            (None, Err(error)) => Err(format!("recorded {result}, refused here: {error}")),
            (Some(code), Ok(outcome)) => Err(format!("recorded the error {code:?}, answered here: {outcome:?}")),
            (Some(code), Err(error)) => crate::differences::same_code(&self.name, &code, &error),
        }
    }
}
