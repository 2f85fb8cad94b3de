// What the examples of query.md share: a small archive of packages, and a check of what was found.

use treering::*;

/// Seven packages; then a security update of one of them.
#[allow(dead_code)]
fn archive() -> Result<Connection> {
    let registry = Registry::with_builtins();
    let config = Config::memory("archive");
    create_database_in(&registry, &config)?;
    let conn = connect_in(&registry, &config)?;
    conn.transact(
        "[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one
           :db/unique :db.unique/identity}
          {:db/ident :version :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
          {:db/ident :section :db/valueType :db.type/keyword :db/cardinality :db.cardinality/one}
          {:db/ident :size :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
          {:db/ident :homepage :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
          {:db/ident :tags :db/valueType :db.type/string :db/cardinality :db.cardinality/many}
          {:db/ident :depends :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}]",
    )?;
    conn.transact(
        r#"[{:db/id "c"    :name "libc6"     :version "2.36-9" :section :libs :size 12986 :depends ["gcc"] :tags "essential"}
            {:db/id "gcc"  :name "libgcc-s1" :version "12.2.0" :section :libs :size 140   :depends ["c"]}
            {:db/id "info" :name "libtinfo6" :version "6.4-4"  :section :libs :size 502   :depends ["c"]}
            {:db/id "onig" :name "libonig5"  :version "6.9.8"  :section :libs :size 656   :depends ["c"]}
            {:db/id "ljq"  :name "libjq1"    :version "1.6-2"  :section :libs :size 357   :depends ["c" "onig"]}
            {:db/id "jq"   :name "jq"        :version "1.6-2"  :section :utils :size 111  :depends ["c" "ljq"]
             :homepage "https://jqlang.org"}
            {:db/id "bash" :name "bash"      :version "5.2.15" :section :shells :size 7164 :depends ["c" "info"]
             :tags ["essential" "shell"]}]"#,
    )?;
    conn.transact(r#"[{:name "libc6" :version "2.36-9+deb12u4"}]"#)?;
    Ok(conn)
}

/// Checks a result against EDN; the order of a set does not count.
#[allow(dead_code)]
fn answers(found: Output, expected: &str) {
    assert_eq!(found.to_form(), edn::read(expected).expect("EDN"));
}
