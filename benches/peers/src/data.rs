//! The generated data of a comparison: CSV files with a header line.

use std::path::Path;

use treering::edn::Keyword;
use treering::{Connection, EntityId, EntityMap, Value};

pub const PEOPLE: &str = "[
  {:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :last-name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :sex :db/valueType :db.type/keyword :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :age :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :salary :db/valueType :db.type/long :db/cardinality :db.cardinality/one :db/index true}
  {:db/ident :follows :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}]";

const ORG: &str = "[
  {:db/ident :person/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
  {:db/ident :person/dept :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}
  {:db/ident :dept/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
  {:db/ident :dept/budget :db/valueType :db.type/long :db/cardinality :db.cardinality/one}
  {:db/ident :dept/division :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}
  {:db/ident :division/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}]";

const EDGES: &str = "[{:db/ident :edge :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}]";

/// The fields of each line but the header.
fn lines(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

fn number(field: &str) -> i64 {
    field.parse().unwrap_or_else(|_| panic!("a number was wanted, got {field:?}"))
}

fn entity(field: &str) -> EntityId {
    EntityId(number(field) as u64)
}

/// One id on each line.
pub fn ids(path: &Path) -> Vec<EntityId> {
    lines(path).iter().map(|fields| entity(&fields[0])).collect()
}

/// Parsed rows, as every engine's loading begins with.
pub struct Person {
    pub id: EntityId,
    pub name: String,
    pub last: String,
    pub sex: Keyword,
    pub age: i64,
    pub salary: i64,
    pub follows: Option<EntityId>,
}

pub fn people(path: &Path) -> Vec<Person> {
    let person = |f: &Vec<String>| Person {
        id: entity(&f[0]),
        name: f[1].clone(),
        last: f[2].clone(),
        sex: Keyword::new(&f[3]),
        age: number(&f[4]),
        salary: number(&f[5]),
        follows: f.get(6).filter(|f| !f.is_empty()).map(|f| entity(f)),
    };
    lines(path).iter().map(person).collect()
}

impl Person {
    pub fn datoms(&self) -> u64 {
        5 + u64::from(self.follows.is_some())
    }

    pub fn entity(&self) -> EntityMap {
        let key = Keyword::new;
        let map = EntityMap::new()
            .id(self.id)
            .set(key("name"), self.name.as_str())
            .set(key("last-name"), self.last.as_str())
            .set(key("sex"), self.sex)
            .set(key("age"), self.age)
            .set(key("salary"), self.salary);
        match self.follows {
            Some(followed) => map.set(key("follows"), Value::Ref(followed)),
            None => map,
        }
    }
}

/// Puts people in, 10,000 a transaction.
pub fn load_people(conn: &Connection, people: &[Person]) {
    conn.transact(PEOPLE).expect("the schema is right");
    for part in people.chunks(10_000) {
        conn.transact(part.iter().map(Person::entity).collect::<Vec<_>>()).expect("the people are right");
    }
}

pub fn load_org(conn: &Connection, dir: &Path) {
    conn.transact(ORG).expect("the schema is right");
    let key = Keyword::new;
    let divisions = lines(&dir.join("org_division.csv"));
    let divisions =
        divisions.iter().map(|f| EntityMap::new().id(entity(&f[0])).set(key("division/name"), f[1].as_str()));
    let depts = lines(&dir.join("org_dept.csv"));
    let depts = depts.iter().map(|f| {
        let dept = EntityMap::new().id(entity(&f[0])).set(key("dept/name"), f[1].as_str());
        dept.set(key("dept/budget"), number(&f[2])).set(key("dept/division"), Value::Ref(entity(&f[3])))
    });
    let persons = lines(&dir.join("org_person.csv"));
    let persons = persons.iter().map(|f| {
        let person = EntityMap::new().id(entity(&f[0])).set(key("person/name"), f[1].as_str());
        person.set(key("person/dept"), Value::Ref(entity(&f[2])))
    });
    conn.transact(divisions.chain(depts).chain(persons).collect::<Vec<_>>()).expect("the organisation is right");
}

pub fn load_edges(conn: &Connection, path: &Path) {
    conn.transact(EDGES).expect("the schema is right");
    let edge =
        |f: &Vec<String>| EntityMap::new().id(entity(&f[0])).set(Keyword::new("edge"), Value::Ref(entity(&f[1])));
    for part in lines(path).chunks(10_000) {
        conn.transact(part.iter().map(edge).collect::<Vec<_>>()).expect("the edges are right");
    }
}
