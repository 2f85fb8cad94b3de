//! What a query means: clauses over numbered variables, every name resolved.

use std::sync::Arc;
use std::time::Duration;

use super::builtin::Function;
use crate::datom::Value;
use crate::edn::{Form, Span, Symbol};
use crate::error::Error;

use super::ast::FindShape;
use super::page::Cursor;

/// A variable of the query. Each scope has its own, whatever their names.
pub(super) type Var = u32;

/// A position of a pattern or of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term {
    /// Anything will do.
    Any,
    Var(Var),
    /// A place in [`Program::constants`].
    Const(usize),
}

impl Term {
    pub fn var(self) -> Option<Var> {
        match self {
            Term::Var(var) => Some(var),
            _ => None,
        }
    }
}

/// A value that is the same in every row: written in the query, or a scalar input.
#[derive(Debug, Clone)]
pub(super) enum Constant {
    Literal(Value),
    /// The input of that number, then the members of nested tuples.
    Input {
        input: usize,
        path: Vec<usize>,
    },
}

/// A text that spans point into, with a span of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub text: Option<Arc<str>>,
    pub span: Span,
}

impl Place {
    pub fn mark(&self, error: Error) -> Error {
        super::parse::locate(error, self.span, self.text.as_deref())
    }

    /// The text of the clause.
    pub fn excerpt(&self) -> Option<&str> {
        let text = self.text.as_deref()?;
        text.get(self.span.start as usize..self.span.end as usize).filter(|text| !text.is_empty())
    }
}

#[derive(Debug, Clone)]
pub(super) struct Clause {
    pub kind: Kind,
    pub place: Arc<Place>,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Facts, or tuples of a source that is a collection.
    Pattern { source: usize, terms: Vec<Term> },
    /// Rows of an input: a collection, a relation.
    Input { input: usize },
    /// A predicate (no binding) or a function.
    Call(Arc<Call>),
    /// Both are equal, as values.
    Equal(Term, Term),
    /// No row of the body agrees in the variables that both sides know, all of them bound before.
    Not { body: Vec<Clause>, shared: Vec<Var> },
    /// Rows of any branch.
    Or { branches: Vec<Vec<Clause>>, required: Vec<Var> },
    /// A rule that is answered from a table: its place in [`Program::rules`].
    Rule { rule: usize, args: Vec<Term> },
    /// Rows of a table of the rules that are being solved; the `required` arguments are known before.
    Table { table: TableRef, args: Vec<Term>, required: Vec<bool> },
}

/// What a table holds of a rule: the arguments that were asked for, or the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableRef {
    Demand(usize),
    Answers(usize),
}

/// A call of a function, or a predicate.
pub(super) struct Call {
    pub name: Symbol,
    pub callee: Callee,
    pub args: Vec<Arg>,
    pub binding: Option<Bind>,
    /// The variables that the binding's slots are, in the sequence of slots.
    pub outs: Vec<Var>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:?} -> {:?}", self.name, self.args, self.outs)
    }
}

#[derive(Debug)]
pub(super) enum Callee {
    Known(Function),
    /// A constant holds its name.
    Named(usize),
    /// A query of its own: `[(q query inputs…) binding]`.
    Query,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Arg {
    Term(Term),
    Source(usize),
}

/// How a value is taken apart. Slots are numbered in the sequence of their first appearance.
#[derive(Debug, Clone)]
pub(super) enum Bind {
    Blank,
    Slot(usize),
    Tuple(Vec<Bind>),
    Collection(Box<Bind>),
}

/// An input that gives rows.
#[derive(Debug, Clone)]
pub(super) struct InputRows {
    pub input: usize,
    pub path: Vec<usize>,
    pub bind: Bind,
    pub vars: Vec<Var>,
}

/// A branch of a recursive rule: the variables of its head, and its body.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub head: Vec<Var>,
    pub required: usize,
    pub body: Vec<Clause>,
}

/// A rule that is answered from a table, asked about one source.
#[derive(Debug)]
pub(super) struct Rule {
    pub name: Symbol,
    /// Rules with one number recur through each other.
    pub component: usize,
    pub branches: Vec<Branch>,
}

#[derive(Debug, Clone)]
pub(super) enum Element {
    Term(Term),
    /// The aggregate's name, its leading arguments, what is aggregated.
    Aggregate {
        name: AggregateName,
        args: Vec<Term>,
        of: Term,
        place: Arc<Place>,
    },
    Pull {
        source: usize,
        of: Term,
        pattern: Pattern,
        place: Arc<Place>,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum AggregateName {
    Known(Symbol),
    /// A constant holds its name.
    Named(usize),
}

#[derive(Debug, Clone)]
pub(super) enum Pattern {
    Form(Arc<Form>),
    Const(usize),
}

/// One input that is a database or a collection of tuples.
#[derive(Debug, Clone)]
pub(super) struct SourceInput {
    pub name: Symbol,
    pub input: usize,
}

#[derive(Debug, Clone)]
pub(super) struct SortKey {
    pub column: usize,
    pub descending: bool,
}

/// A predicate of `:having`.
#[derive(Debug)]
pub(super) struct Having {
    pub name: Symbol,
    pub callee: Callee,
    pub args: Vec<HavingArg>,
    pub place: Arc<Place>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum HavingArg {
    /// A place in [`Program::find`].
    Column(usize),
    /// A place in [`Program::constants`].
    Const(usize),
}

/// A query, resolved.
#[derive(Debug)]
pub(super) struct Program {
    /// Names, for people; not unique.
    pub vars: Vec<Symbol>,
    pub constants: Vec<Constant>,
    pub sources: Vec<SourceInput>,
    pub input_rows: Vec<InputRows>,
    pub clauses: Vec<Clause>,
    pub rules: Vec<Rule>,
    /// The elements of `:find`, then those that only `:having` looks at.
    pub find: Vec<Element>,
    /// How many of `find` are part of the answer.
    pub visible: usize,
    /// The names of the columns of the answer.
    pub names: Arc<[String]>,
    /// The variables whose values `find` and `with` want, each once.
    pub wanted: Vec<Var>,
    pub having: Vec<Having>,
    pub with: Vec<Term>,
    pub shape: FindShape,
    pub keys: Option<Arc<[Value]>>,
    pub order_by: Vec<SortKey>,
    pub limit: Option<usize>,
    pub offset: usize,
    pub after: Option<Cursor>,
    pub timeout: Option<Duration>,
    /// What is suspicious whatever the inputs are.
    pub warnings: Vec<String>,
    /// The elements of `:in`, as they are written.
    pub inputs: Vec<String>,
}

impl Program {
    /// Fills in `names` and `wanted`, once all else is known.
    pub fn with_columns(mut self) -> Program {
        let term = |term: &Term| term.var().map_or("_", |var| self.name(var)).to_owned();
        let name = |element: &Element| match element {
            Element::Term(t) => term(t),
            Element::Aggregate { place, of, .. } | Element::Pull { place, of, .. } => {
                place.excerpt().map_or_else(|| term(of), str::to_owned)
            }
        };
        let names = self.find.iter().take(self.visible).map(name).collect();
        let terms = self.find.iter().map(|element| match element {
            Element::Term(term) | Element::Aggregate { of: term, .. } | Element::Pull { of: term, .. } => *term,
        });
        let mut wanted = Vec::new();
        for var in terms.chain(self.with.iter().copied()).filter_map(Term::var) {
            if !wanted.contains(&var) {
                wanted.push(var);
            }
        }
        (self.names, self.wanted) = (names, wanted);
        self
    }

    pub fn name(&self, var: Var) -> &'static str {
        self.vars.get(var as usize).map_or("?", |name| name.as_str())
    }
}
