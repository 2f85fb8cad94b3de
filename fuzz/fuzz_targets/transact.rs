//! Any text as tx-data for a small database in memory: it is refused and nothing changes, or it is taken and the
//! database is sound. It never panics.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use treering::index::Direction;
use treering::{Config, Connection, Db, Order, Registry, Row, connect_in, create_database_in, with};

const SCHEMA: &str = "[
    {:db/ident :n :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
    {:db/ident :a :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
    {:db/ident :t :db/valueType :db.type/tuple :db/tupleAttrs [:n :a] :db/cardinality :db.cardinality/one}
    {:db/ident :r :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}
    {:db/ident :c :db/valueType :db.type/ref :db/cardinality :db.cardinality/many :db/isComponent true}]";

const FACTS: &str =
    "[{:db/id 1 :n \"x\" :a 1 :r [2]} {:db/id 2 :n \"y\" :a 2 :c [3 4]} {:db/id 3 :n \"z\" :r [1 2]} {:db/id 4 :a 1}]";

struct Base {
    conn: Connection,
    datoms: Vec<Row>,
}

/// The connection only ever refuses: what is taken is taken by values of its database.
static BASE: LazyLock<Base> = LazyLock::new(|| {
    let (registry, config) = (Registry::with_builtins(), Config::memory("transactions"));
    create_database_in(&registry, &config).expect("created");
    let conn = connect_in(&registry, &config).expect("connected");
    conn.transact(SCHEMA).expect("a schema");
    conn.transact(FACTS).expect("facts");
    let datoms = sound(&conn.db());
    Base { conn, datoms }
});

/// The datoms that an order holds, sorted by entity and attribute, values of an attribute as the order has them.
fn datoms(db: &Db, order: Order) -> Vec<Row> {
    let mut out = Vec::new();
    let mut cursor = db.cursor(order, None, None, Direction::Forward).expect("a cursor");
    while let Some(chunk) = cursor.next().expect("a database in memory can be read") {
        out.extend(chunk.rows().map(|i| chunk.columns.row(i)));
    }
    out.sort_by_key(|row| (row.e, row.a));
    out
}

fn sound(db: &Db) -> Vec<Row> {
    let by_entity = datoms(db, Order::Eavt);
    assert!(by_entity == datoms(db, Order::Aevt), "the orders hold different datoms");
    by_entity
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let base = &*BASE;
    let before = base.conn.db();
    let after = match with(&before, text) {
        Err(error) => {
            let _ = error.to_string();
            let again = base.conn.transact(text).expect_err("the connection takes what its database refuses");
            assert_eq!(again.code(), error.code(), "refused for another reason");
            let now = base.conn.db();
            assert!(now.basis_t() == before.basis_t() && now.max_eid() == before.max_eid(), "{error}: time went on");
            assert!(sound(&now) == base.datoms, "a refused transaction left something: {error}");
            return;
        }
        Ok(report) => report.db_after.clone(),
    };
    assert!(after.basis_t() > before.basis_t(), "time stood still");
    sound(&after);
    sound(&after.history().expect("a history"));
    assert!(datoms(&before, Order::Eavt) == base.datoms, "a value of a database changed");
    if let Ok(report) = with(&after, "[{:db/id \"later\" :n \"later\" :r [{:n \"x\"}]}]") {
        sound(&report.db_after);
    }
});
