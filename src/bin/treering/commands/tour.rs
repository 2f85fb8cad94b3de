//! `tour`: the Debian archive in a database, and what can be asked of it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use treering::edn::{Form, pretty};
use treering::{
    Config, Connection, Db, EntityId, EntityRef, connect, create_database, database_exists, delete_database,
};

use super::import::{self, Options};
use crate::engine::{self, Limits, PlanFormat};
use crate::failure::{Failure, Outcome};
use crate::formats::Source;
use crate::output::{Layout, Mode, foot, milliseconds};

/// Import the Debian archive into a new database and ask it questions
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The database to make. Without it debian.tr is made, and replaced if it is there [default: debian.tr]
    database: Option<PathBuf>,
    /// Replace DATABASE with all that it holds
    #[arg(long)]
    overwrite: bool,
    /// Where packages.jsonl.gz and security.jsonl.gz are
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// What a package needs, over any number of steps.
const NEEDS: &str = "[[(needs ?p ?d) [?p :depends ?d]]
 [(needs ?p ?d) [?p :depends ?x] (needs ?x ?d)]]";

pub fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let data = data(args)?;
    let database = args.database.as_deref().unwrap_or(Path::new("debian.tr"));
    let config = Config::file(database);
    if database_exists(&config)? {
        // A database that the user names may be one of the user's own.
        if args.database.is_some() && !args.overwrite {
            let shown = database.display();
            return Err(Failure::Usage(format!("the database {shown} exists; give --overwrite to replace it")));
        }
        delete_database(&config)?;
    }
    create_database(&config)?;
    let conn = connect(&config)?;
    let toured = tour(&conn, &data, out);
    conn.release()?;
    toured?;
    writeln!(out, "\nThe database is left in {0}. Go on with: treering shell {0}", database.display())?;
    Ok(())
}

fn data(args: &Args) -> Outcome<PathBuf> {
    let places = match &args.data {
        Some(given) => vec![given.clone()],
        None => vec!["tests/data/debian".into(), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/debian")],
    };
    let found = places.iter().find(|place| place.join("packages.jsonl.gz").is_file());
    found.cloned().ok_or_else(|| {
        Failure::Usage(format!("packages.jsonl.gz is not in {}; give its folder by --data", places[0].display()))
    })
}

fn tour(conn: &Connection, data: &Path, out: &mut dyn Write) -> Outcome {
    heading(out, "The archive, then the security updates as later transactions")?;
    let options = Options::by_identity("name", &["depends", "recommends", "provides"]);
    load(conn, &data.join("packages.jsonl.gz"), &options, out)?;
    let before = conn.db().basis_t();
    load(conn, &data.join("security.jsonl.gz"), &options, out)?;
    let began = Instant::now();
    conn.flush()?;
    writeln!(out, "indexes stored in {}", milliseconds(began.elapsed()))?;
    questions(&conn.db(), before, out)
}

fn load(conn: &Connection, file: &Path, options: &Options, out: &mut dyn Write) -> Outcome {
    import::file(Some(conn), &Source::new(&file.to_string_lossy(), None)?, options, out)
}

fn questions(db: &Db, before: EntityId, out: &mut dyn Write) -> Outcome {
    heading(out, "Who maintains most?")?;
    let largest = "[:find ?maintainer (count ?p)
 :where [?p :maintainer ?maintainer]
 :order-by [[1 :desc]] :limit 5]";
    ask(db, largest, &[], out)?;

    heading(out, "What does gimp need, over all steps?")?;
    let needed = "[:find (count ?d) . :in $ % ?name
 :where [?p :name ?name] (needs ?p ?d)]";
    writeln!(out, "{NEEDS}")?;
    ask(db, needed, &[NEEDS, "\"gimp\""], out)?;

    heading(out, "What breaks if libc6 goes?")?;
    let broken = "[:find (count ?p) . :in $ % ?name
 :where [?d :name ?name] (needs ?p ?d)]";
    ask(db, broken, &[NEEDS, "\"libc6\""], out)?;

    heading(out, "One package, with what it depends on, two levels deep")?;
    pull(db, "[:name :version {:depends [:name {:depends [:name]}]}]", "jq", out)?;

    heading(out, "The versions of openssl through time")?;
    let versions = "[:find ?t ?version ?added
 :where [?p :name \"openssl\"] [?p :version ?version ?t ?added]
 :order-by [?t ?added]]";
    ask(&db.history()?, versions, &[], out)?;

    heading(out, "The same question before the updates and now: how many packages carry a security version?")?;
    let patched = "[:find (count ?p) .
 :where [?p :version ?v] [(re-find \"deb12u[0-9]+$\" ?v)]]";
    writeln!(out, "as of transaction {before}:")?;
    ask(&db.as_of(before)?, patched, &[], out)?;
    writeln!(out, "now:")?;
    ask(db, patched, &[], out)?;

    heading(out, "How the engine goes about it")?;
    let plan = engine::explain(db, broken, inputs(&[NEEDS, "\"libc6\""])?, false, PlanFormat::Text)?;
    writeln!(out, "{plan}")?;
    Ok(())
}

fn heading(out: &mut dyn Write, text: &str) -> Outcome {
    writeln!(out, "\n== {text}")?;
    out.flush()?;
    Ok(())
}

fn inputs(texts: &[&str]) -> Outcome<Vec<Form>> {
    texts.iter().map(|text| Ok(treering::edn::read(text)?)).collect()
}

fn ask(db: &Db, query: &str, given: &[&str], out: &mut dyn Write) -> Outcome {
    writeln!(out, "{query}")?;
    let answer = engine::query(db, query, inputs(given)?, &Limits::default())?;
    answer.rows.write(out, Mode::Table, &Layout { width: Some(100), most: Some(20) }, &|| answer.form.clone())?;
    writeln!(out, "{}", foot(answer.rows.rows.len(), Some(answer.took)))?;
    Ok(())
}

fn pull(db: &Db, pattern: &str, name: &str, out: &mut dyn Write) -> Outcome {
    writeln!(out, "pull {pattern} [:name {name:?}]")?;
    let began = Instant::now();
    let pulled = treering::pull(db, pattern, EntityRef::from((treering::edn::Keyword::new("name"), name)))?;
    let took = began.elapsed();
    writeln!(out, "{}", pretty(&pulled.to_form(), 100))?;
    writeln!(out, "in {}", milliseconds(took))?;
    Ok(())
}
