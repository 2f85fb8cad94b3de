//! From a pattern to a step: a look-up, a join with what is read apart, a check that something is missing.

use std::sync::Arc;

use hashbrown::HashSet;

use super::estimate::scan_order;
use super::facts::Facts;
use super::order::{Facet, Known, Method};
use super::planner::Planner;
use super::shape::Shape;
use super::{A, E, Lookup, OP, Op, Part, Plan, Rows, Step, TX, V, ValueRange};
use crate::datom::Order;
use crate::db::Mode;
use crate::error::Result;
use crate::query::logic::{Clause, Kind, Place, Term, Var};

impl Planner<'_> {
    /// A `not` over one pattern that an index answers for each row: the rows without a match.
    pub(super) fn missing(&self, body: &[Clause], layout: &[Var], rows: f64) -> Result<Option<Lookup>> {
        let [clause] = body else { return Ok(None) };
        let (Kind::Pattern { source, terms }, Facet::Pattern(known)) = (&clause.kind, self.facet(clause, body, 0)?)
        else {
            return Ok(None);
        };
        let is_bound = |i: usize| matches!(&known.shape.parts[i], Part::Out(var) if layout.contains(var));
        let has_attribute = known.shape.attribute.is_some();
        let order = match &known.shape.attribute {
            Some(_) if is_bound(E) => Order::Aevt,
            Some(attribute) if is_bound(V) && attribute.in_avet() => Order::Avet,
            _ => return Ok(None),
        };
        if !has_attribute || matches!(known.shape.parts[OP], Part::Out(_)) {
            return Ok(None);
        }
        let (nothing, mut facts) = (HashSet::new(), Facts::default());
        let method = Method::Lookup(order);
        let op = self.pattern(*source, terms, &known, method, layout, rows, &nothing, &mut facts, &clause.place);
        Ok(match op {
            Op::Lookup(lookup) if lookup.exists => Some(Lookup { anti: true, ..lookup }),
            _ => None,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "one step of a plan in the making")]
    pub(super) fn rows(
        &self,
        kind: &Kind,
        relation: usize,
        vars: &[Var],
        expected: f64,
        layout: &[Var],
        rows: f64,
        after: &HashSet<Var>,
        facts: &mut Facts,
        place: &Arc<Place>,
    ) -> Op {
        let terms: Vec<Term> = match kind {
            Kind::Pattern { terms, .. } => terms.clone(),
            _ => vars.iter().map(|var| Term::Var(*var)).collect(),
        };
        let is_wanted = |var: &Var| after.contains(var) || layout.contains(var);
        let mut parts: Vec<Part> = Vec::with_capacity(terms.len());
        for (i, term) in terms.iter().enumerate() {
            parts.push(match term {
                Term::Const(c) => Part::Const(self.run.constants[*c].clone()),
                Term::Var(var) => match terms[..i].iter().position(|other| other == term) {
                    Some(first) => Part::Same(first),
                    None if is_wanted(var) => {
                        facts.varies(*var);
                        Part::Out(*var)
                    }
                    None => Part::Any,
                },
                Term::Any => Part::Any,
            });
        }
        // An equality needs its first column even if nobody else does.
        for i in 0..parts.len() {
            if let Part::Same(first) = parts[i]
                && matches!(parts[first], Part::Any)
                && let Term::Var(var) = terms[first]
            {
                parts[first] = Part::Out(var);
            }
        }
        let outs: Vec<Var> =
            parts.iter().filter_map(|p| if let Part::Out(var) = p { Some(*var) } else { None }).collect();
        let width = self.run.relations[relation].columns.len();
        if outs.len() < width {
            facts.repeats();
        }
        let source = Op::Rows(Rows { relation, parts });
        if layout.is_empty() && rows <= 1.0 {
            return source;
        }
        let keys: Vec<Var> = outs.iter().copied().filter(|var| layout.contains(var)).collect();
        let exists = outs.iter().all(|var| keys.contains(var));
        let step = Step { op: source, layout: outs, rows: expected, place: Arc::clone(place) };
        let right = Plan { steps: vec![step], input: Vec::new(), rows: expected, distinct: false };
        Op::Join { right, keys, exists, build_left: false }
    }

    #[expect(clippy::too_many_arguments, reason = "one step of a plan in the making")]
    pub(super) fn pattern(
        &self,
        source: usize,
        terms: &[Term],
        known: &Known,
        method: Method,
        layout: &[Var],
        rows: f64,
        after: &HashSet<Var>,
        facts: &mut Facts,
        place: &Arc<Place>,
    ) -> Op {
        let Known { shape, estimate, range } = known;
        let by_lookup = matches!(method, Method::Lookup(_));
        let given = std::array::from_fn(|i| match terms.get(i) {
            Some(Term::Const(constant)) if i != A => Some(*constant),
            _ => None,
        });
        let mut parts = shape.parts.clone();
        // An equality needs its first position even if nobody else does.
        let is_same = |i: usize| shape.parts.iter().any(|part| matches!(part, Part::Same(first) if *first == i));
        for (i, part) in parts.iter_mut().enumerate() {
            if let Part::Out(var) = part {
                if layout.contains(var) {
                    if by_lookup {
                        *part = Part::Bound(*var);
                    }
                } else if !after.contains(var) && !is_same(i) {
                    *part = Part::Any;
                }
            }
        }
        let has_new = parts.iter().any(|part| matches!(part, Part::Out(var) if !layout.contains(var)));
        let first = layout.is_empty() && rows <= 1.0;
        let exists = !has_new && !first;
        if !exists {
            self.learn(source, shape, &parts, facts);
        }
        let scan = scan_order(shape, range);
        let is_const = |i: usize| matches!(parts[i], Part::Const(_));
        let warn_scan = |order: Order| {
            if order == Order::Eavt && !is_const(E) && !matches!(parts[E], Part::Bound(_)) {
                let text = place.excerpt().unwrap_or("a pattern");
                self.warn(format!("{text} reads the whole database: {} datoms", estimate.read));
            }
        };
        match method {
            Method::Lookup(order) => {
                warn_scan(order);
                let range = if order == Order::Avet { range.clone() } else { ValueRange::default() };
                Op::Lookup(Lookup { source, order, parts, given, range, exists, anti: false, first: None })
            }
            _ => {
                warn_scan(scan);
                let outs: Vec<Var> =
                    parts.iter().filter_map(|p| if let Part::Out(var) = p { Some(*var) } else { None }).collect();
                let keys: Vec<Var> = outs.iter().copied().filter(|var| layout.contains(var)).collect();
                if keys.is_empty() {
                    let text = place.excerpt().unwrap_or("a pattern");
                    self.warn(format!("Cartesian product: {text} shares no variable with the clauses before it"));
                }
                let build_left = matches!(method, Method::Join { build_left: true }) && !keys.is_empty();
                let range = if scan == Order::Avet { range.clone() } else { ValueRange::default() };
                let op = Op::Lookup(Lookup {
                    source,
                    order: scan,
                    parts,
                    given,
                    range,
                    exists: false,
                    anti: false,
                    first: None,
                });
                let step = Step { op, layout: outs, rows: estimate.rows, place: Arc::clone(place) };
                let right = Plan { steps: vec![step], input: Vec::new(), rows: estimate.rows, distinct: false };
                Op::Join { right, keys, exists, build_left }
            }
        }
    }

    /// What the rows vary by once the pattern is joined, and what its attribute promises.
    fn learn(&self, source: usize, shape: &Shape, parts: &[Part; 5], facts: &mut Facts) {
        let Some(db) = self.run.db(source) else { return };
        let states = db.mode() == Mode::State || (db.facts().is_some() && asks_for_facts(parts));
        let mut names: [Option<Var>; 5] = [None; 5];
        for i in [E, A, V, TX, OP] {
            names[i] = match (&shape.parts[i], &parts[i]) {
                (Part::Const(_), _) => None,
                (Part::Same(first), _) => names[*first],
                // Whether a state's datom was added, and when, does not make two rows of one.
                (Part::Any, _) if states && (i == TX || i == OP) => None,
                (Part::Out(var), _) => Some(*var),
                _ => Some(facts.anonymous()),
            };
            if let Some(var) = names[i] {
                facts.varies(var);
            }
        }
        let list = |positions: &[usize]| positions.iter().filter_map(|i| names[*i]).collect::<Vec<Var>>();
        if let Some(tx) = names[TX].filter(|_| states) {
            facts.depends(list(&[E, A, V]), tx);
        }
        if let Some(op) = names[OP] {
            facts.depends(if states { Vec::new() } else { list(&[E, A, V, TX]) }, op);
        }
        if let Some(promise) = shape.promise {
            if let Some(v) = names[V].filter(|_| promise.one_value) {
                facts.depends(list(&[E]), v);
            }
            if let Some(e) = names[E].filter(|_| promise.one_entity) {
                facts.depends(list(&[V]), e);
            }
        }
    }
}

/// Whether neither the transaction of a datom is asked for nor whether it was asserted.
pub(in crate::query) fn asks_for_facts(parts: &[Part; 5]) -> bool {
    matches!((&parts[TX], &parts[OP]), (Part::Any, Part::Any))
}
