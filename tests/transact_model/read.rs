//! Forms to operations, and what they define.

use std::collections::BTreeSet;

use treering::edn::{Form, FormKind, Keyword};
use treering::{TempId, Value};

use super::base::{Base, Refused, SCHEMA, Schema, define, is_definition, kw};
use super::values;

pub fn is_collection(form: &Form) -> Option<&[Form]> {
    match &form.kind {
        FormKind::Vector(items) | FormKind::List(items) | FormKind::Set(items) => Some(items),
        _ => None,
    }
}

/// The operation, as its name in `:db`, and its arguments.
pub enum Op<'a> {
    Map(&'a [(Form, Form)]),
    Call(&'static str, &'a [Form]),
}

/// Whether the form can name an entity.
fn check_name(form: &Form) -> Result<(), Refused> {
    match &form.kind {
        FormKind::Int(_) | FormKind::Str(_) | FormKind::Keyword(_) => Ok(()),
        FormKind::Vector(items) | FormKind::List(items) if items.len() == 2 && items[0].as_keyword().is_some() => {
            Ok(())
        }
        FormKind::Vector(_) | FormKind::List(_) => Err("lookup-ref/syntax"),
        _ => Err("entity-id/syntax"),
    }
}

/// Checks the entities that a map and the maps in it name.
fn check_names(form: &Form) -> Result<(), Refused> {
    for (key, value) in form.pairs().unwrap_or_default() {
        match key.as_keyword().ok_or("transact/syntax")?.as_str() {
            "db/id" => check_name(value)?,
            _ => is_collection(value).unwrap_or(std::slice::from_ref(value)).iter().try_for_each(check_names)?,
        }
    }
    Ok(())
}

pub fn read(form: &Form) -> Result<Option<Op<'_>>, Refused> {
    let syntax = "transact/syntax";
    if form.is_nil() {
        return Ok(None);
    }
    check_names(form)?;
    if let Some(pairs) = form.pairs() {
        return if pairs.iter().all(|(k, _)| k.as_keyword().is_some()) {
            Ok(Some(Op::Map(pairs)))
        } else {
            Err(syntax)
        };
    }
    let items = form.items().ok_or(syntax)?;
    let head = items.first().and_then(Form::as_keyword).ok_or(syntax)?;
    let (name, counts): (_, &[usize]) = match head.as_str() {
        "db/add" => ("add", &[3]),
        "db/retract" => ("retract", &[2, 3]),
        "db/retractAttribute" | "db.fn/retractAttribute" => ("retractAttribute", &[2]),
        "db/retractEntity" | "db.fn/retractEntity" => ("retractEntity", &[1]),
        "db/cas" | "db.fn/cas" => ("cas", &[4]),
        _ => return Err(syntax),
    };
    let arguments = &items[1..];
    let attribute_is_name = arguments.len() == 1 || arguments.get(1).is_some_and(|a| a.as_keyword().is_some());
    if !counts.contains(&arguments.len()) || !attribute_is_name {
        return Err(syntax);
    }
    check_name(&arguments[0])?;
    Ok(Some(Op::Call(name, arguments)))
}

/// A subject as it can be compared: the transaction has several names.
fn subject(form: &Form) -> Form {
    let is_current = form.as_str().is_some_and(|text| TempId::from(text) == TempId::CurrentTx);
    if is_current { kw("db/current-tx").into() } else { form.clone() }
}

/// The attributes that the tx-data defines, and all idents that it asserts: maps and additions that say something of
/// one subject are taken together; nested maps are not looked into.
pub fn declare(base: &Base, ops: &[Op<'_>]) -> Result<(Schema, BTreeSet<Keyword>), Refused> {
    /// A subject, and what is said of it.
    type Draft = (Option<Form>, Vec<(Keyword, Value)>);
    let mut drafts: Vec<Draft> = Vec::new();
    for op in ops {
        let (of, said): (_, Vec<(Keyword, &Form)>) = match op {
            Op::Map(pairs) => {
                let id = pairs.iter().find(|(k, _)| k.as_keyword() == Some(kw("db/id"))).map(|(_, v)| subject(v));
                (id, pairs.iter().filter_map(|(k, v)| Some((k.as_keyword()?, v))).collect())
            }
            Op::Call("add", arguments) => {
                (Some(subject(&arguments[0])), vec![(arguments[1].as_keyword().expect("it was read"), &arguments[2])])
            }
            Op::Call(..) => continue,
        };
        let said: Vec<_> = said.into_iter().filter(|(a, _)| is_definition(*a)).collect();
        if said.is_empty() {
            continue;
        }
        let known = drafts.iter().position(|(known, _)| of.is_some() && *known == of);
        let place = known.unwrap_or_else(|| {
            drafts.push((of, Vec::new()));
            drafts.len() - 1
        });
        drafts[place].1.extend(said.into_iter().filter_map(|(a, form)| Some((a, values::plain(form).ok()?))));
    }
    let (mut schema, mut idents) = (base.schema.clone(), BTreeSet::new());
    for (of, said) in drafts {
        let ident = said.iter().find_map(|(a, v)| match v {
            Value::Keyword(k) if *a == kw("db/ident") => Some(*k),
            _ => None,
        });
        let Some(ident) = ident else { continue };
        idents.extend(said.iter().filter_map(|(a, v)| match v {
            Value::Keyword(k) if *a == kw("db/ident") => Some(*k),
            _ => None,
        }));
        // An attribute that gets another name is known by it from the next transaction on.
        let is_attribute = of.is_some_and(|of| {
            base.schema.iter().any(|(name, known)| match &of.kind {
                FormKind::Int(id) => known.entity != 0 && known.entity == *id as u64,
                FormKind::Keyword(k) => k == name,
                FormKind::Vector(items) => {
                    items[0].as_keyword() == Some(kw("db/ident")) && items[1].as_keyword() == Some(*name)
                }
                _ => false,
            })
        });
        if !schema.contains_key(&ident) && !is_attribute {
            check_ident(ident)?;
            if let Some((ident, made)) = define(0, &said, base.write)? {
                schema.insert(ident, made);
            }
        }
    }
    Ok((schema, idents))
}

pub fn check_ident(ident: Keyword) -> Result<(), Refused> {
    let reserved = ident.namespace().is_some_and(|ns| ns == "db" || ns.starts_with("db."));
    if reserved || ident.name().starts_with('_') { Err(SCHEMA) } else { Ok(()) }
}
