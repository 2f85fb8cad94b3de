//! Records to transactions: in batches, and one by one around what is bad.

use std::collections::HashMap;

use indicatif::ProgressBar;
use treering::documents::{Names, Plan};
use treering::edn::Form;
use treering::{Connection, EntityId, Error, TxReport};

use super::{Done, OnError, Options, is_of_data};
use crate::failure::Outcome;
use crate::formats::{Record, Source};
use crate::progress::grouped;

/// One thing to import.
#[derive(Debug)]
pub enum Item {
    /// Becomes an entity by the plan.
    Record(Record),
    /// Tx-data as it is.
    Form(Form),
}

/// Gathers items and writes them.
pub struct Batches<'a> {
    conn: &'a Connection,
    source: &'a Source,
    options: &'a Options,
    bar: &'a ProgressBar,
    plan: Option<&'a Plan>,
    waiting: Vec<(u64, Item)>,
    /// What the tempids of earlier transactions of the file have come to mean.
    tempids: HashMap<String, EntityId>,
    done: Done,
}

/// Most bad records that are told one by one.
const TOLD: u64 = 20;

impl<'a> Batches<'a> {
    pub fn new(
        conn: &'a Connection,
        source: &'a Source,
        options: &'a Options,
        bar: &'a ProgressBar,
        plan: Option<&'a Plan>,
    ) -> Self {
        Batches {
            conn,
            source,
            options,
            bar,
            plan,
            waiting: Vec::new(),
            tempids: HashMap::new(),
            done: Done::default(),
        }
    }

    /// Adds an item; writes when there are enough.
    pub fn push(&mut self, line: u64, item: Item) -> Outcome {
        self.waiting.push((line, item));
        if self.options.batch > 0 && self.waiting.len() >= self.options.batch { self.flush() } else { Ok(()) }
    }

    /// Writes what waits.
    pub fn flush(&mut self) -> Outcome {
        let items = std::mem::take(&mut self.waiting);
        if items.is_empty() {
            return Ok(());
        }
        self.write(&items)?;
        self.bar.set_message(format!("{} entities", grouped(self.done.entities)));
        Ok(())
    }

    /// Writes the rest.
    pub fn finish(mut self) -> Outcome<Done> {
        self.flush()?;
        Ok(self.done)
    }

    /// A record that cannot be imported: the end, or a line on standard error.
    pub fn bad(&mut self, line: u64, error: Error) -> Outcome {
        let place = format!("{}:{line}", self.source.name);
        if self.options.on_error == OnError::Stop {
            self.bar.finish_and_clear();
            if self.done.entities > 0 {
                let before = grouped(self.done.entities);
                eprintln!("stopped; the {before} entities before it are in the database");
            }
            return Err(error.context(place).into());
        }
        self.done.skipped += 1;
        if self.done.skipped <= TOLD {
            self.bar.suspend(|| eprintln!("skipped {}", error.context(place)));
        } else if self.done.skipped == TOLD + 1 {
            self.bar.suspend(|| eprintln!("more are skipped without being told"));
        }
        Ok(())
    }

    /// Writes items in one transaction; where one of them is bad, halves them until it stands alone.
    fn write(&mut self, items: &[(u64, Item)]) -> Outcome {
        let (error, at) = match self.try_write(items) {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        if !is_of_data(error.kind()) {
            return Err(error.into());
        }
        if let [(line, _)] = items {
            return self.bad(*line, error);
        }
        // Where the bad one is known, nothing need be searched.
        let (first, rest) = match at {
            Some(at) => (items.get(..at).unwrap_or_default(), items.get(at..).unwrap_or_default()),
            None => items.split_at(items.len() / 2),
        };
        match (at, rest.split_first()) {
            (Some(_), Some(((line, _), rest))) => {
                if !first.is_empty() {
                    self.write(first)?;
                }
                self.bad(*line, error)?;
                if rest.is_empty() { Ok(()) } else { self.write(rest) }
            }
            _ => {
                self.write(first)?;
                self.write(rest)
            }
        }
    }

    /// An error comes with the place of the item among the others, where it is known.
    fn try_write(&mut self, items: &[(u64, Item)]) -> Result<(), (Error, Option<usize>)> {
        let mut names = Names::default();
        let mut forms = Vec::with_capacity(items.len());
        let db = self.conn.db();
        for (at, (_, item)) in items.iter().enumerate() {
            match (item, self.plan) {
                (Item::Record(record), Some(plan)) => {
                    forms.extend(plan.entity(record.fields(), &mut names).map_err(|error| (error, Some(at)))?);
                }
                (Item::Record(_), None) => {}
                (Item::Form(form), _) => forms.push(super::edn::resolved(form, &self.tempids, db.schema())),
            }
        }
        forms.extend(names.untold());
        if forms.is_empty() {
            return Ok(());
        }
        let report = self.conn.transact(Form::from(forms)).map_err(|error| (error, None))?;
        self.count(items, &report);
        Ok(())
    }

    fn count(&mut self, items: &[(u64, Item)], report: &TxReport) {
        self.done.entities += items.len() as u64;
        self.done.datoms += report.tx_data.len() as u64;
        self.done.transactions += 1;
        if self.plan.is_none() {
            let named = report.tempids.iter().map(|(name, id)| (name.to_string(), *id));
            self.tempids.extend(named.filter(|(name, _)| !name.contains("current-tx")));
        }
    }
}
