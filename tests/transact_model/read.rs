//! Forms to operations, and what they define.

use std::collections::BTreeSet;

use treering::edn::{Form, FormKind, Keyword, Symbol};
use treering::{TempId, Value};

use super::base::{Base, Refused, SCHEMA, Schema, define, is_definition, kw};
use super::functions::{self, Readable};
use super::values;

pub fn is_collection(form: &Form) -> Option<&[Form]> {
    match &form.kind {
        FormKind::Vector(items) | FormKind::List(items) | FormKind::Set(items) => Some(items),
        _ => None,
    }
}

/// The operation, as its name, and its arguments.
pub enum Op<'a> {
    Map(&'a [(Form, Form)]),
    Call(&'static str, &'a [Form]),
    /// A function by its name.
    Function(Symbol, &'a [Form]),
    /// A function by the ident of the entity that names it.
    Installed(Keyword, &'a [Form]),
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
    let (head, arguments) = form.items().and_then(<[Form]>::split_first).ok_or(syntax)?;
    if let FormKind::Symbol(function) = head.kind {
        return Ok(Some(Op::Function(function, arguments)));
    }
    let head = head.as_keyword().ok_or(syntax)?;
    let (name, counts): (_, &[usize]) = match head.as_str() {
        "db/add" => ("add", &[3, 4]),
        "db/retract" => ("retract", &[2, 3, 4]),
        "db/retractAttribute" | "db.fn/retractAttribute" => ("retractAttribute", &[2]),
        "db/retractEntity" | "db.fn/retractEntity" => ("retractEntity", &[1]),
        "db/cas" | "db.fn/cas" => ("cas", &[4]),
        "db/purge" => ("purge", &[3]),
        "db.purge/attribute" => ("purgeAttribute", &[2]),
        "db.purge/entity" => ("purgeEntity", &[1]),
        "db.history.purge/before" => {
            return match arguments {
                [Form { kind: FormKind::Inst(_), .. }] => Ok(Some(Op::Call("purgeBefore", arguments))),
                _ => Err(syntax),
            };
        }
        "db.fn/call" => {
            return match arguments.first().map(|name| &name.kind) {
                Some(FormKind::Symbol(name)) => Ok(Some(Op::Function(*name, &arguments[1..]))),
                Some(FormKind::Keyword(name)) => Ok(Some(Op::Function(Symbol::new(name.as_str()), &arguments[1..]))),
                _ => Err(syntax),
            };
        }
        _ if is_reserved(head) => return Err(syntax),
        _ => return Ok(Some(Op::Installed(head, arguments))),
    };
    let attribute_is_name = arguments.len() == 1 || arguments.get(1).is_some_and(|a| a.as_keyword().is_some());
    if !counts.contains(&arguments.len()) || !attribute_is_name {
        return Err(syntax);
    }
    let arguments = match (name, arguments) {
        ("add" | "retract", [parts @ .., tx]) if parts.len() == 3 => {
            if subject(tx) != kw("db/current-tx").into() {
                return Err(check_name(tx).err().unwrap_or("transact/tx"));
            }
            parts
        }
        _ => arguments,
    };
    check_name(&arguments[0])?;
    for value in &arguments[1..] {
        is_collection(value).unwrap_or(std::slice::from_ref(value)).iter().try_for_each(check_names)?;
    }
    Ok(Some(Op::Call(name, arguments)))
}

/// Puts each item, or all that comes of it where it calls a function, into `out`, and adds to `:tx-meta` what functions
/// say of the transaction. They see the database before.
pub fn call(base: &Base, form: &Form, depth: usize, out: &mut Vec<Form>, meta: &mut Vec<(Form, Form)>) -> Outcome {
    let op = read(form)?;
    if depth == 64 && matches!(op, Some(Op::Function(..) | Op::Installed(..))) {
        return Err("transact/depth");
    }
    let (name, arguments) = match op {
        Some(Op::Function(name, arguments)) => (name, arguments),
        Some(Op::Installed(ident, arguments)) => {
            let entity = base.owner(kw("db/ident"), &Value::Keyword(ident)).ok_or("transact/syntax")?;
            match base.values(entity, kw("db/fn")).first() {
                Some(Value::Symbol(name)) => (*name, arguments),
                _ => return Err("transact/syntax"),
            }
        }
        _ => {
            out.push(form.clone());
            return Ok(());
        }
    };
    let arguments: Vec<Value> = arguments.iter().map(|form| Value::from_form(form).expect("a value")).collect();
    let made = functions::call(base, name.as_str(), &arguments).ok_or("transact/fn-unresolved")?;
    // What is no tx-data is the function's fault.
    let made = made.map_err(|_| "transact/fn")?;
    let (items, said) = parts(&made).map_err(|_| "transact/fn")?;
    items.iter().try_for_each(|item| read(item).map(drop)).map_err(|_| "transact/fn")?;
    meta.extend_from_slice(said);
    items.iter().try_for_each(|item| call(base, item, depth + 1, out, meta))
}

type Outcome = Result<(), Refused>;

/// The operations of tx-data, and the entries of its `:tx-meta`.
type Parts<'a> = (&'a [Form], &'a [(Form, Form)]);

pub fn parts(data: &Form) -> Result<Parts<'_>, Refused> {
    let syntax = "transact/syntax";
    if let Some(items) = is_collection(data) {
        return Ok((items, &[]));
    }
    let pairs = data.pairs().ok_or(syntax)?;
    let known = |k: &Form| ["tx-data", "tx-meta"].iter().any(|name| k.as_keyword() == Some(kw(name)));
    if !pairs.iter().all(|(k, _)| known(k)) {
        return Err(syntax);
    }
    let meta = match data.get(kw("tx-meta")) {
        None => &[][..],
        Some(form) if form.is_nil() => &[][..],
        Some(form) => {
            check_names(form)?;
            form.pairs().ok_or(syntax)?
        }
    };
    if meta.iter().any(|(k, _)| k.as_keyword().is_none_or(|k| k.as_str() == "db/id")) {
        return Err(syntax);
    }
    Ok((data.get(kw("tx-data")).and_then(Form::items).ok_or(syntax)?, meta))
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
            _ => continue,
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
        for (a, form) in said {
            let several = is_collection(form).filter(|_| a == kw("db.attr/preds"));
            let forms = several.unwrap_or(std::slice::from_ref(form));
            drafts[place].1.extend(forms.iter().filter_map(|form| Some((a, values::plain(form).ok()?))));
        }
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

fn is_reserved(ident: Keyword) -> bool {
    ident.namespace().is_some_and(|ns| ns == "db" || ns.starts_with("db."))
}

pub fn check_ident(ident: Keyword) -> Result<(), Refused> {
    if is_reserved(ident) || ident.name().starts_with('_') { Err(SCHEMA) } else { Ok(()) }
}
