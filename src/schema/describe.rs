//! The schema as data, as Datahike's `schema` and `reverse-schema` give it.

use super::{Attribute, Cardinality, Schema, TupleShape, Unique, ValueType};
use crate::datom::{EntityId, Value};
use crate::edn::Keyword;

fn keyword(name: &str) -> Value {
    Value::Keyword(Keyword::new(name))
}

impl Attribute {
    /// The entity map that defines the attribute, with its `:db/id`.
    ///
    /// ```
    /// # fn show(db: &treering::Db) -> treering::Result<()> {
    /// let name = db.attribute(treering::edn::Keyword::new("person/name"))?;
    /// println!("{:?}", name.to_map());
    /// # Ok(())
    /// # }
    /// ```
    pub fn to_map(&self) -> Value {
        let mut map = Vec::new();
        let mut put = |key: &str, value: Value| map.push((keyword(key), value));
        if self.entity != 0 {
            put("db/id", Value::Ref(EntityId(self.entity)));
        }
        put("db/ident", self.ident.into());
        if let Some(value_type) = self.value_type {
            put("db/valueType", value_type.keyword().into());
        }
        put("db/cardinality", keyword(cardinality(self.cardinality)));
        if let Some(kind) = self.unique {
            put("db/unique", keyword(unique(kind)));
        }
        for (key, flag) in
            [("db/index", self.indexed), ("db/isComponent", self.component), ("db/noHistory", self.no_history)]
        {
            if flag {
                put(key, Value::Bool(true));
            }
        }
        let types = |types: &[ValueType]| types.iter().map(|t| t.keyword().into()).collect::<Vec<Value>>();
        match &self.tuple {
            None => {}
            Some(TupleShape::Composite(members)) => {
                put("db/tupleAttrs", members.iter().map(|member| (*member).into()).collect::<Vec<Value>>().into());
            }
            Some(TupleShape::Heterogeneous(members)) => put("db/tupleTypes", types(members).into()),
            Some(TupleShape::Homogeneous(member)) => put("db/tupleType", member.keyword().into()),
        }
        if let Some(length) = self.max_length {
            put("db/maxLength", length.into());
        }
        if !self.preds.is_empty() {
            put("db.attr/preds", Value::set(self.preds.iter().map(|pred| (*pred).into()).collect()));
        }
        Value::Map(map.into())
    }

    /// The properties by which it is found in [`Schema::reverse`].
    fn properties(&self) -> Vec<Value> {
        let mut properties = vec![keyword("db/ident"), keyword(cardinality(self.cardinality))];
        properties.extend(self.value_type.map(|value_type| value_type.keyword().into()));
        if let Some(kind) = self.unique {
            properties.extend([keyword("db/unique"), keyword(unique(kind))]);
        }
        let flags = [
            ("db/index", self.in_avet()),
            ("db/isComponent", self.component),
            ("db/noHistory", self.no_history),
            ("db/tupleAttrs", matches!(self.tuple, Some(TupleShape::Composite(_)))),
        ];
        properties.extend(flags.into_iter().filter(|(_, flag)| *flag).map(|(key, _)| keyword(key)));
        properties
    }
}

fn cardinality(cardinality: Cardinality) -> &'static str {
    match cardinality {
        Cardinality::One => "db.cardinality/one",
        Cardinality::Many => "db.cardinality/many",
    }
}

fn unique(unique: Unique) -> &'static str {
    match unique {
        Unique::Identity => "db.unique/identity",
        Unique::Value => "db.unique/value",
    }
}

impl Schema {
    /// The attributes that users defined, by name.
    fn declared(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes().into_iter().map(|attribute| &**attribute).filter(|a| !a.is_builtin() && a.entity != 0)
    }

    /// The attributes that users defined, as a map from idents to definitions (see [`Attribute::to_map`]).
    pub fn to_map(&self) -> Value {
        let entries: Vec<_> = self.declared().map(|attribute| (attribute.ident.into(), attribute.to_map())).collect();
        Value::Map(entries.into())
    }

    /// The attributes that users defined, by what they are: a map from properties to sets of idents. Properties are
    /// `:db/ident` (all of them), cardinalities, types, `:db/unique` and its two kinds, `:db/index` (all that AVET holds),
    /// `:db/isComponent`, `:db/noHistory` and `:db/tupleAttrs`; those that no attribute has are left out.
    pub fn reverse(&self) -> Value {
        let mut pairs: Vec<(Value, Value)> = Vec::new();
        for attribute in self.declared() {
            pairs.extend(attribute.properties().into_iter().map(|property| (property, attribute.ident.into())));
        }
        pairs.sort();
        let properties = pairs.chunk_by(|x, y| x.0 == y.0);
        let sets = properties.filter_map(|group| {
            let (property, _) = group.first()?;
            Some((property.clone(), Value::set(group.iter().map(|(_, ident)| ident.clone()).collect())))
        });
        Value::Map(sets.collect::<Vec<_>>().into())
    }
}
