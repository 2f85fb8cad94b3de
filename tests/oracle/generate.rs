//! Random schemas, histories and queries, each from one seed.
//!
//! A query grows around a witness: an assignment of values to variables, taken from facts that exist, that every
//! positive clause is built to hold for. So most queries have answers, and joins join.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use treering::edn::{self, Form, Keyword};
use treering::{EntityId, Value};

use super::ast::Clause;
use super::{Fact, Input, SchemaFacts, Source, canon, functions};

/// splitmix64.
#[derive(Debug, Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub fn pick<'a, T>(&mut self, xs: &'a [T]) -> Option<&'a T> {
        if xs.is_empty() { None } else { Some(&xs[self.below(xs.len())]) }
    }

    pub fn shuffle<T>(&mut self, xs: &mut [T]) {
        for i in (1..xs.len()).rev() {
            xs.swap(i, self.below(i + 1));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Long,
    Str,
    Keyword,
    Ref,
    Double,
    Bool,
    Instant,
}

impl Type {
    const ALL: [Type; 7] = [Type::Long, Type::Str, Type::Keyword, Type::Ref, Type::Double, Type::Bool, Type::Instant];

    pub fn name(self) -> &'static str {
        ["long", "string", "keyword", "ref", "double", "boolean", "instant"][self as usize]
    }
}

#[derive(Debug, Clone)]
pub struct AttributeSpec {
    pub ident: Keyword,
    pub value_type: Type,
    pub many: bool,
    pub unique: bool,
    pub indexed: bool,
}

/// One operation of a transaction: assert or retract a fact.
#[derive(Debug, Clone, PartialEq)]
pub struct Saying {
    pub e: u64,
    pub a: Keyword,
    pub v: Value,
    pub added: bool,
}

/// What a source shows. Transactions are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Now,
    AsOf(u64),
    Since(u64),
    /// What transactions after the first number and up to the second said.
    Between(u64, u64),
    History,
    HistoryAsOf(u64),
    HistorySince(u64),
}

impl View {
    /// Whether it shows what was said, not what holds.
    pub fn is_history(self) -> bool {
        matches!(self, View::History | View::HistoryAsOf(_) | View::HistorySince(_))
    }
}

#[derive(Debug, Clone)]
pub enum InputSpec {
    View(View),
    Text(String),
}

/// A schema and a history.
#[derive(Debug, Clone)]
pub struct World {
    pub attributes: Vec<AttributeSpec>,
    pub transactions: Vec<Vec<Saying>>,
    /// The id of the first transaction of the history.
    pub first_tx: u64,
}

#[derive(Debug, Clone)]
pub struct Case {
    pub seed: u64,
    pub find: String,
    pub with: Vec<String>,
    pub names: Vec<String>,
    pub inputs: Vec<InputSpec>,
    pub clauses: Vec<String>,
    pub extras: String,
    /// A variable and a clause on it that parts the answer in two; only where the find is a plain relation.
    pub split: Option<(String, String)>,
}

/// The first id of users' entities: beyond those that the schema may take.
const FIRST_ENTITY: u64 = 1001;

impl World {
    pub fn generate(rng: &mut Rng, first_tx: u64) -> World {
        let most = if rng.chance(50) { 8 } else { 40 };
        let entities = 1 + rng.below(most) as u64;
        let mut attributes = Vec::new();
        for i in 0..3 + rng.below(6) {
            // There are always a number and a ref to ask for.
            let value_type = [Type::Long, Type::Ref].get(i).copied().unwrap_or_else(|| Type::ALL[rng.below(7)]);
            let unique = rng.chance(25) && value_type == Type::Str;
            attributes.push(AttributeSpec {
                ident: Keyword::new(&format!("{}{i}", value_type.name())),
                value_type,
                many: !unique && rng.chance(if value_type == Type::Ref { 60 } else { 30 }),
                unique,
                indexed: rng.chance(30),
            });
        }
        let mut state: BTreeSet<(u64, Keyword, Value)> = BTreeSet::new();
        let mut transactions = Vec::new();
        for n in 0..1 + rng.below(6) {
            let mut sayings: Vec<Saying> = Vec::new();
            let mut touched: BTreeSet<(u64, Keyword, Option<Value>)> = BTreeSet::new();
            for _ in 0..if n == 0 { entities * 3 } else { 1 + rng.below(entities as usize + 3) as u64 } {
                let attribute = &attributes[rng.below(attributes.len())];
                let e = FIRST_ENTITY + rng.below(entities as usize) as u64;
                let held: Vec<_> = state.iter().filter(|(x, a, _)| *x == e && *a == attribute.ident).cloned().collect();
                let retract = n > 0 && rng.chance(35) && !held.is_empty();
                let v = match rng.pick(&held) {
                    Some((_, _, v)) if retract => v.clone(),
                    _ => random_value(rng, attribute, e, entities),
                };
                // One operation on a fact, or on an attribute that has one value: what it comes to is beyond doubt.
                let key = (e, attribute.ident, attribute.many.then(|| v.clone()));
                if touched.insert(key) {
                    sayings.push(Saying { e, a: attribute.ident, v, added: !retract });
                }
            }
            for s in &sayings {
                let many = attributes.iter().any(|a| a.ident == s.a && a.many);
                if s.added && !many {
                    state.retain(|(e, a, _)| (*e, *a) != (s.e, s.a));
                }
                if s.added {
                    state.insert((s.e, s.a, s.v.clone()));
                } else {
                    state.remove(&(s.e, s.a, s.v.clone()));
                }
            }
            transactions.push(sayings);
        }
        World { attributes, transactions, first_tx }
    }

    pub fn schema(&self) -> SchemaFacts {
        let of = |f: fn(&AttributeSpec) -> bool| self.attributes.iter().filter(|a| f(a)).map(|a| a.ident).collect();
        SchemaFacts {
            refs: of(|a| a.value_type == Type::Ref),
            many: of(|a| a.many),
            unique: of(|a| a.unique),
            components: BTreeSet::new(),
        }
    }

    /// All events in order; what is asserted again says nothing, and a new single value retracts the old one.
    pub fn events(&self) -> Vec<Fact> {
        let mut log = Vec::new();
        let mut state: BTreeSet<(u64, Keyword, Value)> = BTreeSet::new();
        let many = self.schema().many;
        for (i, sayings) in self.transactions.iter().enumerate() {
            let tx = self.first_tx + i as u64;
            for s in sayings {
                let fact = (s.e, s.a, s.v.clone());
                let mut say = |(e, a, v): (u64, Keyword, Value), added| log.push(Fact { e, a, v, tx, added });
                if s.added && !state.contains(&fact) {
                    let one = !many.contains(&s.a);
                    let old = state.iter().find(|(e, a, _)| one && (*e, *a) == (s.e, s.a)).cloned();
                    if let Some(old) = old {
                        state.remove(&old);
                        say(old, false);
                    }
                    state.insert(fact.clone());
                    say(fact, true);
                } else if !s.added && state.remove(&fact) {
                    say(fact, false);
                }
            }
        }
        log
    }

    /// What a view shows.
    pub fn facts(&self, view: View) -> Vec<Fact> {
        let id = |t: u64| self.first_tx - 1 + t;
        let (lo, hi, events) = match view {
            View::Now => (0, u64::MAX, false),
            View::AsOf(t) => (0, id(t), false),
            View::Since(t) => (id(t), u64::MAX, false),
            View::Between(after, t) => (id(after), id(t), false),
            View::History => (0, u64::MAX, true),
            View::HistoryAsOf(t) => (0, id(t), true),
            View::HistorySince(t) => (id(t), u64::MAX, true),
        };
        let log = self.events().into_iter().filter(|f| lo < f.tx && f.tx <= hi);
        if events {
            return log.collect();
        }
        let mut state: BTreeMap<(u64, Keyword, Value), Fact> = BTreeMap::new();
        for f in log {
            let key = (f.e, f.a, f.v.clone());
            if f.added {
                state.insert(key, f);
            } else {
                state.remove(&key);
            }
        }
        state.into_values().collect()
    }

    pub fn source(&self, view: View) -> Source {
        Source::db(&self.facts(view), self.schema())
    }

    /// The schema as tx-data.
    pub fn schema_text(&self) -> String {
        let mut text = String::from("[");
        for a in &self.attributes {
            let cardinality = if a.many { "many" } else { "one" };
            let _ = write!(
                text,
                "{{:db/ident {} :db/valueType :db.type/{} :db/cardinality :db.cardinality/{cardinality}{}{}}}\n ",
                a.ident,
                a.value_type.name(),
                if a.unique { " :db/unique :db.unique/identity" } else { "" },
                if a.indexed { " :db/index true" } else { "" },
            );
        }
        text + "]"
    }

    /// The transactions as tx-data.
    pub fn transaction_texts(&self) -> Vec<String> {
        let say = |s: &Saying| {
            let op = if s.added { ":db/add" } else { ":db/retract" };
            format!("[{op} {} {} {}]", s.e, s.a, text(&s.v))
        };
        self.transactions.iter().map(|t| format!("[{}]", t.iter().map(say).collect::<Vec<_>>().join(" "))).collect()
    }
}

fn random_value(rng: &mut Rng, attribute: &AttributeSpec, e: u64, entities: u64) -> Value {
    match attribute.value_type {
        _ if attribute.unique => Value::from(format!("u{e}-{}", rng.below(2))),
        Type::Long => {
            let most = if rng.chance(50) { 6 } else { 40 };
            Value::Long(rng.below(most) as i64 - 3)
        }
        Type::Str => Value::from(["a", "b", "ab", "abc", "", "é", "B", "zz"][rng.below(8)]),
        Type::Keyword => Value::Keyword(Keyword::new(["red", "green", "c/red", "c/blue"][rng.below(4)])),
        Type::Ref => Value::Ref(EntityId(FIRST_ENTITY + rng.below(entities as usize) as u64)),
        Type::Double => Value::Double([0.5, 1.0, 1.5, -2.0, 3.0, 0.0, 1e6][rng.below(7)]),
        Type::Bool => Value::Bool(rng.chance(50)),
        Type::Instant => Value::Instant([0, 1_000, 86_400_000, -5, 1_700_000_000_000][rng.below(5)]),
    }
}

pub fn text(v: &Value) -> String {
    v.to_form().to_string()
}

/// The rules that queries over a ref attribute call.
fn rules(attribute: Keyword, rng: &mut Rng) -> (String, &'static str) {
    let a = attribute;
    let base = format!("[(reach ?x ?y) [?x {a} ?y]]");
    let step = [
        format!("[(reach ?x ?y) [?x {a} ?z] (reach ?z ?y)]"),
        format!("[(reach ?x ?y) (reach ?x ?z) [?z {a} ?y]]"),
        "[(reach ?x ?y) (reach ?x ?z) (reach ?z ?y)]".to_owned(),
        format!("[(reach ?x ?y) [?y {a} ?x]]"),
    ];
    match rng.below(7) {
        5 => (
            format!(
                "[[(one ?x ?y) [?x {a} ?y]] [(one ?x ?y) (two ?x ?z) (three ?z ?y)]
  [(two ?x ?y) [?y {a} ?x]] [(two ?x ?y) (three ?x ?z) [?z {a} ?y]]
  [(three ?x ?y) (one ?x ?y) (not [?y {a} ?x])] [(three ?x ?x) [?x {a} _]]]"
            ),
            ["one", "two", "three"][rng.below(3)],
        ),
        6 => (
            format!(
                "[[(up ?x ?y) [?x {a} ?y]] [(up ?x ?y) (down ?x ?z) (up ?z ?y)]
  [(down ?x ?y) [?y {a} ?x]] [(down ?x ?y) (or (up ?y ?x) (and (up ?x ?y) (down ?y ?x)))]]"
            ),
            ["up", "down"][rng.below(2)],
        ),
        0 => (
            format!(
                "[[(odd ?x ?y) [?x {a} ?y]] [(odd ?x ?y) [?x {a} ?z] (even ?z ?y)] [(even ?x ?y) [?x {a} ?z] (odd ?z ?y)]]"
            ),
            "odd",
        ),
        1 => (
            format!("[{base} {} [(far ?x ?y) (reach ?x ?y) (not [?x {a} ?y])]]", step[0]),
            ["far", "reach"][rng.below(2)],
        ),
        2 => (format!("[[(reach [?x] ?y) [?x {a} ?y]] [(reach [?x] ?y) [?x {a} ?z] (reach ?z ?y)]]"), "bound reach"),
        _ => (format!("[{base} {}]", step[rng.below(4)]), "reach"),
    }
}

/// A pull pattern over the attributes of a world.
fn pull_pattern(rng: &mut Rng, world: &World) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut named: BTreeSet<Keyword> = BTreeSet::new();
    for _ in 0..1 + rng.below(4) {
        let attribute = &world.attributes[rng.below(world.attributes.len())];
        // One attribute may be named once, forward or back.
        if !named.insert(attribute.ident) {
            continue;
        }
        let a = attribute.ident;
        let other = world.attributes[rng.below(world.attributes.len())].ident;
        let is_ref = attribute.value_type == Type::Ref;
        let reverse = format!(":_{}", a.as_str());
        parts.push(match rng.below(8) {
            0 if is_ref => format!("{{{a} [:db/id {other}]}}"),
            1 if is_ref => format!("{{{reverse} [{other}]}}"),
            2 if is_ref => format!("{{{a} [{{{a} [*]}}]}}"),
            3 if is_ref => reverse,
            4 => format!("[{a} :as :renamed-{}]", parts.len()),
            5 => format!("[{a} :default :none]"),
            6 if attribute.many => format!("[{a} :limit {}]", 1 + rng.below(3)),
            _ => a.to_string(),
        });
    }
    if rng.chance(30) {
        parts.push("*".into());
    }
    if rng.chance(30) {
        parts.push(":db/id".into());
    }
    format!("[{}]", parts.join(" "))
}

struct Gen<'a> {
    rng: &'a mut Rng,
    world: &'a World,
    facts: Vec<Fact>,
    events: bool,
    plain_now: bool,
    /// Variables with the value that the witness gives them.
    vars: Vec<(String, Value)>,
    clauses: Vec<String>,
    names: Vec<String>,
    inputs: Vec<InputSpec>,
}

impl Case {
    pub fn generate(seed: u64, world: &World, rng: &mut Rng) -> Case {
        let t = 1 + rng.below(world.transactions.len()) as u64;
        let view = match rng.below(24) {
            0..=11 => View::Now,
            12..=15 => View::AsOf(t),
            16..=17 => View::Since(t - 1),
            18 => View::Between(rng.below(t as usize) as u64, t),
            19..=20 => View::History,
            21..=22 => View::HistoryAsOf(t),
            _ => View::HistorySince(t - 1),
        };
        let mut g = Gen {
            facts: world.facts(view),
            events: view.is_history(),
            plain_now: matches!(view, View::Now | View::AsOf(_)),
            rng,
            world,
            vars: Vec::new(),
            clauses: Vec::new(),
            names: vec!["$".into()],
            inputs: vec![InputSpec::View(view)],
        };
        g.pattern("");
        for _ in 0..(1 + g.rng.below(5)).min(4) {
            match g.rng.below(20) {
                0..=7 => g.pattern(""),
                8..=10 => g.predicate(),
                11..=12 => g.function(),
                13 => g.negation(),
                14..=15 => g.disjunction(),
                16 => g.relation(),
                17 => g.other_view(),
                _ => g.rule(),
            }
        }
        g.finish(seed)
    }

    /// The query as a map, so that limits and orders are read.
    pub fn query(&self) -> String {
        self.query_of(&self.clauses)
    }

    fn query_of(&self, clauses: &[String]) -> String {
        let with = if self.with.is_empty() { String::new() } else { format!(" :with [{}]", self.with.join(" ")) };
        format!(
            "{{:find {}{with} :in [{}]\n :where [{}]{}}}",
            self.find,
            self.names.join(" "),
            clauses.join("\n         "),
            self.extras
        )
    }

    /// The same query with its clauses in another order.
    pub fn permuted(&self, rng: &mut Rng) -> String {
        let mut clauses = self.clauses.clone();
        rng.shuffle(&mut clauses);
        self.query_of(&clauses)
    }

    /// Two queries whose answers together are the answer of this one.
    pub fn halves(&self) -> Option<[String; 2]> {
        let (yes, no) = self.split.clone()?;
        Some([yes, no].map(|clause| self.query_of(&[self.clauses.clone(), vec![clause]].concat())))
    }

    pub fn form(text: &str) -> Form {
        edn::read(text).unwrap_or_else(|e| panic!("{text}: {e:?}"))
    }

    pub fn oracle_inputs(&self, world: &World) -> Vec<Input> {
        let input = |spec: &InputSpec| match spec {
            InputSpec::View(view) => Input::Source(world.source(*view)),
            InputSpec::Text(text) => Input::Form(Case::form(text)),
        };
        self.inputs.iter().map(input).collect()
    }

    /// Everything that is needed to see the case again.
    pub fn describe(&self, world: &World) -> String {
        format!(
            ";; TREERING_SEED={} TREERING_CASES=1, first transaction {}\n{}\n{}\n;; query\n{}\n;; inputs\n{:?}\n",
            self.seed,
            world.first_tx,
            world.schema_text(),
            world.transaction_texts().join("\n"),
            self.query(),
            self.inputs,
        )
    }
}

impl Gen<'_> {
    fn fresh(&mut self, value: &Value) -> String {
        let name = format!("?v{}", self.vars.len());
        self.vars.push((name.clone(), canon(value)));
        name
    }

    /// A variable for the value: one that has it in the witness, or a new one.
    fn var(&mut self, value: &Value) -> String {
        let value = canon(value);
        let same: Vec<String> = self.vars.iter().filter(|(_, v)| *v == value).map(|(n, _)| n.clone()).collect();
        match self.rng.pick(&same) {
            Some(name) if self.rng.chance(85) => name.clone(),
            _ => self.fresh(&value),
        }
    }

    /// A fact, mostly one that shares a value with the witness.
    fn fact(&mut self) -> Option<Fact> {
        let known = |v: &Value| self.vars.iter().any(|(_, w)| *w == canon(v));
        let near: Vec<Fact> =
            self.facts.iter().filter(|f| known(&Value::Long(f.e as i64)) || known(&f.v)).cloned().collect();
        if self.rng.chance(95) && !near.is_empty() {
            return self.rng.pick(&near).cloned();
        }
        self.rng.pick(&self.facts).cloned()
    }

    fn unique_ref(&mut self, e: u64) -> Option<String> {
        let unique = self.world.schema().unique;
        let fact = self.facts.iter().find(|f| self.plain_now && f.e == e && unique.contains(&f.a))?;
        Some(format!("[{} {}]", fact.a, text(&fact.v)))
    }

    fn pattern_text(&mut self, source: &str, fact: &Fact) -> String {
        let e = match self.rng.below(20) {
            0 => fact.e.to_string(),
            1 => self.unique_ref(fact.e).unwrap_or_else(|| "_".into()),
            _ => self.var(&Value::Long(fact.e as i64)),
        };
        let a = match self.rng.below(20) {
            0 if source.is_empty() => {
                let a = self.fresh(&Value::Keyword(fact.a));
                let mut all = vec![fact.a.to_string()];
                let other = self.world.attributes[self.rng.below(self.world.attributes.len())].ident.to_string();
                all.extend((other != all[0]).then_some(other));
                self.names.push(format!("[{a} ...]"));
                self.inputs.push(InputSpec::Text(format!("[{}]", all.join(" "))));
                a
            }
            _ => fact.a.to_string(),
        };
        let v = match self.rng.below(10) {
            0..=1 => text(&fact.v),
            2 => "_".into(),
            _ => self.var(&fact.v),
        };
        let mut all = format!("{source}{e} {a} {v}");
        if self.rng.chance(if self.events { 70 } else { 10 }) {
            let _ = write!(all, " {}", self.var(&Value::Long(fact.tx as i64)));
            if self.rng.chance(if self.events { 80 } else { 30 }) {
                let added =
                    if self.rng.chance(50) { fact.added.to_string() } else { self.var(&Value::Bool(fact.added)) };
                let _ = write!(all, " {added}");
            }
        }
        format!("[{all}]")
    }

    fn pattern(&mut self, source: &str) {
        if let Some(fact) = self.fact() {
            let clause = self.pattern_text(source, &fact);
            self.clauses.push(clause);
        } else if self.clauses.is_empty() {
            // Nothing is visible: ask for something all the same.
            let e = self.fresh(&Value::Long(FIRST_ENTITY as i64));
            let a = self.world.attributes[0].ident;
            self.clauses.push(format!("[{e} {a} _]"));
        }
    }

    fn predicate_text(&mut self) -> Option<String> {
        let vars = self.vars.clone();
        let (x, v) = self.rng.pick(&vars)?.clone();
        let alike: Vec<_> = vars.iter().filter(|(n, w)| *n != x && w.kind() == v.kind()).cloned().collect();
        let (y, w) = match self.rng.pick(&alike) {
            Some((y, w)) if self.rng.chance(50) => (y.clone(), w.clone()),
            _ => match (&v, self.rng.below(4)) {
                (Value::Long(n), 0) => (format!("{n}.5"), Value::Double(*n as f64 + 0.5)),
                (Value::Long(n), 1) => ((n + 1).to_string(), Value::Long(n + 1)),
                (_, 2) => ("0".into(), Value::Long(0)),
                _ => (text(&v), v.clone()),
            },
        };
        let holds: Vec<&str> = ["<", ">", "<=", ">=", "=", "==", "not=", "!="]
            .into_iter()
            .filter(|f| {
                let result = functions::call(edn::Symbol::new(f), &[v.clone(), w.clone()], None);
                matches!(result, Some(Ok(Value::Bool(true))))
            })
            .collect();
        let unary = match &v {
            Value::Long(n) if n % 2 == 0 => "even?",
            Value::Long(_) => "odd?",
            Value::Bool(true) => "true?",
            Value::Bool(false) => "false?",
            _ => "some?",
        };
        if self.rng.chance(15) {
            return Some(format!("[({unary} {x})]"));
        }
        Some(format!("[({} {x} {y})]", self.rng.pick(&holds)?))
    }

    fn predicate(&mut self) {
        let clause = self.predicate_text();
        self.clauses.extend(clause);
    }

    fn function(&mut self) {
        let vars = self.vars.clone();
        let Some((x, v)) = self.rng.pick(&vars).cloned() else { return };
        let alike: Vec<_> = vars.iter().filter(|(_, w)| w.kind() == v.kind()).cloned().collect();
        let Some((y, w)) = self.rng.pick(&alike).cloned() else { return };
        let attribute = self.world.attributes[self.rng.below(self.world.attributes.len())].clone();
        if self.rng.chance(25)
            && self.plain_now
            && matches!(v, Value::Long(n) if n >= FIRST_ENTITY as i64)
            && !attribute.many
        {
            let out = format!("?g{}", self.clauses.len());
            let clause = match self.rng.below(3) {
                0 => format!("[(missing? $ {x} {})]", attribute.ident),
                1 => format!("[(get-some $ {x} {}) [?ga{} {out}]]", attribute.ident, self.clauses.len()),
                _ => format!("[(get-else $ {x} {} :none) {out}]", attribute.ident),
            };
            self.clauses.push(clause);
            return;
        }
        let (call, name, args): (String, &str, Vec<Value>) = match &v {
            Value::Long(_) => match self.rng.below(9) {
                0 => (format!("(+ {x} {y})"), "+", vec![v, w]),
                1 => (format!("(- {x} {y})"), "-", vec![v, w]),
                2 => (format!("(* {x} {y})"), "*", vec![v, w]),
                3 => (format!("(inc {x})"), "inc", vec![v]),
                4 => (format!("(quot {x} {y})"), "quot", vec![v, w]),
                5 => (format!("(mod {x} 3)"), "mod", vec![v, Value::Long(3)]),
                6 => (format!("(rem {x} {y})"), "rem", vec![v, w]),
                7 => (format!("(max {x} {y})"), "max", vec![v, w]),
                _ => (format!("(dec {x})"), "dec", vec![v]),
            },
            Value::Str(_) => match self.rng.below(3) {
                0 => (format!("(str {x} {y})"), "str", vec![v, w]),
                1 => (format!("(count {x})"), "count", vec![v]),
                _ => (format!("(subs {x} 1)"), "subs", vec![v, Value::Long(1)]),
            },
            _ => (format!("(vector {x} {y})"), "vector", vec![v, w]),
        };
        let Some(Ok(result)) = functions::call(edn::Symbol::new(name), &args, None) else { return };
        match &result {
            Value::Tuple(parts) if self.rng.chance(50) => {
                let (a, b) = (self.fresh(&parts[0]), self.fresh(&parts[1]));
                self.clauses.push(format!("[{call} [{a} {b}]]"));
            }
            _ => {
                let out = self.var(&result);
                self.clauses.push(format!("[{call} {out}]"));
            }
        }
    }

    /// A pattern on a variable of the witness, with a local variable or a constant beside it.
    fn side_pattern(&mut self, local: &str) -> Option<(String, String)> {
        let ids: Vec<_> = self
            .vars
            .iter()
            .filter(|(_, v)| matches!(v, Value::Long(n) if *n >= FIRST_ENTITY as i64))
            .cloned()
            .collect();
        let (x, _) = self.rng.pick(&ids)?.clone();
        let fact = self.rng.pick(&self.facts)?.clone();
        let v = match self.rng.below(3) {
            0 => text(&fact.v),
            1 => "_".into(),
            _ => local.into(),
        };
        let is_ref = matches!(fact.v, Value::Ref(_));
        let clause = if is_ref && self.rng.chance(50) {
            format!("[{v} {} {x}]", fact.a)
        } else {
            format!("[{x} {} {v}]", fact.a)
        };
        Some((x, clause))
    }

    fn negation(&mut self) {
        let local = format!("?n{}", self.clauses.len());
        let Some((x, first)) = self.side_pattern(&local) else { return };
        let clause = match self.rng.below(4) {
            0 => format!("(not-join [{x}] {first})"),
            1 => match self.predicate_text() {
                Some(predicate) => format!("(not {first} (not {predicate}))"),
                None => format!("(not {first})"),
            },
            2 => {
                let attribute = self.world.attributes[0].ident;
                format!("(not-join [{x}] {first} [{x} {attribute} ?m] [(< ?m 3)])")
            }
            _ => format!("(not {first})"),
        };
        self.clauses.push(clause);
    }

    fn disjunction(&mut self) {
        let Some(fact) = self.fact() else { return };
        let x = self.var(&Value::Long(fact.e as i64));
        let y = self.var(&fact.v);
        if x == y {
            return;
        }
        let first = format!("[{x} {} {y}]", fact.a);
        let alike: Vec<Keyword> = self
            .facts
            .iter()
            .filter(|f| f.v.kind() == fact.v.kind())
            .map(|f| f.a)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let other = self.rng.pick(&alike).copied().unwrap_or(fact.a);
        let second = match self.rng.below(3) {
            0 => format!("(and [{x} {other} {y}] [(some? {y})])"),
            1 => format!("(and [{x} {other} {y}] [{x} {} _])", self.world.attributes[0].ident),
            _ => format!("[{x} {other} {y}]"),
        };
        self.clauses.push(match self.rng.below(3) {
            0 => format!("(or-join [{x} {y}] {second} (and [?o {} {y}] {first}))", fact.a),
            1 => format!("(or-join [{x} {y}] {first} (and {first} (not-join [{x}] [{x} {other} ?p])) )"),
            _ => format!("(or {first} {second})"),
        });
    }

    /// A source of tuples, or an input that is taken apart.
    fn relation(&mut self) {
        let vars = self.vars.clone();
        let Some((x, v)) = self.rng.pick(&vars).cloned() else { return };
        // A variable stands in :in once.
        let taken = |name: &String| name.split(|c: char| !c.is_alphanumeric() && c != '?').any(|word| word == x);
        if self.names.iter().any(taken) {
            return;
        }
        let y = self.fresh(&Value::Long(77));
        let others: Vec<String> = self.facts.iter().take(3).map(|f| format!("[{} 78]", text(&f.v))).collect();
        let rows = format!("[[{} 77] {}]", text(&v), others.join(" "));
        match self.rng.below(3) {
            0 => {
                self.names.push(format!("[[{x} {y}]]"));
                self.inputs.push(InputSpec::Text(rows));
            }
            1 => {
                self.names.push(format!("[{x} ...]"));
                self.names.push(y);
                self.inputs.push(InputSpec::Text(format!("[{} 1 \"a\"]", text(&v))));
                self.inputs.push(InputSpec::Text("77".into()));
            }
            _ => {
                let name = format!("$r{}", self.names.len());
                self.clauses.push(format!("[{name} {x} {y}]"));
                self.names.push(name);
                self.inputs.push(InputSpec::Text(rows));
            }
        }
    }

    /// A pattern over another view of the same database.
    fn other_view(&mut self) {
        let t = 1 + self.rng.below(self.world.transactions.len()) as u64;
        let view = if self.rng.chance(50) { View::AsOf(t) } else { View::History };
        let name = format!("$w{}", self.names.len());
        let mine = std::mem::replace(&mut self.facts, self.world.facts(view));
        let now = std::mem::replace(&mut self.plain_now, false);
        self.pattern(&format!("{name} "));
        self.facts = mine;
        self.plain_now = now;
        self.names.push(name);
        self.inputs.push(InputSpec::View(view));
    }

    fn rule(&mut self) {
        let refs: Vec<Fact> = self.facts.iter().filter(|f| matches!(f.v, Value::Ref(_))).cloned().collect();
        let Some(fact) = self.rng.pick(&refs).cloned() else { return };
        if self.names.iter().any(|n| n == "%") {
            return;
        }
        let (rules, name) = rules(fact.a, self.rng);
        self.names.push("%".into());
        self.inputs.push(InputSpec::Text(rules));
        let x = match self.rng.below(4) {
            0 => fact.e.to_string(),
            _ => self.var(&Value::Long(fact.e as i64)),
        };
        let name = match name.strip_prefix("bound ") {
            // The first argument must be known from elsewhere.
            Some(name) => {
                if x.starts_with('?') {
                    self.clauses.push(format!("[{x} {} _]", fact.a));
                }
                name
            }
            None => name,
        };
        let y = if self.rng.chance(20) { text(&fact.v) } else { self.var(&fact.v) };
        self.clauses.push(format!("({name} {x} {y})"));
    }

    fn finish(self, seed: u64) -> Case {
        let Gen { rng, world, vars, clauses, names, inputs, events: is_history, .. } = self;
        // Variables of the witness that clauses or inputs really bind.
        let mut bound = super::scope::Vars::new();
        for clause in &clauses {
            bound.extend(super::scope::binds(&super::ast::clause(&Case::form(clause)).unwrap_or(Clause::Or {
                source: None,
                join: None,
                branches: Vec::new(),
            })));
        }
        for name in &names {
            if let Ok(binding) = super::ast::binding(&Case::form(name)) {
                bound.extend(super::scope::binding_vars(&binding));
            }
        }
        let mut all: Vec<(String, Value)> =
            vars.into_iter().filter(|(n, _)| bound.contains(&edn::Symbol::new(n))).collect();
        rng.shuffle(&mut all);
        let mut case = Case {
            seed,
            find: String::new(),
            with: Vec::new(),
            names,
            inputs,
            clauses,
            extras: String::new(),
            split: None,
        };
        let Some((first, value)) = all.first().cloned() else {
            // Only constants: ask whether it holds.
            case.clauses.push("[(ground 1) ?v0]".into());
            case.find = "[?v0]".into();
            return case;
        };
        let is_entity = |v: &Value| matches!(v, Value::Long(n) if (FIRST_ENTITY as i64..1 << 20).contains(n));
        let entity = all.iter().find(|(_, v)| is_entity(v)).map(|(n, _)| n.clone());
        let few = all.iter().take(1 + rng.below(3)).map(|(n, _)| n.clone()).collect::<Vec<_>>();
        match rng.below(20) {
            0..=1 => case.find = format!("[[{first} ...]]"),
            2 => case.find = format!("[{first} .]"),
            3 => case.find = format!("[[{}]]", few.join(" ")),
            4..=7 => {
                let number = all.iter().find(|(_, v)| matches!(v, Value::Long(_) | Value::Double(_)));
                let mut aggregate = || match (rng.below(13), number) {
                    (0, Some((n, _))) => format!("(sum {n})"),
                    (1, Some((n, _))) => format!("(avg {n})"),
                    (2, Some((n, _))) => format!("(median {n})"),
                    (3, Some((n, _))) => format!("(variance {n})"),
                    (4, Some((n, _))) => format!("(stddev {n})"),
                    (5, _) => format!("(min 2 {first})"),
                    (6, _) => format!("(max 3 {first})"),
                    (7, _) => format!("(max {first})"),
                    (8, _) => format!("(min {first})"),
                    (9, _) => format!("(distinct {first})"),
                    (10 | 11, _) => format!("(count-distinct {first})"),
                    (_, _) => format!("(count {first})"),
                };
                let having = format!("[(<= {} (count {first}))]", 1 + seed % 3);
                let (aggregate, other) = (aggregate(), aggregate());
                let group = all.get(1).map(|(n, _)| n.clone()).filter(|_| rng.chance(60)).unwrap_or_default();
                if rng.chance(40) {
                    case.with =
                        all.iter().skip(2).map(|(n, _)| n.clone()).filter(|n| !aggregate.contains(n)).take(2).collect();
                }
                case.find = format!("[{group} {aggregate}]");
                match rng.below(6) {
                    0 => case.extras = format!("\n :having [{having}]"),
                    1 if other.starts_with("(count") => case.extras = format!("\n :having [[(< 1 {other})] {having}]"),
                    2 if !group.is_empty() => {
                        case.extras = format!("\n :having [[(some? {group})] [(= {aggregate} {aggregate})]]")
                    }
                    3 => case.find = format!("[{group} {aggregate} {other}]"),
                    _ => {}
                }
            }
            8..=9 => {
                case.find = format!("[{}]", few.join(" "));
                let keys: Vec<String> =
                    few.iter().map(|n| format!("{n} {}", if rng.chance(50) { ":asc" } else { ":desc" })).collect();
                case.extras = format!("\n :order-by [{}]", keys.join(" "));
                if rng.chance(60) {
                    let _ = write!(case.extras, " :limit {}", rng.below(6));
                }
                if rng.chance(30) {
                    let _ = write!(case.extras, " :offset {}", rng.below(4));
                }
            }
            10 => {
                case.find = format!("[{}]", few.join(" "));
                case.extras = format!(" :limit {}", rng.below(6));
            }
            11 => {
                case.find = format!("[{first}]");
                case.with = all.iter().skip(1).take(1).map(|(n, _)| n.clone()).collect();
            }
            12 => {
                case.find = format!("[{}]", few.join(" "));
                let keys: Vec<String> = (0..few.len()).map(|i| format!("k{i}")).collect();
                case.extras = format!("\n :{} [{}]", ["keys", "strs", "syms"][rng.below(3)], keys.join(" "));
            }
            13 => {
                case.find = format!("[{}]", few.join(" "));
                case.extras = format!("\n :having [[(<= {first} {})]]", text(&value));
            }
            14..=15 if !is_history && entity.is_some() => {
                let entity = entity.unwrap_or_default();
                let pattern = pull_pattern(rng, world);
                let others: Vec<String> = few.iter().filter(|n| **n != entity).take(1).cloned().collect();
                case.find = format!("[{} (pull {entity} {pattern})]", others.join(" "));
            }
            _ => {
                case.find = format!("[{}]", few.join(" "));
                let clause = format!("[(<= {first} {})]", text(&value));
                case.split = Some((clause.clone(), format!("(not {clause})")));
            }
        }
        case
    }
}
