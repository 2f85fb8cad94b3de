//! Budgets of bytes against the bytes that are really allocated: a query that needs more ends with an error, before the
//! process has much more than the budget.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use treering::edn::Keyword;
use treering::{
    Db, EntityId, EntityMap, Input, IntoInputs, QueryOptions, SchemaFlexibility, Value, db_testing::empty_db, q_with,
    with,
};

/// The system's allocator, with the bytes that are live and the most that were.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grown(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "an allocator cannot be counted otherwise; each call is passed on as it is")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both places are live where the bytes cannot stay.
        grown(size);
        let at = unsafe { System.realloc(at, layout, size) };
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        at
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SCHEMA: &str = "[
  {:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
  {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}
  {:db/ident :next :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}]";

const PEOPLE: u64 = 40_000;

fn people() -> Db {
    let names = ["name", "age", "friend", "next"].map(Keyword::new);
    let [name, age, friend, next] = names;
    let scattered = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let person = |e: u64| {
        let other = |n: u64| Value::Ref(EntityId(1 + scattered(e * 7 + n) % PEOPLE));
        let map = EntityMap::new().id(EntityId(e)).set(name, format!("Person {}", scattered(e)));
        let map = map.set(age, (scattered(e) % 100) as i64);
        let map = (0..3).fold(map, |map, n| map.set(friend, other(n)));
        if e.is_multiple_of(40) { map } else { map.set(next, Value::Ref(EntityId(e + 1))) }
    };
    let db = with(&empty_db(true, SchemaFlexibility::Write), SCHEMA).unwrap().db_after;
    with(&db, (1..=PEOPLE).map(person).collect::<Vec<_>>()).unwrap().db_after
}

/// The most bytes more than before that were live while `run` ran.
fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = run();
    (result, PEAK.load(Ordering::Relaxed).saturating_sub(before))
}

const QUERIES: &[(&str, &str)] = &[
    ("all rows", "[:find ?e ?n ?a :where [?e :name ?n] [?e :age ?a]]"),
    ("hash join", "[:find (count ?f) . :where [?e :age ?a] [?f :age ?a] [(< ?e 2000)]]"),
    ("many rows", "[:find ?e ?f :where [?e :age ?a] [?f :age ?a] [(< ?e 2000)]]"),
    ("distinct", "[:find ?a ?n :where [?e :friend ?f] [?f :name ?n] [?e :age ?a]]"),
    ("groups", "[:find ?n (count ?f) :where [?e :friend ?f] [?e :name ?n]]"),
    ("median", "[:find (median ?e) . :where [?e :friend ?f] [?f :friend ?g]]"),
    ("count distinct", "[:find (count-distinct ?g) . :with ?f :where [?e :friend ?f] [?f :friend ?g]]"),
    ("order", "[:find ?n ?e :where [?e :name ?n] [?e :friend] :order-by [?n]]"),
    ("closure", "[:find (count ?y) . :in $ % :where (reach ?x ?y)]"),
    ("mutual rules", "[:find (count ?y) . :in $ % :where (odd ?x ?y)]"),
    ("triangles", "[:find (count ?a) . :where [?a :friend ?b] [?b :friend ?c] [?c :friend ?a]]"),
    ("texts", "[:find ?t :where [?e :name ?n] [?e :friend ?f] [?f :name ?m] [(str ?n \" and \" ?m) ?t]]"),
    ("not", "[:find ?e ?f :where [?e :friend ?f] (not [?f :friend ?e])]"),
    ("or", "[:find ?e ?f :where (or [?e :friend ?f] [?f :friend ?e])]"),
    ("pull", "[:find (pull ?e [* {:friend [:name]}]) :where [?e :name]]"),
    ("nested", "[:find ?r :where [(q [:find ?e ?n :where [?e :name ?n]] $) ?r]]"),
];

const RULES: &str = "[[(reach ?x ?y) [?x :next ?y]] [(reach ?x ?y) [?x :next ?z] (reach ?z ?y)]
  [(odd ?x ?y) [?x :next ?y]] [(odd ?x ?y) [?x :next ?z] (even ?z ?y)] [(even ?x ?y) [?x :next ?z] (odd ?z ?y)]]";

fn inputs(db: &Db, query: &str) -> Vec<Input> {
    if query.contains(":in $ %") { (db, RULES).into_inputs() } else { db.into_inputs() }
}

/// Where a budget is so small, what does not grow with the query counts more than the rest.
const LEAST: usize = 512 << 10;
/// A batch on its way, and what every query needs.
const BATCH: usize = 256 << 10;

#[test]
fn a_query_past_its_bytes_ends_before_it_takes_many_more() {
    let db = people();
    let (mut ended, mut wrong) = (0, Vec::new());
    for (threads, (name, query)) in
        [1, 2].into_iter().flat_map(|threads| QUERIES.iter().map(move |query| (threads, query)))
    {
        let options = QueryOptions { threads: Some(threads), ..QueryOptions::default() };
        let run = |options: &QueryOptions| q_with(*query, inputs(&db, query), options).map(|output| output.len());
        // Plans are known from the first run on.
        run(&options).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (_, needs) = peak(|| run(&options));
        for budget in [needs / 2, needs / 4, needs / 16].into_iter().filter(|budget| *budget >= LEAST) {
            let (result, took) = peak(|| run(&QueryOptions { max_bytes: Some(budget as u64), ..options.clone() }));
            if let Err(error) = result {
                assert_eq!(error.code(), "query/limit", "{name}: {error}");
                ended += 1;
            }
            let told = format!("{name} on {threads} threads: {took} bytes for a budget of {budget}, it needs {needs}");
            println!("{told}");
            if took > budget / 4 * 5 + BATCH {
                wrong.push(told);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ended > 20, "{ended} queries were ended");
}
