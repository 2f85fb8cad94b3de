//! Comparisons with constants as ranges of the index of values.

use super::lower::Body;
use super::order::{Choice, Facet, Method, What};
use super::planner::Planner;
use super::shape::Shape;
use super::state::{Set, place};
use super::{E, Part, V, ValueRange};
use crate::datom::{Order, Value, ValueKind};
use crate::query::logic::{Arg, Clause, Kind, Term, Var};

impl Planner<'_> {
    /// Bounds that comparisons with constants put on the value of a pattern.
    pub(super) fn range(&self, shape: &Shape, clauses: &[Clause]) -> ValueRange {
        let mut range = ValueRange::default();
        let (Part::Out(v), Some(attribute)) = (&shape.parts[V], &shape.attribute) else { return range };
        let Some(kind) = attribute.value_type.and_then(|t| t.kind()).filter(|_| attribute.in_avet()) else {
            return range;
        };
        for clause in clauses {
            let Some((name, bound, flipped)) = self.comparison(clause, *v, kind) else { continue };
            let (low, high) = around(&bound);
            let (is_exact, more, less) = (is_exact(kind), std::cmp::Ordering::Greater, std::cmp::Ordering::Less);
            match (name, flipped) {
                ("<", false) | (">", true) => tighten(&mut range.high, (high, !is_exact), less),
                ("<=", false) | (">=", true) => tighten(&mut range.high, (high, true), less),
                (">", false) | ("<", true) => tighten(&mut range.low, (low, !is_exact), more),
                (">=", false) | ("<=", true) => tighten(&mut range.low, (low, true), more),
                ("=" | "==", _) => {
                    tighten(&mut range.high, (high, true), less);
                    tighten(&mut range.low, (low, true), more);
                }
                _ => {}
            }
        }
        range
    }

    /// A comparison of a variable with a constant that the values of a kind can be held against: the name, the constant as
    /// such a value, and whether it stands before the variable.
    fn comparison<'c>(&self, clause: &'c Clause, v: Var, kind: ValueKind) -> Option<(&'c str, Value, bool)> {
        let Kind::Call(call) = &clause.kind else { return None };
        let (None, [Arg::Term(a), Arg::Term(b)]) = (&call.binding, call.args.as_slice()) else { return None };
        let (constant, flipped) = match (a, b) {
            (Term::Var(var), Term::Const(c)) if *var == v => (*c, false),
            (Term::Const(c), Term::Var(var)) if *var == v => (*c, true),
            _ => return None,
        };
        let name = call.name.as_str();
        if !matches!(name, "<" | "<=" | ">" | ">=" | "=" | "==") {
            return None;
        }
        let bound = match (kind, &self.run.constants[constant]) {
            (ValueKind::Double, Value::Long(n)) if n.unsigned_abs() < 1 << 53 && !matches!(name, "=") => {
                Value::Double(*n as f64)
            }
            (ValueKind::Double, Value::Double(x)) if !x.is_nan() => Value::Double(*x),
            (ValueKind::Long | ValueKind::Instant | ValueKind::Str, bound) if bound.kind() == kind => bound.clone(),
            _ => return None,
        };
        Some((name, bound, flipped))
    }

    /// Comparisons that need no filter, because what is read of the index of values passes them.
    pub(super) fn implied(&self, body: &Body<'_>, choices: &[Choice], input: &[Var]) -> Vec<usize> {
        let clauses = body.clauses;
        let mut implied = Vec::new();
        let mut bound: Set = input.iter().map(|var| place(*var)).collect();
        for choice in choices {
            if let What::Clause(clause, method) = choice.what
                && let Facet::Pattern(known) = &body.facets[clause]
                && let Part::Out(v) = &known.shape.parts[V]
                && !bound.contains(place(*v))
                && !known.range.is_all()
                && !matches!(known.shape.parts[E], Part::Const(_))
                && !matches!(method, Method::Lookup(order) if order != Order::Avet)
                && let Some(kind) = known.shape.attribute.as_ref().and_then(|a| a.value_type?.kind())
                && is_exact(kind)
            {
                let is_comparison = |i: &usize| self.comparison(&clauses[*i], *v, kind).is_some();
                implied.extend((0..clauses.len()).filter(is_comparison));
            }
            body.concerned(&choice.what, &mut |clause| self.binds(&clause.kind, &mut bound));
        }
        implied
    }
}

/// Whether a comparison of values of a kind is that of the index. Doubles have a zero of either sign, and NaN.
fn is_exact(kind: ValueKind) -> bool {
    kind != ValueKind::Double
}

/// The least and the greatest value that equal a bound as numbers do.
fn around(bound: &Value) -> (Value, Value) {
    match bound {
        Value::Double(0.0) => (Value::Double(-0.0), Value::Double(0.0)),
        other => (other.clone(), other.clone()),
    }
}

fn tighten(bound: &mut Option<(Value, bool)>, new: (Value, bool), closer: std::cmp::Ordering) {
    let replace = match bound {
        None => true,
        Some(old) => new.0.cmp(&old.0) == closer || (new.0 == old.0 && !new.1),
    };
    if replace {
        *bound = Some(new);
    }
}
