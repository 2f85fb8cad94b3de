//! What a query says, as it was written: names and places, nothing resolved yet.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::page::Cursor;
use crate::datom::Value;
use crate::edn::{Form, Span, Symbol};

/// A symbol with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    pub symbol: Symbol,
    pub span: Span,
}

impl Name {
    pub fn text(self) -> &'static str {
        self.symbol.as_str()
    }
}

/// A position of a pattern or an argument.
#[derive(Debug, Clone)]
pub(super) enum Term {
    /// `_`
    Blank,
    /// `?x`, or a plain symbol that `:in` binds
    Var(Name),
    /// `$x`, as an argument
    Source(Name),
    /// Anything else.
    Const(Value),
}

impl Term {
    /// Whether both say the same, wherever they stand.
    pub fn is_same(&self, other: &Term) -> bool {
        match (self, other) {
            (Term::Blank, Term::Blank) => true,
            (Term::Var(a), Term::Var(b)) | (Term::Source(a), Term::Source(b)) => a.symbol == b.symbol,
            (Term::Const(a), Term::Const(b)) => a == b,
            _ => false,
        }
    }
}

/// What a function's result or an input is bound to.
#[derive(Debug, Clone)]
pub(super) enum Binding {
    /// `_`
    Blank,
    /// `?x`
    Var(Name),
    /// `[?x _ ?y]`
    Tuple(Vec<Binding>),
    /// `[?x ...]`; a relation `[[?x ?y]]` is a collection of tuples.
    Collection(Box<Binding>),
}

/// One clause of `:where`.
#[derive(Debug, Clone)]
pub(super) struct Clause {
    pub kind: ClauseKind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub(super) enum ClauseKind {
    /// `[$src ?e :a ?v ?tx ?added]`
    Pattern { source: Option<Name>, terms: Vec<Term> },
    /// `[(f args…)]`, `[(f args…) binding]`
    Call { function: Name, args: Vec<Term>, binding: Option<Binding> },
    /// `(not clauses…)`, `(not-join [vars] clauses…)`
    Not { source: Option<Name>, vars: Option<Vec<Name>>, clauses: Vec<Clause> },
    /// `(or branches…)`, `(or-join [[required] vars] branches…)`; a branch is a conjunction.
    Or { source: Option<Name>, vars: Option<RuleVars>, branches: Vec<Vec<Clause>> },
    /// `(and clauses…)` outside an `or`
    And { source: Option<Name>, clauses: Vec<Clause> },
    /// `($src rule args…)`
    Rule { source: Option<Name>, name: Name, args: Vec<Term> },
}

/// `[[required…] free…]`
#[derive(Debug, Clone)]
pub(super) struct RuleVars {
    pub required: Vec<Name>,
    pub free: Vec<Name>,
}

/// One branch of a rule.
#[derive(Debug, Clone)]
pub(super) struct RuleBranch {
    pub name: Name,
    pub vars: RuleVars,
    pub clauses: Vec<Clause>,
}

/// The branches of all rules, with the text they were read from.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    pub branches: Vec<RuleBranch>,
    pub text: Option<Arc<str>>,
}

/// One element of `:in`.
#[derive(Debug, Clone)]
pub(super) enum InElement {
    /// `$`, `$name`
    Source(Name),
    /// `%`
    Rules,
    /// Variables.
    Binding(Binding),
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Binding::Blank => f.write_str("_"),
            Binding::Var(name) => f.write_str(name.text()),
            Binding::Tuple(members) => {
                let members: Vec<String> = members.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", members.join(" "))
            }
            Binding::Collection(inner) => match **inner {
                Binding::Tuple(_) => write!(f, "[{inner}]"),
                _ => write!(f, "[{inner} ...]"),
            },
        }
    }
}

impl fmt::Display for InElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InElement::Source(name) => f.write_str(name.text()),
            InElement::Rules => f.write_str("%"),
            InElement::Binding(binding) => binding.fmt(f),
        }
    }
}

/// One element of `:find`.
#[derive(Debug, Clone)]
pub(super) enum FindElement {
    /// `?x`
    Var(Name),
    /// `(sum ?x)`, `(min 3 ?x)`, `(aggregate ?f ?x)`: the last argument is what is aggregated.
    Aggregate { function: Name, args: Vec<Term>, span: Span },
    /// `(pull $src ?e pattern)`
    Pull { source: Option<Name>, var: Name, pattern: PullPattern, span: Span },
}

impl FindElement {
    /// Whether both ask for the same, wherever they stand.
    pub fn is_same(&self, other: &FindElement) -> bool {
        match (self, other) {
            (FindElement::Var(a), FindElement::Var(b)) => a.symbol == b.symbol,
            (
                FindElement::Aggregate { function: f, args: a, .. },
                FindElement::Aggregate { function: g, args: b, .. },
            ) => f.symbol == g.symbol && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b)),
            _ => false,
        }
    }
}

/// A predicate of `:having`.
#[derive(Debug, Clone)]
pub(super) struct Having {
    pub function: Name,
    pub args: Vec<HavingArg>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub(super) enum HavingArg {
    /// A value, a scalar of `:in`, or a variable of `:find`.
    Term(Term),
    /// An aggregate, whether `:find` has it or not.
    Aggregate(FindElement),
}

#[derive(Debug, Clone)]
pub(super) enum PullPattern {
    Literal(Form),
    Var(Name),
}

/// The four find shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FindShape {
    Relation,
    Collection,
    Tuple,
    Scalar,
}

/// `:keys`, `:strs`, `:syms`: the keys of result maps.
#[derive(Debug, Clone)]
pub(super) struct ReturnMap {
    pub keys: Vec<Value>,
}

/// One key of `:order-by`: a column of `:find`.
#[derive(Debug, Clone)]
pub(super) struct OrderKey {
    pub column: usize,
    pub descending: bool,
}

/// A query, parsed.
#[derive(Debug, Clone)]
pub(super) struct Ast {
    pub find: Vec<FindElement>,
    pub shape: FindShape,
    pub with: Vec<Name>,
    pub inputs: Vec<InElement>,
    /// Whether there is no `:in`: the query takes a database, or nothing if it reads none.
    pub no_in: bool,
    pub clauses: Vec<Clause>,
    pub return_map: Option<ReturnMap>,
    pub order_by: Vec<OrderKey>,
    pub having: Vec<Having>,
    pub limit: Option<usize>,
    pub offset: usize,
    /// `:after`: where the page before this one ended.
    pub after: Option<Cursor>,
    pub timeout: Option<Duration>,
    /// `:args` of a query in map form; symbols with `$` stand for inputs that are handed over.
    pub args: Option<Vec<Form>>,
    /// `:stats? true`: the answer is wrapped in what the steps of the plan did.
    pub stats: bool,
    /// The text that spans point into.
    pub text: Option<Arc<str>>,
}
