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
use std::sync::Arc;

use hashbrown::HashMap;

use crate::datom::Value;
use crate::db::Db;
use crate::edn::Symbol;
use crate::error::{Error, ErrorKind, Result};
use crate::pull::Xform;
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
#[derive(Clone)]
pub struct Functions(Arc<HashMap<Symbol, Function>>);

impl Functions {
    /// The built-in functions.
    pub fn standard() -> Functions {
        let mut table = HashMap::new();
        let groups: [&[Builtin]; 6] = [
            compare::BUILTINS,
            math::BUILTINS,
            string::BUILTINS,
            collection::BUILTINS,
            convert::BUILTINS,
            database::BUILTINS,
        ];
        for builtin in groups.into_iter().flatten() {
            for name in builtin.names.split_whitespace() {
                let function = builtin.function(name);
                table.insert(function.name, function);
            }
        }
        for function in regex::functions() {
            table.insert(function.name, function);
        }
        Functions(Arc::new(table))
    }

    /// These functions and one more, which takes the place of one with the same name.
    #[must_use]
    pub fn with(&self, function: Function) -> Functions {
        let mut table = HashMap::clone(&self.0);
        table.insert(function.name, function);
        Functions(Arc::new(table))
    }

    /// The function of that name. `clojure.core/inc` is `inc`, and `clojure.string/trim` is `str/trim`.
    pub fn get(&self, name: Symbol) -> Option<&Function> {
        self.0.get(&name).or_else(|| {
            let other = match name.namespace()? {
                "clojure.core" => Symbol::new(name.name()),
                "clojure.string" => Symbol::new(&format!("str/{}", name.name())),
                _ => return None,
            };
            self.0.get(&other)
        })
    }

    /// The function of that name as what `:xform` of a pull pattern takes.
    pub fn xform(&self, name: Symbol) -> Option<Xform> {
        let function = self.get(name)?.clone();
        Some(Arc::new(move |value| Ok(function.invoke(&[Argument::Value(value)])?.unwrap_or(Value::Nil))))
    }

    /// The known name that is nearest to an unknown one, for "did you mean".
    pub fn nearest(&self, name: Symbol) -> Option<Symbol> {
        nearest(name, self.0.keys())
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<Symbol> {
        let mut names: Vec<Symbol> = self.0.keys().copied().collect();
        names.sort_unstable();
        names
    }
}

impl Default for Functions {
    fn default() -> Self {
        Functions::standard()
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// The name among `known` that is nearest to `name`, if one is near.
pub(crate) fn nearest<'a>(name: Symbol, known: impl Iterator<Item = &'a Symbol>) -> Option<Symbol> {
    let wanted = name.as_str();
    let limit = 1 + wanted.chars().count() / 4;
    let candidates = known.map(|k| (crate::schema::distance(wanted, k.as_str(), limit), *k));
    candidates.filter(|(d, k)| *d <= limit && *d < k.as_str().chars().count()).min().map(|(_, k)| k)
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
