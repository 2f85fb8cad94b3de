//! What becomes of each key: its attribute, and how its values are made.

use std::collections::HashMap;

use serde_json::Value;

use super::names::{Names, key};
use super::object;
use super::shape::{Column, Shape};
use super::values::form_of;
use crate::edn::{Form, Keyword};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Schema, Unique, ValueType};

/// What the user says of the keys.
#[derive(Debug, Default, Clone)]
pub struct Hints {
    /// Keys whose value tells the entity.
    pub identities: Vec<String>,
    /// Keys whose values are names of entities, and the identity key (or attribute) that names them.
    pub refs: Vec<(String, String)>,
    /// Keys whose type is not to be guessed.
    pub types: Vec<(String, ValueType)>,
    /// Namespace of the attributes.
    pub namespace: Option<String>,
}

/// What becomes of the keys of documents: an inferred schema, to be shown and then used or not.
#[derive(Debug)]
pub struct Plan {
    fields: Vec<Field>,
    /// Identity attributes of entities that are only referred to.
    named: Vec<Named>,
}

#[derive(Debug, Clone)]
struct Named {
    attribute: Keyword,
    value_type: ValueType,
    known: bool,
}

/// What becomes of one key.
#[derive(Debug)]
struct Field {
    key: String,
    attribute: Keyword,
    value_type: ValueType,
    many: bool,
    identity: bool,
    /// Whether the database has the attribute.
    known: bool,
    /// Whether values of several sorts become strings.
    mixed: bool,
    how: How,
}

#[derive(Debug)]
enum How {
    /// The value is the attribute's.
    Plain,
    /// The value is the id of the entity.
    Id,
    /// The value names another entity.
    Name(Named),
    /// The value is an object, an entity of its own.
    Nested(Plan),
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Argument, "documents/hint", message)
}

/// The attribute that a key becomes: what cannot stand in a keyword becomes a dash.
fn attribute_name(key: &str, namespace: Option<&str>) -> Keyword {
    let key = key.strip_prefix(':').unwrap_or(key);
    let clean: String =
        key.trim().chars().map(|c| if c.is_alphanumeric() || "_-.*+!?<>=/$&%".contains(c) { c } else { '-' }).collect();
    let clean = if clean.matches('/').count() > 1 || clean.starts_with('/') || clean.ends_with('/') {
        clean.replace('/', "-")
    } else {
        clean
    };
    let clean = if clean.starts_with(|c: char| c.is_ascii_digit()) { format!("_{clean}") } else { clean };
    match namespace {
        Some(namespace) if !clean.contains('/') => Keyword::new(&format!("{namespace}/{clean}")),
        _ => Keyword::new(&clean),
    }
}

impl Plan {
    /// What becomes of the keys of `shape` in a database with the attributes of `schema`.
    ///
    /// # Errors
    /// `Argument`, code `:documents/hint`: a hint names a key that no document has or contradicts the database, or two
    /// keys would become the same attribute.
    pub fn new(shape: &Shape, hints: &Hints, schema: &Schema) -> Result<Plan> {
        let keys = || shape.columns().iter().map(|column| column.key.as_str()).collect::<Vec<_>>().join(", ");
        let hinted = hints.identities.iter().chain(hints.refs.iter().map(|(key, _)| key));
        if let Some(key) = hinted.chain(hints.types.iter().map(|(key, _)| key)).find(|key| shape.column(key).is_none())
        {
            return Err(refused(format!("no document has the key {key}; the keys are {}", keys())));
        }
        Plan::of(shape, hints, schema, hints.namespace.as_deref())
    }

    fn of(shape: &Shape, hints: &Hints, schema: &Schema, namespace: Option<&str>) -> Result<Plan> {
        let mut plan = Plan { fields: Vec::new(), named: Vec::new() };
        for column in shape.columns() {
            let field = plan.field(shape, column, hints, schema, namespace)?;
            plan.fields.extend(field);
        }
        if let Some((first, second)) = plan.collision() {
            return Err(refused(format!(
                "the keys {} and {} would both become the attribute {}",
                first.key, second.key, first.attribute
            )));
        }
        Ok(plan)
    }

    fn collision(&self) -> Option<(&Field, &Field)> {
        let mut seen: HashMap<Keyword, &Field> = HashMap::new();
        self.fields.iter().find_map(|field| seen.insert(field.attribute, field).map(|first| (first, field)))
    }

    fn field(
        &mut self,
        shape: &Shape,
        column: &Column,
        hints: &Hints,
        schema: &Schema,
        namespace: Option<&str>,
    ) -> Result<Option<Field>> {
        let name = column.key.as_str();
        let attribute = attribute_name(name, namespace);
        let plain = |how, value_type| Field {
            key: name.to_owned(),
            attribute,
            value_type,
            many: false,
            identity: false,
            known: false,
            mixed: false,
            how,
        };
        if matches!(name, "db/id" | ":db/id") {
            return Ok(Some(Field { attribute: Keyword::new("db/id"), ..plain(How::Id, ValueType::Long) }));
        }
        let Some(guessed) = column.seen.value_type() else { return Ok(None) };
        let known = schema.attribute(attribute);
        let given = hints.types.iter().find(|(key, _)| key == name).map(|(_, value_type)| *value_type);
        let reference = hints.refs.iter().find(|(key, _)| key == name).map(|(_, identity)| identity.as_str());
        let value_type = match (known.and_then(|a| a.value_type), given) {
            (Some(stored), Some(given)) if stored != given => {
                return Err(refused(format!(
                    "{attribute} is in the database with {}; --type {name}={} cannot change it",
                    stored.keyword(),
                    given.keyword().name()
                )));
            }
            (Some(stored), _) => stored,
            (None, given) => given.unwrap_or(if reference.is_some() { ValueType::Ref } else { guessed }),
        };
        if reference.is_some() && value_type != ValueType::Ref {
            let stands = value_type.keyword();
            return Err(refused(format!("--ref {name}: {attribute} is in the database with {stands}")));
        }
        let identity = hints.identities.iter().any(|key| key == name) || hints.refs.iter().any(|(_, key)| key == name);
        if identity && known.is_some_and(|a| a.unique != Some(Unique::Identity)) {
            return Err(refused(format!(
                "{attribute} is in the database and not :db.unique/identity, so it cannot tell entities"
            )));
        }
        let how = match reference {
            Some(target) => How::Name(self.target(shape, target, guessed, hints, schema, namespace)),
            None if value_type == ValueType::Ref && column.seen.objects > 0 => {
                let inner = match attribute.namespace() {
                    Some(namespace) => format!("{namespace}.{}", attribute.name()),
                    None => attribute.name().to_owned(),
                };
                How::Nested(Plan::of(&column.nested, &Hints::default(), schema, Some(&inner))?)
            }
            None => How::Plain,
        };
        let many = known.map_or(column.seen.arrays > 0 && !is_vector(value_type), |a| a.is_many());
        let identity = known.map_or(identity, |a| a.unique == Some(Unique::Identity));
        let mixed = column.seen.is_mixed() && value_type == ValueType::String;
        Ok(Some(Field { many, identity, known: known.is_some(), mixed, ..plain(how, value_type) }))
    }

    /// The identity attribute that names are looked up by.
    fn target(
        &mut self,
        shape: &Shape,
        target: &str,
        guessed: ValueType,
        hints: &Hints,
        schema: &Schema,
        namespace: Option<&str>,
    ) -> Named {
        let own = shape.column(target);
        let attribute = attribute_name(target, if own.is_some() { namespace } else { None });
        let known = schema.attribute(attribute);
        let hinted = hints.types.iter().find(|(key, _)| key == target).map(|(_, value_type)| *value_type);
        let seen = own.and_then(|column| hinted.or_else(|| column.seen.value_type()));
        let value_type = known.and_then(|a| a.value_type).or(seen).unwrap_or(guessed);
        let named = Named { attribute, value_type, known: known.is_some() };
        if own.is_none() && !self.named.iter().any(|other| other.attribute == attribute) {
            self.named.push(named.clone());
        }
        named
    }

    /// Tx-data that declares the attributes which the database has not.
    pub fn schema(&self) -> Form {
        let mut forms = Vec::new();
        self.declare(&mut forms);
        Form::from(forms)
    }

    fn declare(&self, forms: &mut Vec<Form>) {
        for named in self.named.iter().filter(|named| !named.known) {
            forms.push(declaration(named.attribute, named.value_type, false, true, false));
        }
        for field in &self.fields {
            let nested = matches!(field.how, How::Nested(_));
            if !field.known && !matches!(field.how, How::Id) {
                forms.push(declaration(field.attribute, field.value_type, field.many, field.identity, nested));
            }
            if let How::Nested(plan) = &field.how {
                plan.declare(forms);
            }
        }
    }

    /// One line for each attribute, for people: key, attribute, type and what else there is to say.
    pub fn describe(&self) -> Vec<[String; 4]> {
        let mut lines = Vec::new();
        self.describe_under("", &mut lines);
        lines
    }

    fn describe_under(&self, prefix: &str, lines: &mut Vec<[String; 4]>) {
        for named in &self.named {
            let mut notes = vec!["identity", "named by others"];
            notes.extend(named.known.then_some("known"));
            let value_type = named.value_type.keyword().name().to_owned();
            lines.push([String::new(), named.attribute.to_string(), value_type, notes.join(", ")]);
        }
        for field in &self.fields {
            let mut notes: Vec<String> = Vec::new();
            notes.extend(field.many.then(|| "many".to_owned()));
            notes.extend(field.identity.then(|| "identity".to_owned()));
            notes.extend(field.known.then(|| "known".to_owned()));
            notes.extend(field.mixed.then(|| "mixed values, kept as text".to_owned()));
            match &field.how {
                How::Plain => {}
                How::Id => notes.push("the id of the entity".to_owned()),
                How::Name(named) => notes.push(format!("by {}", named.attribute)),
                How::Nested(_) => notes.push("component".to_owned()),
            }
            let value_type = field.value_type.keyword().name().to_owned();
            lines.push([format!("{prefix}{}", field.key), field.attribute.to_string(), value_type, notes.join(", ")]);
            if let How::Nested(plan) = &field.how {
                plan.describe_under(&format!("{prefix}{}.", field.key), lines);
            }
        }
    }

    /// Tx-data that makes an entity of each document.
    ///
    /// # Errors
    /// `Argument`, code `:documents/document`, for what is no object; `Transact`, code `:documents/value`, for a value that
    /// does not fit its attribute. Both name the document by its place, from 0.
    pub fn tx_data(&self, documents: &[Value]) -> Result<Form> {
        let mut names = Names::default();
        let mut forms = Vec::with_capacity(documents.len());
        for (at, document) in documents.iter().enumerate() {
            let entity = object(document).and_then(|fields| self.entity(fields, &mut names));
            forms.extend(entity.map_err(|error| error.context(format!("document {at}")))?);
        }
        forms.extend(names.untold());
        Ok(Form::from(forms))
    }

    /// The entity map of one document; `None` where it has no values. Entities of one transaction share `names`, and
    /// [`Names::untold`] comes after the last of them.
    ///
    /// # Errors
    /// `Transact`, code `:documents/value`, naming the key.
    pub fn entity<'a>(
        &self,
        fields: impl IntoIterator<Item = (&'a String, &'a Value)>,
        names: &mut Names,
    ) -> Result<Option<Form>> {
        let values = fields.into_iter().map(|(key, value)| (key.as_str(), value)).collect();
        self.entity_of(&values, names).map_err(|message| Error::new(ErrorKind::Transact, "documents/value", message))
    }

    fn entity_of(
        &self,
        values: &HashMap<&str, &Value>,
        names: &mut Names,
    ) -> std::result::Result<Option<Form>, String> {
        let mut pairs: Vec<(Form, Form)> = Vec::new();
        let mut id = None;
        for field in &self.fields {
            let Some(value) = values.get(field.key.as_str()).filter(|value| !value.is_null()) else { continue };
            let told = |message: String| format!("{}: {message}", field.key);
            let items: Vec<&Value> = match value {
                Value::Array(items) if field.many => items.iter().filter(|item| !item.is_null()).collect(),
                Value::Array(items) if items.len() == 1 && !is_vector(field.value_type) => items.iter().collect(),
                Value::Array(items) if items.len() > 1 && field.known && !is_vector(field.value_type) => {
                    return Err(told(format!(
                        "{} is of :db.cardinality/one in the database, got an array of {} values",
                        field.attribute,
                        items.len()
                    )));
                }
                Value::Array(items) if items.is_empty() => continue,
                one => vec![one],
            };
            let mut forms = Vec::with_capacity(items.len());
            for item in items {
                forms.extend(field.value(item, names).map_err(told)?);
            }
            if forms.is_empty() {
                continue;
            }
            if matches!(field.how, How::Id) {
                id = forms.pop();
                continue;
            }
            if field.identity
                && id.is_none()
                && let Some(value) = forms.first()
            {
                id = Some(names.id(field.attribute, value.clone(), true));
            }
            let value = if field.many { Some(Form::from(forms)) } else { forms.pop() };
            pairs.extend(value.map(|value| (field.attribute.into(), value)));
        }
        if pairs.is_empty() {
            return Ok(None);
        }
        pairs.extend(id.map(|id| (key("db/id"), id)));
        Ok(Some(Form::map(pairs)))
    }
}

impl Field {
    fn value(&self, value: &Value, names: &mut Names) -> std::result::Result<Option<Form>, String> {
        match (&self.how, value) {
            (How::Nested(plan), Value::Object(fields)) => {
                plan.entity_of(&fields.iter().map(|(key, value)| (key.as_str(), value)).collect(), names)
            }
            (How::Name(named), value) => {
                let form = form_of(value, named.value_type)?;
                Ok(Some(names.id(named.attribute, form, false)))
            }
            (How::Plain | How::Id | How::Nested(_), value) => form_of(value, self.value_type).map(Some),
        }
    }
}

/// Whether one value is a vector itself.
fn is_vector(value_type: ValueType) -> bool {
    matches!(value_type, ValueType::Tuple | ValueType::FloatArray | ValueType::DoubleArray)
}

fn declaration(attribute: Keyword, value_type: ValueType, many: bool, identity: bool, component: bool) -> Form {
    let cardinality = if many { "db.cardinality/many" } else { "db.cardinality/one" };
    let mut pairs = vec![
        (key("db/ident"), attribute.into()),
        (key("db/valueType"), value_type.keyword().into()),
        (key("db/cardinality"), key(cardinality)),
    ];
    if identity {
        pairs.push((key("db/unique"), key("db.unique/identity")));
    }
    if component {
        pairs.push((key("db/isComponent"), Form::from(true)));
    }
    Form::map(pairs)
}

#[cfg(test)]
mod tests {
    use super::super::infer;
    use super::*;
    use crate::schema::SchemaFlexibility;
    use serde_json::json;

    fn plan(documents: &[Value], hints: &Hints) -> Result<Plan> {
        infer(documents, hints, &Schema::new(SchemaFlexibility::Write))
    }

    fn text(forms: &[Form]) -> Vec<String> {
        forms.iter().map(Form::to_string).collect()
    }

    #[test]
    fn packages_with_dependencies_by_name() {
        let records = [
            json!({"name": "a", "size": 1, "depends": ["b", "c"]}),
            json!({"name": "b", "size": null, "depends": ["c"]}),
        ];
        let hints = Hints {
            identities: vec!["name".into()],
            refs: vec![("depends".into(), "name".into())],
            ..Hints::default()
        };
        let plan = plan(&records, &hints).unwrap();
        assert_eq!(
            text(plan.schema().items().unwrap()),
            [
                "{:db/ident :depends, :db/valueType :db.type/ref, :db/cardinality :db.cardinality/many}",
                "{:db/ident :name, :db/valueType :db.type/string, :db/cardinality :db.cardinality/one, :db/unique :db.unique/identity}",
                "{:db/ident :size, :db/valueType :db.type/long, :db/cardinality :db.cardinality/one}",
            ]
        );
        assert_eq!(
            plan.tx_data(&records).unwrap().to_string(),
            "[{:depends [-1 -2], :name \"a\", :size 1, :db/id -3} {:depends [-2], :name \"b\", :db/id -1} \
             {:db/id -2, :name \"c\"}]"
        );
    }

    #[test]
    fn names_of_entities_that_have_no_records() {
        let hints = Hints {
            refs: vec![("maintainer".into(), "maintainer/name".into())],
            namespace: Some("pkg".into()),
            ..Hints::default()
        };
        let plan = plan(&[json!({"maintainer": "M", "x y": true})], &hints).unwrap();
        assert_eq!(
            text(plan.schema().items().unwrap()),
            [
                "{:db/ident :maintainer/name, :db/valueType :db.type/string, :db/cardinality :db.cardinality/one, :db/unique :db.unique/identity}",
                "{:db/ident :pkg/maintainer, :db/valueType :db.type/ref, :db/cardinality :db.cardinality/one}",
                "{:db/ident :pkg/x-y, :db/valueType :db.type/boolean, :db/cardinality :db.cardinality/one}",
            ]
        );
    }

    #[test]
    fn objects_inside_are_components() {
        let value = json!({"address": {"street": "S", "geo": {"lat": 1.5}}, "tags": [{"t": 1}, {"t": 2}]});
        let plan = plan(std::slice::from_ref(&value), &Hints::default()).unwrap();
        let declared = text(plan.schema().items().unwrap());
        assert!(declared.iter().any(
            |d| d.starts_with("{:db/ident :address, :db/valueType :db.type/ref") && d.contains("isComponent true")
        ));
        assert!(declared.iter().any(|d| d.contains(":address.geo/lat, :db/valueType :db.type/double")));
        assert_eq!(
            plan.tx_data(&[value]).unwrap().to_string(),
            "[{:address {:address/geo {:address.geo/lat 1.5}, :address/street \"S\"}, :tags [{:tags/t 1} {:tags/t 2}]}]"
        );
    }

    #[test]
    fn mistakes_are_told() {
        let usage = |documents: &[Value], hints: Hints| plan(documents, &hints).unwrap_err().message().to_owned();
        let hints = Hints { identities: vec!["nam".into()], ..Hints::default() };
        assert_eq!(usage(&[json!({"name": 1})], hints), "no document has the key nam; the keys are name");
        let message = usage(&[json!({"a b": 1, "a-b": 2})], Hints::default());
        assert_eq!(message, "the keys a b and a-b would both become the attribute :a-b");
        let typed = Hints { types: vec![("n".into(), ValueType::Uuid)], ..Hints::default() };
        let plan = plan(&[json!({"n": "x"})], &typed).unwrap();
        let error = plan.tx_data(&[json!({}), json!({"n": "x"})]).unwrap_err();
        assert_eq!(error.message(), "document 1: n: a value of :db.type/uuid was wanted, got a string: \"x\"");
        assert_eq!(plan.tx_data(&[json!(1)]).unwrap_err().code(), "documents/document");
    }

    #[test]
    fn attribute_names() {
        let name = |key: &str| attribute_name(key, None).as_str().to_owned();
        assert_eq!(name("installed_size"), "installed_size");
        assert_eq!(name(":person/name"), "person/name");
        assert_eq!(name("a/b/c"), "a-b-c");
        assert_eq!(name("1st (x)"), "_1st--x-");
        assert_eq!(attribute_name("k", Some("ns")).as_str(), "ns/k");
    }
}
