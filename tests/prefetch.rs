//! How often the store is asked: for one place, for a scan, for what was warmed up.

#[path = "support/gated.rs"]
mod gated;
mod support;

use gated::Gated;
use support::with_small_nodes;
use treering::edn::Keyword;
use treering::index::Direction;
use treering::{Config, Connection, Db, EntityMap, EntityRef, Order, Registry, connect_in, create_database_in};

const PEOPLE: usize = 5_000;
const SCHEMA: &str = "[
  {:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
  {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]";

fn config() -> Config {
    with_small_nodes(Config::from_edn("{:store {:backend :gated}}").unwrap())
}

/// A database of many small nodes, stored.
fn stored() -> Gated {
    let store = Gated::default();
    let registry = Registry::with_builtins().with_backend(store.clone());
    create_database_in(&registry, &config()).unwrap();
    let conn = connect_in(&registry, &config()).unwrap();
    conn.transact(SCHEMA).unwrap();
    let person =
        |n: usize| EntityMap::new().set(Keyword::new("name"), format!("person {n}")).set(Keyword::new("age"), 7);
    for batch in 0..5 {
        let people: Vec<EntityMap> = (0..PEOPLE / 5).map(|n| person(batch * PEOPLE / 5 + n)).collect();
        conn.transact(people).unwrap();
        conn.flush().unwrap();
    }
    conn.release().unwrap();
    store
}

/// The database in a process that has nothing of it in memory.
fn cold(store: &Gated, config: &Config) -> (Registry, Connection) {
    let registry = Registry::with_builtins().with_backend(store.clone());
    let conn = connect_in(&registry, config).unwrap();
    (registry, conn)
}

/// Datoms that a scan gives, and how often it asks the store.
fn scan(store: &Gated, db: &Db, order: Order, direction: Direction) -> (usize, usize) {
    let before = store.reads();
    let mut cursor = db.cursor(order, None, None, direction).unwrap();
    let mut rows = 0;
    while let Some(chunk) = cursor.next().unwrap() {
        rows += chunk.len();
    }
    (rows, store.reads() - before)
}

#[test]
fn a_cold_scan_asks_for_many_nodes_at_once() {
    let store = stored();
    for order in [Order::Eavt, Order::Aevt] {
        for direction in [Direction::Forward, Direction::Reverse] {
            let (_registry, conn) = cold(&store, &config());
            let before = conn.cache_stats();
            let (rows, asked) = scan(&store, &conn.db(), order, direction);
            let loaded = (conn.cache_stats().entries - before.entries) as usize;
            assert!(rows > PEOPLE * 2 && loaded > 150, "{rows} rows, {loaded} nodes");
            assert!(asked * 5 < loaded, "{order:?} {direction:?}: {asked} requests for {loaded} nodes");
            println!("{order:?} {direction:?}: {asked} requests for {loaded} nodes");
            // Nothing is read twice.
            assert_eq!(scan(&store, &conn.db(), order, direction), (rows, 0));
            conn.release().unwrap();
        }
    }
}

#[test]
fn a_cold_look_at_one_place_reads_nothing_ahead() {
    let store = stored();
    let (_registry, conn) = cold(&store, &config());
    let before = store.reads();
    let found = conn.db().entid(&EntityRef::from((Keyword::new("name"), "person 77"))).unwrap();
    assert!(found.is_some());
    let (asked, nodes) = (store.reads() - before, conn.cache_stats().entries);
    assert!(asked as u64 == nodes && asked <= 6, "{asked} requests for {nodes} nodes");
    conn.release().unwrap();
}

#[test]
fn what_was_warmed_up_is_not_asked_for_again() {
    let store = stored();
    let (_registry, conn) = cold(&store, &config());
    let before = store.reads();
    assert_eq!(conn.db().warm(0).unwrap(), 0);
    assert_eq!(store.reads(), before);
    let some = conn.db().warm(120).unwrap();
    assert!((60..=120).contains(&some), "{some} nodes");
    let all = conn.db().warm(1 << 20).unwrap();
    let asked = store.reads() - before;
    assert!(all > 300 && asked * 5 < all, "{asked} requests for {all} nodes");
    for order in [Order::Eavt, Order::Aevt, Order::Avet] {
        assert_eq!(scan(&store, &conn.db(), order, Direction::Forward).1, 0, "{order:?}");
    }
    conn.release().unwrap();
}

#[test]
fn the_cache_stays_in_its_bounds() {
    let store = stored();
    for bytes in [0, 1, 40_000, 400_000] {
        let (_registry, conn) = cold(&store, &config().cache_bytes(bytes));
        let brought = conn.db().warm(1 << 20).unwrap();
        let stats = conn.cache_stats();
        assert!(stats.bytes <= bytes && stats.capacity <= bytes, "{stats:?}");
        assert_eq!(brought > 0, bytes > 1, "{brought} nodes: {stats:?}");
        let (rows, asked) = scan(&store, &conn.db(), Order::Eavt, Direction::Forward);
        assert!(rows > PEOPLE * 2, "{rows} rows, {asked} requests");
        let again = conn.cache_stats();
        assert!(again.bytes <= bytes, "{again:?}");
        assert!(again.misses > stats.misses, "{again:?} after {stats:?}");
        conn.release().unwrap();
    }
}

#[test]
fn connections_share_one_cache() {
    let store = stored();
    let registry = Registry::with_builtins().with_backend(store.clone());
    let conn = connect_in(&registry, &config()).unwrap();
    let db = conn.db();
    let (rows, asked) = scan(&store, &db, Order::Eavt, Direction::Forward);
    assert!(asked > 0);
    conn.release().unwrap();
    drop(conn);
    // The database value still holds the cache.
    let conn = connect_in(&registry, &config()).unwrap();
    let before = conn.cache_stats();
    assert_eq!(scan(&store, &conn.db(), Order::Eavt, Direction::Forward), (rows, 0));
    let after = conn.cache_stats();
    assert!(after.hits > before.hits && after.misses == before.misses, "{before:?} {after:?}");
    conn.release().unwrap();
    let other = connect_in(&registry, &config().cache_bytes(1 << 20)).unwrap();
    assert_eq!(other.cache_stats().entries, 0, "another bound is another cache");
    other.release().unwrap();
    drop(db);
}
