//! Databases that earlier versions wrote are read for ever: those under `tests/fixtures/format-<name>/` hold the same
//! as when they were made. A name is a format number, and an index kind or an encoding where that is not the default one.
//!
//! A fixture is made once, by `TREERING_WRITE_FIXTURE=<name> cargo test --test format`, and never changed afterwards.

mod support;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use support::{content, copy_dir};
use treering::index::Direction;
use treering::{Config, Db, EntityId, Order, Registry, Result, TX0, connect_in, create_database_in};

/// The format that this version writes.
const CURRENT: u32 = 3;

/// The names of the fixtures, and the configs that they are made with: small nodes.
const FIXTURES: [(&str, &str); 6] = [
    ("1", "{:index-config {:branching-factor 64}}"),
    ("2", "{:index-config {:branching-factor 64}}"),
    ("3", "{:index-config {:branching-factor 64}}"),
    (
        "1-hitchhiker-tree",
        "{:index :datahike.index/hitchhiker-tree
          :index-config {:index-b-factor 8 :index-data-node-size 64 :index-log-size 32}}",
    ),
    ("2-lz4", "{:index-config {:branching-factor 64} :store {:config {:encoding {:compressor :lz4}}}}"),
    (
        "2-zstd-encrypted",
        "{:index-config {:branching-factor 64}
          :store {:config {:encoding {:compressor :zstd
                                      :encryptor {:key \"AAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK+2vcTL0tk=\"}}}}}",
    ),
];

fn fixture(name: &str) -> PathBuf {
    // Relative: a database keeps the path that it was created with.
    PathBuf::from(format!("tests/fixtures/format-{name}"))
}

const TYPES: [&str; 17] = [
    "bigdec",
    "bigint",
    "boolean",
    "bytes",
    "double",
    "double-array",
    "float",
    "float-array",
    "instant",
    "keyword",
    "long",
    "number",
    "ref",
    "string",
    "symbol",
    "uri",
    "uuid",
];

/// Values of each type, in the sequence of [`TYPES`].
const VALUES: [&[&str]; 17] = [
    &["1.50M", "-0.001M", "123456789012345678901234567890.5M"],
    &["0N", "-170141183460469231731687303715884105729N"],
    &["true", "false"],
    &["#bytes \"00ff10\"", "#bytes \"\""],
    &["1.5", "-0.0", "0.0", "##Inf", "##NaN"],
    &["[1.0 2.5 -3.0]"],
    &["0.25", "-8.5"],
    &["[0.5 1.5]"],
    &["#inst \"1969-12-31T23:59:59.999Z\"", "#inst \"2040-01-01T00:00:00.000Z\""],
    &[":plain", ":with.name/space", ":ünïcode/Ω"],
    &["0", "9223372036854775807", "-9223372036854775808"],
    &["1", "1.0", "2.5M"],
    &["[:id \"hub\"]"],
    &["\"\"", "\"quote \\\" and \\n newline\"", "\"日本語 𝔘\""],
    &["sym", "name.space/sym"],
    &["#uri \"https://example.org/a?b=c\""],
    &["#uuid \"00000000-0000-0000-0000-000000000000\"", "#uuid \"f81d4fae-7dec-11d0-a765-00a0c91e6bf6\""],
];

/// What the database of a fixture is made of, in transactions; the last three stay in the log.
fn transactions(number: u32) -> Vec<String> {
    let mut schema = String::from(
        "[{:db/ident :id :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
          {:db/ident :mail :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/value}
          {:db/ident :part :db/valueType :db.type/ref :db/cardinality :db.cardinality/many :db/isComponent true}
          {:db/ident :quiet :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/noHistory true}
          {:db/ident :pair :db/valueType :db.type/tuple :db/tupleTypes [:db.type/long :db.type/string]
           :db/cardinality :db.cardinality/one}
          {:db/ident :row :db/valueType :db.type/tuple :db/tupleType :db.type/keyword :db/cardinality :db.cardinality/many}
          {:db/ident :id+mail :db/valueType :db.type/tuple :db/tupleAttrs [:id :mail] :db/cardinality :db.cardinality/one}",
    );
    for name in TYPES {
        let index = if name == "long" || name == "string" { ":db/index true" } else { "" };
        for cardinality in ["one", "many"] {
            write!(
                schema,
                "{{:db/ident :{cardinality}/{name} :db/valueType :db.type/{name} {index}
                  :db/cardinality :db.cardinality/{cardinality} :db/doc \"{cardinality} {name}\"}}"
            )
            .unwrap();
        }
    }
    schema.push(']');
    let mut all = vec![schema, "[{:id \"hub\"}]".to_owned()];
    for (name, values) in TYPES.iter().zip(VALUES) {
        // Each value replaces the one before under `one`, and joins it under `many`.
        for value in values {
            all.push(format!("[{{:id {name:?} :one/{name} {value} :many/{name} [{value}]}}]"));
        }
        all.push(format!("[[:db/retract [:id {name:?}] :many/{name} {}]]", values[0]));
    }
    let people: String = (0..600)
        .map(|i| format!("{{:id \"p{i}\" :mail \"{i}@example.org\" :one/long {} :pair [{i} \"m\"] :quiet {i}}}", i % 7))
        .collect();
    all.push(format!("[{people}]"));
    all.push(
        "[{:id \"whole\" :part [{:one/long 1} {:one/long 2 :part [{:one/string \"deep\"}]}] :row [[:a :b] [:c]]}]"
            .into(),
    );
    all.push("[{:id \"p1\" :quiet 5} {:id \"p2\" :quiet -1 :mail \"two@example.org\"}]".into());
    all.push("[[:db/retractEntity [:id \"p3\"]] [:db/retractEntity [:id \"whole\"]]]".into());
    if number > 1 {
        all.push("[[:db.purge/entity [:id \"p5\"]] [:db.purge/attribute [:id \"p6\"] :quiet]]".into());
        all.push("[{:id \"p5\" :one/long 55}]".into());
    }
    all.push("[{:db/ident :mail :db/doc \"said later\"} {:id \"late\" :one/string \"in the log\"}]".into());
    all.push("[{:db/ident :new/attribute :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}]".into());
    all.push("[{:id \"late\" :new/attribute [:id \"hub\"]} [:db/retractEntity [:id \"p4\"]]]".into());
    all
}

/// Everything that a database says: all that was asserted and retracted, and what holds, each datom a line.
fn told(db: &Db) -> Result<String> {
    let mut text = String::new();
    for (title, db) in [("history", db.history()?), ("now", db.clone())] {
        writeln!(text, ";; {title}, to transaction {}", db.basis_t().0 - TX0).unwrap();
        let mut cursor = db.cursor(Order::Eavt, None, None, Direction::Forward)?;
        while let Some(chunk) = cursor.next()? {
            for i in chunk.rows() {
                let row = chunk.columns.row(i);
                let datom = Db::datom(&row);
                let ident = db.ident(row.a).map_or_else(|| "nil".to_owned(), |ident| ident.to_string());
                let (kind, value) = (row.v.kind(), row.v.to_form());
                writeln!(text, "[{} {ident} {kind:?} {value} {} {}]", row.e, row.tx, datom.added).unwrap();
            }
        }
    }
    Ok(text)
}

fn write_fixture(name: &str, config: &str) {
    let number = number(name);
    assert_eq!(number, CURRENT, "this version writes format {CURRENT}");
    let home = fixture(name);
    let path = home.join("db");
    assert!(!path.exists(), "{} is there; a fixture is never changed", path.display());
    let registry = Registry::with_builtins();
    std::fs::create_dir_all(&home).unwrap();
    let config = Config::file(&path).or(Config::from_edn(config).unwrap());
    create_database_in(&registry, &config).unwrap();
    let conn = connect_in(&registry, &config).unwrap();
    let transactions = transactions(number);
    let mut last = None;
    for (i, text) in transactions.iter().enumerate() {
        if number > 2 && i == 10 {
            conn.branch("db", "side").unwrap();
        }
        let made =
            if number > 2 && i == 20 { conn.merge_db(["side"], text.as_str()) } else { conn.transact(text.as_str()) };
        let report = made.unwrap_or_else(|e| panic!("{text}: {e:?}"));
        if i % 11 == 0 || i + 4 == transactions.len() {
            conn.flush().unwrap();
        }
        last = Some(report.db_after.clone());
    }
    std::fs::write(home.join("datoms.edn"), told(&last.unwrap()).unwrap()).unwrap();
    // Not released: the last transactions are in the log only.
    drop(conn);
    for own in ["~writer.lock", "~tmp", "~hints"] {
        let own = path.join(own);
        if own.is_dir() { std::fs::remove_dir_all(own) } else { std::fs::remove_file(own) }.unwrap();
    }
    trim(&path);
}

/// Takes the zeros that a log is prepared with from its end.
fn trim(path: &Path) {
    for log in support::files(&path.join("log")) {
        let mut bytes = std::fs::read(&log).unwrap();
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        bytes.truncate(used.next_multiple_of(8));
        std::fs::write(log, bytes).unwrap();
    }
}

/// The format number of a fixture.
fn number(name: &str) -> u32 {
    name.split('-').next().and_then(|number| number.parse().ok()).expect("a name begins with a format number")
}

#[test]
fn databases_of_every_format_hold_what_they_held() {
    if let Ok(wanted) = std::env::var("TREERING_WRITE_FIXTURE") {
        let found = FIXTURES.iter().find(|(name, _)| *name == wanted);
        let (name, config) = found.unwrap_or_else(|| panic!("no fixture is named {wanted:?}"));
        write_fixture(name, config);
    }
    for format in 1..=CURRENT {
        assert!(FIXTURES.iter().any(|(name, _)| number(name) == format), "format {format} has no fixture");
    }
    for (name, config) in FIXTURES {
        let has_all = cfg!(all(feature = "encryption", feature = "zstd"));
        if name.contains("zstd") && !has_all {
            println!("skipped without the features `encryption` and `zstd`: {name}");
            continue;
        }
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("db");
        copy_dir(&fixture(name).join("db"), &path);
        let wanted = std::fs::read_to_string(fixture(name).join("datoms.edn")).unwrap();
        let store = Config::from_edn(config).unwrap().store_config().clone();
        let config = Config::file(&path).or(Config::new().store(store));
        let same = |db: &Db| {
            let got = told(db).unwrap();
            for (n, (got, wanted)) in got.lines().zip(wanted.lines()).enumerate() {
                assert_eq!(got, wanted, "format {name}, line {}", n + 1);
            }
            assert_eq!(got.lines().count(), wanted.lines().count(), "format {name}");
            content(db).unwrap();
        };
        let reader = connect_in(&Registry::with_builtins(), &config.clone().read_only(true)).unwrap();
        same(&reader.db());
        if number(name) > 2 {
            assert_eq!(reader.branches().unwrap().len(), 2);
            assert_eq!(reader.branch_as_db("side").unwrap().basis_t(), EntityId(TX0 + 10));
            assert!(reader.branch_history().unwrap().any(|db| db.unwrap().parent_commit_ids().len() == 2));
        }
        reader.release().unwrap();

        // Written by this version, then read again as of then.
        let registry = Registry::with_builtins();
        let conn = connect_in(&registry, &config).unwrap();
        same(&conn.db());
        let then = conn.db().basis_t();
        conn.transact("[{:id \"p5\" :one/long 99} {:id \"newer\" :new/attribute [:id \"p6\"]}]").unwrap();
        conn.release().unwrap();
        drop(conn);
        let conn = connect_in(&registry, &config).unwrap();
        assert_eq!(conn.db().basis_t(), EntityId(then.0 + 1));
        let back = told(&conn.db().as_of(then).unwrap()).unwrap();
        let history = |text: &str| {
            text.lines().skip(1).take_while(|l| !l.starts_with(';')).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(history(&back), history(&wanted), "format {name}");
        conn.release().unwrap();
    }
}
