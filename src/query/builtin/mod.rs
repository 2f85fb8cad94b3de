//! The functions and predicates that a query can call, by name. `docs/functions.md` lists them.
//!
//! A function gets values and databases and gives a value or nil. A predicate is a function too: a row passes where the
//! result is neither nil nor false.

mod args;
mod collection;
mod compare;
mod convert;
mod database;
pub(crate) mod math;
mod regex;
mod string;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use crate::datom::{Value, ValueKind};
use crate::db::Db;
use crate::edn::Symbol;
use crate::error::{Error, ErrorKind, Result};
use crate::library::Named;
use crate::pull::Xform;
use crate::schema::ValueType;
use args::Args;
pub(crate) use args::shown;

/// What a function is called with.
#[derive(Debug, Clone, Copy)]
pub enum Argument<'a> {
    /// A value; nil is [`Value::Nil`].
    Value(&'a Value),
    /// A database: a source such as `$`.
    Db(&'a Db),
}

/// What runs when a function is called; `None` is nil.
pub type FunctionBody = Arc<dyn Fn(&[Argument<'_>]) -> Result<Option<Value>> + Send + Sync>;

/// A function or predicate that queries can call.
#[derive(Clone)]
pub struct Function {
    /// The name in queries.
    pub name: Symbol,
    /// How many arguments it takes.
    pub arity: RangeInclusive<usize>,
    /// Whether equal arguments always give equal results, so that calls may be folded, cached and moved.
    pub pure: bool,
    /// What runs. It is called with as many arguments as `arity` allows.
    pub call: FunctionBody,
}

impl Function {
    /// A pure function.
    ///
    /// ```
    /// use treering::{Argument, Function, Functions, Value};
    /// let double = Function::new("double-it", 1..=1, |args| match args {
    ///     [Argument::Value(Value::Long(n))] => Ok(n.checked_mul(2).map(Value::Long)),
    ///     _ => Ok(None),
    /// });
    /// let functions = Functions::standard().with(double);
    /// let called = functions.get(treering::edn::Symbol::new("double-it")).unwrap().invoke(&[Argument::Value(&Value::Long(4))])?;
    /// assert_eq!(called, Some(Value::Long(8)));
    /// # Ok::<(), treering::Error>(())
    /// ```
    pub fn new(
        name: &str,
        arity: RangeInclusive<usize>,
        call: impl Fn(&[Argument<'_>]) -> Result<Option<Value>> + Send + Sync + 'static,
    ) -> Function {
        Function { name: Symbol::new(name), arity, pure: true, call: Arc::new(call) }
    }

    /// The same function as one that may give another result for the same arguments: it is called for each row, never in
    /// advance.
    #[must_use]
    pub fn impure(self) -> Function {
        Function { pure: false, ..self }
    }

    /// Whether it is the built-in function of its name.
    pub(super) fn is_built_in(&self) -> bool {
        Functions::standard().get(self.name).is_some_and(|known| Arc::ptr_eq(&known.call, &self.call))
    }

    /// Whether it is known to give numbers and nothing else.
    pub(super) fn gives_numbers(&self) -> bool {
        self.is_built_in() && math::BUILTINS.iter().any(|builtin| builtin.names == self.name.as_str())
    }

    /// The same function with declared types: arguments that have others are refused before it is called, with
    /// `:query/type`, and so is a result. The last type of `takes` holds for all further arguments too.
    ///
    /// ```
    /// use treering::{Argument, Function, Functions, QueryOptions, Value, ValueType, inputs, q_with};
    /// let tax = Function::new("tax", 1..=1, |args| match args {
    ///     [Argument::Value(Value::Double(net))] => Ok(Some(Value::Double(net * 0.19))),
    ///     _ => Ok(None),
    /// });
    /// let functions = Functions::standard().with(tax.typed(&[ValueType::Double], ValueType::Double));
    /// let options = QueryOptions { functions: Some(functions), ..QueryOptions::default() };
    /// let query = "[:find ?tax . :in ?net :where [(tax ?net) ?tax]]";
    /// assert_eq!(q_with(query, inputs![100.0], &options)?.to_value(), Value::Double(19.0));
    /// let error = q_with(query, inputs!["much"], &options).unwrap_err();
    /// assert!(error.message().starts_with("tax: argument 1 should be a :db.type/double, got the string"), "{error}");
    /// # Ok::<(), treering::Error>(())
    /// ```
    #[must_use]
    pub fn typed(self, takes: &[ValueType], gives: ValueType) -> Function {
        let (name, takes, call) = (self.name, takes.to_vec(), self.call);
        let typed: FunctionBody = Arc::new(move |args| {
            for (i, arg) in args.iter().enumerate() {
                let Some(wanted) = takes.get(i).or(takes.last()) else { break };
                let fits = matches!(arg, Argument::Value(value) if has_type(value, *wanted));
                if !fits {
                    return Err(Args::new(name, args).type_error(i, &format!("a {}", wanted.keyword())));
                }
            }
            match call(args)? {
                Some(value) if value != Value::Nil && !has_type(&value, gives) => {
                    let message =
                        format!("{name}: it is declared to give a {}, it gave {}", gives.keyword(), shown(&value));
                    Err(Error::new(ErrorKind::Query, "query/type", message))
                }
                result => Ok(result),
            }
        });
        Function { call: typed, ..self }
    }

    /// Checks the number of arguments.
    ///
    /// # Errors
    /// `Query`, code `:query/arity`.
    pub fn check_arity(&self, given: usize) -> Result<()> {
        if self.arity.contains(&given) {
            return Ok(());
        }
        let (least, most) = (*self.arity.start(), *self.arity.end());
        let wanted = match most {
            _ if least == most => format!("{least}"),
            usize::MAX => format!("{least} or more"),
            _ => format!("{least} to {most}"),
        };
        let plural = if least == 1 && most == 1 { "" } else { "s" };
        let message = format!("{} takes {wanted} argument{plural}, got {given}", self.name);
        Err(Error::new(ErrorKind::Query, "query/arity", message))
    }

    /// Checks the number of arguments and calls the function. `None` is nil; `Some(Nil)` never comes out.
    ///
    /// # Errors
    /// `Query`: `:query/arity`, `:query/type` and those of the function.
    pub fn invoke(&self, args: &[Argument<'_>]) -> Result<Option<Value>> {
        self.check_arity(args.len())?;
        Ok((self.call)(args)?.filter(|value| !matches!(value, Value::Nil)))
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name, self.arity)
    }
}

/// Whether a result counts as true: anything but nil and false.
pub fn truthy(result: Option<&Value>) -> bool {
    !matches!(result, None | Some(Value::Nil | Value::Bool(false)))
}

/// The functions that a query can call, by name. A value: cheap to clone, never changed.
#[derive(Clone, Debug)]
pub struct Functions(Named<Function>);

impl Functions {
    /// Whether both are one table.
    pub(crate) fn is_same(&self, other: &Functions) -> bool {
        self.0.is_same(&other.0)
    }

    /// The built-in functions.
    pub fn standard() -> Functions {
        static STANDARD: OnceLock<Functions> = OnceLock::new();
        STANDARD.get_or_init(Functions::built_in).clone()
    }

    fn built_in() -> Functions {
        let groups: [&[Builtin]; 6] = [
            compare::BUILTINS,
            math::BUILTINS,
            string::BUILTINS,
            collection::BUILTINS,
            convert::BUILTINS,
            database::BUILTINS,
        ];
        let functions = groups.into_iter().flatten().flat_map(|builtin| {
            let names = builtin.names.split_whitespace();
            names.map(|name| builtin.function(name))
        });
        Functions(functions.chain(regex::functions()).map(|function| (function.name, function)).collect())
    }

    /// These functions and one more, which takes the place of one with the same name.
    #[must_use]
    pub fn with(&self, function: Function) -> Functions {
        Functions(self.0.with(function.name, function))
    }

    /// The function of that name. `clojure.core/inc` is `inc`, and `clojure.string/trim` is `str/trim`.
    pub fn get(&self, name: Symbol) -> Option<&Function> {
        self.0.get(name)
    }

    /// The function of that name as what `:xform` of a pull pattern takes.
    pub fn xform(&self, name: Symbol) -> Option<Xform> {
        let function = self.get(name)?.clone();
        Some(Arc::new(move |value| Ok(function.invoke(&[Argument::Value(value)])?.unwrap_or(Value::Nil))))
    }

    /// The known name that is nearest to an unknown one, for "did you mean".
    pub fn nearest(&self, name: Symbol) -> Option<Symbol> {
        self.0.nearest(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<Symbol> {
        self.0.names()
    }
}

impl Default for Functions {
    fn default() -> Self {
        Functions::standard()
    }
}

/// Whether a value is one of a type; entity ids are longs too, and every number is a `:db.type/number`.
fn has_type(value: &Value, wanted: ValueType) -> bool {
    match (wanted.kind(), value.kind()) {
        (Some(ValueKind::Ref | ValueKind::Long), ValueKind::Ref | ValueKind::Long) => true,
        (Some(wanted), kind) => wanted == kind,
        (None, _) => math::Number::of(value).is_some(),
    }
}

/// One line of the tables of built-in functions.
struct Builtin {
    /// The name, or several with blanks between.
    names: &'static str,
    least: usize,
    most: usize,
    pure: bool,
    call: fn(&Args<'_>) -> Result<Option<Value>>,
}

/// No upper bound on the number of arguments.
const MANY: usize = usize::MAX;

impl Builtin {
    const fn new(
        names: &'static str,
        least: usize,
        most: usize,
        call: fn(&Args<'_>) -> Result<Option<Value>>,
    ) -> Builtin {
        Builtin { names, least, most, pure: true, call }
    }

    fn function(&self, name: &str) -> Function {
        let (name, call) = (Symbol::new(name), self.call);
        Function {
            name,
            arity: self.least..=self.most,
            pure: self.pure,
            call: Arc::new(move |args| call(&Args::new(name, args))),
        }
    }
}
