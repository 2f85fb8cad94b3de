//! Recursive rules: which tables they need, and the ways from what is new to new answers.
//!
//! A rule is asked with some arguments known, and only what is asked for is answered (magic sets, Bancilhon et al. 1986):
//! a table has a demand, the known arguments asked for so far, and answers. Each branch gives one variant that starts
//! from new demand, and one for each recursive call that starts from new answers of it (semi-naive evaluation). Calls in
//! between ask their table on the way.

use hashbrown::HashSet;

use super::order::What;
use super::planner::Planner;
use super::search::Space;
use super::shape::shape;
use super::state::{Set, State, place};
use super::{Component, Operand, RuleArg, TablePlan, Variant, plan_body};
use crate::datom::{Cut, Key, Order, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::query::logic::{Branch, Clause, Kind, TableRef, Term, Var};

/// Most tables and most bodies of one component.
const MAX_TABLES: usize = 256;

/// Deepest planning of components inside components.
const MAX_COMPONENTS: usize = 40;

/// Most edges of a graph that is read whole though only some paths are asked for.
const WHOLE_GRAPH: u64 = 1 << 14;

/// Rows taken to be in a table, for the order of joins.
const TABLE_ROWS: f64 = 100.0;

impl Planner<'_> {
    pub(super) fn component(&self, rule: usize, known: Vec<bool>) -> Result<Component> {
        self.depth.set(self.depth.get() + 1);
        if self.depth.get() > MAX_COMPONENTS {
            let message = format!("rules call recursive rules more than {MAX_COMPONENTS} deep");
            return Err(Error::new(ErrorKind::Limit, "query/limit", message));
        }
        // One known end of a path is enough to ask by; the other is compared with the answers.
        let known = if known == [true, true] && self.closure(rule).is_some() { vec![true, false] } else { known };
        let mut component = Component { tables: vec![TablePlan { rule, known }], variants: Vec::new() };
        let mut next = 0;
        while next < component.tables.len() {
            let rule = component.tables[next].rule;
            let branches = match self.closure(rule) {
                Some(closure) => closure.branches(component.tables[next].known.last() == Some(&true)),
                None => self.run.program.rules[rule].branches.clone(),
            };
            for branch in &branches {
                for body in self.without_or(&branch.body, self.run.program.rules[rule].component)? {
                    self.variants(next, branch, body, &mut component)?;
                }
            }
            next += 1;
        }
        self.depth.set(self.depth.get() - 1);
        Ok(component)
    }

    /// The paths over one attribute, if that is what a rule is: an edge, or an edge and a path, or two paths.
    fn closure(&self, rule: usize) -> Option<Closure> {
        let program = self.run.program;
        let branches = &program.rules[rule].branches;
        let [one, two] = branches.as_slice() else { return None };
        let (base, step) = if one.body.len() == 1 { (one, two) } else { (two, one) };
        let ([edge], [first, second]) = (base.body.as_slice(), step.body.as_slice()) else { return None };
        let ([from, to], [start, end]) = (base.head.as_slice(), step.head.as_slice()) else { return None };
        if base.required + step.required > 0 {
            return None;
        }
        let is_edge = |clause: &Clause, a: Var, b: Var| {
            let (Kind::Pattern { source, terms }, Kind::Pattern { source: s, terms: t }) = (&clause.kind, &edge.kind)
            else {
                return false;
            };
            let ([e, Term::Const(attribute), v], [base_e, Term::Const(other), base_v]) =
                (terms.as_slice(), t.as_slice())
            else {
                return false;
            };
            let forwards = [*base_e, *base_v] == [Term::Var(*from), Term::Var(*to)];
            let backwards = [*base_e, *base_v] == [Term::Var(*to), Term::Var(*from)];
            let same = self.run.constants[*attribute] == self.run.constants[*other] && source == s;
            let ends = if forwards { [*e, *v] } else { [*v, *e] };
            same && (forwards || backwards) && ends == [Term::Var(a), Term::Var(b)]
        };
        let path = |clause: &Clause| match &clause.kind {
            Kind::Rule { rule: other, args } if *other == rule => match args.as_slice() {
                [Term::Var(a), Term::Var(b)] => Some((*a, *b)),
                _ => None,
            },
            _ => None,
        };
        let links =
            |a: (Var, Var), b: (Var, Var)| a.0 == *start && b.1 == *end && a.1 == b.0 && a.1 != *start && a.1 != *end;
        let middle = match (path(first), path(second)) {
            (Some(a), Some(b)) if links(a, b) => a.1,
            (Some(a), Some(b)) if links(b, a) => b.1,
            (Some((a, b)), None) if a == *start && b != *start && b != *end && is_edge(second, b, *end) => b,
            (Some((a, b)), None) if b == *end && a != *start && a != *end && is_edge(second, *start, a) => a,
            (None, Some((a, b))) if a == *start && b != *start && b != *end && is_edge(first, b, *end) => b,
            (None, Some((a, b))) if b == *end && a != *start && a != *end && is_edge(first, *start, a) => a,
            _ => return None,
        };
        is_edge(edge, *from, *to).then(|| Closure {
            rule,
            base: base.clone(),
            head: (*start, *end),
            middle,
            forwards: matches!(&edge.kind, Kind::Pattern { terms, .. } if terms.first() == Some(&Term::Var(*from))),
        })
    }

    /// A call of such a rule, as a search: where all paths are asked for, or the graph is small enough to be read whole.
    pub(super) fn paths(&self, rule: usize, args: &[RuleArg]) -> Result<Option<super::Closure>> {
        let (Some(closure), [start, end]) = (self.closure(rule), args) else { return Ok(None) };
        let Kind::Pattern { source, terms } = &closure.base.body[0].kind else { return Ok(None) };
        let Some(db) = self.run.db(*source) else { return Ok(None) };
        let Ok(shape) = shape(db, terms, &self.run.constants)? else { return Ok(None) };
        let Some(attribute) = shape.attribute.filter(|attribute| attribute.is_ref()) else { return Ok(None) };
        let is_known = |arg: &RuleArg| matches!(arg, RuleArg::Known(_));
        let is_id = |arg: &RuleArg| match arg {
            RuleArg::Known(Operand::Const(value)) => matches!(value, Value::Ref(_) | Value::Long(_)),
            RuleArg::Known(Operand::Var(var)) => !self.waits_for.contains(var),
            _ => true,
        };
        let key = Key { a: Some(attribute.id), ..Key::default() };
        let count = db.count(Order::Aevt, Some(&Cut::before(key.clone())), Some(&Cut::after(key)))?;
        let asks = is_known(start) || is_known(end);
        if !is_id(start) || !is_id(end) || (asks && count.rows > WHOLE_GRAPH) {
            return Ok(None);
        }
        let from_start = is_known(start) || !is_known(end);
        let (near, far) = if from_start { (start, end) } else { (end, start) };
        let along = closure.forwards == from_start;
        Ok(Some(super::Closure { source: *source, attribute, along, near: near.clone(), far: far.clone() }))
    }

    fn recurs(&self, clause: &Clause, component: usize) -> bool {
        match &clause.kind {
            Kind::Rule { rule, .. } => self.run.program.rules[*rule].component == component,
            Kind::Or { branches, .. } => branches.iter().flatten().any(|clause| self.recurs(clause, component)),
            _ => false,
        }
    }

    /// The bodies that come of choosing one branch of each `or` that recurs.
    fn without_or(&self, body: &[Clause], component: usize) -> Result<Vec<Vec<Clause>>> {
        let mut bodies: Vec<Vec<Clause>> = vec![Vec::new()];
        for clause in body {
            let choices: Vec<Vec<Clause>> = match &clause.kind {
                Kind::Or { branches, .. } if self.recurs(clause, component) => {
                    let mut choices = Vec::new();
                    for branch in branches {
                        choices.extend(self.without_or(branch, component)?);
                    }
                    choices
                }
                _ => vec![vec![clause.clone()]],
            };
            if bodies.len() * choices.len() > MAX_TABLES {
                let message = "a recursive rule has too many combinations of or-branches";
                return Err(clause.place.mark(Error::new(ErrorKind::Limit, "query/limit", message)));
            }
            bodies = bodies
                .iter()
                .flat_map(|body| choices.iter().map(|choice| body.iter().chain(choice).cloned().collect()))
                .collect();
        }
        Ok(bodies)
    }

    fn variants(&self, table: usize, branch: &Branch, mut body: Vec<Clause>, out: &mut Component) -> Result<()> {
        let own = self.run.program.rules[out.tables[table].rule].component;
        let known = out.tables[table].known.clone();
        let asked: Vec<Var> =
            branch.head.iter().zip(&known).filter(|(_, known)| **known).map(|(var, _)| *var).collect();
        // Which arguments of each recursive call are known, in the order in which the planner would go.
        let facets = self.facets(&body)?;
        let mut bound: Set = asked.iter().map(|var| place(*var)).collect();
        let wanted: Set = branch.head.iter().map(|var| place(*var)).collect();
        let choices = Space::new(self, &body, &facets, &wanted).greedy(State::new(&asked, TABLE_ROWS))?.0;
        for choice in choices {
            let What::Clause(at, _) = choice.what else { continue };
            let clause = &mut body[at];
            if let Kind::Rule { rule, args } = &clause.kind
                && self.run.program.rules[*rule].component == own
            {
                let required: Vec<bool> = args
                    .iter()
                    .map(|term| match term {
                        Term::Any => false,
                        Term::Var(var) => bound.contains(place(*var)),
                        Term::Const(_) => true,
                    })
                    .collect();
                let callee = table_for(*rule, &required, out)?;
                clause.kind = Kind::Table { table: TableRef::Answers(callee), args: args.clone(), required };
            }
            self.binds(&body[at].kind, &mut bound);
        }
        let needed: HashSet<Var> = branch.head.iter().copied().collect();
        let plan = plan_body(self, &body, &asked, TABLE_ROWS, &needed)?;
        let head = branch.head.clone();
        let args = asked.iter().map(|var| RuleArg::Out(*var)).collect();
        out.variants.push(Variant { table, from: TableRef::Demand(table), args, plan, head: head.clone() });
        for i in 0..body.len() {
            let Kind::Table { table: from, args, .. } = &body[i].kind else { continue };
            let (from, args) = (*from, self.rule_args(args, &[]));
            let mut input: Vec<Var> = Vec::new();
            for arg in &args {
                if let RuleArg::Out(var) = arg
                    && !input.contains(var)
                {
                    input.push(*var);
                }
            }
            let mut rest = body.clone();
            let place = rest.remove(i).place;
            if !asked.is_empty() {
                let args = asked.iter().map(|var| Term::Var(*var)).collect();
                let required = vec![false; asked.len()];
                rest.push(Clause { kind: Kind::Table { table: TableRef::Demand(table), args, required }, place });
            }
            let plan = plan_body(self, &rest, &input, TABLE_ROWS, &needed)?;
            out.variants.push(Variant { table, from, args, plan, head: head.clone() });
        }
        Ok(())
    }
}

/// A rule that gives the paths over one attribute.
struct Closure {
    rule: usize,
    base: Branch,
    head: (Var, Var),
    middle: Var,
    /// Whether an edge goes from the first argument to the second.
    forwards: bool,
}

impl Closure {
    /// The rule written so that it grows from the end that is known: from the start by an edge more at the end of a path,
    /// or the reverse. Only the answers asked for come up on the way then.
    fn branches(&self, end_is_known: bool) -> Vec<Branch> {
        let ((start, end), middle) = (self.head, self.middle);
        let (path, edge) =
            if end_is_known { ((middle, end), (start, middle)) } else { ((start, middle), (middle, end)) };
        let mut hop = self.base.body[0].clone();
        if let Kind::Pattern { terms, .. } = &mut hop.kind {
            let (e, v) = if self.forwards { edge } else { (edge.1, edge.0) };
            terms[0] = Term::Var(e);
            terms[2] = Term::Var(v);
        }
        let args = vec![Term::Var(path.0), Term::Var(path.1)];
        let call = Clause { kind: Kind::Rule { rule: self.rule, args }, place: hop.place.clone() };
        let step = Branch { head: vec![start, end], required: 0, body: vec![call, hop] };
        vec![self.base.clone(), step]
    }
}

fn table_for(rule: usize, known: &[bool], component: &mut Component) -> Result<usize> {
    let found = component.tables.iter().position(|table| table.rule == rule && table.known == known);
    if let Some(found) = found {
        return Ok(found);
    }
    if component.tables.len() >= MAX_TABLES {
        let message = format!("recursive rules are asked in more than {MAX_TABLES} ways");
        return Err(Error::new(ErrorKind::Limit, "query/limit", message));
    }
    component.tables.push(TablePlan { rule, known: known.to_vec() });
    Ok(component.tables.len() - 1)
}
