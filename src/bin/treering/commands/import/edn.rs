//! EDN tx-data, in batches.

use std::collections::HashMap;
use std::io::Write;
use std::time::Instant;

use treering::edn::{Form, FormKind, Keyword, read_all};
use treering::{Connection, EntityId, Schema};

use super::Options;
use super::writer::{Batches, Item};
use crate::failure::{Failure, Outcome};
use crate::formats::{Dialect, Pieces, Source};
use crate::progress;

/// Imports a file of entity maps and operations, or of a vector of them.
pub fn import(conn: &Connection, source: &Source, options: &Options, out: &mut dyn Write) -> Outcome {
    if !(options.identity.is_empty() && options.refs.is_empty() && options.types.is_empty()) {
        let message = "--identity, --ref and --type say how records become entities; EDN is tx-data as it is";
        return Err(Failure::Usage(message.to_owned()));
    }
    let began = Instant::now();
    let bar = progress::over_bytes(source.bytes());
    let mut batches = Batches::new(conn, source, options, &bar, None);
    let mut declaring = false;
    for piece in Pieces::new(source.open(&bar)?, Dialect::Edn) {
        let piece = piece.map_err(|error| error.context(&source.name))?;
        let forms = match read_all(&piece.text) {
            Ok(forms) => forms,
            Err(error) => {
                batches.flush()?;
                batches.bad(piece.line, error)?;
                continue;
            }
        };
        for form in forms {
            // What is declared can be used from the next transaction on.
            let declares = form.get(Keyword::new("db/valueType")).is_some();
            if declaring && !declares {
                batches.flush()?;
            }
            declaring = declares;
            batches.push(piece.line, Item::Form(form))?;
        }
    }
    let done = batches.finish()?;
    bar.finish_and_clear();
    done.tell(source, began.elapsed(), out)
}

/// The form with the tempids that earlier transactions have resolved replaced by the ids.
pub fn resolved(form: &Form, tempids: &HashMap<String, EntityId>, schema: &Schema) -> Form {
    if tempids.is_empty() {
        return form.clone();
    }
    let kind = match &form.kind {
        FormKind::Map(pairs) => FormKind::Map(
            pairs
                .iter()
                .map(|(key, value)| {
                    let value = match key.as_keyword() {
                        Some(key) if key.as_str() == "db/id" => entity(value, tempids),
                        Some(key) if is_ref(key, schema) => reference(value, tempids, schema),
                        _ => value.clone(),
                    };
                    (key.clone(), value)
                })
                .collect(),
        ),
        FormKind::Vector(items) | FormKind::List(items) => {
            let attribute = items.get(2).and_then(Form::as_keyword);
            let refers = attribute.is_some_and(|key| is_ref(key, schema));
            let item = |(place, item): (usize, &Form)| match place {
                1 => entity(item, tempids),
                3.. if refers => reference(item, tempids, schema),
                _ => item.clone(),
            };
            FormKind::Vector(items.iter().enumerate().map(item).collect())
        }
        _ => return form.clone(),
    };
    Form { kind, span: form.span }
}

/// Whether values of the attribute (or of the one that `:_name` turns round) are entities.
fn is_ref(key: Keyword, schema: &Schema) -> bool {
    let forward = match (key.namespace(), key.name().strip_prefix('_')) {
        (_, None) => key,
        (None, Some(name)) => Keyword::new(name),
        (Some(namespace), Some(name)) => Keyword::new(&format!("{namespace}/{name}")),
    };
    schema.attribute(forward).is_some_and(|attribute| attribute.is_ref())
}

fn entity(form: &Form, tempids: &HashMap<String, EntityId>) -> Form {
    match &form.kind {
        FormKind::Int(_) | FormKind::Str(_) => match tempids.get(&form.to_string()) {
            Some(id) => Form { kind: FormKind::Int(i64::try_from(id.0).unwrap_or(i64::MAX)), span: form.span },
            None => form.clone(),
        },
        _ => form.clone(),
    }
}

/// A value of a ref attribute: an entity, several, or an entity map.
fn reference(form: &Form, tempids: &HashMap<String, EntityId>, schema: &Schema) -> Form {
    match &form.kind {
        // A lookup ref begins with a keyword.
        FormKind::Vector(items) | FormKind::List(items) if items.first().is_some_and(|f| f.as_keyword().is_none()) => {
            let items = items.iter().map(|item| reference(item, tempids, schema)).collect();
            Form { kind: FormKind::Vector(items), span: form.span }
        }
        FormKind::Set(items) => {
            let items = items.iter().map(|item| reference(item, tempids, schema)).collect();
            Form { kind: FormKind::Set(items), span: form.span }
        }
        FormKind::Map(_) => resolved(form, tempids, schema),
        _ => entity(form, tempids),
    }
}
