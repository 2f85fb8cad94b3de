//! Functions and predicates for both sides, each written once over what the database and the model can tell.

use treering::edn::{Form, FormKind, Keyword, Symbol};
use treering::{Components, Db, EntityId, Error, ErrorKind, Order, Registry, Value};

use super::base::{Base, Refused, kw};

/// What a function can ask of a database: the values of an attribute, in their order.
pub trait Readable {
    fn values(&self, e: u64, a: Keyword) -> Vec<Value>;
}

impl Readable for Base {
    fn values(&self, e: u64, a: Keyword) -> Vec<Value> {
        self.facts().into_iter().filter(|f| f.0 == e && f.1 == a).map(|f| f.2).collect()
    }
}

impl Readable for Db {
    fn values(&self, e: u64, a: Keyword) -> Vec<Value> {
        let found = self.datoms(Order::Eavt, &Components::default().e(EntityId(e)).a(a));
        found.map(|datoms| datoms.map(|d| d.expect("a datom").v).collect()).unwrap_or_default()
    }
}

/// A transaction function failed.
#[derive(Debug)]
pub struct Failed;

fn symbol(name: &str) -> Form {
    FormKind::Symbol(Symbol::new(name)).into()
}

/// What the transaction function of that name gives; `None` where there is none.
pub fn call(db: &impl Readable, name: &str, args: &[Value]) -> Option<Result<Form, Failed>> {
    let operation = |name: &str, parts: &[Form]| Form::from([&[kw(name).into()], parts].concat());
    let all = |forms: Vec<Form>| Ok(Form::from(forms));
    Some(match (name, args) {
        ("f/say", said) => all(said.iter().map(Value::to_form).collect()),
        ("f/copy", [Value::Long(from), Value::Keyword(a), to]) => {
            let add = |v: Value| operation("db/add", &[to.to_form(), (*a).into(), v.to_form()]);
            all(db.values(*from as u64, *a).into_iter().map(add).collect())
        }
        ("f/take", [Value::Long(e), Value::Keyword(a)]) => {
            let retract = |v: Value| operation("db/retract", &[Form::from(*e), (*a).into(), v.to_form()]);
            all(db.values(*e as u64, *a).into_iter().map(retract).collect())
        }
        ("f/count", [Value::Long(e), Value::Keyword(a), Value::Keyword(b)]) => {
            let n = db.values(*e as u64, *a).len() as i64;
            all(vec![operation("db/add", &[Form::from(*e), (*b).into(), Form::from(n)])])
        }
        ("f/nest", [Value::Long(n @ 1..), rest @ ..]) => {
            let mut again = vec![symbol("f/nest"), Form::from(n - 1)];
            again.extend(rest.iter().map(Value::to_form));
            all(vec![Form::from(again)])
        }
        ("f/nest", [_, rest @ ..]) => all(rest.iter().map(Value::to_form).collect()),
        ("f/meta", [Value::Keyword(a), v]) => {
            let meta = Form::map(vec![((*a).into(), v.to_form())]);
            Ok(Form::map(vec![(kw("tx-data").into(), Form::from(Vec::new())), (kw("tx-meta").into(), meta)]))
        }
        ("f/garbled", _) => Ok(Form::from(5)),
        ("f/copy" | "f/take" | "f/count" | "f/nest" | "f/meta" | "f/fail", _) => Err(Failed),
        _ => return None,
    })
}

pub const FUNCTIONS: [&str; 8] = ["f/say", "f/copy", "f/take", "f/count", "f/nest", "f/meta", "f/garbled", "f/fail"];

/// Whether a value passes the predicate that is registered as one of attributes.
fn is_small(v: &Value) -> Result<bool, Failed> {
    match v {
        Value::Long(n) => Ok(*n < 2),
        Value::Str(text) => Ok(text.len() < 2),
        Value::Tuple(members) => Ok(members.first() != Some(&Value::Nil)),
        Value::Double(_) => Err(Failed),
        _ => Ok(true),
    }
}

/// Whether all predicates of an attribute let a value pass. Which of several that do not is told is open.
pub fn check(preds: &[Symbol], v: &Value) -> Result<(), Refused> {
    let is_positive = |v: &Value| match v {
        Value::Long(n) => *n > 0,
        Value::Ref(e) => e.0 > 0,
        Value::Double(x) => *x > 0.0,
        Value::Float(x) => *x > 0.0,
        Value::BigInt(n) => !n.to_string().starts_with(['-', '0']),
        Value::BigDec(x) => !x.to_string().starts_with('-') && x.to_string().contains(|c| ('1'..='9').contains(&c)),
        _ => false,
    };
    let (mut refuses, mut is_missing) = (false, false);
    for name in preds {
        match name.as_str() {
            "p/small?" => refuses |= !is_small(v).unwrap_or(false),
            // Functions of queries.
            "pos?" => refuses |= !is_positive(v),
            "some?" => {}
            _ => is_missing = true,
        }
    }
    match (refuses, is_missing) {
        (false, false) => Ok(()),
        (true, false) => Err("transact/attr-pred"),
        (false, true) => Err("transact/attr-pred-unresolved"),
        (true, true) => Err("transact/attr-pred|transact/attr-pred-unresolved"),
    }
}

/// Whether an entity passes a predicate of entities; `None` where there is none of that name.
pub fn holds(after: &impl Readable, name: &str, e: u64) -> Option<Result<bool, Failed>> {
    match name {
        "e/few?" => Some(Ok(after.values(e, kw("a")).len() < 2)),
        "e/clear?" => Some(if after.values(e, kw("f")).is_empty() { Ok(true) } else { Err(Failed) }),
        _ => None,
    }
}

fn error(_: Failed) -> Error {
    Error::new(ErrorKind::Argument, "test/failed", "on purpose")
}

/// A registry that knows all of them.
pub fn registry() -> Registry {
    let registry = Registry::with_builtins();
    for name in FUNCTIONS {
        registry.register_tx_function(name, move |db, args| {
            call(db, name, args).expect("it is one of the functions").map_err(error)
        });
    }
    registry.register_attribute_predicate("p/small?", |v| is_small(v).map_err(error));
    for name in ["e/few?", "e/clear?"] {
        registry.register_entity_predicate(name, move |db, e| {
            holds(db, name, e.0).expect("it is one of the predicates").map_err(error)
        });
    }
    registry
}
