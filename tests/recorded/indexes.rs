//! Raw access to the indexes.

use treering::edn::{Form, Keyword};
use treering::{Components, Datoms, Order, Result, Value};

use crate::cases::Case;
use crate::databases::{Fact, Recorded, database, fact, facts};

pub fn ask(case: &Case) -> std::result::Result<(), String> {
    let recorded = database(case.database().ok_or("no database")?).map_err(|error| format!("the database: {error}"))?;
    let args = case.args().get(1..).unwrap_or(&[]);
    let found = read(case, &recorded, args);
    case.judge(found, |result, found| {
        let wanted = match case.op.as_str() {
            "find-datom" => fact(result).into_iter().collect(),
            _ => facts(Some(result)),
        };
        if wanted == *found { Ok(()) } else { Err(format!("recorded {wanted:?}, found {found:?}")) }
    })
}

fn read(case: &Case, recorded: &Recorded, args: &[Form]) -> Result<Vec<Fact>> {
    let db = &recorded.db;
    let collect = |datoms: Datoms| -> Result<Vec<Fact>> { datoms.map(|datom| Ok(recorded.fact(&datom?))).collect() };
    if case.op == "index-range" {
        let value = |place: usize| args.get(place).filter(|form| !form.is_nil()).and_then(Value::from_form);
        let attribute = args[0].as_keyword().expect("an attribute");
        return collect(db.index_range(attribute, value(1), value(2))?);
    }
    let (order, rest) = args.split_first().expect("an index");
    let order = match order.as_keyword().map(Keyword::name) {
        Some("eavt") => Order::Eavt,
        Some("aevt") => Order::Aevt,
        _ => Order::Avet,
    };
    let components = Components::from_forms(order, rest)?;
    match case.op.as_str() {
        "seek-datoms" => collect(db.seek_datoms(order, &components)?),
        "rseek-datoms" => collect(db.rseek_datoms(order, &components)?),
        "find-datom" => Ok(collect(db.datoms(order, &components)?)?.into_iter().take(1).collect()),
        _ => collect(db.datoms(order, &components)?),
    }
}
