//! Three-way merges: rule by rule, and against a model of labelled facts.
//!
//! `TREERING_MERGES` sets how many are made by chance (300 when it is not set), `TREERING_SEED` what they are chosen by.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::{Chance, env_number, of_wanted_kind};
use treering::edn::Keyword;
use treering::{
    Components, Config, ConflictKind, Connection, Db, EntityId, ErrorKind, Merge, MergeBase, Order, Registry, Value,
    connect_in, create_database_in, diff, merge, q, with,
};

const SCHEMA: &str = "[
  {:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
  {:db/ident :mail :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
  {:db/ident :badge :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/unique :db.unique/value}
  {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :tags :db/valueType :db.type/string :db/cardinality :db.cardinality/many}
  {:db/ident :boss :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}
  {:db/ident :friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}
  {:db/ident :of :db/valueType :db.type/ref :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
  {:db/ident :pair :db/valueType :db.type/tuple :db/tupleTypes [:db.type/ref :db.type/long]
   :db/cardinality :db.cardinality/one}
  {:db/ident :city :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
  {:db/ident :street :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
  {:db/ident :city+street :db/valueType :db.type/tuple :db/tupleAttrs [:city :street]
   :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}]";

fn database(name: &str) -> (Registry, Connection) {
    let registry = Registry::with_builtins();
    let config = of_wanted_kind(Config::memory(name));
    create_database_in(&registry, &config).unwrap();
    let conn = connect_in(&registry, &config).unwrap();
    conn.transact(SCHEMA).unwrap();
    (registry, conn)
}

fn after(db: &Db, data: &str) -> Db {
    with(db, data).unwrap().db_after
}

/// The base, ours and theirs that some tx-data make.
fn three(base: &str, ours: &str, theirs: &str) -> [Db; 3] {
    let (_registry, conn) = database("three");
    let base = after(&conn.db(), base);
    [base.clone(), after(&base, ours), after(&base, theirs)]
}

fn kinds(merge: &Merge) -> Vec<ConflictKind> {
    merge.conflicts.iter().map(|conflict| conflict.kind).collect()
}

/// The answers to a query, as text.
fn rows(query: &str, db: &Db) -> String {
    q(query, db).unwrap().to_form().to_string()
}

const AGES: &str = "[:find ?n ?a :where [?p :name ?n] [?p :age ?a] :order-by [?n]]";

/// What the merge makes of ours, which must take its tx-data.
fn merged(base: &Db, ours: &Db, theirs: &Db) -> (Merge, Db) {
    let merge = merge(base, ours, theirs).unwrap();
    let db = with(ours, merge.clone()).unwrap().db_after;
    (merge, db)
}

#[test]
fn what_one_side_has_changed_is_taken() {
    let people = r#"[{:name "Ann" :age 1 :tags ["a" "b"]} {:name "Bob" :age 2} {:name "Cid" :age 3}]"#;
    let ours = r#"[{:name "Ann" :tags "ours"} [:db/retract [:name "Ann"] :tags "b"] {:name "Bob" :age 20}]"#;
    let theirs = r#"[{:name "Ann" :age 10 :tags "theirs"} [:db/retract [:name "Ann"] :tags "a"]
                     [:db/retractEntity [:name "Cid"]]]"#;
    let [base, ours, theirs] = three(people, ours, theirs);
    let (merge, db) = merged(&base, &ours, &theirs);
    assert_eq!(merge.conflicts, []);
    assert_eq!(rows(AGES, &db), r#"[["Ann" 10] ["Bob" 20]]"#);
    assert_eq!(rows("[:find ?t :where [_ :tags ?t] :order-by [?t]]", &db), r#"[["ours"] ["theirs"]]"#);
    // What both have is nothing to do.
    let (again, _) = merged(&base, &db, &theirs);
    assert!(again.is_empty(), "{again:?}");
}

#[test]
fn new_entities_are_known_by_their_identity_and_made_anew_without_one() {
    let ours = r#"[{:name "New" :age 5} {:tags "ours, without a name"}]"#;
    let theirs = r#"[{:db/id "n" :name "New" :tags "known"} {:db/id "x" :tags "theirs, without a name" :boss "n"}
                     {:name "Other" :friend ["x" "n"] :pair ["x" 7]} {:of "n" :age 9}
                     {:city "Oslo" :street "Main" :tags "house"}]"#;
    let [base, ours, theirs] = three("[]", ours, theirs);
    let ours = after(&ours, r#"[{:of [:name "New"] :tags "mine"} {:city "Oslo" :street "Main" :age 100}]"#);
    let (merge, db) = merged(&base, &ours, &theirs);
    assert_eq!(merge.conflicts, []);
    assert_eq!(rows("[:find ?a ?t :where [?e :name \"New\"] [?e :age ?a] [?e :tags ?t]]", &db), "#{[5 \"known\"]}");
    let boss = "[:find ?t ?n :where [?e :boss ?b] [?e :tags ?t] [?b :name ?n]]";
    assert_eq!(rows(boss, &db), r##"#{["theirs, without a name" "New"]}"##);
    let friends = "[:find (count ?f) . :where [?e :name \"Other\"] [?e :friend ?f]]";
    assert_eq!(rows(friends, &db), "2");
    let pair = "[:find ?t . :where [_ :pair ?p] [(untuple ?p) [?x _]] [?x :tags ?t]]";
    assert_eq!(rows(pair, &db), "\"theirs, without a name\"");
    let of = "[:find ?t ?a :where [?e :of ?n] [?n :name \"New\"] [?e :tags ?t] [?e :age ?a]]";
    assert_eq!(rows(of, &db), "#{[\"mine\" 9]}");
    assert_eq!(rows("[:find ?a ?t :where [?e :city \"Oslo\"] [?e :age ?a] [?e :tags ?t]]", &db), "#{[100 \"house\"]}");
}

#[test]
fn values_that_both_have_changed_are_conflicts() {
    let people = r#"[{:name "Ann" :age 1} {:name "Bob" :age 2} {:name "Cid" :age 3} {:name "Dan" :age 4}]"#;
    let ours = r#"[{:name "Ann" :age 11} {:name "Bob" :age 7} [:db/retract [:name "Cid"] :age]
                   [:db/retract [:name "Dan"] :age]]"#;
    let theirs = r#"[{:name "Ann" :age 12} {:name "Bob" :age 7} {:name "Cid" :age 33}
                     [:db/retract [:name "Dan"] :age]]"#;
    let [base, ours, theirs] = three(people, ours, theirs);
    let (merge, db) = merged(&base, &ours, &theirs);
    assert_eq!(kinds(&merge), [ConflictKind::Value, ConflictKind::Value]);
    let ann = &merge.conflicts[0];
    assert_eq!(ann.attribute, Some(Keyword::new("age")));
    assert_eq!(ann.values, [Some(Value::Long(1)), Some(Value::Long(11)), Some(Value::Long(12))]);
    assert_eq!(merge.conflicts[1].values, [Some(Value::Long(3)), None, Some(Value::Long(33))]);
    assert_eq!(rows(AGES, &db), r#"[["Ann" 11] ["Bob" 7]]"#);
    let theirs_way = merge.take_theirs();
    assert_eq!(theirs_way.conflicts, []);
    let db = with(&ours, theirs_way).unwrap().db_after;
    assert_eq!(rows(AGES, &db), r#"[["Ann" 12] ["Bob" 7] ["Cid" 33]]"#);
}

#[test]
fn an_entity_that_one_retracts_and_the_other_changes_is_a_conflict() {
    let people = r#"[{:name "Ann" :age 1} {:name "Bob" :age 2} {:name "Cid" :age 3} {:name "Dan" :age 4}]"#;
    let ours = r#"[{:name "Ann" :tags "kept"} [:db/retractEntity [:name "Bob"]] [:db/retractEntity [:name "Cid"]]]"#;
    let theirs = r#"[[:db/retractEntity [:name "Ann"]] {:name "Bob" :age 20} [:db/retractEntity [:name "Cid"]]]"#;
    let [base, ours, theirs] = three(people, ours, theirs);
    let (merge, db) = merged(&base, &ours, &theirs);
    assert_eq!(kinds(&merge), [ConflictKind::RetractedByTheirs, ConflictKind::RetractedByOurs]);
    assert_eq!(rows(AGES, &db), r#"[["Ann" 1] ["Dan" 4]]"#);
    let db = with(&ours, merge.take_theirs()).unwrap().db_after;
    assert_eq!(rows(AGES, &db), r#"[["Bob" 20] ["Dan" 4]]"#);
}

#[test]
fn unique_values_belong_to_one() {
    let people = r#"[{:name "Ann" :badge 1} {:name "Bob" :badge 2} {:name "Cid"}]"#;
    let ours = r#"[{:name "Cid" :badge 3} {:name "Dan" :mail "d"}]"#;
    let theirs = r#"[{:name "Ann" :badge 3} [:db/retract [:name "Bob"] :badge 2]
                     {:name "Dan" :mail "c"} [:db/add [:name "Cid"] :mail "d"]]"#;
    let [base, ours, theirs] = three(people, ours, theirs);
    let (merge, db) = merged(&base, &ours, &theirs);
    assert_eq!(kinds(&merge), [ConflictKind::Unique, ConflictKind::Unique, ConflictKind::Value]);
    assert_eq!(
        rows("[:find ?n ?b :where [?e :name ?n] [?e :badge ?b] :order-by [?n]]", &db),
        r#"[["Ann" 1] ["Cid" 3]]"#
    );
    // One that moves from one to another is no conflict.
    let theirs = after(&base, r#"[[:db/retract [:name "Bob"] :badge 2] {:name "Cid" :badge 2}]"#);
    let (merge, db) = merged(&base, &base, &theirs);
    assert_eq!(merge.conflicts, []);
    assert_eq!(rows("[:find ?n . :where [?e :badge 2] [?e :name ?n]]", &db), "\"Cid\"");
    // Two identities that belong to two.
    let ours = after(&base, r#"[{:name "X"} {:mail "x"}]"#);
    let theirs = after(&base, r#"[{:name "X" :mail "x"}]"#);
    let (merge, _) = merged(&base, &ours, &theirs);
    assert_eq!(kinds(&merge), [ConflictKind::Ambiguous]);
    assert_eq!(merge.take_theirs().conflicts.len(), 1, "that is for people to settle");
}

/// Attributes that both define get other numbers in each; they are one by their names.
#[test]
fn attributes_are_merged_by_name() {
    let define = |ident: &str, value_type: &str| {
        format!("{{:db/ident {ident} :db/valueType {value_type} :db/cardinality :db.cardinality/one}}")
    };
    let ours = format!("[{} {}]", define(":ours", ":db.type/long"), define(":both", ":db.type/long"));
    let theirs = format!("[{} {}]", define(":both", ":db.type/long"), define(":theirs", ":db.type/string"));
    let [base, ours, theirs] = three("[]", &ours, &theirs);
    let theirs = after(&theirs, r#"[{:name "Ann" :both 1 :theirs "t"}]"#);
    let number = |db: &Db, ident: &str| db.attribute(Keyword::new(ident)).unwrap().id;
    assert_ne!(number(&ours, "both"), number(&theirs, "both"));
    let (merge, db) = merged(&base, &ours, &theirs);
    assert_eq!(merge.conflicts, []);
    assert_eq!(rows("[:find ?b ?t :where [?e :both ?b] [?e :theirs ?t]]", &db), r##"#{[1 "t"]}"##);
    let strings = after(&base, &format!("[{}]", define(":both", ":db.type/string")));
    let (merge, _) = merged(&base, &ours, &strings);
    assert_eq!(kinds(&merge), [ConflictKind::Value]);
    assert_eq!(merge.conflicts[0].attribute, Some(Keyword::new("db/valueType")));
}

#[test]
fn a_difference_is_what_holds_in_one_only() {
    let [base, ours, theirs] = three(r#"[{:name "Ann" :age 1}]"#, r#"[{:name "Ann" :age 2}]"#, "[]");
    let of_people = |from: &Db, to: &Db| {
        let found = diff(from, to).unwrap().into_iter().filter(|datom| !datom.e.is_transaction());
        found.map(|datom| (datom.v, datom.added)).collect::<Vec<_>>()
    };
    assert_eq!(of_people(&base, &ours), [(Value::Long(1), false), (Value::Long(2), true)]);
    assert_eq!(of_people(&ours, &base), [(Value::Long(1), true), (Value::Long(2), false)]);
    assert_eq!(of_people(&base, &theirs), []);
    assert_eq!(diff(&ours, &ours).unwrap(), []);
    // Through views too.
    let then = ours.as_of(base.basis_t()).unwrap();
    assert_eq!(diff(&base, &then).unwrap(), []);
}

/// Branches merged there and back, again and again: what was merged before is not merged twice.
#[test]
fn branches_are_merged_repeatedly() {
    let (registry, conn) = database("repeated");
    conn.transact(r#"[{:name "Ann" :age 1}]"#).unwrap();
    conn.branch("db", "dev").unwrap();
    let config = of_wanted_kind(Config::memory("repeated").branch("dev"));
    let dev = connect_in(&registry, &config).unwrap();
    conn.transact(r#"[{:name "Main" :age 5}]"#).unwrap();
    for round in 0..3 {
        dev.transact(format!("[{{:tags \"anonymous {round}\"}} {{:name \"Ann\" :age {}}}]", 10 + round).as_str())
            .unwrap();
        let merge = conn.merge_from("dev").unwrap();
        assert_eq!(merge.conflicts, [], "{round}");
        conn.merge_db(["dev"], merge).unwrap();
        let again = conn.merge_from("dev").unwrap();
        assert!(again.is_empty(), "{round}: {again:?}");
    }
    assert_eq!(rows("[:find (count ?e) . :where [?e :tags]]", &conn.db()), "3");
    assert_eq!(rows(AGES, &conn.db()), r#"[["Ann" 12] ["Main" 5]]"#);
    // What was merged before and has no identity cannot be found again.
    dev.transact("[[:db/add [:name \"Ann\"] :age 13] {:name \"Named\"}]").unwrap();
    let nameless = rows("[:find ?e . :where [?e :tags \"anonymous 1\"]]", &dev.db());
    dev.transact(format!("[[:db/add {nameless} :age 99]]").as_str()).unwrap();
    let merge = conn.merge_from("dev").unwrap();
    assert_eq!(kinds(&merge), [ConflictKind::Unidentified]);
    conn.merge_db(["dev"], merge).unwrap();
    assert_eq!(rows(AGES, &conn.db()), r#"[["Ann" 13] ["Main" 5]]"#);
    // The other way: what ours made of theirs comes back with an identity only.
    let back = dev.merge_from("db").unwrap();
    let unidentified = back.conflicts.iter().filter(|conflict| conflict.kind == ConflictKind::Unidentified).count();
    assert_eq!((unidentified, back.conflicts.len()), (3, 3), "{back:?}");
    dev.merge_db(["db"], back).unwrap();
    assert_eq!(rows("[:find ?n :where [_ :name ?n] :order-by [?n]]", &dev.db()), r#"[["Ann"] ["Main"] ["Named"]]"#);
    assert_eq!(rows("[:find (count ?e) . :where [?e :tags]]", &dev.db()), "3", "nothing came back twice");
}

#[test]
fn the_base_is_where_branches_parted() {
    let (registry, conn) = database("parted");
    let connect =
        |branch: &str| connect_in(&registry, &of_wanted_kind(Config::memory("parted").branch(branch))).unwrap();
    conn.transact(r#"[{:name "Ann" :age 1}]"#).unwrap();
    conn.branch("db", "one").unwrap();
    let parted = conn.db().basis_t();
    conn.transact(r#"[{:name "Later"}]"#).unwrap();
    conn.branch("db", "two").unwrap();
    let (one, two) = (connect("one"), connect("two"));
    one.transact(r#"[{:name "One"}]"#).unwrap();
    two.transact(r#"[{:name "Two"}]"#).unwrap();
    for (ours, theirs) in [(&conn, "one"), (&two, "one"), (&one, "two"), (&one, "db")] {
        let base = ours.merge_base(theirs).unwrap();
        assert_eq!((base.db.basis_t(), base.shared_t, base.mutual), (parted, parted, false), "{theirs}");
    }
    let merge = two.merge_from("one").unwrap();
    two.merge_db(["one"], merge).unwrap();
    let names = "[:find ?n :where [_ :name ?n] :order-by [?n]]";
    assert_eq!(rows(names, &two.db()), r#"[["Ann"] ["Later"] ["One"] ["Two"]]"#);
    assert!(one.merge_base("two").unwrap().mutual);
    assert!(!conn.merge_base("one").unwrap().mutual);
    let same: MergeBase = conn.merge_base("db").unwrap();
    assert_eq!(same.db.basis_t(), conn.db().basis_t());
    // Of a commit of a branch that is gone it is not known where it comes from.
    let commit = one.commit().unwrap();
    one.release().unwrap();
    conn.delete_branch("one").unwrap();
    let error = conn.merge_base(commit).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Argument, "merge/no-common-ancestor"));
}

// The model: facts of labelled entities.

/// Attribute and value, refs by label.
type Facts = BTreeSet<(String, String)>;
type State = BTreeMap<String, Facts>;

/// What a database says of people. Those of the base are labelled by their ids, newer ones by their names or, without one, by
/// what is said of them.
fn state(db: &Db, base: &Db, is_base_name: &dyn Fn(&str) -> Option<String>) -> State {
    let mut names: BTreeMap<EntityId, String> = BTreeMap::new();
    let mut facts: BTreeMap<EntityId, Vec<(String, Value)>> = BTreeMap::new();
    for datom in db.datoms(Order::Eavt, &Components::default()).unwrap() {
        let datom = datom.unwrap();
        let ident = db.ident(datom.a).unwrap().to_string();
        if datom.e.is_transaction() || datom.e <= EntityId(12) {
            continue;
        }
        if ident == ":name" && datom.e > base.max_eid() {
            let Value::Str(name) = &datom.v else { unreachable!() };
            names.insert(datom.e, is_base_name(name).unwrap_or_else(|| format!("name {name}")));
        }
        facts.entry(datom.e).or_default().push((ident, datom.v));
    }
    let known = |e: EntityId| match names.get(&e) {
        _ if e <= base.max_eid() => Some(format!("id {e}")),
        name => name.cloned(),
    };
    let shown = |v: &Value| match v {
        Value::Ref(r) => known(*r).unwrap_or_else(|| "nameless".to_owned()),
        v => format!("{v:?}"),
    };
    let label = |e: EntityId| {
        known(e).unwrap_or_else(|| {
            let said = facts.get(&e).into_iter().flatten().map(|(a, v)| format!(" {a} {}", shown(v)));
            format!("new{}", said.collect::<BTreeSet<_>>().into_iter().collect::<String>())
        })
    };
    let mut state = State::new();
    for (e, said) in &facts {
        let shown = said.iter().map(|(a, v)| match v {
            Value::Ref(r) => (a.clone(), label(*r)),
            v => (a.clone(), format!("{v:?}")),
        });
        state.entry(label(*e)).or_default().extend(shown);
    }
    state
}

fn is_many(attribute: &str) -> bool {
    matches!(attribute, ":tags" | ":friend")
}

/// What a merge must come to, and over what there must be conflicts: labels, with attributes or whole.
fn model(base: &State, ours: &State, theirs: &State) -> (State, BTreeSet<(String, String)>) {
    let none = Facts::new();
    let mut result = ours.clone();
    let mut conflicts = BTreeSet::new();
    let labels: BTreeSet<&String> = base.keys().chain(theirs.keys()).collect();
    for label in labels {
        let [b, o, t] = [base, ours, theirs].map(|state| state.get(label).unwrap_or(&none));
        if b == t {
            continue;
        }
        if !b.is_empty() && o.is_empty() != t.is_empty() && (o.is_empty() || o != b) {
            conflicts.insert((label.clone(), String::new()));
            continue;
        }
        let mut merged = o.clone();
        let attributes: BTreeSet<&String> = b.iter().chain(t).map(|(a, _)| a).collect();
        for a in attributes {
            let of = |facts: &Facts| facts.iter().filter(|(other, _)| other == a).cloned().collect::<Facts>();
            let (b, o, t) = (of(b), of(o), of(t));
            if is_many(a) {
                merged.retain(|fact| !b.contains(fact) || t.contains(fact));
                merged.extend(t.difference(&b).cloned());
            } else if b != t && o != t {
                if o != b {
                    conflicts.insert((label.clone(), a.clone()));
                    continue;
                }
                merged.retain(|fact| !o.contains(fact));
                merged.extend(t);
            }
        }
        if merged.is_empty() {
            result.remove(label)
        } else {
            result.insert(label.clone(), merged)
        };
    }
    (result, conflicts)
}

/// Some changes by chance. Names are of a few, so that both sides name the same new people.
fn edit(db: &Db, who: &str, chance: &mut Chance) -> Db {
    let mut db = db.clone();
    let people: Vec<(i64,)> = q("[:find ?e :where [?e :name]]", &db).unwrap().rows_as().unwrap();
    for n in 0..chance.below(6) {
        let one = |chance: &mut Chance| match people.len() {
            0 => "\"nobody\"".to_owned(),
            all => people[chance.below(all)].0.to_string(),
        };
        let data = match chance.below(9) {
            0 => format!("[[:db/add {} :age {}]]", one(chance), chance.below(3)),
            1 => format!("[[:db/add {} :tags \"t{}\"]]", one(chance), chance.below(4)),
            2 => format!("[[:db/retract {} :tags \"t{}\"]]", one(chance), chance.below(4)),
            3 => format!("[[:db/retract {} :age]]", one(chance)),
            4 => format!("[[:db/add {} :friend {}]]", one(chance), one(chance)),
            5 => format!("[[:db/add {} :boss {}]]", one(chance), one(chance)),
            6 => format!("[{{:name \"new{}\" :age {}}}]", chance.below(3), chance.below(2)),
            7 => format!("[{{:tags \"{who}{n}\" :friend {{:name \"new{}\"}}}}]", chance.below(3)),
            _ => format!("[[:db/retractEntity {}]]", one(chance)),
        };
        if !data.contains("nobody") {
            db = after(&db, &data);
        }
    }
    db
}

#[test]
fn merges_come_to_what_the_model_says() {
    let count = env_number("TREERING_MERGES", 300);
    let first = env_number("TREERING_SEED", 1);
    let (_registry, conn) = database("model");
    let (mut conflicting, mut changing) = (0, 0);
    for seed in first..first + count {
        let mut chance = Chance(seed);
        let people = (0..6).map(|n| format!("{{:name \"p{n}\" :age {n} :tags [\"t0\" \"t1\"]}}")).collect::<String>();
        let base = edit(&after(&conn.db(), &format!("[{people}]")), "base", &mut chance);
        let ours = edit(&base, "ours", &mut chance);
        let theirs = edit(&base, "theirs", &mut chance);
        let (found, db) = merged(&base, &ours, &theirs);

        // A name of the base may come back, for an entity that has another id.
        let ours_names: BTreeMap<String, String> = {
            let rows: Vec<(String, i64)> = q("[:find ?n ?e :where [?e :name ?n]]", &ours).unwrap().rows_as().unwrap();
            let of_base = rows.into_iter().filter(|(_, e)| EntityId(*e as u64) <= base.max_eid());
            of_base.map(|(name, e)| (name, format!("id {e}"))).collect()
        };
        let known = |name: &str| ours_names.get(name).cloned();
        let [b, o, t, m] = [&base, &ours, &theirs, &db].map(|db| state(db, &base, &known));
        let (wanted, conflicts) = model(&b, &o, &t);
        let mut label_of_theirs = BTreeMap::new();
        for (name, e) in q("[:find ?n ?e :where [?e :name ?n]]", &theirs).unwrap().rows_as::<(String, i64)>().unwrap() {
            label_of_theirs.insert(e as u64, known(&name).unwrap_or_else(|| format!("name {name}")));
        }
        let told: BTreeSet<(String, String)> = found
            .conflicts
            .iter()
            .map(|conflict| {
                let e = conflict.theirs;
                let label = if e <= base.max_eid() { format!("id {e}") } else { label_of_theirs[&e.0].clone() };
                (label, conflict.attribute.map(|a| a.to_string()).unwrap_or_default())
            })
            .collect();
        assert_eq!(m, wanted, "TREERING_SEED={seed}: {found:?}");
        assert_eq!(told, conflicts, "TREERING_SEED={seed}: {found:?}");
        conflicting += usize::from(!conflicts.is_empty());
        changing += usize::from(!found.ops.is_empty());
    }
    println!("{changing} merges changed something, {conflicting} had conflicts");
    assert!(changing * 2 > count as usize && conflicting * 10 > count as usize);
}
