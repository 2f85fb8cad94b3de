//! Composite tuples as names of entities.

use super::{after, does, fails, people};
use crate::datom::{EntityId, Value};
use crate::db::{Db, EntityRef};
use crate::edn::Keyword;

fn composites() -> Db {
    let db = after(
        &people(),
        "[{:db/ident :age+code :db/valueType :db.type/tuple :db/tupleAttrs [:age :code] :db/unique :db.unique/identity
           :db/cardinality :db.cardinality/one}
          {:db/ident :boss+age :db/valueType :db.type/tuple :db/tupleAttrs [:boss :age] :db/unique :db.unique/identity
           :db/cardinality :db.cardinality/one}]",
    );
    after(&db, r#"[{:db/id 20 :age 1 :code "a" :email "e"} {:db/id 21 :age 1 :boss 20}]"#)
}

#[test]
fn all_members_of_a_composite_identity_name_an_entity() {
    let db = composites();
    for data in [
        r#"[{:age 1 :code "a" :name "x"}]"#,
        r#"[{:db/id "t" :code "a" :age 1 :name "x"}]"#,
        r#"[[:db/add "t" :code "a"] [:db/add "t" :name "x"] [:db/add "t" :age 1]]"#,
        r#"[[:db/add "t" :age 7] [:db/add "t" :code "a"] [:db/add "t" :name "x"] [:db/add "t" :age 1]]"#,
    ] {
        assert_eq!(does(&db, data), [r#"+ 20 :name "x""#], "{data}");
    }
    assert_eq!(does(&db, r#"[{:boss 20 :age 1 :name "x"}]"#), [r#"+ 21 :name "x""#]);
    assert_eq!(does(&db, r#"[{:boss [:email "e"] :age 1 :name "x"}]"#), [r#"+ 21 :name "x""#]);
    // Two maps with the same members are one new entity; half of them name nobody.
    let two = does(&db, r#"[{:age 9 :code "z" :name "x"} {:age 9 :code "z" :email "y"}]"#);
    assert!(two.iter().all(|line| line.contains("+ 22 ")), "{two:?}");
    assert_eq!(does(&db, r#"[{:age 3 :name "x"}]"#).len(), 4);
    fails(&db, r#"[{:db/id "t" :boss 20 :age 1 :email "e"}]"#, "transact/upsert");
}

#[test]
fn a_composite_tuple_may_be_told_where_it_follows() {
    let db = composites();
    assert_eq!(does(&db, r#"[{:age+code [1 "a"] :name "x"}]"#), [r#"+ 20 :name "x""#]);
    assert_eq!(does(&db, r#"[{:db/id 20 :age+code [1 "a"]}]"#), [""; 0]);
    assert_eq!(does(&db, r#"[[:db/add "t" :age+code [1 "a"]] [:db/add "t" :name "x"]]"#), [r#"+ 20 :name "x""#]);
    assert_eq!(does(&db, r#"[{:db/id 20 :age 2 :age+code [2 "a"]}]"#).len(), 6);
    // What it was names the entity while a member changes.
    let changed = does(&db, r#"[{:age+code [1 "a"] :age 2}]"#);
    assert!(changed.contains(&"+ 20 :age 2".to_owned()), "{changed:?}");
    for boss in ["20", r#"[:email "e"]"#] {
        assert_eq!(does(&db, &format!(r#"[{{:boss+age [{boss} 1] :name "x"}}]"#)), [r#"+ 21 :name "x""#]);
    }
    assert_eq!(does(&db, r#"[{:age 5 :code "n" :age+code [5 "n"]}]"#).len(), 4);
    for data in [
        r#"[{:db/id 20 :age+code [2 "a"]}]"#,
        r#"[{:db/id 20 :age+code [1 "a"] :age 2}]"#,
        r#"[{:age+code [1 "zz"] :name "x"}]"#,
        r#"[[:db/add 30 :age+code [nil nil]]]"#,
        r#"[{:db/id 21 :age+code [1 nil]}]"#,
        r#"[[:db/cas 20 :age+code [1 "a"] [1 "a"]]]"#,
    ] {
        fails(&db, data, "transact/schema");
    }
    fails(&db, r#"[{:age+code [1] :name "x"}]"#, "transact/schema");
    fails(&db, r#"[{:age+code [1 "a"] :email "other"} {:db/id 30 :email "other"}]"#, "transact/upsert");
}

#[test]
fn entities_are_found_by_composite_tuples_with_refs() {
    let db = composites();
    let find = |text: &str| {
        let form = crate::edn::read(text).unwrap();
        db.entid(&EntityRef::from_form(&form).unwrap()).unwrap()
    };
    assert_eq!(find("[:boss+age [20 1]]"), Some(EntityId(21)));
    assert_eq!(find(r#"[:boss+age [[:email "e"] 1]]"#), Some(EntityId(21)));
    assert_eq!(find(r#"[:boss+age [[:age+code [1 "a"]] 1]]"#), Some(EntityId(21)));
    assert_eq!(find(r#"[:boss+age [[:email "nobody"] 1]]"#), None);
    let typed =
        EntityRef::Lookup(Keyword::new("boss+age"), Value::from(vec![Value::Ref(EntityId(20)), Value::Long(1)]));
    assert_eq!(db.entid(&typed).unwrap(), Some(EntityId(21)));
}
