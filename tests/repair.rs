//! Repairs save everything that is not in the damaged blob alone, and name what is.

#[path = "support/blobs.rs"]
mod blobs;
#[path = "support/places.rs"]
mod places;
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use places::{Place, registry_of};
use support::{Chance, Content, Model, SCHEMA, content, env_number, one_more, transaction, with_small_nodes};
use treering::store::Store;
use treering::{
    Components, Datom, Db, EntityId, ErrorKind, GcOptions, Order, RepairOptions, RepairReport, Result, TX0,
    VerifyOptions, connect_in, create_database_in, repair_in, verify_in,
};

/// A store and what its database held.
struct Original {
    place: Place,
    model: Model,
    blobs: BTreeMap<String, Vec<u8>>,
    /// The last transaction of the last commit.
    flushed: u64,
}

/// `tail` transactions stand in the log only; 0: the database was closed.
fn original(place: Place, tail: usize, purging: bool) -> Original {
    let registry = registry_of(&[&place]);
    create_database_in(&registry, &with_small_nodes(place.config())).unwrap();
    let conn = connect_in(&registry, &place.config()).unwrap();
    let mut model = Model::default();
    one_more(&conn, &mut model, SCHEMA).unwrap();
    for i in 1..50 {
        one_more(&conn, &mut model, &transaction(i, "p")).unwrap();
        if i % 15 == 0 {
            conn.flush().unwrap();
        }
        if purging && i == 25 {
            one_more(&conn, &mut model, "[[:db.purge/entity [:name \"p1\"]]]").unwrap();
        }
    }
    conn.flush().unwrap();
    let flushed = model.last().basis;
    for i in 0..tail {
        one_more(&conn, &mut model, &transaction(100 + i, "q")).unwrap();
    }
    if tail == 0 {
        conn.release().unwrap();
    }
    drop(conn);
    let blobs = all(&place.store());
    Original { place, model, blobs, flushed }
}

fn all(store: &Store) -> BTreeMap<String, Vec<u8>> {
    let keys = store.list("").unwrap();
    keys.into_iter().map(|key| (key.clone(), store.get(&key, None).unwrap().unwrap())).collect()
}

/// What is left of a blob; `None`: nothing.
fn damages(bytes: &[u8], chance: &mut Chance) -> Vec<Option<Vec<u8>>> {
    let used = bytes.iter().rposition(|b| *b != 0).map_or(1, |last| last + 1);
    let mut flipped = bytes.to_vec();
    flipped[chance.below(used)] ^= 1 << chance.below(8);
    let mut zeroed = bytes.to_vec();
    let from = chance.below(used);
    zeroed[from..(from + 512).min(used)].fill(0);
    vec![None, Some(flipped), Some(zeroed), Some(vec![0; bytes.len()]), Some(bytes[..used / 2].to_vec())]
}

/// Repairs a store, and reads what came of it; it must be a sound database that goes on.
fn repaired(place: &Place, what: &str) -> Result<(RepairReport, Db)> {
    let target = Place::blobs("target");
    let registry = registry_of(&[place, &target]);
    let before = all(&place.store());
    let report = repair_in(&registry, &place.config(), &target.config(), &RepairOptions::new())?;
    assert_eq!(all(&place.store()), before, "{what}: the damaged store was written to");
    let verified = verify_in(&registry, &target.config(), &VerifyOptions::new()).unwrap();
    // Where datoms that define attributes are lost, the schema of the commit is what is left of them.
    let is_lossy = report.losses.iter().any(|loss| loss.rows > 0);
    let unsound = verified.problems.iter().find(|problem| !is_lossy || problem.code != "verify/schema");
    assert_eq!(unsound, None, "{what}");
    let conn = connect_in(&registry, &target.config()).unwrap();
    let db = conn.db();
    conn.transact("[{:db/doc \"life goes on\"}]").unwrap();
    conn.release().unwrap();
    let again = connect_in(&registry, &target.config().read_only(true)).unwrap();
    assert_eq!(again.db().basis_t().0, db.basis_t().0 + 1);
    again.release().unwrap();
    Ok((report, db))
}

/// Each blob of small stores is damaged in several ways.
fn each_blob(tail: usize, purging: bool) {
    let seed = env_number("TREERING_SEED", 1);
    println!("TREERING_SEED={seed}");
    let mut chance = Chance(seed);
    for place in [Place::files("files"), Place::blobs("blobs")] {
        let Original { place, model, blobs, flushed } = original(place, tail, purging);
        let store = place.writable();
        for (key, bytes) in &blobs {
            for damaged in damages(bytes, &mut chance) {
                let what = format!(
                    "{key} {}",
                    damaged.as_ref().map_or("deleted".to_owned(), |b| format!("of {} bytes", b.len()))
                );
                match damaged {
                    None => drop(store.delete(key).unwrap()),
                    Some(bytes) => store.put(key, bytes).unwrap(),
                }
                let (report, db) = repaired(&place, &what).unwrap_or_else(|e| panic!("{what}: {e:?}"));
                let found = content(&db).unwrap();
                // Only transactions after the last commit can be in the log alone.
                let least = if key.starts_with("log/") { flushed } else { model.last().basis };
                assert!(found.basis >= least, "{what}: {} of {least}: {report:?}", found.basis);
                assert_eq!(found, model.after[support::count(&db)], "{what}: {report:?}");
                let lost = model.last().basis - found.basis;
                if lost > 0 {
                    let told = report.losses.iter().find_map(|loss| loss.transactions);
                    // Of the very last entry nobody knows whether it was ever acknowledged.
                    let first = EntityId(found.basis + 1);
                    assert!(told.is_some_and(|(from, _)| from == first) || lost == 1, "{what}: {report:?}");
                }
                if !key.starts_with("log/") {
                    assert_eq!(report.losses, [], "{what}");
                }
                store.put(key, bytes.clone()).unwrap();
            }
        }
    }
}

#[test]
fn one_damaged_blob_of_a_closed_store() {
    each_blob(0, false);
}

#[test]
fn one_damaged_blob_of_a_store_that_was_not_closed() {
    each_blob(9, false);
}

#[test]
fn one_damaged_blob_after_a_purge() {
    each_blob(0, true);
}

fn datoms(db: &Db) -> Vec<Datom> {
    db.datoms(Order::Eavt, &Components::default()).unwrap().map(Result::unwrap).collect()
}

/// Without history there is one commit and a log that begins late: what a node has lost, another order has, or nobody.
#[test]
fn one_damaged_blob_of_a_collected_store_without_history() {
    for place in [Place::files("files"), Place::blobs("blobs")] {
        let registry = registry_of(&[&place]);
        let config = with_small_nodes(place.config()).keep_history(false);
        create_database_in(&registry, &config).unwrap();
        let conn = connect_in(&registry, &config).unwrap();
        conn.transact(SCHEMA).unwrap();
        for i in 1..120 {
            conn.transact(transaction(i, "p").as_str()).unwrap();
        }
        conn.gc(GcOptions::new().min_age(Duration::ZERO)).unwrap();
        for i in 120..160 {
            conn.transact(transaction(i, "p").as_str()).unwrap();
        }
        conn.release().unwrap();
        let wanted = datoms(&connect_in(&registry, &config.clone().read_only(true)).unwrap().db());
        let store = place.writable();
        let (mut whole, mut lossy) = (0, 0);
        for (key, bytes) in all(&store).into_iter().filter(|(key, _)| key.starts_with("pack/")) {
            let mut at = 0;
            while at < bytes.len() {
                // One node after the other.
                let frame = treering::store::frame::Sealed::verify(&bytes[at..], &key, at as u64).unwrap();
                let end = bytes.len() - frame.1.len();
                let mut damaged = bytes.clone();
                damaged[at + (end - at) / 2] ^= 4;
                store.put(&key, damaged).unwrap();
                let what = format!("{key} at {at}");
                let (report, db) = repaired(&place, &what).unwrap();
                let found = datoms(&db);
                assert!(found.iter().all(|datom| wanted.contains(datom)), "{what}");
                assert_eq!(
                    (found.len(), &report.losses[..]),
                    (wanted.len(), &[][..]),
                    "{what}: one node is in no order alone"
                );
                whole += 1;
                at = end;
            }
            // And the whole pack.
            store.put(&key, vec![1; bytes.len()]).unwrap();
            let (report, db) = repaired(&place, &key).unwrap();
            let found = datoms(&db);
            assert!(found.iter().all(|datom| wanted.contains(datom)), "{key}");
            let lost: u64 = report.losses.iter().map(|loss| loss.rows).sum();
            assert_eq!(lost, (wanted.len() - found.len()) as u64, "{key}: {report:?}");
            lossy += usize::from(lost > 0);
            store.put(&key, bytes).unwrap();
        }
        assert!(whole > 10 && lossy > 0, "{whole} {lossy}");
    }
}

#[test]
fn nothing_makes_nothing() {
    let place = Place::files("files");
    drop(place.writable());
    let error = repaired(&place, "empty").unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Existence, "repair/nothing-left"));
    let full = Place::blobs("full");
    let registry = registry_of(&[&place, &full]);
    create_database_in(&registry, &full.config()).unwrap();
    let error = repair_in(&registry, &place.config(), &full.config(), &RepairOptions::new()).unwrap_err();
    assert_eq!(error.code(), "db-already-exists");
    let error = repair_in(&registry, &full.config(), &full.config(), &RepairOptions::new()).unwrap_err();
    assert_eq!(error.code(), "backup/same-store");
}

/// The log alone, without head, commits and packs.
#[test]
fn the_log_alone_is_enough() {
    for place in [Place::files("files"), Place::blobs("blobs")] {
        let Original { place, model, blobs, .. } = original(place, 3, false);
        let store = place.writable();
        for key in blobs.keys().filter(|key| !key.starts_with("log/")) {
            store.delete(key).unwrap();
        }
        let (report, db) = repaired(&place, "the log").unwrap();
        assert_eq!(content(&db).unwrap(), model.last());
        assert_eq!((report.replayed, &report.losses[..]), (53, &[][..]));
        let none: Content = content(&db.as_of(EntityId(TX0)).unwrap()).unwrap();
        assert_eq!(none.current.0, 0);
    }
}

/// Branches whose heads are lost have lost their names only.
#[test]
fn heads_of_branches_that_are_lost_cost_the_names() {
    for place in [Place::files("files"), Place::blobs("blobs")] {
        let registry = registry_of(&[&place]);
        create_database_in(&registry, &with_small_nodes(place.config())).unwrap();
        let conn = connect_in(&registry, &place.config()).unwrap();
        conn.transact(SCHEMA).unwrap();
        conn.transact("[{:name \"both\"}]").unwrap();
        for branch in ["dev", "gone"] {
            conn.branch("db", branch).unwrap();
            let other = connect_in(&registry, &place.config().branch(branch)).unwrap();
            for i in 1..30 {
                other.transact(transaction(i, branch).as_str()).unwrap();
                if i == 20 {
                    other.flush().unwrap();
                }
            }
            other.release().unwrap();
        }
        conn.transact("[{:name \"db\"}]").unwrap();
        conn.delete_branch("gone").unwrap();
        conn.release().unwrap();
        let wanted = |branch: &str| {
            let conn = connect_in(&registry, &place.config().branch(branch).read_only(true)).unwrap();
            let content = content(&conn.db()).unwrap();
            conn.release().unwrap();
            content
        };
        let wanted = [wanted("db"), wanted("dev")];
        let store = place.writable();
        for lost in [&["head/dev"][..], &["head/db", "head/dev"]] {
            let kept: Vec<Vec<u8>> = lost.iter().map(|key| store.get(key, None).unwrap().unwrap()).collect();
            lost.iter().for_each(|key| assert!(store.delete(key).unwrap()));
            let target = Place::blobs("target");
            let registry = registry_of(&[&place, &target]);
            let report = repair_in(&registry, &place.config(), &target.config(), &RepairOptions::new()).unwrap();
            assert_eq!(report.losses, [], "{lost:?}");
            let named = |(branch, _): &(treering::edn::Keyword, EntityId)| {
                let conn = connect_in(&registry, &target.config().branch(branch.as_str()).read_only(true)).unwrap();
                content(&conn.db()).unwrap()
            };
            let mut found: Vec<Content> = report.branches.iter().map(named).collect();
            found.sort_by_key(|content| content.basis);
            assert_eq!(found, wanted, "{lost:?}: what was removed does not come back: {report:?}");
            assert!(report.notes.iter().any(|note| note.contains("lost-")), "{report:?}");
            let verified = verify_in(&registry, &target.config(), &VerifyOptions::new()).unwrap();
            assert!(verified.is_sound(), "{:?}", verified.problems);
            lost.iter().zip(kept).for_each(|(key, bytes)| store.put(key, bytes).unwrap());
        }
    }
}
