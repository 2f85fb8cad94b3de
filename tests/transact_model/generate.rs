//! Transactions by chance, most of them near what the database holds.

use treering::edn::{Form, Keyword, read};
use treering::{TX0, Value};

use super::base::{Base, kw, own_entity};
use super::functions::{FUNCTIONS, Readable};
use super::names::written;
use super::run::transact;
use crate::support::Chance;

/// A database and the transactions on it.
#[derive(Debug, Clone)]
pub struct Sequence {
    pub keep_history: bool,
    pub write: bool,
    /// Whether users see attributes as entities.
    pub refs: bool,
    pub index: Option<Keyword>,
    /// What the transaction predicate allows.
    pub most_datoms: Option<usize>,
    pub transactions: Vec<Form>,
}

impl Sequence {
    /// The database before the first transaction.
    pub fn base(&self) -> Base {
        Base { most_datoms: self.most_datoms, ..Base::new(self.keep_history, self.write, self.refs) }
    }
}

pub const NAMES: [&str; 8] = ["a", "b", "c/d", "c/e", "f", "g", "h", "i"];
const TYPES: [&str; 13] = [
    "string", "string", "long", "long", "ref", "ref", "ref", "keyword", "double", "bigint", "bigdec", "tuple", "number",
];
const RARE: [&str; 9] =
    ["float", "boolean", "symbol", "instant", "uuid", "uri", "bytes", "float-array", "double-array"];

pub struct Generator<'a> {
    pub chance: Chance,
    pub base: &'a Base,
}

pub fn sequence(seed: u64, indexes: &[Keyword]) -> Sequence {
    let mut chance = Chance(seed);
    let keep_history = chance.below(4) > 0;
    let write = chance.below(3) > 0;
    let refs = write && chance.below(3) == 0;
    let index = if chance.below(2) == 0 { None } else { indexes.get(chance.below(indexes.len().max(1))).copied() };
    let most_datoms = (chance.below(12) == 0).then(|| 4 + chance.below(40));
    let mut sequence = Sequence { keep_history, write, refs, index, most_datoms, transactions: Vec::new() };
    let mut base = sequence.base();
    for n in 0..2 + chance.below(5) {
        let mut generator = Generator { chance: Chance(chance.next()), base: &base };
        let text = if n == 0 { generator.definitions() } else { generator.transaction() };
        // What EDN itself refuses, as a key that comes twice, is not for the transactor.
        let Ok(form) = read(&text) else { continue };
        if let Ok(report) = transact(&base, &form) {
            let instant = report.instant.unwrap_or(base.instant.max(1 << 40) + 1);
            base = report.after_at(instant);
        }
        sequence.transactions.push(form);
    }
    sequence
}

fn pick<T: Copy>(chance: &mut Chance, from: &[T]) -> T {
    from[chance.below(from.len())]
}

impl Generator<'_> {
    pub fn is(&mut self, one_in: usize) -> bool {
        self.chance.below(one_in) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        pick(&mut self.chance, from)
    }

    fn several(&mut self, most: usize, mut one: impl FnMut(&mut Self) -> String) -> String {
        let n = self.chance.below(most + 1);
        (0..n).map(|_| one(self)).collect::<Vec<_>>().join(" ")
    }

    /// Items one by one; most often those are left out with which the transaction would be refused.
    fn items(&mut self, n: usize, mut item: impl FnMut(&mut Self, usize) -> String) -> String {
        let is_careful = !self.is(4);
        let mut items = String::new();
        for i in 0..n {
            let more = format!("{items} {}", item(self, i));
            let is_made = || read(&format!("[{more}]")).is_ok_and(|form| transact(self.base, &form).is_ok());
            if !is_careful || is_made() {
                items = more;
            }
        }
        format!("[{}]", items.trim_start())
    }

    fn definitions(&mut self) -> String {
        self.items(NAMES.len() + 4, |g, i| match NAMES.get(i) {
            Some(name) if !g.is(8) => g.definition(name),
            Some(_) => "nil".to_owned(),
            None if g.is(3) => g.naming(),
            None => format!("{{:db/id {} :db/ident {}}}", g.fixed(), g.ident()),
        })
    }

    /// An entity that is a function or a spec, by one of the idents.
    fn naming(&mut self) -> String {
        let (id, ident) = (self.fixed(), self.ident());
        let name = self.pick(&FUNCTIONS);
        let more = match self.chance.below(9) {
            0..=2 => format!(":db/fn {name}"),
            3 => format!(":db/fn :{name}"),
            4 | 5 => format!(":db.entity/attrs [:{} :{}]", self.pick(&NAMES), self.attribute()),
            6 => format!(":db.entity/attrs :{} :db.entity/preds e/few?", self.pick(&NAMES)),
            7 => ":db.entity/preds [e/few? :e/clear?]".to_owned(),
            _ => ":db.entity/preds e/unheard-of?".to_owned(),
        };
        if self.is(2) {
            format!("{{:db/id {id} :db/ident {ident} {more}}}")
        } else {
            format!("{{:db/ident {ident} {more}}}")
        }
    }

    /// A call of a function.
    fn function(&mut self) -> String {
        let e = self.held_id().unwrap_or(32);
        let (name, args) = match self.chance.below(12) {
            0..=3 => ("f/say", self.several(2, Self::item)),
            4 | 5 => ("f/copy", format!("{e} :{} {}", self.attribute(), self.entity())),
            6 => ("f/take", format!("{e} :{}", self.attribute())),
            7 => ("f/count", format!("{e} :{} :{}", self.attribute(), self.attribute())),
            8 => ("f/nest", format!("{} {}", self.pick(&["1", "2", "3", "63", "64"]), self.item())),
            9 => ("f/meta", format!(":{} {}", self.pick(&NAMES), self.plain("a"))),
            10 => (self.pick(&FUNCTIONS), self.plain("a")),
            _ => (self.pick(&["f/garbled", "f/fail", "f/unheard-of"]), String::new()),
        };
        match self.chance.below(6) {
            0 | 1 => format!("[{name} {args}]"),
            2 => format!("[:db.fn/call {name} {args}]"),
            3 => format!("[:db.fn/call :{name} {args}]"),
            _ => {
                let installed = self.base.facts().into_iter().filter(|f| f.1 == kw("db/fn"));
                let idents: Vec<Value> = installed.flat_map(|(e, ..)| self.base.values(e, kw("db/ident"))).collect();
                match idents.get(self.chance.below(idents.len().max(1))).and_then(written) {
                    Some(ident) => format!("[{ident} {args}]"),
                    None => format!("[{} {args}]", self.ident()),
                }
            }
        }
    }

    fn value_type(&mut self) -> &'static str {
        if self.is(6) { self.pick(&RARE) } else { self.pick(&TYPES) }
    }

    fn definition(&mut self, name: &str) -> String {
        let value_type = self.value_type();
        let mut parts = vec![format!(":db/ident :{name}")];
        let untyped = !self.base.write && self.is(4);
        if !untyped && !self.is(60) {
            let by_id = if self.base.refs { self.is(4) } else { self.is(200) };
            parts.push(match by_id {
                true => format!(":db/valueType {}", own_entity(&format!("db.type/{value_type}"))),
                false => format!(":db/valueType :db.type/{value_type}"),
            });
        }
        let composite = value_type == "tuple" && self.is(2);
        let many = !composite && self.is(3);
        if !self.is(60) {
            parts.push(format!(":db/cardinality :db.cardinality/{}", if many { "many" } else { "one" }));
        }
        if value_type == "tuple" && !self.is(30) {
            let members = [":a", ":b", ":c/d", ":f"];
            parts.push(match self.chance.below(2) {
                _ if composite => format!(":db/tupleAttrs [{} {}]", self.pick(&members), self.pick(&members)),
                0 => ":db/tupleTypes [:db.type/long :db.type/string]".to_owned(),
                _ => format!(":db/tupleType :db.type/{}", self.pick(&["long", "keyword", "double"])),
            });
        }
        if self.is(3) {
            parts.push(format!(":db/unique :db.unique/{}", self.pick(&["identity", "identity", "value"])));
        }
        if (value_type == "ref" && self.is(2)) || self.is(80) {
            parts.push(format!(":db/isComponent {}", self.is(4) == self.is(4)));
        }
        if self.is(4) {
            parts.push(format!(":db/index {}", !self.is(5)));
        }
        if self.is(6) {
            parts.push(":db/noHistory true".to_owned());
        }
        if self.is(8) {
            parts.push(format!(":db/maxLength {}", self.chance.below(4)));
        }
        if self.is(9) {
            let preds = ["p/small?", "[p/small?]", "[:p/small? some?]", "pos?", "[some? some?]", "p/unheard-of", "rem"];
            parts.push(format!(":db.attr/preds {}", self.pick(&preds)));
        }
        if self.is(10) {
            parts.push(":db/doc \"d\"".to_owned());
        }
        if self.is(12) {
            parts.push(format!(":db/id {}", self.entity()));
        }
        format!("{{{}}}", parts.join(" "))
    }

    fn transaction(&mut self) -> String {
        let n = 1 + self.chance.below(6);
        let items = self.items(n, |g, _| g.item());
        if !self.is(8) {
            return items;
        }
        let meta = match self.chance.below(6) {
            0 => ":db/txInstant #inst \"2100-01-01\"".to_owned(),
            1 => ":db/id 5".to_owned(),
            _ => self.entries(2),
        };
        if self.is(15) {
            format!("{{:tx-data {items} :other 1}}")
        } else {
            format!("{{:tx-data {items} :tx-meta {{{meta}}}}}")
        }
    }

    fn item(&mut self) -> String {
        if self.is(150) {
            let wrong = [
                "5",
                "[]",
                "[:db/add 1 :a]",
                "[:db/unknown 1]",
                "[:db/add 1 \"a\" 5]",
                "{\"a\" 1}",
                "[:db/cas 1 :a 1]",
                "[:db.fn/call]",
                "[:db.fn/call 5]",
                "[:db/add 5 :a 1 536870913]",
                "[:db/retract 5 :a 1 6]",
                "[:db/ensure :k1]",
            ];
            return self.pick(&wrong).to_owned();
        }
        match self.chance.below(47) {
            44..=46 => self.purge(),
            39..=42 => self.function(),
            43 => self.naming(),
            0 => "nil".to_owned(),
            1 => self.schema_change(),
            2 => self.schema_change(),
            3..=17 => self.map(2),
            18..=25 => self.add(),
            26 | 27 => {
                let (e, a) = (self.held_entity(), self.attribute());
                format!("[:db/retract {e} :{a}]")
            }
            28..=30 => self.retract(),
            31 => format!("[:db/retractAttribute {} :{}]", self.held_entity(), self.attribute()),
            32 | 33 => format!("[:{}/retractEntity {}]", self.pick(&["db", "db.fn"]), self.held_entity()),
            34..=36 => self.cas(),
            37 => {
                let at = self.pick(&["2100-01-01", "2101-01-01", "1960-01-01"]);
                let e = if self.is(4) { self.entity() } else { ":db/current-tx".to_owned() };
                format!("[:db/add {e} :db/txInstant #inst \"{at}\"]")
            }
            _ => format!("{{:db/id {} :db/ident {}}}", self.entity(), self.ident()),
        }
    }

    fn schema_change(&mut self) -> String {
        let name = self.pick(&NAMES);
        let change = match self.chance.below(14) {
            0 => return self.definition(name),
            1 => {
                return format!(
                    "[:db/retract :{name} :db/{}]",
                    self.pick(&["unique", "index", "valueType", "noHistory", "isComponent", "maxLength"])
                );
            }
            2 => return format!("[:db/retractEntity :{name}]"),
            3 => return format!("[:db/add :{name} :db/ident :{}]", self.pick(&NAMES)),
            4 => return format!("{{:db/id :{name} :db/ident :{}}}", self.pick(&["j", "k", "db.x/y", "_l"])),
            5 | 6 => ":db/cardinality :db.cardinality/many",
            7 => ":db/cardinality :db.cardinality/one",
            8 => ":db/unique :db.unique/identity",
            9 => ":db/unique :db.unique/value",
            10 => ":db/index true",
            11 => ":db/noHistory true",
            12 => ":db/isComponent true",
            _ => ":db/valueType :db.type/string",
        };
        if self.is(2) { format!("{{:db/ident :{name} {change}}}") } else { format!("[:db/add :{name} {change}]") }
    }

    fn add(&mut self) -> String {
        let a = self.attribute();
        let name = if self.is(40) { format!("_{a}") } else { a.clone() };
        let depth = usize::from(self.is(30));
        let tx = if self.is(30) { self.pick(&[" :db/current-tx", " \"datomic.tx\"", " 536870913"]) } else { "" };
        format!("[:db/add {} :{name} {}{tx}]", self.entity(), self.value(&a, depth))
    }

    fn retract(&mut self) -> String {
        match self.held() {
            Some((e, a, v)) if !self.is(3) && (e < TX0 || self.is(8)) => format!("[:db/retract {e} {a} {v}]"),
            _ => {
                let a = self.attribute();
                let v = if self.known(&a).is_ref() { self.held_entity() } else { self.plain(&a) };
                format!("[:db/retract {} :{a} {v}]", self.held_entity())
            }
        }
    }

    /// Mostly of what is there or was.
    fn purge(&mut self) -> String {
        let base = self.base;
        let rows: Vec<_> = base.rows.iter().filter(|row| self.is_meant(row.e)).collect();
        let row =
            rows.get(self.chance.below(rows.len().max(1))).filter(|row| row.e < TX0 || row.a != kw("db/txInstant"));
        let (e, a, v) = match row.and_then(|row| Some((row.e, row.a, written(&row.v)?))) {
            Some((e, a, v)) if !self.is(3) => (e.to_string(), a.as_str().to_owned(), v),
            _ => {
                let a = self.attribute();
                let v = if self.known(&a).is_ref() { self.held_entity() } else { self.plain(&a) };
                (self.held_entity(), a, v)
            }
        };
        match self.chance.below(8) {
            0..=2 => format!("[:db/purge {e} :{a} {v}]"),
            3 | 4 => format!("[:db.purge/attribute {e} :{a}]"),
            5 | 6 => format!("[:db.purge/entity {e}]"),
            _ => {
                let at = self.pick(&["2000", "2100-01-01", "2100-01-02", "2101-01-01", "2200"]);
                format!("[:db.history.purge/before #inst \"{at}\"]")
            }
        }
    }

    fn cas(&mut self) -> String {
        let (e, a, old) = match self.held() {
            Some((e, a, v)) if !self.is(3) && e < TX0 => (e.to_string(), a.as_str().to_owned(), v),
            _ => (self.held_entity(), self.attribute(), "nil".to_owned()),
        };
        let old = if self.is(6) { "nil".to_owned() } else { old };
        let new = match self.known(&a).is_ref() {
            true => self.held_entity(),
            false => self.plain(&a),
        };
        format!("[:{}/cas {e} :{a} {old} {new}]", self.pick(&["db", "db.fn"]))
    }

    fn entries(&mut self, depth: usize) -> String {
        let mut names: Vec<&str> = NAMES.to_vec();
        let mut entries = Vec::new();
        for _ in 0..self.chance.below(4) + usize::from(depth > 1) {
            let a = names.swap_remove(self.chance.below(names.len()));
            let of = self.known(a);
            if of.members().is_some() && !self.is(20) {
                continue;
            }
            let reverse = if of.is_ref() { self.is(6) } else { self.is(200) };
            let one = if reverse && depth > 0 && self.is(3) {
                self.map(depth - 1)
            } else if reverse {
                self.entity()
            } else {
                self.value(a, depth)
            };
            let v = if (of.many || reverse) && !self.is(3) || self.is(60) {
                let more = self.several(2, |g| if reverse { g.entity() } else { g.value(a, depth) });
                if self.is(6) { format!("#{{{one} {more}}}") } else { format!("[{one} {more}]") }
            } else {
                one
            };
            let name = match (reverse, a.split_once('/')) {
                (false, _) => a.to_owned(),
                (true, None) => format!("_{a}"),
                (true, Some((ns, name))) => format!("{ns}/_{name}"),
            };
            entries.push(format!(":{name} {v}"));
        }
        if self.is(12) {
            entries.push(format!(":db/ident {}", self.ident()));
        }
        if self.is(16) {
            let spec = if self.is(3) { self.entity() } else { self.ident().to_owned() };
            let name = if self.is(8) { "_ensure" } else { "ensure" };
            let nested = "{:db.entity/attrs [:a]}".to_owned();
            entries.push(format!(":db/{name} {}", if depth > 0 && self.is(6) { nested } else { spec }));
        }
        entries.join(" ")
    }

    pub fn map(&mut self, depth: usize) -> String {
        let id = if self.is(2) { format!(":db/id {} ", self.entity()) } else { String::new() };
        format!("{{{id}{}}}", self.entries(depth))
    }
}
