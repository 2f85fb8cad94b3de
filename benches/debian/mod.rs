//! The packages of the Debian archive as transactions.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::GzDecoder;
use treering::edn::Keyword;
use treering::{EntityMap, Op, TempId};

const SCALARS: [&str; 9] =
    ["version", "section", "priority", "architecture", "maintainer", "homepage", "source", "summary", "name"];
const NUMBERS: [&str; 2] = ["installed_size", "size"];
const REFS: [&str; 3] = ["depends", "recommends", "provides"];
const BATCH: usize = 5000;

pub fn schema() -> String {
    let attribute =
        |name: &str, kind: &str, more: &str| format!("{{:db/ident :{name} :db/valueType :db.type/{kind} {more}}}\n");
    let one = ":db/cardinality :db.cardinality/one";
    let many = ":db/cardinality :db.cardinality/many";
    let mut text = String::from("[");
    for name in SCALARS {
        let unique = if name == "name" { " :db/unique :db.unique/identity" } else { "" };
        text += &attribute(name, "string", &format!("{one}{unique}"));
    }
    NUMBERS.iter().for_each(|name| text += &attribute(name, "long", one));
    REFS.iter().for_each(|name| text += &attribute(name, "ref", many));
    text + "]"
}

/// The records as entity maps; a package that is referred to is named by a tempid until its first mention.
pub fn records() -> Vec<Vec<Op>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/debian/packages.jsonl.gz");
    let lines = BufReader::new(GzDecoder::new(File::open(path).expect("the archive is in tests/data"))).lines();
    let records: Vec<serde_json::Value> =
        lines.map(|line| serde_json::from_str(&line.expect("text")).expect("JSON")).collect();
    let keywords: HashMap<&str, Keyword> =
        SCALARS.iter().chain(&NUMBERS).chain(&REFS).map(|name| (*name, Keyword::new(name))).collect();
    records.chunks(BATCH).map(|batch| batch.iter().flat_map(|record| ops(record, &keywords)).collect()).collect()
}

fn ops(record: &serde_json::Value, keywords: &HashMap<&str, Keyword>) -> Vec<Op> {
    let name = record["name"].as_str().expect("a package has a name");
    let mut package = EntityMap::new().tempid(name);
    let mut others = Vec::new();
    for key in SCALARS {
        if let Some(text) = record[key].as_str() {
            package = package.set(keywords[key], text);
        }
    }
    for key in NUMBERS {
        if let Some(number) = record[key].as_i64() {
            package = package.set(keywords[key], number);
        }
    }
    for key in REFS {
        let names: Vec<&str> = record[key].as_array().into_iter().flatten().filter_map(|n| n.as_str()).collect();
        others.extend(names.iter().map(|n| EntityMap::new().tempid(*n).set(keywords["name"], *n)));
        package = package.add_many(keywords[key], names.into_iter().map(TempId::from));
    }
    others.push(package);
    others.into_iter().map(Op::from).collect()
}
