//! Transactions: the database after, tempids, and what changed.

use std::collections::{BTreeMap, BTreeSet};

use treering::edn::{Form, FormKind};
use treering::{TX0, TempId, TxReport, Value, with};

use crate::cases::{Case, get};
use crate::databases::{Fact, Recorded, all, database_for, facts};

pub fn ask(case: &Case) -> Result<(), String> {
    let data = case.get("tx-data").cloned().unwrap_or_else(|| Form::from(Vec::new()));
    let before = case.database().ok_or("no database")?;
    let before = database_for(before, &data).map_err(|error| format!("the database: {error}"))?;
    case.judge(with(&before.db, translated(&data, before.shift)), |result, report| {
        compare(case, &before, result, report)
    })
}

/// The tx-data in terms of the database before. A set has no order here: it is gone through in the one that it had there.
fn translated(data: &Form, shift: u64) -> Form {
    let all = |items: &[Form]| items.iter().map(|form| translated(form, shift)).collect();
    let pair = |(k, v): &(Form, Form)| (translated(k, shift), translated(v, shift));
    Form::from(match &data.kind {
        FormKind::Vector(items) | FormKind::List(items) | FormKind::Set(items) => FormKind::Vector(all(items)),
        FormKind::Map(pairs) => FormKind::Map(pairs.iter().map(pair).collect()),
        FormKind::Int(n) if *n == TX0 as i64 => FormKind::Int(n + shift as i64),
        other => other.clone(),
    })
}

fn compare(case: &Case, before: &Recorded, result: &Form, report: &TxReport) -> Result<(), String> {
    let after = &report.db_after;
    let found = all(before, after);
    let expected = replayed(facts(case.database().and_then(|db| get(db, "datoms"))), facts(get(result, "tx-data")));
    let found_set: BTreeSet<Fact> = found.iter().cloned().collect();
    if found_set != expected {
        let missing: Vec<_> = expected.difference(&found_set).collect();
        let more: Vec<_> = found_set.difference(&expected).collect();
        return Err(format!("the database after lacks {missing:?} and has {more:?}"));
    }
    let numbers = ["max-tx", "max-eid", "count-after"].map(|key| get(result, key).and_then(Form::as_int).unwrap_or(-1));
    let counted = [after.basis_t().0 - before.shift, after.max_eid().0, found.len() as u64].map(|n| n as i64);
    if numbers != counted {
        return Err(format!("max-tx, max-eid and count are {numbers:?} there, {counted:?} here"));
    }
    let tempids = tempids(before, report);
    let recorded: BTreeMap<TempId, i64> = get(result, "tempids")
        .and_then(Form::pairs)
        .unwrap_or(&[])
        .iter()
        .map(|(name, id)| (tempid(name), id.as_int().expect("an id")))
        .collect();
    if tempids != recorded {
        return Err(format!("tempids are {recorded:?} there, {tempids:?} here"));
    }
    // The report must tell the same as the database.
    let told = report.tx_data.iter().map(|datom| before.fact(datom));
    let told: Vec<Fact> = told.map(|(e, _, v, tx, added)| (e, String::new(), v, tx, added)).collect();
    let held: BTreeSet<Fact> = all(before, &before.db).into_iter().collect();
    let gone = held.difference(&found_set).count();
    let new = found_set.difference(&held).count();
    let (added, retracted) = (told.iter().filter(|fact| fact.4).count(), told.iter().filter(|fact| !fact.4).count());
    if (new, gone) != (added, retracted) {
        return Err(format!("{new} datoms began and {gone} ended, the report has {added} and {retracted}"));
    }
    Ok(())
}

/// The recorded database after: the one before with the recorded changes made.
fn replayed(before: Vec<Fact>, changes: Vec<Fact>) -> BTreeSet<Fact> {
    let mut now: BTreeMap<(u64, String, Value), u64> =
        before.into_iter().map(|(e, a, v, tx, _)| ((e, a, v), tx)).collect();
    for (e, a, v, tx, added) in changes {
        if added {
            now.insert((e, a, v), tx);
        } else {
            now.remove(&(e, a, v));
        }
    }
    now.into_iter().map(|((e, a, v), tx)| (e, a, v, tx, true)).collect()
}

/// The tempid that a form is; several names mean the transaction.
fn tempid(form: &Form) -> TempId {
    match (form.as_int(), form.as_str()) {
        (Some(n), _) => TempId::Int(n),
        (_, Some(text)) => TempId::from(text),
        _ => TempId::CurrentTx,
    }
}

fn tempids(before: &Recorded, report: &TxReport) -> BTreeMap<TempId, i64> {
    let id = |id: treering::EntityId| {
        if id.is_transaction() { (id.0 - before.shift) as i64 } else { id.0 as i64 }
    };
    report.tempids.iter().map(|(tempid, e)| (tempid.clone(), id(*e))).collect()
}
