//! The command-line tool, end to end: the built binary on real files.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder that commands run in.
struct Place {
    dir: TempDir,
}

/// What a command did.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

const SCHEMA: &str = "[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}
                       {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
                       {:db/ident :friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}]";

impl Place {
    fn new() -> Place {
        Place { dir: tempfile::tempdir().expect("a folder") }
    }

    /// With the database `p.tr` of three people.
    fn with_people() -> Place {
        let place = Place::new();
        place.ok(&["create-database", "p.tr"]);
        place.ok(&["transact", "p.tr", SCHEMA]);
        let people =
            r#"[{:db/id "b" :name "Bob" :age 40} {:name "Alice" :age 30 :friend ["b" {:name "Carol" :age 50}]}]"#;
        place.ok(&["transact", "p.tr", people]);
        place
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).expect("a file")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_treering"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("TREERING_") || n.starts_with("DATAHIKE_")) {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().expect("the binary runs"))
    }

    /// Runs with a text on standard input.
    fn feed(&self, args: &[&str], text: &str) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(text.as_bytes()).expect("it reads");
        drop(input);
        Ran::of(child.wait_with_output().expect("it ends"))
    }

    /// Standard output of a command that must succeed.
    fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.out
    }

    /// Standard error of a command that must fail with this exit code.
    fn fails(&self, code: i32, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(!ran.err.contains("panicked"), "{args:?}: {ran:?}");
        assert!(!ran.err.contains('\u{1b}'), "no colours in a pipe: {ran:?}");
        ran.err
    }
}

impl Ran {
    fn of(output: Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let code = output.status.code().expect("an exit code, no signal");
        Ran { code, out: text(output.stdout), err: text(output.stderr) }
    }
}

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

const NAMES: &str = "[:find ?n ?a :where [?e :name ?n] [?e :age ?a]]";

#[test]
fn branches_are_made_merged_and_deleted() {
    let place = Place::with_people();
    assert_eq!(place.ok(&["branch", "p.tr", "dev"]), "made branch :dev of :db\n");
    assert!(place.fails(1, &["branch", "p.tr", ":dev"]).contains("(:branch-already-exists)"));
    let list = place.ok(&["branches", "p.tr"]);
    let listed: Vec<Vec<&str>> = list.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!([listed[0][0], listed[1][0]], [":db", ":dev"]);
    let commit = listed[0][2];
    place.ok(&["transact", "p.tr", r#"{:name "Bob" :age 41}"#]);
    place.ok(&["transact", "p.tr", "--branch", "dev", r#"{:name "Bob" :age 42} {:name "Dev" :age 1}"#]);
    let people = |rows: &str| format!("#{{[\"Alice\" 30] {rows}}}\n");
    assert_eq!(place.ok(&["q", "p.tr", NAMES]), people(r#"["Bob" 41] ["Carol" 50]"#));
    place.ok(&["branch", "p.tr", "then", "--from", commit]);
    assert!(place.ok(&["q", "p.tr", "--branch", ":then", NAMES]).contains(r#"["Bob" 40]"#));

    let told = place.ok(&["merge", "p.tr", "dev", "--dry-run"]);
    assert!(told.starts_with("value: entity ") && told.contains(":age: base 40, ours 41, theirs 42\n"), "{told}");
    assert!(told.ends_with("operations, 1 conflicts\n"), "{told}");
    assert!(place.fails(1, &["merge", "p.tr", "dev"]).contains("1 conflicts, nothing was merged"));
    let told = place.ok(&["merge", "p.tr", "dev", "--take", "theirs"]);
    assert!(told.starts_with("transaction "), "{told}");
    assert_eq!(place.ok(&["q", "p.tr", NAMES]), people(r#"["Bob" 42] ["Carol" 50] ["Dev" 1]"#));
    // With tx-data of one's own, into another branch.
    place.ok(&["merge", "p.tr", "--branch", "then", "db", r#"{:name "Bob" :age 99}"#]);
    assert!(place.ok(&["q", "p.tr", "--branch", "then", NAMES]).contains(r#"["Bob" 99]"#));

    assert_eq!(place.ok(&["delete-branch", "p.tr", "dev"]), "deleted branch :dev\n");
    assert!(place.fails(1, &["delete-branch", "p.tr", "dev"]).contains("(:branch-does-not-exist)"));
    assert!(
        place
            .fails(1, &["delete-branch", "p.tr", "db", "--branch", "then"])
            .contains("(:cannot-delete-main-db-branch)")
    );
    assert!(place.fails(1, &["merge", "p.tr", "dev"]).contains("(:branch-does-not-exist)"));
    assert!(place.fails(1, &["query", "p.tr", "--branch", "dev", NAMES]).contains("(:db-does-not-exist)"));
    assert!(place.fails(2, &["branch", "p.tr"]).contains("the name of the branch is missing"));
    assert_eq!(place.ok(&["branches", "p.tr"]).lines().count(), 2);
}

#[test]
fn a_life_of_a_database() {
    let place = Place::new();
    assert_eq!(place.ok(&["create-database", "p.tr"]), "created p.tr\n");
    assert!(place.fails(1, &["create-database", "p.tr"]).contains("(:db-already-exists)"));
    let told = place.ok(&["transact", "p.tr", SCHEMA]);
    assert!(told.starts_with("transaction 536870913: "), "{told}");
    place.write("tx.edn", r#"{:db/id "a" :name "Alice" :age 30} [:db/add "b" :name "Bob"]"#);
    let told = place.ok(&["transact", "p.tr", "--file", "tx.edn"]);
    assert!(told.contains("tempids: \"a\" → ") && told.contains("\"b\" → "), "{told}");
    let told = place.ok(&["transact", "p.tr", "--mode", "edn", r#"[{:name "Bob" :age 41}]"#]);
    assert!(told.contains(":age 41 536870915 true]"), "{told}");
    assert_eq!(place.feed(&["transact", "p.tr", "-"], r#"{:name "Carol" :age 1}"#).code, 0);
    let rows = place.ok(&["query", "p.tr", "--mode", "csv", NAMES]);
    assert_eq!(lines(&rows), ["Alice,30", "Bob,41", "Carol,1", "n,a"]);
    assert!(place.fails(2, &["delete-database", "p.tr"]).contains("--yes"));
    assert_eq!(place.ok(&["delete-database", "p.tr", "--yes"]), "deleted p.tr\n");
    assert!(place.fails(1, &["delete-database", "p.tr", "--yes"]).contains("there is no database"));
    let missing = place.fails(1, &["query", "p.tr", NAMES]);
    assert!(missing.contains("treering create-database p.tr"), "{missing}");
}

#[test]
fn rows_in_every_mode() {
    let place = Place::with_people();
    let query = "[:find ?n ?a :in $ ?least :where [?e :name ?n] [?e :age ?a] [(>= ?a ?least)]]";
    let ask = |mode: &str| place.ok(&["query", "p.tr", query, "--input", "50", "--mode", mode]);
    assert_eq!(ask("edn"), "#{[\"Carol\" 50]}\n");
    assert_eq!(ask("jsonl"), "{\"a\":50,\"n\":\"Carol\"}\n");
    assert_eq!(ask("json"), "[{\"a\":50,\"n\":\"Carol\"}]\n");
    assert_eq!(ask("csv"), "n,a\nCarol,50\n");
    let table = ask("table");
    assert!(table.contains("│ ?n") && table.contains("Carol") && table.contains("1 row in "), "{table}");
    let scalar = place.ok(&["query", "p.tr", "[:find (count ?e) . :where [?e :name]]"]);
    assert_eq!(scalar, "3\n");
    place.write("q.edn", NAMES);
    assert_eq!(place.ok(&["q", "p.tr", "-f", "q.edn", "--mode", "csv"]).lines().count(), 4);
    assert_eq!(place.feed(&["query", "p.tr", "-", "--mode", "csv"], NAMES).out.lines().count(), 4);
}

#[test]
fn pull_datoms_explain_and_stats() {
    let place = Place::with_people();
    let pulled = place.ok(&["pull", "p.tr", "[:age {:friend [:name]}]", "[:name \"Alice\"]"]);
    assert!(pulled.contains(":age 30") && pulled.contains("\"Bob\"") && pulled.contains("\"Carol\""), "{pulled}");
    let pulled = place.ok(&["pull", "p.tr", "[:name :age]", "[:name \"Bob\"]", "--mode", "json"]);
    assert_eq!(pulled, "{\"age\":40,\"name\":\"Bob\"}\n");
    let datoms = place.ok(&["datoms", "p.tr", "[:name \"Bob\"]", ":age"]);
    assert!(datoms.contains(":age 40 536870914 true"), "{datoms}");
    let ages = place.ok(&["datoms", "p.tr", "--index", "aevt", ":age", "--mode", "csv"]);
    assert_eq!(ages.lines().count(), 4);
    let last = place.ok(&["datoms", "p.tr", "--index", "avet", ":name", "--reverse", "--limit", "1", "--mode", "csv"]);
    assert!(last.contains(",:name,Carol,"), "{last}");
    let plan = place.ok(&["explain", "p.tr", NAMES]);
    assert!(plan.contains(":name") && plan.contains(":age") && !plan.contains(" in, "), "{plan}");
    let plan = place.ok(&["explain", "p.tr", NAMES, "--analyze"]);
    assert!(plan.contains(" in, ") && plan.contains("3 rows; planned in"), "{plan}");
    let plan = place.ok(&["explain", "p.tr", NAMES, "--analyze", "--format", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&plan).expect("json");
    assert!(plan["plan"][0]["rows-out"].is_u64() && plan["warnings"].is_array(), "{plan}");
    let plan = place.ok(&["explain", "p.tr", NAMES, "--format", "edn"]);
    assert!(plan.contains(":rows-expected") && !plan.contains(":rows-out"), "{plan}");
    let called =
        place.ok(&["query", "p.tr", "{:query [:find (count ?e) . :in $ ?n :where [?e :name ?n]] :args [$ \"Bob\"]}"]);
    assert_eq!(called, "1\n");
    let stats = place.ok(&["stats", "p.tr"]);
    assert!(stats.contains("basis-t      536870914 (transaction 2)"), "{stats}");
    let ages = stats.lines().find(|line| line.contains(":age")).expect("a line");
    assert!(ages.contains("long") && ages.contains("3 "), "{stats}");
}

#[test]
fn garbage_is_collected() {
    let place = Place::with_people();
    place.ok(&["transact", "p.tr", "[[:db.purge/entity [:name \"Carol\"]]]"]);
    let collect = |options: &[&str]| place.ok(&[&["gc", "p.tr"], options].concat());
    assert_eq!(collect(&["--min-age", "7d"]), "deleted 0 blobs, 0 bytes\n");
    let could = collect(&["--min-age", "0", "--dry-run", "--list"]);
    assert!(could.contains("could delete") && could.lines().count() > 1, "{could}");
    let deleted = collect(&["--min-age", "0s"]);
    assert!(deleted.starts_with("deleted ") && !deleted.starts_with("deleted 0 blobs"), "{deleted}");
    let names = place.ok(&["query", "p.tr", "--history", "[:find ?n :where [_ :name ?n] :order-by [?n]]"]);
    assert_eq!(names, "[[\"Alice\"] [\"Bob\"]]\n");
    assert!(place.fails(2, &["gc", "p.tr", "--min-age", "soon"]).contains("an age is a number with s, m, h or d"));
}

#[test]
fn stores_are_copied_checked_and_repaired() {
    let place = Place::with_people();
    let json = |text: String| -> serde_json::Value { serde_json::from_str(&text).expect("json") };
    let first = place.ok(&["backup", "p.tr", "copy.tr"]);
    assert!(first.starts_with("copied ") && first.contains("2 transactions"), "{first}");
    assert!(first.ends_with(":db up to transaction 536870914\n"), "{first}");
    let again = json(place.ok(&["backup", "p.tr", "copy.tr", "--json", "--prune", "0s"]));
    assert_eq!(
        (&again["blobs"], &again["bytes"], &again["branches"][":db"]),
        (&0.into(), &0.into(), &536_870_914.into())
    );
    assert!(place.ok(&["restore", "copy.tr", "again.tr", "--only", "db"]).starts_with("restored "));
    assert_eq!(place.ok(&["query", "again.tr", NAMES]), place.ok(&["query", "p.tr", NAMES]));
    assert!(place.fails(1, &["restore", "copy.tr", "p.tr"]).contains("(:db-already-exists)"));
    assert!(place.fails(1, &["backup", "p.tr", "again.tr"]).contains("(:backup/foreign-target)"));
    place.ok(&["restore", "copy.tr", "again.tr", "--overwrite"]);
    assert!(place.fails(2, &["backup", "p.tr"]).contains("the target is missing"));

    let sound = place.ok(&["verify", "p.tr", "--garbage"]);
    assert!(sound.ends_with("everything is as it must be\n"), "{sound}");
    place.write("p.tr/head/db", "rubbish");
    let damaged = place.run(&["verify", "p.tr"]);
    assert_eq!((damaged.code, damaged.err.as_str()), (1, ""));
    assert!(damaged.out.contains("head/db: ") && damaged.out.contains("(:store/corrupt)"), "{}", damaged.out);
    let damaged = place.run(&["verify", "p.tr", "--json"]);
    assert_eq!(json(damaged.out)["problems"][0]["key"], "head/db");

    let saved = place.ok(&["repair", "p.tr", "saved.tr"]);
    assert!(saved.starts_with("damaged: \"head/db\"") && saved.ends_with("nothing is lost\n"), "{saved}");
    assert_eq!(place.ok(&["query", "saved.tr", NAMES]), place.ok(&["query", "copy.tr", NAMES]));
    assert!(place.fails(1, &["repair", "p.tr", "saved.tr"]).contains("(:db-already-exists)"));
    let saved = json(place.ok(&["repair", "p.tr", "more.tr", "--json"]));
    assert_eq!((&saved["branches"][":db"], &saved["losses"]), (&536_870_914.into(), &serde_json::json!([])));
}

#[test]
fn migrations() {
    let place = Place::new();
    place.ok(&["create-database", "p.tr"]);
    std::fs::create_dir(place.path().join("m")).expect("a folder");
    place.write("m/001-people.edn", SCHEMA);
    place.write("m/002-ann.edn", "{:tx-data [{:name \"Ann\" :age 30}]}");
    let migrate = |options: &[&str]| place.ok(&[&["migrate", "p.tr", "m"], options].concat());
    let would = migrate(&["--dry-run"]);
    assert!(would.contains("would be applied: 001-people (") && would.contains("002-ann"), "{would}");
    assert_eq!(migrate(&["--dry-run"]), would);
    assert_eq!(migrate(&[]), would.replace("would be applied", "applied"));
    assert_eq!(migrate(&[]), "nothing to do: all 2 were applied before\n");
    assert!(migrate(&["--write-checksums"]).contains("2 migrations"));
    place.write("m/002-ann.edn", "[{:name \"Bob\"}]");
    let refused = place.run(&["migrate", "p.tr", "m"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("(:migrate/checksum)"), "{}", refused.err);
}

#[test]
fn views_in_time() {
    let place = Place::with_people();
    place.ok(&["transact", "p.tr", r#"[{:name "Bob" :age 41}]"#]);
    let age = |options: &[&str]| {
        let query = "[:find [?a ...] :where [?e :name \"Bob\"] [?e :age ?a]]";
        let mut args = vec!["query", "p.tr", query];
        args.extend(options);
        place.ok(&args)
    };
    assert_eq!(age(&[]), "[41]\n");
    assert_eq!(age(&["--as-of", "2"]), "[40]\n");
    assert_eq!(age(&["--as-of", "536870914"]), "[40]\n");
    assert_eq!(age(&["--as-of", "2001-01-01"]), "[]\n");
    let events =
        place.ok(&["query", "p.tr", "--history", "[:find ?a ?op :where [_ :age ?a _ ?op] [(> ?a 39)] [(< ?a 45)]]"]);
    assert!(events.contains("[40 true]") && events.contains("[40 false]") && events.contains("[41 true]"), "{events}");
    let since = place.ok(&["query", "p.tr", "--since", "2", "[:find [?a ...] :where [_ :age ?a]]"]);
    assert_eq!(since, "[41]\n");
    let ages = |options: &[&str]| {
        let stats = place.ok(&[&["stats", "p.tr", "--mode", "csv"], options].concat());
        stats.lines().find(|line| line.starts_with(":age,")).expect("a line").to_owned()
    };
    assert_eq!(ages(&[]), ":age,long,one,,3");
    assert_eq!(ages(&["--as-of", "1"]), ":age,long,one,,0");
    assert_eq!(ages(&["--history"]), ":age,long,one,,5");
    assert!(place.ok(&["stats", "p.tr", "--as-of", "2"]).contains("as-of        536870914 (transaction 2)"));
    assert!(place.fails(2, &["query", "p.tr", NAMES, "--as-of", "yesterday"]).contains("a point in time is"));
}

#[test]
fn a_csv_file_becomes_entities() {
    let place = Place::new();
    place.write(
        "people.csv",
        "id,name,age,score,born,follows\n1,Ann,30,1.5,2001-02-03,2\n2,Bob,,2,2002-02-03,\n3,Cid,50,3,,1\n",
    );
    let import = ["import", "p.tr", "people.csv", "--identity", "id", "--ref", "follows=id"];
    let dry = place.ok(&[&import[..], &["--dry-run"]].concat());
    assert!(dry.contains(":born") && dry.contains("instant") && dry.contains("by :id"), "{dry}");
    assert!(!place.path().join("p.tr").exists(), "a dry run writes nothing");
    let done = place.ok(&import);
    assert!(done.contains("people.csv: 3 entities"), "{done}");
    let rows = place.ok(&[
        "query",
        "p.tr",
        "--mode",
        "csv",
        "[:find ?n ?m :where [?e :follows ?f] [?e :name ?n] [?f :name ?m]]",
    ]);
    assert_eq!(lines(&rows), ["Ann,Bob", "Cid,Ann", "n,m"]);
    let scores = place.ok(&["query", "p.tr", "[:find (sum ?s) . :with ?e :where [?e :score ?s]]"]);
    assert_eq!(scores, "6.5\n");
    // The same file again finds the same entities.
    place.ok(&import);
    assert_eq!(place.ok(&["query", "p.tr", "[:find (count ?e) . :where [?e :name]]"]), "3\n");
}

#[test]
fn json_lines_with_names_become_references() {
    let place = Place::new();
    let text = r#"{"name": "a", "depends": ["b", "virtual"], "size": 10}
{"name": "b", "depends": [], "size": 20, "home": {"url": "u"}}
"#;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).expect("memory");
    place.write("p.jsonl.gz", encoder.finish().expect("memory"));
    // One entity for each transaction: names must hold from one to the next.
    place.ok(&["import", "p.tr", "p.jsonl.gz", "--identity", "name", "--ref", "depends=name", "--batch", "1"]);
    let rows = place.ok(&[
        "query",
        "p.tr",
        "--mode",
        "csv",
        "[:find ?n ?m :where [?e :depends ?f] [?e :name ?n] [?f :name ?m]]",
    ]);
    assert_eq!(lines(&rows), ["a,b", "a,virtual", "n,m"]);
    assert_eq!(place.ok(&["query", "p.tr", "[:find (count ?e) . :where [?e :name]]"]), "3\n");
    let pulled = place.ok(&["pull", "p.tr", "[{:home [:home/url]}]", "[:name \"b\"]"]);
    assert_eq!(pulled, "{:home {:home/url \"u\"}}\n");
}

#[test]
fn the_packages_of_a_distribution() {
    let place = Place::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/debian/security.jsonl.gz");
    let file = file.to_string_lossy();
    let args =
        ["import", "d.tr", &file, "--identity", "name", "--ref", "depends=name", "--ref", "maintainer=maintainer/name"];
    let done = place.ok(&args);
    assert!(done.contains("3,003 entities"), "{done}");
    let count = place.ok(&["query", "d.tr", "[:find (count ?e) . :where [?e :version]]"]);
    let stats = place.ok(&["stats", "d.tr", "--mode", "csv"]);
    assert!(stats.contains(&format!(":version,string,one,,{count}")), "{count} {stats}");
    let users = place.ok(&["query", "d.tr", "[:find (count ?e) . :where [?l :name \"libc6\"] [?e :depends ?l]]"]);
    assert!(users.trim().parse::<u64>().expect("a number") > 100, "{users}");
}

#[test]
fn a_database_is_exported_with_its_history() {
    let place = Place::with_people();
    place.ok(&["transact", "p.tr", "[{:name \"Alice\" :age 31} [:db/retractEntity [:name \"Bob\"]]]"]);
    place.ok(&["transact", "p.tr", "[{:name \"Bob\" :age 41} {:db/ident :age :db/index true}]"]);
    let shown = |db: &str, view: &[&str]| {
        let args = [&["datoms", db, "--limit", "1000", "--mode", "edn"], view].concat();
        place.ok(&args)
    };
    for file in ["h.datoms", "h.datoms.gz", "h.edn"] {
        let told = place.ok(&["export", "p.tr", file, "--history", "--format", "datoms", "--overwrite"]);
        assert!(told.contains("datoms written"), "{told}");
        let copy = format!("{file}.tr");
        let told = place.ok(&["import", &copy, file]);
        assert!(told.contains("4 transactions") && told.contains("retractions"), "{told}");
        for view in [&[][..], &["--history"], &["--as-of", "2"], &["--since", "2", "--history"]] {
            assert_eq!(shown("p.tr", view), shown(&copy, view), "{file} {view:?}");
        }
        let ages = "[:find ?v ?t ?op :where [_ :age ?v ?t ?op]]";
        let asked = ["query", "--history", "--mode", "edn"];
        let ask = |db: &str| place.ok(&[&asked[..1], &[db, ages], &asked[1..]].concat());
        assert_eq!(ask("p.tr"), ask(&copy));
        assert!(place.fails(1, &["import", &copy, file]).contains("load/transaction-id"));
        let mapped = format!("{file}.mapped.tr");
        place.ok(&["create-database", &mapped]);
        place.ok(&["transact", &mapped, SCHEMA]);
        let told = place.ok(&["import", &mapped, file, "--map-ids", "--format", "datoms"]);
        assert!(told.contains("left out"), "{told}");
    }
    // The state alone, whose datoms are in no order of time, and one vector of all.
    place.ok(&["export", "p.tr", "state.datoms", "--as-of", "2"]);
    place.ok(&["import", "state.tr", "state.datoms"]);
    assert_eq!(shown("p.tr", &["--as-of", "2"]), shown("state.tr", &[]));
    place.write("one.edn", format!("[{}]", place.read("h.datoms")));
    place.ok(&["import", "one.tr", "one.edn"]);
    assert_eq!(shown("p.tr", &["--history"]), shown("one.tr", &["--history"]));
    place.write("bad.datoms", "[1 :db/doc \"a\" 536870913 true]\n[1 :db/doc 536870914 true]");
    assert!(place.fails(1, &["import", "bad.tr", "bad.datoms"]).contains("line 2"));
    for option in [&["--identity", "name"][..], &["--on-error", "skip"], &["--dry-run"]] {
        place.fails(2, &[&["import", "p.tr", "h.datoms"], option].concat());
    }
}

#[test]
fn what_is_exported_can_be_imported() {
    let place = Place::with_people();
    let ages = |database: &str| {
        let rows = place.ok(&["query", database, "--mode", "csv", NAMES]);
        lines(&rows).join("\n")
    };
    let friends = "[:find ?n ?m :where [?e :friend ?f] [?e :name ?n] [?f :name ?m]]";
    for file in ["all.edn", "all.edn.gz"] {
        place.ok(&["export", "p.tr", file]);
        let copy = format!("{file}.tr");
        place.ok(&["import", &copy, file]);
        assert_eq!(ages(&copy), ages("p.tr"));
        assert_eq!(lines(&place.ok(&["query", &copy, friends, "-m", "csv"])), ["Alice,Bob", "Alice,Carol", "n,m"]);
    }
    for file in ["all.json", "all.jsonl.gz", "all.csv", "all.tsv"] {
        place.ok(&["export", "p.tr", file]);
        let copy = format!("{file}.tr");
        place.ok(&["import", &copy, file]);
        assert_eq!(ages(&copy), ages("p.tr"), "{file}");
    }
    let printed = place.ok(&["export", "p.tr", "-", "--format", "jsonl", "--as-of", "1"]);
    assert_eq!(printed, "", "nobody was there after the schema");
    assert!(place.fails(2, &["export", "p.tr", "all.csv"]).contains("--overwrite"));
    place.ok(&["export", "p.tr", "all.csv", "--overwrite"]);
    assert!(place.read("all.csv").starts_with("db/id,"));
    assert!(place.fails(2, &["export", "p.tr", "x.edn", "--history"]).contains("--history"));
    assert!(place.fails(2, &["export", "p.tr", "x.doc"]).contains("--format"));
}

#[test]
fn edn_is_imported_in_batches_with_its_tempids() {
    let place = Place::new();
    let text = "; people\n[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
 {:db/ident :boss :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}
 {:db/id \"a\" :name \"A\"}
 {:db/id -2 :name \"B\" :boss \"a\"}
 [:db/add -2 :name \"BB\"]
 {:name \"C\" :boss -2}]";
    place.write("x.edn", text);
    place.ok(&["import", "x.tr", "x.edn", "--batch", "1"]);
    let rows =
        place.ok(&["query", "x.tr", "-m", "csv", "[:find ?n ?b :where [?e :boss ?f] [?e :name ?n] [?f :name ?b]]"]);
    assert_eq!(lines(&rows), ["BB,A", "C,BB", "n,b"]);
}

#[test]
fn bad_records_are_told_with_their_line() {
    let place = Place::new();
    place.write("x.jsonl", "{\"id\": 1, \"n\": 5}\n{\"id\": 2, \"n\": 6}\nnonsense\n{\"id\": 4, \"n\": 7}\n");
    let stopped = place.fails(1, &["import", "x.tr", "x.jsonl"]);
    assert!(stopped.contains("x.jsonl:3: not JSON"), "{stopped}");
    let skipped = place.run(&["import", "x.tr", "x.jsonl", "--on-error", "skip"]);
    assert_eq!(skipped.code, 1, "{skipped:?}");
    assert!(skipped.err.contains("skipped x.jsonl:3: not JSON"), "{skipped:?}");
    assert!(skipped.out.contains("1 skipped"), "{skipped:?}");
    assert_eq!(place.ok(&["query", "x.tr", "[:find (count ?e) . :where [?e :id]]"]), "3\n");

    // A value that the database refuses: the records around it get in.
    place.write("y.jsonl", "{\"id\": 10, \"n\": 5}\n{\"id\": 11, \"n\": \"six\"}\n{\"id\": 12, \"n\": 7}\n");
    let skipped = place.run(&["import", "x.tr", "y.jsonl", "--on-error", "skip"]);
    assert!(skipped.err.contains("y.jsonl:2: n: a value of :db.type/long was wanted"), "{skipped:?}");
    assert_eq!(place.ok(&["query", "x.tr", "[:find (count ?e) . :where [?e :id]]"]), "5\n");
    let stopped = place.fails(1, &["import", "x.tr", "y.jsonl"]);
    assert!(stopped.contains("y.jsonl:2: n: a value"), "{stopped}");

    place.write("z.edn", "{:db/ident :s :db/valueType :db.type/string :db/cardinality :db.cardinality/one}\n{:s \"a\"}\n{:s 1}\n{:t \"b\"}\n{:s \"c\"}\n{:s");
    let skipped = place.run(&["import", "z.tr", "z.edn", "--on-error", "skip"]);
    for part in ["z.edn:3: ", "z.edn:4: ", "z.edn:6: "] {
        assert!(skipped.err.contains(part), "{part} {skipped:?}");
    }
    assert_eq!(place.ok(&["query", "z.tr", "[:find (count ?e) . :where [?e :s]]"]), "2\n");
    place.write("c.csv", "a,b\n1,2\n3\n");
    assert!(
        place.fails(1, &["import", "c.tr", "c.csv"]).contains("c.csv:3: the header names 2 columns, the line has 1")
    );
    assert!(place.fails(1, &["import", "c.tr", "nowhere.csv"]).contains("nowhere.csv cannot be read"));
    std::fs::create_dir(place.path().join("folder.csv")).expect("a folder");
    assert!(place.fails(1, &["import", "none.tr", "folder.csv"]).contains("folder.csv cannot be read"));
    assert!(!place.path().join("none.tr").exists());
    place.write("empty.json", "");
    assert!(place.fails(1, &["import", "c.tr", "empty.json"]).contains("holds no records"));
    place.write("cut.json", "[{\"a\": 1},");
    assert!(place.fails(1, &["import", "c.tr", "cut.json"]).contains("never closed"));
    place.write("d.csv", "a,b\n1,2\n");
    let told = place.fails(2, &["import", "c.tr", "d.csv", "--identity", "q"]);
    assert!(told.contains("no document has the key q; the keys are a, b"), "{told}");
    assert!(place.fails(2, &["import", "c.tr", "x.jsonl", "--type", "n=strnig"]).contains("no type strnig"));
}

#[test]
fn the_shell_reads_a_script() {
    let place = Place::with_people();
    place.write("more.txt", "[:find (count ?e) .\n :where [?e :age]]\n");
    let script = "[:find [?n ...]\n  :in $ ?a\n  :where [?e :age ?a] [?e :name ?n]] 40\n\
                  {:name \"Dan\" :age 40}\n.as-of 2\n[:find (count ?e) . :where [?e :name]]\n.as-of off\n\
                  .read more.txt\n.mode csv\n.schema :a\n.pull [:age] [:name \"Dan\"]\n.exit\n[:find nonsense]\n";
    let ran = place.feed(&["shell", "p.tr"], script);
    assert_eq!(ran.code, 0, "{ran:?}");
    let told: Vec<&str> = ran.out.lines().collect();
    assert_eq!(told[0], "[\"Bob\"]");
    assert!(told[1].starts_with("transaction 536870915: 3 added"), "{told:?}");
    assert_eq!(
        &told[2..],
        ["3", "4", "attribute,type,cardinality,properties", ":age,:db.type/long,one,", "{:age 40}",]
    );
    let memory = place.run(&["shell", "-c", SCHEMA, "-c", "{:name \"X\"}", "-c", "[:find ?n . :where [_ :name ?n]]"]);
    assert_eq!(memory.out.lines().last(), Some("\"X\""), "{memory:?}");
    let help = place.feed(&["shell"], ".help\n");
    for command in
        [".help", ".schema", ".timer", ".as-of", ".history", ".since", ".mode", ".stats", ".import", ".read", ".exit"]
    {
        assert!(help.out.contains(command), "{command}");
    }
    // An error does not end a script, and is told by the exit code.
    let ran = place.feed(
        &["shell", "p.tr"],
        ".nonsense\n[:find ?x :where [?e\n:name]]\n.read nowhere\n[:find (count ?e) . :where [?e :name]]\n",
    );
    assert_eq!((ran.code, ran.out.as_str()), (1, "4\n"), "{ran:?}");
    assert!(ran.err.contains("there is no command .nonsense") && ran.err.contains("try '.help'"), "{ran:?}");
    assert!(ran.err.contains("nowhere cannot be read"), "{ran:?}");
    place.write("loop.txt", ".read loop.txt\n");
    assert!(place.feed(&["shell"], ".read loop.txt\n").err.contains("at most 16 deep"));
    place.write("i.csv", "k\n1\n2\n");
    let ran = place.feed(&["shell", "new.tr", "--create"], ".import i.csv --identity k\n.stats\n");
    assert!(ran.out.contains("i.csv: 2 entities") && ran.out.contains(":k"), "{ran:?}");
}

#[test]
fn mistakes_in_queries_and_tx_data_are_told() {
    let place = Place::with_people();
    for (args, part) in [
        (&["query", "p.tr", "[:find ?e :where [?e :name"][..], ":edn/eof"),
        (&["query", "p.tr", "[:find ?x :where [?e :name ?n]]"], "?x"),
        (&["query", "p.tr", "[:find ?e :where [?e :name ?n] [(lenght ?n) ?l]]"], "lenght"),
        (&["query", "p.tr", "{:where [[?e :name]]}"], ":find"),
        (&["query", "p.tr", NAMES, "--input", "[1"], "--input 1: "),
        (&["transact", "p.tr", "[{:name"], ":edn/eof"),
        (&["transact", "p.tr", "[{:nam \"x\"}]"], "did you mean :name?"),
        (&["transact", "p.tr", "[{:age \"old\"}]"], ":db.type/long"),
        (&["transact", "p.tr", "[[:db/ad 1 :age 2]]"], ":db/ad"),
        (&["pull", "p.tr", "[:name", "1"], ":edn/eof"),
        (&["pull", "p.tr", "[*]", "[:age 3]"], ":lookup-ref/unique"),
        (&["datoms", "p.tr", "[:name \"Nobody\"]"], ":entity-id/missing"),
        (&["datoms", "p.tr", "--index", "aevt", ":nam"], "did you mean :name?"),
        (&["import", "p.tr", "/"], "does not tell the format"),
    ] {
        let code = if part.contains("format") { 2 } else { 1 };
        let told = place.fails(code, args);
        assert!(told.starts_with("error: ") && told.contains(part), "{args:?}: {told}");
    }
    let ran = place.run(&["query", "p.tr", "[:find ?e :where (or [$ ?e :nam] [?e :agee])]"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "#{}\n"));
    assert!(ran.err.contains("did you mean :name?") && ran.err.contains("did you mean :age?"), "{ran:?}");
    let told = place.fails(1, &["query", "p.tr", "[:find ?e :where\n [?e :name ?n]\n [(lenght ?n) ?l]]"]);
    assert!(told.contains("3 |") && told.contains('^'), "{told}");
}

#[test]
fn mistakes_on_the_command_line_are_told() {
    let place = Place::with_people();
    for args in [
        &["query"][..],
        &["query", "p.tr"],
        &["query", "p.tr", "x", "y"],
        &["qury", "p.tr"],
        &["query", "p.tr", NAMES, "--mode", "xml"],
        &["query", "p.tr", NAMES, "--file", "q.edn"],
        &["stats", "p.tr", "more"],
        &["create-database", ""],
        &[],
    ] {
        place.fails(2, args);
    }
    assert!(place.ok(&["--version"]).starts_with("treering "));
    assert!(place.ok(&["query", "--help"]).contains("--as-of"));
}

#[test]
fn configs_come_from_files_and_the_environment() {
    let place = Place::new();
    place.write("c.edn", "{:store {:backend :file :path \"c.tr\"} :schema-flexibility :read :name \"c\"}");
    place.ok(&["create-database", "--config", "c.edn"]);
    place.ok(&["transact", "--config", "c.edn", "[{:any 1}]"]);
    assert_eq!(place.ok(&["query", "--config", "c.edn", "[:find ?v . :where [_ :any ?v]]"]), "1\n");
    assert_eq!(place.ok(&["query", "c.tr", "[:find ?v . :where [_ :any ?v]]"]), "1\n");
    place.write("c.json", r#"{"store": {"backend": "file", "path": "c.tr"}}"#);
    assert_eq!(place.ok(&["query", "--config", "c.json", "[:find ?v . :where [_ :any ?v]]"]), "1\n");

    for (name, text, part) in [
        ("key.edn", "{:store {:backend :file :path \"c.tr\"} :keep-histroy? true}", "did you mean :keep-history?"),
        (
            "type.edn",
            "{:store {:backend :file :path \"c.tr\"} :keep-history? 1}",
            ":keep-history? wants true or false, got an integer: 1",
        ),
        (
            "index.edn",
            "{:store {:backend :file :path \"i.tr\"} :index :datahike.index/persistant-set}",
            "did you mean :datahike.index/persistent-set?",
        ),
        ("backend.edn", "{:store {:backend :fiel :path \"c.tr\"}}", "did you mean :file?"),
        ("path.edn", "{:store {:backend :file}}", ":path"),
        ("option.edn", "{:store {:backend :file :path \"c.tr\" :pth 1}}", "did you mean :path?"),
        ("broken.edn", "{:store ", ":edn/eof"),
        ("broken.json", "{\"store\": ", ":config/json"),
    ] {
        place.write(name, text);
        let told = place.fails(1, &["create-database", "--config", name]);
        assert!(told.contains(part), "{name}: {told}");
    }
    assert!(place.fails(1, &["stats", "--config", "nowhere.edn"]).contains("nowhere.edn cannot be read"));
    place.write("other.edn", "{:store {:backend :file :path \"c.tr\"} :schema-flexibility :write}");
    let told = place.fails(1, &["stats", "--config", "other.edn"]);
    assert!(told.contains(":config-does-not-match-stored-db") && told.contains(":schema-flexibility :read"), "{told}");

    let mut command = place.command(&["create-database", "e.tr"]);
    command.env("DATAHIKE_SCHEMA_FLEXIBILITY", "read");
    assert_eq!(Ran::of(command.output().expect("it runs")).code, 0);
    place.ok(&["transact", "e.tr", "[{:undeclared 1}]"]);
    let mut command = place.command(&["create-database", "f.tr"]);
    command.env("TREERING_KEEP_HISTORY", "perhaps");
    let ran = Ran::of(command.output().expect("it runs"));
    assert!(ran.code == 1 && ran.err.contains("TREERING_KEEP_HISTORY wants true or false"), "{ran:?}");
}

#[test]
fn missing_and_damaged_databases_are_told() {
    let place = Place::with_people();
    assert!(place.fails(1, &["stats", "nowhere.tr"]).contains("create-database nowhere.tr"));
    std::fs::create_dir(place.path().join("empty.tr")).expect("a folder");
    assert!(place.fails(1, &["stats", "empty.tr"]).contains("create-database empty.tr"));
    place.write("plain.tr", "not a folder");
    place.fails(1, &["stats", "plain.tr"]);

    // The database that a tour would stand in for is the user's own.
    place.write("packages.jsonl.gz", "");
    let told = place.fails(2, &["tour", "p.tr", "--data", "."]);
    assert!(told.contains("p.tr exists") && told.contains("--overwrite"), "{told}");

    // What exists and what is damaged is told with its place.
    assert!(place.fails(1, &["create-database", "p.tr"]).contains("p.tr: the database exists already"));
    let head = place.path().join("p.tr/head/db");
    let bytes = std::fs::read(&head).expect("a head");
    std::fs::write(&head, &bytes[..20]).expect("a file");
    let told = place.fails(1, &["query", "p.tr", NAMES]);
    assert!(told.contains("p.tr: ") && told.contains("backup"), "{told}");
    std::fs::write(&head, &bytes).expect("a file");

    // One byte flipped in the middle of each file of the database: an error, or an answer that is right.
    let right = place.ok(&["query", "p.tr", NAMES, "-m", "csv"]);
    for file in files(&place.path().join("p.tr")) {
        let bytes = std::fs::read(&file).expect("a file");
        if bytes.is_empty() {
            continue;
        }
        let mut damaged = bytes.clone();
        damaged[bytes.len() / 3] ^= 0x55;
        std::fs::write(&file, &damaged).expect("a file");
        let ran = place.run(&["query", "p.tr", NAMES, "-m", "csv"]);
        assert!(!ran.err.contains("panicked"), "{file:?}: {ran:?}");
        if ran.code == 0 {
            assert_eq!(lines(&ran.out), lines(&right), "{file:?}");
        } else {
            assert!(ran.code == 1 && ran.err.starts_with("error: "), "{file:?}: {ran:?}");
        }
        std::fs::write(&file, &bytes).expect("a file");
    }
    assert_eq!(lines(&place.ok(&["query", "p.tr", NAMES, "-m", "csv"])), lines(&right));
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::with_people();
    let locked = place.path().join("locked");
    std::fs::create_dir(&locked).expect("a folder");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).expect("permissions");
    // Root may write anywhere: then there is nothing to see.
    if std::fs::write(locked.join("probe"), "").is_err() {
        let told = place.fails(1, &["create-database", "locked/x.tr"]);
        assert!(told.contains("locked/x.tr"), "{told}");
        assert!(place.fails(1, &["export", "p.tr", "locked/x.edn"]).contains("cannot be written"));
    }
    // A file stands where a folder would have to be: nobody may write there.
    place.write("file", "");
    let told = place.fails(1, &["create-database", "file/x.tr"]);
    assert!(told.contains("file/x.tr") || told.contains("file"), "{told}");
    assert!(place.fails(1, &["export", "p.tr", "file/x.edn"]).contains("cannot be written"));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let place = Place::with_people();
    let people: String = (0..20_000).map(|i| format!("{{\"name\": \"person {i}\", \"age\": {i}}}\n")).collect();
    place.write("many.jsonl", people);
    place.ok(&["import", "p.tr", "many.jsonl"]);
    let mut command = place.command(&["query", "p.tr", NAMES, "--mode", "jsonl"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let mut first = [0; 16];
    let mut out = child.stdout.take().expect("a pipe");
    out.read_exact(&mut first).expect("rows");
    drop(out);
    let ran = Ran::of(child.wait_with_output().expect("it ends"));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn a_second_writer_is_told_who_writes() {
    let place = Place::with_people();
    let mut command = place.command(&["shell", "p.tr"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"{:name \"Dan\" :age 1}\n").expect("it reads");
    let mut out = child.stdout.take().expect("a pipe");
    // The first byte of its report says that the shell has the lock.
    let mut told = [0; 1];
    out.read_exact(&mut told).expect("its report");
    let ran = place.run(&["transact", "p.tr", "[{:name \"Eve\"}]"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains(":store/locked"), "{ran:?}");
    // Reading goes on beside the writer, in a shell too.
    place.ok(&["query", "p.tr", NAMES]);
    let second = place.feed(&["shell", "p.tr"], "[:find (count ?e) . :where [?e :name]]\n{:name \"F\"}\n");
    assert!(second.err.contains("opened for reading only") && second.err.contains("read-only"), "{second:?}");
    drop(input);
    child.wait().expect("it ends");
    place.ok(&["transact", "p.tr", "[{:name \"Gus\"}]"]);
}

#[test]
fn attributes_as_entities_go_out_and_come_back() {
    let place = Place::new();
    for name in ["p.tr", "q.tr"] {
        place.ok(&["create-database", name, "--attribute-refs"]);
    }
    place.ok(&["transact", "p.tr", SCHEMA]);
    let told = place.ok(&["transact", "p.tr", "--mode", "edn", r#"[{:name "Ann" :age 3}]"#]);
    assert!(told.contains("[58 55 \"Ann\" 536870914 true]"), "{told}");
    assert!(place.ok(&["datoms", "p.tr", "--index", "aevt", ":age"]).contains("[58 56 3 536870914 true]"));
    assert!(place.ok(&["datoms", "p.tr", "--index", "aevt", "56"]).contains("[58 56 3 536870914 true]"));
    assert!(place.fails(1, &["datoms", "p.tr", "--index", "aevt", "58"]).contains("no attribute is defined by"));
    place.ok(&["export", "p.tr", "p.edn"]);
    assert!(place.read("p.edn").contains(":db/valueType :db.type/string"));
    assert!(!place.read("p.edn").contains(":db/ident :db/"));
    place.ok(&["import", "q.tr", "p.edn"]);
    place.ok(&["export", "q.tr", "q.edn"]);
    assert_eq!(place.read("p.edn"), place.read("q.edn"));
}
