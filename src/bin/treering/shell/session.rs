//! What the shell knows between inputs, and what it does with one.

use std::io::Write;
use std::time::Instant;

use treering::edn::{Form, FormKind, Keyword, read_all};
use treering::{Config, Connection, Db};

use super::dot;
use crate::database::View;
use crate::engine;
use crate::failure::Outcome;
use crate::output::{Layout, Mode, foot, is_terminal, milliseconds, report_lines};

/// A conversation with one database.
pub struct Session {
    pub config: Config,
    pub conn: Connection,
    pub view: View,
    pub mode: Mode,
    pub timer: bool,
    /// Files that are being read, so that none reads itself for ever.
    pub reading: usize,
}

impl Session {
    pub fn new(config: Config, conn: Connection, interactive: bool) -> Session {
        let mode = if interactive || is_terminal() { Mode::Table } else { Mode::Edn };
        Session { config, conn, view: View::default(), mode, timer: interactive, reading: 0 }
    }

    /// The database, without the view.
    pub fn db(&self) -> Db {
        // A reader that cannot follow shows what it last saw.
        self.conn.sync().unwrap_or_else(|_| self.conn.db())
    }

    /// The database that queries see.
    pub fn viewed(&self) -> Outcome<Db> {
        self.view.of(&self.conn.sync()?)
    }

    /// What stands before the cursor: the database and its view.
    pub fn prompt(&self) -> String {
        let path = self.config.store_config().path();
        let name = path.as_ref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
        let mut prompt = name.unwrap_or_else(|| self.config.store_config().backend().as_str().to_owned());
        if let Some(t) = &self.view.as_of {
            prompt.push_str(&format!(" as-of {t}"));
        }
        if let Some(t) = &self.view.since {
            prompt.push_str(&format!(" since {t}"));
        }
        if self.view.history {
            prompt.push_str(" history");
        }
        prompt.push_str("> ");
        prompt
    }

    /// Lets go of the database.
    pub fn close(self) -> Outcome {
        Ok(self.conn.release()?)
    }

    /// Does what a text says; false where it ends the shell.
    pub fn enter(&mut self, text: &str, out: &mut dyn Write) -> Outcome<bool> {
        let text = text.trim();
        if text.starts_with('.') {
            return dot::run(self, text, out);
        }
        let mut forms = read_all(text)?;
        if forms.is_empty() {
            return Ok(true);
        }
        if is_query(&forms) {
            let inputs = forms.split_off(1);
            let query = forms.first().and_then(|form| text.get(form.span.start as usize..form.span.end as usize));
            self.query(query.unwrap_or(text), inputs, out)?;
        } else {
            self.transact(text, out)?;
        }
        Ok(true)
    }

    fn query(&self, text: &str, inputs: Vec<Form>, out: &mut dyn Write) -> Outcome {
        let answer = engine::query(&self.viewed()?, text, inputs, &engine::Limits::default())?;
        answer.rows.write(out, self.mode, &Layout::of_stdout(), &|| answer.form.clone())?;
        if self.mode == Mode::Table {
            writeln!(out, "{}", foot(answer.rows.rows.len(), self.timer.then_some(answer.took)))?;
        }
        Ok(())
    }

    fn transact(&self, text: &str, out: &mut dyn Write) -> Outcome {
        let began = Instant::now();
        let report = engine::transact(&self.conn, text)?;
        let took = if self.timer { format!(" in {}", milliseconds(began.elapsed())) } else { String::new() };
        writeln!(out, "{}{took}", report_lines(&report))?;
        if !self.view.is_plain() {
            writeln!(out, "the view of this shell is another; .as-of off, .since off, .history off show the present")?;
        }
        Ok(())
    }
}

/// Whether the first form is a query; those after it are its inputs.
fn is_query(forms: &[Form]) -> bool {
    let Some(first) = forms.first() else { return false };
    let find = Keyword::new("find");
    match &first.kind {
        FormKind::Vector(items) => items.first().and_then(Form::as_keyword) == Some(find),
        FormKind::Map(_) => first.get(find).is_some() || first.get(Keyword::new("query")).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_transactions_are_told_apart() {
        let forms = |text: &str| read_all(text).unwrap();
        assert!(is_query(&forms("[:find ?e :where [?e :a]] 42")));
        assert!(is_query(&forms("{:find [?e] :where [[?e :a]]}")));
        assert!(is_query(&forms("{:query [:find ?e] :args [$]}")));
        assert!(!is_query(&forms("[{:a 1}]")));
        assert!(!is_query(&forms("{:a 1}")));
        assert!(!is_query(&forms("[:db/add 1 :a 2]")));
    }
}
