//! Functions that make operations while a transaction is made.

use std::fmt;
use std::sync::Arc;

use crate::datom::Value;
use crate::db::Db;
use crate::edn::{Keyword, Symbol};
use crate::error::Result;

use super::input::{IntoTxData, TxData};

/// What runs when a transaction function is called.
type Body = dyn Fn(&Db, &[Value]) -> Result<TxData> + Send + Sync;

/// A function of the database before a transaction and of arguments, whose result stands in the tx-data in place of the
/// call. An error refuses the transaction.
#[derive(Clone)]
pub struct TxFunction(Arc<Body>);

impl TxFunction {
    /// A function that gives anything that can be transacted.
    ///
    /// ```
    /// use treering::{Op, TxFunction};
    /// let note = TxFunction::new(|db, args| {
    ///     Ok(format!("[[:db/add :db/current-tx :db/doc \"{args:?}, after {}\"]]", db.basis_t()))
    /// });
    /// let operation = Op::call(note, [1, 2]);
    /// assert!(matches!(operation, Op::Call { .. }));
    /// ```
    pub fn new<D: IntoTxData>(function: impl Fn(&Db, &[Value]) -> Result<D> + Send + Sync + 'static) -> TxFunction {
        TxFunction(Arc::new(move |db, args| function(db, args)?.into_tx_data()))
    }

    pub(super) fn call(&self, db: &Db, args: &[Value]) -> Result<TxData> {
        (self.0)(db, args)
    }
}

impl fmt::Debug for TxFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TxFunction")
    }
}

/// Whether it is the same function, not whether it does the same.
impl PartialEq for TxFunction {
    fn eq(&self, other: &TxFunction) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The function that an operation calls.
#[derive(Debug, Clone, PartialEq)]
pub enum Callee {
    /// The one that is registered under the name, see
    /// [`Registry::register_tx_function`](crate::Registry::register_tx_function).
    Registered(Symbol),
    /// The one whose name is the `:db/fn` of the entity with this ident.
    Installed(Keyword),
    /// This one.
    Function(TxFunction),
}

/// A registered function, named with or without a colon.
impl From<&str> for Callee {
    fn from(name: &str) -> Self {
        Callee::Registered(Symbol::new(name.strip_prefix(':').unwrap_or(name)))
    }
}

impl From<Symbol> for Callee {
    fn from(name: Symbol) -> Self {
        Callee::Registered(name)
    }
}

/// An installed function.
impl From<Keyword> for Callee {
    fn from(ident: Keyword) -> Self {
        Callee::Installed(ident)
    }
}

impl From<TxFunction> for Callee {
    fn from(function: TxFunction) -> Self {
        Callee::Function(function)
    }
}
