//! Plans: which operators run, in which order, over which columns.

mod cores;
mod cost;
mod estimate;
mod explain;
mod facts;
mod lower;
mod order;
mod ordered;
mod patterns;
mod planner;
mod ranges;
mod rules;
mod search;
mod shape;
mod state;

pub(super) use estimate::{Samples, cuts, read_of};
pub(super) use explain::{ExplainStep, explain_plan, form_map};
pub(super) use lower::{ROW, plan_body};
pub(super) use ordered::read_in_order;
pub(super) use patterns::asks_for_facts;
pub(super) use planner::Planner;
pub(super) use shape::{resolve_at, resolve_entity, resolve_value};

use std::sync::Arc;

use super::logic::{Arg, Bind, Call, Place, TableRef, Var};
use crate::datom::{Order, Value};
use crate::index::Direction;
use crate::schema::Attribute;

/// Steps from left to right; each extends, narrows or spreads the rows of the one before.
#[derive(Debug)]
pub(super) struct Plan {
    pub steps: Vec<Step>,
    /// The columns that come in.
    pub input: Vec<Var>,
    /// The rows expected.
    pub rows: f64,
    /// Whether rows are known to be distinct.
    pub distinct: bool,
}

impl Plan {
    /// The columns that come out.
    pub fn layout(&self) -> &[Var] {
        self.layout_before(self.steps.len())
    }

    /// The columns that a step gets.
    pub fn layout_before(&self, step: usize) -> &[Var] {
        step.checked_sub(1).map_or(&self.input, |before| &self.steps[before].layout)
    }
}

#[derive(Debug)]
pub(super) struct Step {
    pub op: Op,
    /// The columns after the step.
    pub layout: Vec<Var>,
    /// The rows expected after the step.
    pub rows: f64,
    pub place: Arc<Place>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a plan has few steps, and most of them are look-ups")]
pub(super) enum Op {
    /// No row at all: a constant that names nothing.
    Nothing(String),
    Lookup(Lookup),
    /// All pairs that agree in the keys; without keys all pairs.
    Join {
        right: Plan,
        keys: Vec<Var>,
        exists: bool,
        build_left: bool,
    },
    /// Rows of a collection, filtered and renamed.
    Rows(Rows),
    Call {
        call: Arc<Call>,
        /// Where calls are late: what else a row must pass for which the call fails, before the query does.
        rescue: Option<Plan>,
    },
    /// Both variables, or a variable and a constant, are equal; or the second becomes a copy of the first.
    Equal {
        a: Operand,
        b: Operand,
        copy: bool,
    },
    Not {
        body: Plan,
    },
    Or {
        branches: Vec<Plan>,
    },
    Rule(RuleCall),
    /// Paths over one attribute.
    Closure(Closure),
    /// All ways to tie variables in circles.
    Cyclic(Cyclic),
    /// Rows of a table of the rules that are being solved.
    Table(TableCall),
    /// Keeps one of equal rows.
    Distinct,
}

#[derive(Debug, Clone)]
pub(super) enum Operand {
    Var(Var),
    Const(Value),
}

/// A position of a datom, in a lookup.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Any,
    Const(Value),
    /// The column on the left holds it.
    Bound(Var),
    /// A new column.
    Out(Var),
    /// Equal to an earlier position.
    Same(usize),
}

/// Positions in [`Lookup::parts`].
pub(super) const E: usize = 0;
pub(super) const A: usize = 1;
pub(super) const V: usize = 2;
pub(super) const TX: usize = 3;
pub(super) const OP: usize = 4;

/// For each row on the left the datoms of a range of an index.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    pub source: usize,
    pub order: Order,
    /// Entity, attribute, value, transaction, added.
    pub parts: [Part; 5],
    /// The constants that entity, value and transaction were resolved from.
    pub given: [Option<usize>; 5],
    /// Bounds of the value, when it is neither constant nor bound.
    pub range: ValueRange,
    /// Whether one match is as good as many.
    pub exists: bool,
    /// Whether the rows without a match are kept, instead of those with one.
    pub anti: bool,
    /// The values are wanted in order, from which end, and about so many datoms will do.
    pub first: Option<(Direction, usize)>,
}

/// Bounds of a value; with `bool` whether the bound itself is in.
#[derive(Debug, Clone, Default)]
pub(super) struct ValueRange {
    pub low: Option<(Value, bool)>,
    pub high: Option<(Value, bool)>,
}

impl ValueRange {
    pub fn is_all(&self) -> bool {
        self.low.is_none() && self.high.is_none()
    }
}

/// A relation made before the run: an input, or a source that is a collection.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub relation: usize,
    pub parts: Vec<Part>,
}

/// A call of a tabled rule: what is asked, and how its tables are filled.
#[derive(Debug)]
pub(super) struct RuleCall {
    pub rule: usize,
    pub component: Component,
    pub args: Vec<RuleArg>,
}

/// Paths over a ref attribute, searched from one end.
#[derive(Debug)]
pub(super) struct Closure {
    pub source: usize,
    pub attribute: Arc<Attribute>,
    /// Whether the search goes from entities to values.
    pub along: bool,
    /// Where the search begins, and where it leads.
    pub near: RuleArg,
    pub far: RuleArg,
}

/// Variables in the order in which they are found, and what ties them to each other. Each is tied to one before it.
#[derive(Debug, Clone)]
pub(super) struct Cyclic {
    pub vars: Vec<Var>,
    pub ties: Vec<Tie>,
}

/// A ref attribute as a tie of two variables: their places, the earlier one first.
#[derive(Debug, Clone)]
pub(super) struct Tie {
    pub from: usize,
    pub to: usize,
    pub source: usize,
    pub attribute: Arc<Attribute>,
    /// Whether the earlier variable is the entity.
    pub along: bool,
}

/// A join with a table. Asking for answers adds to the demand.
#[derive(Debug)]
pub(super) struct TableCall {
    pub table: TableRef,
    pub args: Vec<RuleArg>,
    /// Which arguments the table is asked by.
    pub required: Vec<bool>,
}

/// Rules that recur through each other, planned: a table for each way in which one is asked. The first is the one that
/// is called from outside.
#[derive(Debug)]
pub(super) struct Component {
    pub tables: Vec<TablePlan>,
    pub variants: Vec<Variant>,
}

/// A rule, asked with some arguments known.
#[derive(Debug)]
pub(super) struct TablePlan {
    pub rule: usize,
    pub known: Vec<bool>,
}

/// One way to new answers: a branch of a rule, starting from what is new in one table.
#[derive(Debug)]
pub(super) struct Variant {
    /// The table that gets the answers.
    pub table: usize,
    pub from: TableRef,
    /// What the columns of `from` are to the plan.
    pub args: Vec<RuleArg>,
    pub plan: Plan,
    /// The columns of an answer.
    pub head: Vec<Var>,
}

/// An argument of a rule: a column on the left or a constant, a new column, or nothing that counts.
#[derive(Debug, Clone)]
pub(super) enum RuleArg {
    Known(Operand),
    Out(Var),
    Any,
}

/// Whether what streams past hashed rows is reduced to those with a partner as soon as it is read.
pub(super) fn reduces_early(right: &Plan, keys: &[Var]) -> bool {
    right.steps.len() > 1 && !keys.is_empty() && keys.iter().all(|key| right.layout_before(1).contains(key))
}

/// Where a call gets an argument.
pub(super) fn arg_vars(call: &Call) -> impl Iterator<Item = Var> + '_ {
    call.args.iter().filter_map(|arg| match arg {
        Arg::Term(term) => term.var(),
        Arg::Source(_) => None,
    })
}

/// Whether a binding gives one row for each value.
pub(super) fn is_single(bind: &Bind) -> bool {
    match bind {
        Bind::Blank | Bind::Slot(_) => true,
        Bind::Tuple(members) => members.iter().all(is_single),
        Bind::Collection(_) => false,
    }
}
