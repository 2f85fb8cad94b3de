//! Recorded queries of DataScript, answered by any evaluator.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use treering::Value;
use treering::edn::{self, Form, FormKind, Keyword};

use super::{Fact, Input, SchemaFacts, Source, canon};

/// A recorded call of `q`.
pub struct Record {
    pub name: String,
    pub query: Form,
    pub inputs: Vec<Input>,
    /// The databases by the argument that they stand for.
    pub databases: BTreeMap<usize, (Vec<Fact>, SchemaFacts)>,
    /// The recorded result, or `None` where the call was an error.
    pub result: Option<Value>,
}

/// The folder of recorded cases, where there is one: `TREERING_CASES_DIR`, itself or its `datascript`.
pub fn folder() -> Option<PathBuf> {
    let given = std::env::var_os("TREERING_CASES_DIR").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases"));
    [folder.join("datascript"), folder].into_iter().find(|folder| folder.join("index.edn").is_file())
}

fn get<'a>(form: &'a Form, key: &str) -> Option<&'a Form> {
    form.get(Keyword::new(key))
}

/// The recordings by name, those of large databases as `large/name`. There is one record to a line; files without queries
/// hold notations that EDN has not.
pub fn texts(folder: &Path) -> Vec<(String, String)> {
    let files = |folder: &Path, end: &str| {
        let files = std::fs::read_dir(folder).expect("the folder is there").flatten().map(|f| f.path());
        let name = |f: &PathBuf| Some(f.file_name()?.to_str()?.strip_suffix(end)?.replace("datascript.test.", ""));
        let mut files: Vec<(String, PathBuf)> = files.filter_map(|f| Some((name(&f)?, f))).collect();
        files.retain(|(name, _)| name != "index" && name != "dropped");
        files.sort();
        files
    };
    let plain = files(folder, ".edn").into_iter();
    let mut texts: Vec<_> =
        plain.map(|(name, f)| (name, std::fs::read_to_string(f).expect("a readable file"))).collect();
    let large = folder.join("large");
    for (name, file) in if large.is_dir() { files(&large, ".edn.gz") } else { Vec::new() } {
        let mut text = String::new();
        let file = std::fs::File::open(file).expect("a readable file");
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("a gzipped text");
        texts.push((format!("large/{name}"), text));
    }
    texts
}

/// All `:q` records of the folder.
pub fn records(folder: &Path) -> Vec<Record> {
    let mut out = Vec::new();
    for (name, text) in texts(folder) {
        for (i, line) in text.lines().enumerate().filter(|(_, line)| line.contains(", :op :q, ")) {
            let form = edn::read(line.trim_start_matches('[')).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            out.push(record(format!("{name}:{}", i + 1), &form));
        }
    }
    out
}

fn record(name: String, form: &Form) -> Record {
    let query = match get(form, "query-string").map(|f| &f.kind) {
        Some(FormKind::Str(text)) => edn::read(text).expect("a query as text"),
        _ => get(form, "query").expect("a query").clone(),
    };
    let dbs = get(form, "dbs").expect("databases");
    let mut databases = BTreeMap::new();
    let mut inputs = Vec::new();
    for (i, arg) in super::ast::items(get(form, "args").expect("arguments")).unwrap_or(&[]).iter().enumerate() {
        let named = get(arg, "db").and_then(|k| dbs.pairs()?.iter().find(|(key, _)| key == k));
        if let Some((_, db)) = named {
            let (facts, schema) = database(db);
            inputs.push(Input::Source(Source::db(&facts, schema.clone())));
            databases.insert(i, (facts, schema));
        } else if let Some(function) = get(arg, "fn") {
            inputs.push(Input::Form(function.clone()));
        } else {
            inputs.push(Input::Form(arg.clone()));
        }
    }
    let result = get(form, "result").map(|r| canon(&Value::from_form(r).unwrap_or(Value::Nil)));
    Record { name, query, inputs, databases, result }
}

fn database(form: &Form) -> (Vec<Fact>, SchemaFacts) {
    let mut schema = SchemaFacts::default();
    schema.unique.insert(Keyword::new("db/ident"));
    for (attribute, facts) in get(form, "schema").and_then(Form::pairs).unwrap_or(&[]) {
        let Some(a) = attribute.as_keyword() else { continue };
        for (key, value) in facts.pairs().unwrap_or(&[]) {
            let fact = (key.as_keyword().map_or("", Keyword::as_str), value.as_keyword().map_or("", Keyword::as_str));
            match fact {
                ("db/valueType", "db.type/ref") => schema.refs.insert(a),
                ("db/cardinality", "db.cardinality/many") => schema.many.insert(a),
                ("db/unique", _) => schema.unique.insert(a),
                ("db/isComponent", _) => schema.components.insert(a),
                _ => false,
            };
        }
    }
    let datoms = get(form, "datoms").and_then(Form::items).unwrap_or(&[]);
    let fact = |form: &Form| match form.items() {
        Some([e, a, v, tx, added]) => Some(Fact {
            e: e.as_int()? as u64,
            a: a.as_keyword()?,
            v: canon(&Value::from_form(v)?),
            tx: tx.as_int()? as u64,
            added: added.as_bool()?,
        }),
        _ => None,
    };
    (datoms.iter().filter_map(fact).collect(), schema)
}

/// Equality of results as recorded: collections as multisets, numbers of aggregates by amount.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Tuple(x), Value::Tuple(y)) => x.len() == y.len() && x.iter().zip(y.iter()).all(|(x, y)| same(x, y)),
        (Value::Double(x), other) | (other, Value::Double(x)) => {
            super::numbers::double(other).is_some_and(|y| (x - y).abs() <= 1e-9 * x.abs().max(1.0))
        }
        (Value::Map(x), Value::Map(y)) => {
            x.len() == y.len() && x.iter().zip(y.iter()).all(|((k, v), (l, w))| same(k, l) && same(v, w))
        }
        _ => a == b,
    }
}

pub fn same_bag(a: &[Value], b: &[Value]) -> bool {
    let sorted = |values: &[Value]| {
        let mut values = values.to_vec();
        values.sort();
        values
    };
    if sorted(a) == sorted(b) {
        return true;
    }
    let mut left: Vec<&Value> = b.iter().collect();
    a.len() == b.len() && a.iter().all(|x| left.iter().position(|y| same(x, y)).map(|i| left.remove(i)).is_some())
}
