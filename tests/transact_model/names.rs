//! Attributes, entities and values that the tx-data can speak of, most of them there.

use treering::edn::Keyword;
use treering::{TX0, Value};

use super::base::{Attribute, LAST_OWN, Tuple, kw};
use super::generate::{Generator, NAMES};

impl Generator<'_> {
    /// An attribute, most often one that is defined.
    pub fn attribute(&mut self) -> String {
        if self.is(60) { "unknown".to_owned() } else { self.pick(&NAMES).to_owned() }
    }

    pub fn known(&self, a: &str) -> Attribute {
        self.base.schema.get(&kw(a)).cloned().unwrap_or_default()
    }

    pub fn ident(&mut self) -> &'static str {
        self.pick(&[":k1", ":k2", ":k3"])
    }

    pub fn tempid(&mut self) -> &'static str {
        self.pick(&["\"x\"", "\"x\"", "\"y\"", "-1", "-1", "-2", "\"t\"", "0"])
    }

    pub fn lookup(&mut self) -> Option<String> {
        let uniques: Vec<Keyword> =
            self.base.schema.iter().filter(|(_, a)| a.unique.is_some()).map(|(name, _)| *name).collect();
        let a = *uniques.get(self.chance.below(uniques.len().max(1)))?;
        let held = self.base.facts().into_iter().filter(|f| f.1 == a);
        let held: Vec<Value> = held.filter(|f| self.is_meant(f.0)).map(|f| f.2).collect();
        if held.is_empty() || self.is(6) {
            return Some(format!(
                "[{a} {}]",
                if self.known(a.as_str()).is_ref() { "3".to_owned() } else { self.plain(a.as_str()) }
            ));
        }
        let v = &held[self.chance.below(held.len())];
        let inner = if matches!(v, Value::Ref(_)) && self.is(3) { self.held_lookup() } else { None };
        Some(format!("[{a} {}]", inner.or(written(v))?))
    }

    /// A lookup ref in a lookup ref.
    pub fn held_lookup(&mut self) -> Option<String> {
        let named: Vec<_> = self.base.facts().into_iter().filter(|f| f.1 == kw("db/ident")).collect();
        let (_, a, v) = named.get(self.chance.below(named.len().max(1)))?;
        Some(format!("[{a} {}]", written(v)?))
    }

    /// An id that most sequences come to use.
    pub fn fixed(&mut self) -> u64 {
        (if self.base.refs { 90 } else { 30 }) + self.chance.below(3) as u64
    }

    /// Whether an entity is to be spoken of: those of the engine seldom are.
    pub fn is_meant(&mut self, e: u64) -> bool {
        !self.base.refs || e > LAST_OWN || self.is(200)
    }

    pub fn held_id(&mut self) -> Option<u64> {
        let ids: Vec<u64> = self.base.facts().iter().map(|f| f.0).filter(|e| *e < TX0).collect();
        let ids: Vec<u64> = ids.into_iter().filter(|e| self.is_meant(*e)).collect();
        ids.get(self.chance.below(ids.len().max(1))).copied()
    }

    /// An entity without tempids.
    pub fn held_entity(&mut self) -> String {
        match self.chance.below(24) {
            0..=2 => self.fixed().to_string(),
            3 | 4 => self.ident().to_owned(),
            5..=7 => self.lookup().unwrap_or("31".to_owned()),
            8 => self.entity(),
            9 => ":db/current-tx".to_owned(),
            _ => self.held_id().unwrap_or(32).to_string(),
        }
    }

    pub fn entity(&mut self) -> String {
        match self.chance.below(60) {
            0..=11 => self.held_id().unwrap_or(31).to_string(),
            12..=19 => self.fixed().to_string(),
            20..=41 => self.tempid().to_owned(),
            42..=45 => self.ident().to_owned(),
            46..=53 => self.lookup().unwrap_or("32".to_owned()),
            54 | 55 => {
                self.pick(&[":db/current-tx", "\"datomic.tx\"", "\"datahike.tx\"", "\":db/current-tx\""]).to_owned()
            }
            56 => (TX0 + 1).to_string(),
            57 => self
                .pick(&[
                    "536870912",
                    "99999999999",
                    "536875000",
                    "1.5",
                    "[:a]",
                    "[:nothing 1]",
                    "nil",
                    "40",
                    "24",
                    ":db.type/long",
                    ":db/doc",
                    "[:db/doc 1]",
                ])
                .to_owned(),
            58 => format!(":{}", self.attribute()),
            _ => self.held_id().unwrap_or(31).to_string(),
        }
    }

    pub fn of_type(&mut self, value_type: &str) -> String {
        let from: &[&str] = match value_type {
            "string" => &["\"x\"", "\"y\"", "\"zz\"", "\"x\"", "\"\""],
            "long" => &["0", "1", "2", "-1", "1", "3N"],
            "double" => &["0.5", "1", "2.0", "-0.0", "1.0"],
            "float" => &["0.5", "1", "2.0", "0.1"],
            "bigint" => &["1N", "1", "2N", "99999999999999999999"],
            "bigdec" => &["1M", "1.0M", "1", "2.5M"],
            "keyword" => &[":x", ":y", ":a", ":k1"],
            "boolean" => &["true", "false"],
            "symbol" => &["s", "t"],
            "instant" => &["#inst \"2020-01-01\"", "#inst \"2021-01-01\""],
            "uuid" => {
                &["#uuid \"00000000-0000-0000-0000-000000000001\"", "#uuid \"f0000000-0000-0000-0000-000000000001\""]
            }
            "uri" => &["#uri \"x:1\"", "#uri \"x:22\""],
            "bytes" => &["#bytes \"00ff\"", "#bytes \"01\"", "#bytes \"\""],
            "float-array" | "double-array" => &["[1 2.5]", "[0.5]", "[]", "[1 2 3]"],
            "number" => &["1", "1.0", "1N", "1M", "2"],
            _ => &["1", "\"x\"", ":k1", "[1 2]", "[:x nil]", "2"],
        };
        self.pick(from).to_owned()
    }

    /// A value of an attribute that is no ref.
    pub fn plain(&mut self, a: &str) -> String {
        if self.is(40) {
            return self.pick(&["nil", "{:a 1}", "#{}", "[]", "1.5", "\"four\"", "s", "true", "\"x\""]).to_owned();
        }
        match self.known(a).tuple {
            Some(Tuple::Types(types)) => {
                let members: Vec<_> =
                    types.iter().map(|t| if self.is(6) { "nil".to_owned() } else { self.of_type(t) }).collect();
                format!("[{}]", members.join(" "))
            }
            Some(Tuple::Type(one)) => {
                let most = if self.is(20) { 9 } else { 3 };
                let n = 1 + self.chance.below(most);
                let members: Vec<_> =
                    (0..n).map(|_| if self.is(12) { "nil".to_owned() } else { self.of_type(&one) }).collect();
                format!("[{}]", members.join(" "))
            }
            Some(Tuple::Composite(names)) => {
                let members: Vec<_> = names.iter().map(|a| self.plain_member(*a)).collect();
                format!("[{}]", members.join(" "))
            }
            None => self.of_type(&self.known(a).value_type.unwrap_or_default()),
        }
    }

    pub fn plain_member(&mut self, a: Keyword) -> String {
        let of = self.known(a.as_str());
        if self.is(3) { "nil".to_owned() } else { self.of_type(&of.value_type.unwrap_or_default()) }
    }

    pub fn value(&mut self, a: &str, depth: usize) -> String {
        if !self.known(a).is_ref() {
            return self.plain(a);
        }
        if depth > 0 && self.is(3) {
            return self.map(depth - 1);
        }
        self.entity()
    }

    /// A value that the entity has, if it can be told.
    pub fn held(&mut self) -> Option<(u64, Keyword, String)> {
        let facts: Vec<_> = self.base.facts().into_iter().filter(|f| self.is_meant(f.0)).collect();
        let (e, a, v) = facts.get(self.chance.below(facts.len().max(1)))?;
        Some((*e, *a, written(v)?))
    }
}

/// A stored value as it can be written, if it can.
pub fn written(v: &Value) -> Option<String> {
    Some(match v {
        Value::Float(x) => format!("{x:?}"),
        Value::Ref(e) => e.0.to_string(),
        Value::Tuple(members) => {
            let members: Option<Vec<_>> = members.iter().map(written).collect();
            format!("[{}]", members?.join(" "))
        }
        v => v.to_form().to_string(),
    })
}
