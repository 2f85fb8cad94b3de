//! Documents: JSON objects become entities, with a schema that is inferred from them.
//!
//! The inferred schema is a value: look at it, then transact it or refuse it. Arrays become attributes of many values,
//! objects inside objects components with attributes of a namespace of their own. Attributes that the database has
//! keep their definitions.
//!
//! ```
//! use serde_json::json;
//! use treering::edn::Keyword;
//! use treering::{Config, connect, create_database, documents, pull};
//!
//! let config = Config::memory("documents-example");
//! create_database(&config)?;
//! let conn = connect(&config)?;
//! let people = [
//!     json!({"name": "Ann", "age": 30, "address": {"city": "Oslo"}, "tags": ["a", "b"]}),
//!     json!({"name": "Bob", "age": null, "born": "1990-01-31"}),
//! ];
//! let hints = documents::Hints { identities: vec!["name".into()], ..Default::default() };
//! let plan = documents::infer(&people, &hints, conn.db().schema())?;
//! let shown: Vec<String> = plan.describe().iter().map(|line| line.join(" ")).collect();
//! assert!(shown.contains(&"address.city :address/city string ".to_owned()));
//! assert!(shown.contains(&"born :born instant ".to_owned()));
//!
//! conn.transact(plan.schema())?;
//! conn.transact(plan.tx_data(&people)?)?;
//! let found = pull(&conn.db(), "[:age {:address [:address/city]}]", (Keyword::new("name"), "Ann"))?;
//! assert_eq!(found.to_form().to_string(), r#"{:age 30, :address {:address/city "Oslo"}}"#);
//! # conn.release()?;
//! # treering::delete_database(&config)?;
//! # Ok::<(), treering::Error>(())
//! ```

mod names;
mod plan;
mod shape;
mod values;

pub use names::Names;
pub use plan::{Hints, Plan};
pub use shape::Shape;
pub use values::kind_name;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::schema::Schema;

/// What becomes of the keys of documents in a database with the attributes of `schema`.
///
/// # Errors
/// Those of [`Shape::observe`] and [`Plan::new`]; `Argument`, code `:documents/document`, for what is no object.
pub fn infer(documents: &[Value], hints: &Hints, schema: &Schema) -> Result<Plan> {
    let mut shape = Shape::default();
    for (at, document) in documents.iter().enumerate() {
        let observed = object(document).and_then(|fields| shape.observe(fields, false));
        observed.map_err(|error| error.context(format!("document {at}")))?;
    }
    Plan::new(&shape, hints, schema)
}

fn object(document: &Value) -> Result<&Map<String, Value>> {
    document.as_object().ok_or_else(|| {
        let message = format!("an object {{…}} was wanted, got {}", kind_name(document));
        Error::new(ErrorKind::Argument, "documents/document", message)
    })
}
