//! The engine as the judge asks it: through the public API alone.

use treering::{Config, Db, EntityId, Input, Output, Shape, TX0, Value, connect_in, create_database_in, q};

use super::generate::{Case, InputSpec, View, World};

/// The first transaction after that of the schema.
pub const FIRST_TX: u64 = TX0 + 2;

/// The database after the schema and the history of a world.
pub fn load(world: &World) -> Db {
    let registry = treering::Registry::with_builtins();
    let config = Config::memory("oracle").or_env().expect("the environment names an index or none");
    create_database_in(&registry, &config).expect("a new database");
    let conn = connect_in(&registry, &config).expect("a connection");
    conn.transact(world.schema_text().as_str()).expect("a schema");
    for text in world.transaction_texts() {
        conn.transact(text.as_str()).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    }
    conn.db()
}

fn seen(db: &Db, view: View) -> Db {
    let t = |n: u64| EntityId(FIRST_TX - 1 + n);
    let seen = match view {
        View::Now => Ok(db.clone()),
        View::AsOf(n) => db.as_of(t(n)),
        View::Since(n) => db.since(t(n)),
        View::Between(after, n) => db.as_of(t(n)).and_then(|db| db.since(t(after))),
        View::HistorySince(n) => db.history().and_then(|db| db.since(t(n))),
        View::History => db.history(),
        View::HistoryAsOf(n) => db.history().and_then(|db| db.as_of(t(n))),
    };
    seen.expect("views of a database with history")
}

/// The rows that the engine answers.
pub fn run(db: &Db, _: &World, case: &Case, text: &str) -> Result<Vec<Vec<Value>>, String> {
    let input = |spec: &InputSpec| match spec {
        InputSpec::View(view) => Input::from(seen(db, *view)),
        InputSpec::Text(text) => Input::from(Case::form(text)),
    };
    let inputs: Vec<Input> = case.inputs.iter().map(input).collect();
    let output = q(text, inputs).map_err(|error| format!("{error:?}"))?;
    if output.shape() == Shape::Maps { values_of(&output) } else { Ok(output.rows().collect()) }
}

/// The values of maps, whose keys must be those that cases ask for: `k0`, `k1`….
fn values_of(output: &Output) -> Result<Vec<Vec<Value>>, String> {
    let value = output.to_value();
    let maps = super::eval::members(&value).ok_or_else(|| format!("no maps: {value:?}"))?;
    let values = |map: &Value| match map {
        Value::Map(entries) => {
            let name = |key: &Value| key.to_form().to_string().trim_matches([':', '"']).to_owned();
            let keys_fit = entries.iter().enumerate().all(|(i, (key, _))| name(key) == format!("k{i}"));
            let values = entries.iter().map(|(_, value)| value.clone()).collect();
            if keys_fit { Ok(values) } else { Err(format!("other keys: {map:?}")) }
        }
        other => Err(format!("no map: {other:?}")),
    };
    maps.iter().map(values).collect()
}
