//! A naive Datalog evaluator: the independent judge of the query engine.
//!
//! It shares nothing with the engine but forms and values. Every clause is answered by walking over all facts of its
//! source, rules are iterated to a fixpoint, and nothing is estimated, indexed or pushed anywhere, so that what it
//! answers can be checked by reading it. Entity ids are plain integers here: refs are turned into longs on the way in
//! ([`canon`]), so ids join with integers as they do in the engine.

#![allow(dead_code, reason = "every test target uses its own part of the module")]

pub mod ast;
pub mod engine;
pub mod eval;
pub mod find;
pub mod functions;
pub mod generate;
pub mod judge;
pub mod numbers;
pub mod pull;
pub mod replay;
pub mod scope;

use std::collections::{BTreeMap, BTreeSet};

use treering::Value;
use treering::edn::{Form, Keyword, Symbol};

/// A query that the oracle refuses, or one that fails on a row that nothing else drops.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The code of the error, such as `query/where`.
    pub code: &'static str,
    /// What was wrong.
    pub message: String,
}

impl Refusal {
    pub fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }
}

pub type Result<T> = std::result::Result<T, Refusal>;

/// A fact as a view shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    pub e: u64,
    pub a: Keyword,
    pub v: Value,
    pub tx: u64,
    pub added: bool,
}

/// What a query needs to know of the schema.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SchemaFacts {
    pub refs: BTreeSet<Keyword>,
    pub many: BTreeSet<Keyword>,
    pub unique: BTreeSet<Keyword>,
    pub components: BTreeSet<Keyword>,
}

/// What a `$` names.
#[derive(Debug, Clone)]
pub enum Source {
    /// The visible datoms of a view of a database.
    Db { rows: Vec<Vec<Value>>, schema: SchemaFacts },
    /// A collection of tuples.
    Rows(Vec<Vec<Value>>),
}

impl Source {
    /// A source of the facts of a view.
    pub fn db(facts: &[Fact], schema: SchemaFacts) -> Source {
        let row = |f: &Fact| {
            let added = Value::Bool(f.added);
            vec![Value::Long(f.e as i64), Value::Keyword(f.a), canon(&f.v), Value::Long(f.tx as i64), added]
        };
        Source::Db { rows: facts.iter().map(row).collect(), schema }
    }

    pub fn rows(&self) -> &[Vec<Value>] {
        match self {
            Source::Db { rows, .. } | Source::Rows(rows) => rows,
        }
    }

    pub fn schema(&self) -> Option<&SchemaFacts> {
        match self {
            Source::Db { schema, .. } => Some(schema),
            Source::Rows(_) => None,
        }
    }

    /// The entity that `v` names in the place of an entity: an id, an ident or a lookup ref.
    /// `Err` for an ident or a lookup ref that names nothing; other values stand for themselves.
    pub fn entity(&self, v: &Value) -> std::result::Result<Value, ()> {
        let Source::Db { rows, schema } = self else { return Ok(v.clone()) };
        let found = |a: Keyword, wanted: &Value| {
            let hit = rows.iter().find(|r| r[1] == Value::Keyword(a) && r[2] == *wanted);
            hit.map(|r| r[0].clone()).ok_or(())
        };
        match v {
            Value::Keyword(_) => found(Keyword::new("db/ident"), v),
            Value::Tuple(pair) => match &pair[..] {
                [Value::Keyword(a), wanted] if schema.unique.contains(a) => found(*a, wanted),
                [Value::Keyword(_), _] => Err(()),
                _ => Ok(v.clone()),
            },
            _ => Ok(v.clone()),
        }
    }
}

/// One argument of a query.
#[derive(Debug, Clone)]
pub enum Input {
    Source(Source),
    Form(Form),
}

/// The value with every ref in it, at any depth, written as a long.
pub fn canon(v: &Value) -> Value {
    match v {
        Value::Ref(e) => Value::Long(e.0 as i64),
        Value::Tuple(xs) => Value::Tuple(xs.iter().map(canon).collect()),
        Value::Set(xs) => Value::set(xs.iter().map(canon).collect()),
        Value::Map(xs) => {
            let mut xs: Vec<(Value, Value)> = xs.iter().map(|(k, v)| (canon(k), canon(v))).collect();
            xs.sort();
            Value::Map(xs.into())
        }
        _ => v.clone(),
    }
}

pub fn value(form: &Form) -> Result<Value> {
    let v = Value::from_form(form).ok_or_else(|| Refusal::new("parser/query", format!("no value: {form:?}")))?;
    Ok(canon(&v))
}

/// The answer of a query: every row before `:limit` and `:offset`, and how the find wants it.
#[derive(Debug, Clone)]
pub struct Answer {
    pub shape: ast::Shape,
    /// All rows; a set, or a bag when there are aggregates or `:with`.
    pub rows: Vec<Vec<Value>>,
    pub order: Vec<(usize, bool)>,
    pub offset: usize,
    pub limit: Option<usize>,
    /// Keys of the return maps.
    pub keys: Option<Vec<Value>>,
}

impl Answer {
    /// The rows of the answer as a multiset.
    pub fn bag(rows: &[Vec<Value>]) -> BTreeMap<Vec<Value>, usize> {
        let mut bag = BTreeMap::new();
        for row in rows {
            *bag.entry(row.clone()).or_insert(0) += 1;
        }
        bag
    }

    /// Whether `got`, in the order in which it was given, is an answer: the rows as a multiset, any one row for a tuple
    /// or scalar find, and for `:limit` any choice that the order allows.
    pub fn accepts(&self, got: &[Vec<Value>]) -> std::result::Result<(), String> {
        let one = matches!(self.shape, ast::Shape::Tuple | ast::Shape::Scalar);
        let left = self.rows.len().saturating_sub(self.offset);
        let mut expected = self.limit.map_or(left, |l| l.min(left));
        if one {
            expected = expected.min(1);
        }
        if got.len() != expected {
            return Err(format!("{} rows wanted, {} rows got", expected, got.len()));
        }
        let all = Answer::bag(&self.rows);
        for (row, n) in Answer::bag(got) {
            let most = all.get(&row).copied().unwrap_or(0);
            if n > most {
                return Err(format!("row {row:?} wanted {most} times, got {n} times"));
            }
        }
        if self.order.is_empty() || one {
            return Ok(());
        }
        let key = |row: &Vec<Value>| -> Vec<Value> { self.order.iter().map(|(i, _)| row[*i].clone()).collect() };
        let mut keys: Vec<Vec<Value>> = self.rows.iter().map(key).collect();
        keys.sort_by(|x, y| {
            let parts =
                x.iter().zip(y).zip(&self.order).map(|((x, y), (_, down))| if *down { y.cmp(x) } else { x.cmp(y) });
            parts.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        });
        let wanted: Vec<_> = keys.into_iter().skip(self.offset).take(expected).collect();
        let got: Vec<_> = got.iter().map(key).collect();
        if wanted == got { Ok(()) } else { Err(format!("order wanted {wanted:?}, got {got:?}")) }
    }
}

/// Answers `query`.
pub fn answer(query: &Form, inputs: &[Input]) -> Result<Answer> {
    let query = ast::parse(query)?;
    let (mut solver, envs) = eval::Solver::start(&query, inputs)?;
    let envs = solver.solve_all(envs, &query.body)?;
    find::find(&query, &solver, envs)
}

/// The name of the source that clauses without one use.
pub fn dollar() -> Symbol {
    Symbol::new("$")
}
