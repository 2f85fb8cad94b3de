//! Schemas that were taken or refused, and databases made of datoms.

use treering::edn::{Form, Keyword};
use treering::{SchemaFlexibility, TX0, db_testing, with};

use crate::cases::{Case, get, members};
use crate::databases::{all, facts, load};

pub fn ask(case: &Case) -> Result<(), String> {
    let args = case.args();
    let (datoms, schema) = match case.op.as_str() {
        "init-db" | "conn-from-datoms" => (args.first(), args.get(1)),
        _ => (None, args.first()),
    };
    if case.error().is_none() && datoms.is_some() {
        return from_datoms(case, datoms, schema);
    }
    if let Some(datoms) = datoms {
        let read = members(Some(datoms)).iter().map(treering::RawDatom::from_form).collect();
        return case.judge(read, |_, _: &Vec<_>| Ok(()));
    }
    let empty = db_testing::empty_db(false, SchemaFlexibility::Read);
    case.judge(with(&empty, definitions(schema)), |_, _| Ok(()))
}

fn from_datoms(case: &Case, datoms: Option<&Form>, schema: Option<&Form>) -> Result<(), String> {
    let datoms = facts(datoms);
    let max_eid = 0;
    let max_tx = datoms.iter().map(|(.., tx, _)| *tx).max().unwrap_or(TX0);
    case.judge(load(schema, datoms, max_eid, max_tx), |result, made| {
        let mut recorded = facts(get(result, "datoms"));
        let mut found = all(made, &made.db);
        recorded.sort();
        found.sort();
        if recorded != found {
            return Err(format!("recorded {recorded:?}, found {found:?}"));
        }
        let counters = (made.db.max_eid().0 as i64, (made.db.basis_t().0 - made.shift) as i64);
        let wanted = ["max-eid", "max-tx"].map(|key| get(result, key).and_then(Form::as_int).unwrap_or(-1));
        if wanted != [counters.0, counters.1] {
            return Err(format!("recorded {wanted:?}, found {counters:?}"));
        }
        Ok(())
    })
}

/// The schema as tx-data: what defines an attribute here.
fn definitions(schema: Option<&Form>) -> Form {
    let pairs = schema.and_then(Form::pairs).unwrap_or(&[]);
    let named = pairs.iter().filter(|(name, _)| name.as_keyword() != Some(Keyword::new("db/ident")));
    let definition = |(name, facts): &(Form, Form)| {
        let mut definition = vec![(Form::from(Keyword::new("db/ident")), name.clone())];
        definition.extend(facts.pairs().unwrap_or(&[]).iter().cloned());
        let is_tuple = get(facts, "db/tupleAttrs").is_some();
        if is_tuple && get(facts, "db/valueType").is_none() {
            let (key, tuple) = (Keyword::new("db/valueType"), Keyword::new("db.type/tuple"));
            definition.push((Form::from(key), Form::from(tuple)));
        }
        Form::map(definition)
    };
    Form::from(named.map(definition).collect::<Vec<_>>())
}
