//! A database as a plain list of rows, and its schema read off them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::OnceLock;

use treering::edn::{Keyword, Symbol};
use treering::{Components, Config, Datom, EntityId, Order, Value, connect, create_database};

/// Why a transaction is refused: the code of the error.
pub type Refused = &'static str;

pub const SCHEMA: Refused = "transact/schema";

pub fn kw(text: &str) -> Keyword {
    Keyword::new(text)
}

/// A fact and when it held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub e: u64,
    pub a: Keyword,
    pub v: Value,
    pub tx: u64,
    /// `None` while it holds.
    pub until: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Tuple {
    Composite(Vec<Keyword>),
    Types(Vec<String>),
    Type(String),
}

/// A definition. The default is that of an attribute that nothing declares.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attribute {
    /// The entity that defines it; 0 for none.
    pub entity: u64,
    pub value_type: Option<String>,
    pub many: bool,
    pub unique: Option<String>,
    pub index: bool,
    pub component: bool,
    pub no_history: bool,
    pub tuple: Option<Tuple>,
    pub max_length: Option<i64>,
    pub preds: Vec<Symbol>,
}

impl Attribute {
    pub fn is(&self, value_type: &str) -> bool {
        self.value_type.as_deref() == Some(value_type)
    }

    pub fn is_ref(&self) -> bool {
        self.is("ref")
    }

    pub fn members(&self) -> Option<&[Keyword]> {
        match &self.tuple {
            Some(Tuple::Composite(members)) => Some(members),
            _ => None,
        }
    }

    /// What a transaction that makes the attribute must leave as it found it.
    pub fn shape(&self) -> (&Option<String>, bool, &Option<String>, &Option<Tuple>) {
        (&self.value_type, self.many, &self.unique, &self.tuple)
    }
}

pub type Schema = BTreeMap<Keyword, Attribute>;

const BUILT_IN: [(&str, &str, bool); 18] = [
    ("db/ident", "keyword", false),
    ("db/valueType", "keyword", false),
    ("db/cardinality", "keyword", false),
    ("db/doc", "string", false),
    ("db/index", "boolean", false),
    ("db/unique", "keyword", false),
    ("db/noHistory", "boolean", false),
    ("db.install/attribute", "ref", true),
    ("db/txInstant", "instant", false),
    ("db/isComponent", "boolean", false),
    ("db/tupleType", "keyword", false),
    ("db/tupleTypes", "keywords", false),
    ("db/tupleAttrs", "keywords", false),
    ("db/maxLength", "long", false),
    ("db.attr/preds", "symbol", true),
    ("db.entity/attrs", "keyword", true),
    ("db.entity/preds", "symbol", true),
    ("db/fn", "symbol", false),
];

pub fn is_built_in(a: Keyword) -> bool {
    static ALL: OnceLock<HashSet<Keyword>> = OnceLock::new();
    ALL.get_or_init(|| BUILT_IN.iter().map(|(name, ..)| kw(name)).collect()).contains(&a)
}

/// With one of these an entity defines an attribute.
const MAKERS: [&str; 9] = [
    "db/valueType",
    "db/cardinality",
    "db/index",
    "db/unique",
    "db/noHistory",
    "db/isComponent",
    "db/tupleType",
    "db/tupleTypes",
    "db/tupleAttrs",
];

pub fn is_definition(a: Keyword) -> bool {
    static ALL: OnceLock<HashSet<Keyword>> = OnceLock::new();
    let all = || MAKERS.into_iter().chain(["db/ident", "db/maxLength", "db.attr/preds"]).map(kw).collect();
    ALL.get_or_init(all).contains(&a)
}

pub fn makes_attribute(a: Keyword) -> bool {
    MAKERS.contains(&a.as_str())
}

/// The name in a keyword, or in that of the engine's entity that stands for it.
fn name_in<'a>(v: &Value, prefix: &str) -> Result<&'a str, Refused> {
    let word = match v {
        Value::Keyword(k) => Some(*k),
        Value::Ref(EntityId(id)) => words().0.get(id).copied(),
        Value::Long(id) => words().0.get(&(*id as u64)).copied(),
        _ => None,
    };
    word.and_then(|k| k.as_str().strip_prefix(prefix)).ok_or(SCHEMA)
}

/// The last of the engine's own entities, where attributes are entities.
pub const LAST_OWN: u64 = 54;

/// The facts about them, as a new database has them.
fn own_rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let config = Config::memory("transact-model-own").attribute_refs(true);
        create_database(&config).expect("a database");
        let conn = connect(&config).expect("a connection");
        let db = conn.db();
        let row = |d: Datom| Row { e: d.e.0, a: db.ident(d.a).expect("a name"), v: d.v, tx: d.tx.0, until: None };
        let all = db.datoms(Order::Eavt, &Components::default()).expect("datoms");
        all.map(|d| row(d.expect("a datom"))).collect()
    })
}

/// The names of the engine's own entities, and the entities by their names.
fn words() -> &'static (BTreeMap<u64, Keyword>, BTreeMap<Keyword, u64>) {
    static WORDS: OnceLock<(BTreeMap<u64, Keyword>, BTreeMap<Keyword, u64>)> = OnceLock::new();
    WORDS.get_or_init(|| {
        let word = |row: &Row| if let Value::Keyword(k) = row.v { Some((row.e, k)) } else { None };
        let named: BTreeMap<u64, Keyword> =
            own_rows().iter().filter(|row| row.a == kw("db/ident")).filter_map(word).collect();
        let entities = named.iter().map(|(e, k)| (*k, *e)).collect();
        (named, entities)
    })
}

/// The engine's own entity of that name; 0 for none.
pub fn own_entity(name: &str) -> u64 {
    words().1.get(&kw(name)).copied().unwrap_or(0)
}

const TYPES: [&str; 18] = [
    "bigdec",
    "bigint",
    "boolean",
    "bytes",
    "double",
    "double-array",
    "float",
    "float-array",
    "instant",
    "keyword",
    "long",
    "number",
    "ref",
    "string",
    "symbol",
    "tuple",
    "uri",
    "uuid",
];

fn type_of(v: &Value) -> Result<String, Refused> {
    let name = name_in(v, "db.type/")?;
    if TYPES.contains(&name) { Ok(name.to_owned()) } else { Err(SCHEMA) }
}

fn members(v: &Value) -> Result<&[Value], Refused> {
    match v {
        Value::Tuple(members) if !members.is_empty() => Ok(members),
        _ => Err(SCHEMA),
    }
}

/// The attribute that the facts of an entity define, and its name; `None` when they define none.
pub fn define(entity: u64, facts: &[(Keyword, Value)], write: bool) -> Result<Option<(Keyword, Attribute)>, Refused> {
    if !facts.iter().any(|(a, _)| makes_attribute(*a)) {
        return Ok(None);
    }
    let ident = facts.iter().find(|(a, _)| a.as_str() == "db/ident").ok_or(SCHEMA)?;
    let Value::Keyword(ident) = ident.1 else { return Err(SCHEMA) };
    let mut made = Attribute { entity, ..Attribute::default() };
    let mut has_cardinality = false;
    for (a, v) in facts {
        let flag = || if let Value::Bool(b) = v { Ok(*b) } else { Err(SCHEMA) };
        match a.as_str() {
            "db/valueType" => made.value_type = Some(type_of(v)?),
            "db/cardinality" => {
                has_cardinality = true;
                made.many = match name_in(v, "db.cardinality/")? {
                    "one" => false,
                    "many" => true,
                    _ => return Err(SCHEMA),
                };
            }
            "db/unique" => {
                let name = name_in(v, "db.unique/")?;
                if !["identity", "value"].contains(&name) {
                    return Err(SCHEMA);
                }
                made.unique = Some(name.to_owned());
            }
            "db/index" => made.index = flag()?,
            "db/noHistory" => made.no_history = flag()?,
            "db/isComponent" => made.component = flag()?,
            "db/maxLength" => match v {
                Value::Long(n) if (0..=i64::from(u32::MAX)).contains(n) => made.max_length = Some(*n),
                _ => return Err(SCHEMA),
            },
            "db.attr/preds" => match v {
                Value::Symbol(name) => made.preds.push(*name),
                Value::Keyword(name) => made.preds.push(Symbol::new(name.as_str())),
                _ => {}
            },
            "db/tupleType" => made.tuple = Some(Tuple::Type(type_of(v)?)),
            "db/tupleTypes" => {
                let types = members(v)?.iter().map(type_of).collect::<Result<_, _>>()?;
                made.tuple = Some(Tuple::Types(types));
            }
            "db/tupleAttrs" => {
                let member = |v: &Value| if let Value::Keyword(k) = v { Ok(*k) } else { Err(SCHEMA) };
                let names = members(v)?.iter().map(member).collect::<Result<_, _>>()?;
                made.tuple = Some(Tuple::Composite(names));
            }
            _ => {}
        }
    }
    let holds_tuples = match &made.tuple {
        Some(Tuple::Types(types)) => types.iter().any(|t| t == "tuple"),
        Some(Tuple::Type(one)) => one == "tuple",
        _ => false,
    };
    let shapes = ["db/tupleAttrs", "db/tupleTypes", "db/tupleType"];
    let shapes = shapes.iter().filter(|shape| facts.iter().any(|(a, _)| a.as_str() == **shape)).count();
    let wrong = shapes > 1
        || (write && (made.value_type.is_none() || !has_cardinality))
        || (made.component && !made.is_ref())
        || made.is("tuple") != made.tuple.is_some()
        || holds_tuples
        || (made.members().is_some() && made.many);
    if wrong { Err(SCHEMA) } else { Ok(Some((ident, made))) }
}

#[derive(Debug, Clone)]
pub struct Base {
    pub rows: Vec<Row>,
    /// With `:schema-flexibility :read`, the names that were used without a definition.
    pub used: BTreeSet<Keyword>,
    pub schema: Schema,
    pub basis: u64,
    pub max_eid: u64,
    pub instant: i64,
    pub keep_history: bool,
    pub write: bool,
    /// Whether users see attributes as entities.
    pub refs: bool,
    /// How many datoms the transaction predicate allows, where there is one.
    pub most_datoms: Option<usize>,
}

pub type Facts = BTreeSet<(u64, Keyword, Value)>;

/// What the facts define, with what every database has and what is used without a definition.
pub fn schema_of(facts: &Facts, used: &BTreeSet<Keyword>, write: bool) -> Result<Schema, Refused> {
    let mut schema: Schema = used.iter().map(|name| (*name, Attribute::default())).collect();
    // Where attributes are entities, so are the words that define them.
    let refs = facts.iter().any(|f| f.0 == 1 && f.2 == Value::Keyword(kw("db/ident")));
    for (name, value_type, many) in BUILT_IN {
        let is_word = ["db/valueType", "db/cardinality", "db/unique", "db/tupleType"].contains(&name);
        let value_type = Some(if refs && is_word { "ref" } else { value_type }.to_owned());
        let entity = if refs { own_entity(name) } else { 0 };
        let unique = (name == "db/ident").then(|| "identity".to_owned());
        let of_time = name == "db/txInstant";
        let made =
            Attribute { entity, value_type, many, unique, no_history: of_time, index: of_time, ..Attribute::default() };
        schema.insert(kw(name), made);
    }
    let entities: BTreeSet<u64> = facts.iter().filter(|f| is_definition(f.1)).map(|f| f.0).collect();
    for e in entities.into_iter().filter(|e| !refs || *e > LAST_OWN) {
        let said: Vec<_> = facts.iter().filter(|f| f.0 == e).map(|f| (f.1, f.2.clone())).collect();
        if let Some((ident, made)) = define(e, &said, write)? {
            schema.insert(ident, made);
        }
    }
    Ok(schema)
}

impl Base {
    pub fn new(keep_history: bool, write: bool, refs: bool) -> Base {
        let rows = if refs { own_rows().to_vec() } else { Vec::new() };
        let (max_eid, instant) = if refs { (LAST_OWN, 0) } else { (0, i64::MIN) };
        let (schema, used, basis) = (Schema::new(), BTreeSet::new(), treering::TX0);
        let base = Base { rows, used, schema, basis, max_eid, instant, keep_history, write, refs, most_datoms: None };
        let schema = schema_of(&base.facts(), &base.used, write).expect("it is the engine's");
        Base { schema, ..base }
    }

    pub fn facts(&self) -> Facts {
        self.rows.iter().filter(|r| r.until.is_none()).map(|r| (r.e, r.a, r.v.clone())).collect()
    }

    /// Who has a value of a unique attribute.
    pub fn owner(&self, a: Keyword, v: &Value) -> Option<u64> {
        self.rows.iter().find(|r| r.until.is_none() && r.a == a && r.v == *v).map(|r| r.e)
    }

    /// The datoms of the database as of `t`.
    pub fn as_of(&self, t: u64) -> BTreeSet<(u64, Keyword, Value, u64, bool)> {
        let held = self.rows.iter().filter(|r| r.tx <= t && r.until.is_none_or(|until| until > t));
        held.map(|r| (r.e, r.a, r.v.clone(), r.tx, true)).collect()
    }

    /// The datoms of its history.
    pub fn history(&self) -> BTreeSet<(u64, Keyword, Value, u64, bool)> {
        let began = self.rows.iter().map(|r| (r.e, r.a, r.v.clone(), r.tx, true));
        let ended = self.rows.iter().filter_map(|r| Some((r.e, r.a, r.v.clone(), r.until?, false)));
        began.chain(ended).collect()
    }
}

pub fn as_ref(e: u64) -> Value {
    Value::Ref(EntityId(e))
}
