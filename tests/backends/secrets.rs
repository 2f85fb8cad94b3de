//! Passwords and keys stay where they were given.

use std::fmt::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use treering::{Access, Registry, connect_in, create_database_in};

use crate::{Place, suites};

/// Everything that is logged, as text.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<String>>);

impl Heard {
    /// What is logged while `work` runs.
    pub fn during<T>(work: impl FnOnce() -> T) -> (T, String) {
        let heard = Heard::default();
        let done = tracing::subscriber::with_default(heard.clone(), work);
        let text = heard.0.lock().clone();
        (done, text)
    }
}

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        writeln!(self.0.lock(), "{field} {value:?}").unwrap();
    }
}

impl Subscriber for Heard {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What no text may contain.
const SECRET: &str = "hunter2";

pub fn are_kept(place: &dyn Place) {
    let config = suites::config(place, "secrets");
    let registry = Registry::with_builtins();
    let (store, heard) = Heard::during(|| {
        create_database_in(&registry, &config).unwrap();
        let conn = connect_in(&registry, &config).unwrap();
        conn.transact("[{:db/ident :name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]").unwrap();
        println!("{}", registry.identity(&config).unwrap());
        let shown = format!("{config:?} {conn:?} {:?} {registry:?}", registry.identity(&config));
        assert!(!shown.contains(SECRET), "{shown}");
        conn.release().unwrap();
        registry.connect_store(&config, Access::Writer).unwrap()
    });
    assert!(!heard.contains(SECRET), "{heard}");
    assert!(!format!("{store:?}").contains(SECRET), "{store:?}");
    for key in store.list("").unwrap() {
        let bytes = store.get(&key, None).unwrap().unwrap_or_default();
        assert!(!bytes.windows(SECRET.len()).any(|text| text == SECRET.as_bytes()), "{key} holds the secret");
    }
    // A bad key is refused by the store, a bad value by the server: neither says who asked.
    let error = store.swap("a//b", None, vec![]).unwrap_err();
    assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
}

/// A config by which nothing can be opened: what is told of it has no secret. The code of the error.
#[cfg(any(feature = "postgres", feature = "redis", feature = "s3"))]
pub fn refused(text: &str) -> &'static str {
    let registry = Registry::with_builtins();
    let (error, heard) = Heard::during(|| {
        let config = treering::Config::from_edn(text)?;
        assert!(!format!("{config:?}").contains(SECRET), "{config:?}");
        registry.check(&config)?;
        registry.create_store(&config).and_then(|store| store.put("a", vec![1]))
    });
    let error = error.expect_err("it cannot be opened");
    let mut shown = format!("{error} {error:?} {heard}");
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        write!(shown, " {inner} {inner:?}").unwrap();
        cause = inner.source();
    }
    assert!(!shown.contains(SECRET), "{shown}");
    println!("{error}");
    error.code()
}
