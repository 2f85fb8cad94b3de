//! The database against the model, one sequence at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use treering::edn::{Form, FormKind, Keyword};
use treering::{
    Components, Config, Connection, Datom, Db, EntityId, Error, ErrorKind, Order, Registry, SchemaFlexibility, TX0,
    TxReport, Value, connect_in, create_database_in, delete_database_in, with,
};

use super::base::{Base, Refused, kw};
use super::generate::Sequence;
use super::run::{Report, transact};

/// What came up in the sequences.
#[derive(Debug, Default)]
pub struct Seen {
    pub transactions: u64,
    /// Those that changed something.
    pub changing: u64,
    pub purging: u64,
    pub refused: BTreeMap<&'static str, u64>,
}

type Shown = BTreeSet<(u64, Keyword, Value, u64, bool)>;

fn show(db: &Db, d: &Datom) -> (u64, Keyword, Value, u64, bool) {
    (d.e.0, db.ident(d.a).expect("every datom has an attribute"), d.v.clone(), d.tx.0, d.added)
}

fn datoms(db: &Db, order: Order) -> Result<Shown, String> {
    let list: Vec<_> =
        db.datoms(order, &Components::default()).map_err(|e| e.to_string())?.map(|d| show(db, &d.unwrap())).collect();
    let set: Shown = list.iter().cloned().collect();
    if set.len() == list.len() { Ok(set) } else { Err(format!("{order:?} has datoms twice: {list:?}")) }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}:\n     found {found:?}\n  expected {expected:?}")) }
}

fn same_sets(what: &str, found: &Shown, expected: &Shown) -> Result<(), String> {
    let more: Vec<_> = found.difference(expected).collect();
    let less: Vec<_> = expected.difference(found).collect();
    if more.is_empty() && less.is_empty() {
        Ok(())
    } else {
        Err(format!("{what}:\n  too many {more:?}\n  missing {less:?}"))
    }
}

fn check_state(db: &Db, base: &Base) -> Result<(), String> {
    let now = base.as_of(u64::MAX - 1);
    same_sets("EAVT", &datoms(db, Order::Eavt)?, &now)?;
    same_sets("AEVT", &datoms(db, Order::Aevt)?, &now)?;
    let of = |a: &Keyword| &base.schema[a];
    let in_avet =
        now.into_iter().filter(|d| of(&d.1).index || of(&d.1).unique.is_some() || of(&d.1).is_ref()).collect();
    same_sets("AVET", &datoms(db, Order::Avet)?, &in_avet)?;
    if base.keep_history {
        same_sets("history", &datoms(&db.history().map_err(|e| e.to_string())?, Order::Eavt)?, &base.history())?;
    }
    same("max_eid", &db.max_eid().0, &base.max_eid)?;
    same("basis_t", &db.basis_t().0, &base.basis)
}

fn check_report(report: &TxReport, expected: &Report) -> Result<(), String> {
    let db = &report.db_after;
    let t = db.basis_t().0;
    let of_time = |d: &&Datom| d.e.0 == t && db.ident(d.a) == Some(kw("db/txInstant"));
    let keeps = expected.after.keep_history;
    same(
        "the first datom is the instant",
        &report.tx_data.iter().take(1).filter(of_time).count(),
        &usize::from(keeps),
    )?;
    // An attribute may lose its name, or get another one, in the transaction.
    let of = |d: &Datom| if d.added { db } else { &report.db_before };
    let list: Vec<_> = report.tx_data.iter().skip(usize::from(keeps)).map(|d| show(of(d), d)).collect();
    let wanted: Shown = expected.datoms.keys().map(|(e, a, v, added)| (*e, *a, v.clone(), t, *added)).collect();
    let found: Shown = list.iter().cloned().collect();
    same_sets("tx-data", &found, &wanted)?;
    same("the number of datoms", &list.len(), &wanted.len())?;
    let place = |d: &(u64, Keyword, Value, u64, bool)| expected.datoms[&(d.0, d.1, d.2.clone(), d.4)];
    if let Some(pair) = list.windows(2).find(|pair| place(&pair[0]) > place(&pair[1])) {
        return Err(format!("tx-data is out of order: {:?} before {:?} in {list:?}", pair[0], pair[1]));
    }
    for (i, d) in list.iter().enumerate() {
        let single = !expected.after.schema.get(&d.1).is_some_and(|a| a.many);
        if single && !d.4 && list[..i].iter().any(|x| x.4 && (x.0, x.1) == (d.0, d.1)) {
            return Err(format!("tx-data has a value before the one whose place it takes: {list:?}"));
        }
    }
    let purged: Shown = report.purged.iter().map(|d| show(&report.db_before, d)).collect();
    let began = expected.purged.iter().map(|r| (r.e, r.a, r.v.clone(), r.tx, true));
    let ended = expected.purged.iter().filter_map(|r| Some((r.e, r.a, r.v.clone(), r.until?, false)));
    same_sets("purged", &purged, &began.chain(ended).collect())?;
    let tempids: Vec<_> = report.tempids.iter().map(|(name, id)| (name.clone(), id.0)).collect();
    same("tempids", &tempids, &expected.tempids)
}

fn instant(report: &TxReport) -> i64 {
    match report.tx_meta.iter().find(|(k, _)| *k == kw("db/txInstant")) {
        Some((_, Value::Instant(at))) => *at,
        other => panic!("the report has no instant: {other:?}"),
    }
}

/// One transaction on both; the model's database after it.
fn step(conn: &Connection, base: &Base, data: &Form, seen: &mut Seen) -> Result<Base, String> {
    let before = conn.db();
    seen.transactions += 1;
    match (conn.transact(data), transact(base, data)) {
        (Ok(report), Ok(expected)) => {
            let at = instant(&report);
            if expected.instant.is_some_and(|said| said != at) || at <= base.instant {
                return Err(format!("the instant {at} is not {:?}, or not after {}", expected.instant, base.instant));
            }
            seen.changing += u64::from(!expected.datoms.is_empty());
            seen.purging += u64::from(!expected.purged.is_empty());
            check_report(&report, &expected)?;
            let after = expected.after_at(at);
            check_state(&report.db_after, &after)?;
            check_schema(&report.db_after, &after)?;
            Ok(after)
        }
        (Err(error), Err(expected)) => {
            if !expected.split('|').any(|code| code == error.code())
                && !has_two_faults(&before, base, data, error.code(), expected)
            {
                return Err(format!("refused with {error:?}; the model says {expected}"));
            }
            *seen.refused.entry(error.code()).or_default() += 1;
            check_state(&conn.db(), base)?;
            Ok(base.clone())
        }
        (Ok(report), Err(expected)) => {
            Err(format!("made, though the model refuses with {expected}: {:?}", report.tx_data))
        }
        (Err(error), Ok(expected)) => Err(format!("refused with {error:?}; the model says {:?}", expected.datoms)),
    }
}

/// Which of two faults is told is open: a part of the tx-data has each of them.
fn has_two_faults(db: &Db, base: &Base, data: &Form, found: &str, expected: Refused) -> bool {
    let mut pending: VecDeque<Form> = smaller(data).into();
    let mut seen = BTreeSet::new();
    let (mut has_found, mut has_expected) = (false, false);
    let is_one_of = |codes: Refused, code: &str| codes.split('|').any(|one| one == code);
    while let Some(part) = pending.pop_front() {
        if (has_found && has_expected) || seen.len() > 400 {
            break;
        }
        if seen.insert(part.to_string()) {
            has_expected |= with(db, &part).is_err_and(|error| is_one_of(expected, error.code()));
            has_found |= transact(base, &part).is_err_and(|codes| is_one_of(codes, found));
            pending.extend(smaller(&part));
        }
    }
    has_found && has_expected
}

fn check_schema(db: &Db, base: &Base) -> Result<(), String> {
    let found: BTreeSet<String> = db
        .schema()
        .attributes()
        .iter()
        .filter(|a| !a.is_builtin())
        .map(|a| {
            format!(
                "{} {:?} {} {:?} {} {} {} {:?}",
                a.ident,
                a.value_type.map(|t| t.keyword().name()),
                a.is_many(),
                a.unique.map(|u| format!("{u:?}").to_lowercase()),
                a.indexed,
                a.component,
                a.no_history,
                a.max_length
            )
        })
        .collect();
    let expected: BTreeSet<String> = base
        .schema
        .iter()
        .filter(|(name, _)| !super::base::is_built_in(**name))
        .map(|(name, a)| {
            format!(
                "{} {:?} {} {:?} {} {} {} {:?}",
                name,
                a.value_type.as_deref(),
                a.many,
                a.unique,
                a.index,
                a.component,
                a.no_history,
                a.max_length
            )
        })
        .collect();
    same("schema", &found, &expected)
}

pub fn judge(registry: &Registry, sequence: &Sequence, seen: &mut Seen) -> Result<(), String> {
    let flexibility = if sequence.write { SchemaFlexibility::Write } else { SchemaFlexibility::Read };
    let mut config =
        Config::memory("transact-model").keep_history(sequence.keep_history).schema_flexibility(flexibility);
    config = config.attribute_refs(sequence.refs);
    if let Some(index) = sequence.index {
        config = config.index(index.as_str());
    }
    let fails = |e: treering::Error| e.to_string();
    if let Some(most) = sequence.most_datoms {
        let refuse = || Error::new(ErrorKind::Limit, "test/too-many", "too many datoms");
        let predicate = move |report: &TxReport| if report.tx_data.len() > most { Err(refuse()) } else { Ok(()) };
        registry.register_tx_predicate(&config, predicate).map_err(fails)?;
    }
    create_database_in(registry, &config).map_err(fails)?;
    let conn = connect_in(registry, &config).map_err(fails)?;
    let mut base = sequence.base();
    let mut outcome = Ok(());
    for (n, data) in sequence.transactions.iter().enumerate() {
        match step(&conn, &base, data, seen) {
            Ok(after) => base = after,
            Err(message) => {
                outcome = Err(format!("transaction {n}: {message}"));
                break;
            }
        }
    }
    if outcome.is_ok() && sequence.keep_history {
        outcome = (TX0..=base.basis).try_for_each(|t| {
            let then = conn.db().as_of(EntityId(t)).map_err(fails)?;
            same_sets(&format!("as of {t}"), &datoms(&then, Order::Eavt)?, &base.as_of(t))
        });
    }
    conn.release().map_err(fails)?;
    delete_database_in(registry, &config).map_err(fails)?;
    outcome
}

/// Forms with one piece less: an item of a vector, an entry of a map, or a smaller one of them.
fn smaller(form: &Form) -> Vec<Form> {
    fn of_items(items: &[Form], make: impl Fn(Vec<Form>) -> FormKind) -> Vec<Form> {
        let without = (0..items.len())
            .map(|i| items.iter().enumerate().filter(|(n, _)| *n != i).map(|(_, f)| f.clone()).collect());
        let inside = items.iter().enumerate().flat_map(|(i, item)| {
            smaller(item).into_iter().map(move |less| {
                items.iter().enumerate().map(|(n, f)| if n == i { less.clone() } else { f.clone() }).collect()
            })
        });
        without.chain(inside).map(|items| make(items).into()).collect()
    }
    match &form.kind {
        FormKind::Vector(items)
            if items.first().and_then(Form::as_keyword).is_some_and(|k| k.namespace() == Some("db")) =>
        {
            vec![]
        }
        FormKind::Vector(items) => of_items(items, FormKind::Vector),
        FormKind::Set(items) => of_items(items, FormKind::Set),
        FormKind::Map(pairs) => {
            let with = |pairs: Vec<(Form, Form)>| Form::map(pairs);
            let without = (0..pairs.len()).filter(|i| pairs[*i].0.as_keyword().is_none_or(|k| k.as_str() != "tx-data"));
            let without = without
                .map(|i| with(pairs.iter().enumerate().filter(|(n, _)| *n != i).map(|(_, p)| p.clone()).collect()));
            let inside = (0..pairs.len()).flat_map(|i| {
                smaller(&pairs[i].1).into_iter().map(move |less| {
                    let mut pairs = pairs.clone();
                    pairs[i].1 = less;
                    with(pairs)
                })
            });
            without.chain(inside).collect()
        }
        _ => vec![],
    }
}

/// The smallest sequence found that still fails, and how.
pub fn shrink(sequence: Sequence, mut fails: impl FnMut(&Sequence) -> Option<String>) -> (Sequence, String) {
    let mut message = fails(&sequence).expect("it fails");
    let mut smallest = sequence;
    'again: loop {
        let all = &smallest.transactions;
        let without = (0..all.len()).rev().map(|i| {
            let mut less = all.clone();
            less.remove(i);
            less
        });
        let inside = (0..all.len()).rev().flat_map(|i| {
            smaller(&all[i]).into_iter().map(move |form| {
                let mut less = all.clone();
                less[i] = form;
                less
            })
        });
        for transactions in without.chain(inside) {
            let less = Sequence { transactions, ..smallest.clone() };
            if let Some(why) = fails(&less) {
                (smallest, message) = (less, why);
                continue 'again;
            }
        }
        return (smallest, message);
    }
}
