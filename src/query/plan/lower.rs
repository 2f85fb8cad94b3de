//! From an order to steps: columns that nobody needs any more are dropped, rows that repeat for nothing are merged.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::estimate::{Samples, estimate, scan_order};
use super::facts::Facts;
use super::order::{Choice, Facet, Known, Method, State};
use super::shape::{attribute_named, shape};
use super::{
    A, E, Lookup, OP, Op, Operand, Part, Plan, Rows, RuleArg, RuleCall, Step, TX, TableCall, V, ValueRange, is_single,
};
use crate::datom::{Order, Value, ValueKind};
use crate::db::{Db, Mode};
use crate::error::Result;
use crate::query::analyze::clause_vars;
use crate::query::logic::{Arg, Clause, Kind, Place, Term, Var};
use crate::query::run::{Run, Source};

/// The number of a row of the batch that a `not` looks at, as a column.
pub(in crate::query) const ROW: Var = Var::MAX;

/// Deepest chain of components of rules that is looked at.
const MAX_CHECKED: usize = 40;

/// Makes plans for one run.
pub(in crate::query) struct Planner<'r> {
    pub run: &'r Run<'r>,
    /// Whether calls wait until nothing else is left to do.
    pub late: bool,
    /// What earlier runs found out about attributes.
    pub samples: Option<&'r Samples>,
    /// Variables of inputs that hold idents or lookup refs: only a seek resolves these.
    pub waits_for: HashSet<Var>,
    /// Whether the plan says what holds for these constants and this state alone.
    once: Cell<bool>,
    /// Warnings, for explain.
    pub warnings: RefCell<Vec<String>>,
    /// How many components of rules are being planned inside one another.
    pub depth: Cell<usize>,
    /// The components of rules that are being looked at.
    checking: RefCell<Vec<usize>>,
    /// Which rules can run with which arguments known.
    checked: RefCell<HashMap<(usize, Vec<bool>), bool>>,
}

/// Plans a conjunction whose input has the columns `input` and about so many rows; `needed` are the columns wanted.
pub(in crate::query) fn plan_body(
    planner: &Planner<'_>,
    clauses: &[Clause],
    input: &[Var],
    rows: f64,
    needed: &HashSet<Var>,
) -> Result<Plan> {
    let facets = planner.facets(clauses)?;
    if input.is_empty()
        && rows <= 1.0
        && let Some(plan) = planner.begins_with_triangle(clauses, &facets, needed)?
    {
        return Ok(plan);
    }
    let mut state = State::new(input, rows);
    let choices = planner.order(clauses, &facets, &mut state, 0)?;
    planner.lower(clauses, &facets, &choices, input, rows, needed)
}

impl<'r> Planner<'r> {
    pub fn new(run: &'r Run<'r>, late: bool, samples: Option<&'r Samples>) -> Planner<'r> {
        let mut waits_for = HashSet::new();
        for (input, relation) in run.program.input_rows.iter().zip(&run.relations) {
            for (var, column) in input.vars.iter().zip(&relation.columns) {
                let names = |row| matches!(column.kind_at(row), ValueKind::Tuple | ValueKind::Keyword);
                if (0..relation.len).any(names) {
                    waits_for.insert(*var);
                }
            }
        }
        // A variable in the place of an attribute holds a keyword, unless attributes are entities; elsewhere it must be
        // resolved.
        let refs = |source: usize| run.db(source).is_some_and(|db| db.schema().has_attribute_refs());
        for clause in &run.program.clauses {
            if let Kind::Pattern { source, terms } = &clause.kind
                && let Some(Term::Var(var)) = terms.get(A)
                && !refs(*source)
            {
                waits_for.insert(*var);
            }
        }
        let entity_or_ref = |var: &Var| {
            run.program.clauses.iter().any(|clause| match &clause.kind {
                Kind::Pattern { source, terms } => terms.iter().enumerate().any(|(i, term)| {
                    *term == Term::Var(*var)
                        && match (i, terms.get(A)) {
                            (E | TX, _) => true,
                            (A, _) => refs(*source),
                            (V, Some(Term::Const(a))) => {
                                let attribute = run.db(*source).and_then(|db| attribute_named(db, &run.constants[*a]));
                                attribute.is_some_and(|a| a.is_ref())
                            }
                            _ => false,
                        }
                }),
                _ => false,
            })
        };
        waits_for.retain(entity_or_ref);
        Planner {
            run,
            late,
            samples,
            waits_for,
            once: Cell::new(late),
            warnings: RefCell::default(),
            depth: Cell::new(0),
            checking: RefCell::default(),
            checked: RefCell::default(),
        }
    }

    /// Whether the plan is good for this run alone.
    pub fn is_for_once(&self) -> bool {
        self.once.get()
    }

    /// Whether a rule can be asked with these arguments known. Calls of a rule that is being looked at are taken to run;
    /// if that was wrong, planning the rule says so.
    pub(super) fn rule_can_run(&self, rule: usize, known: Vec<bool>) -> bool {
        let component = self.run.program.rules[rule].component;
        if self.checking.borrow().contains(&component) || self.checking.borrow().len() > MAX_CHECKED {
            return true;
        }
        if let Some(runs) = self.checked.borrow().get(&(rule, known.clone())) {
            return *runs;
        }
        self.checking.borrow_mut().push(component);
        let runs = self.run.program.rules[rule].branches.iter().all(|branch| {
            let bound = branch.head.iter().zip(&known).filter(|(_, known)| **known).map(|(var, _)| *var).collect();
            self.can_order(&branch.body, bound)
        });
        self.checking.borrow_mut().pop();
        self.checked.borrow_mut().insert((rule, known), runs);
        runs
    }

    pub(super) fn facets(&self, clauses: &[Clause]) -> Result<Vec<Facet>> {
        clauses.iter().map(|clause| self.facet(clause, clauses)).collect()
    }

    fn facet(&self, clause: &Clause, clauses: &[Clause]) -> Result<Facet> {
        Ok(match &clause.kind {
            Kind::Input { input } => {
                let vars = self.run.program.input_rows[*input].vars.clone();
                Facet::Rows { relation: *input, vars, rows: self.run.relations[*input].len as f64 }
            }
            Kind::Pattern { source, terms } => match &self.run.sources[*source] {
                Source::Relation(relation) => {
                    let vars = terms.iter().filter_map(|term| term.var()).collect();
                    let constants = terms.iter().filter(|term| matches!(term, Term::Const(_))).count();
                    let rows = self.run.relations[*relation].len as f64 / 10_f64.powi(constants as i32);
                    Facet::Rows { relation: *relation, vars, rows }
                }
                Source::Db(db) => match shape(db, terms, &self.run.constants).map_err(|e| clause.place.mark(e))? {
                    Err(nothing) => {
                        self.once.set(true);
                        self.warn(nothing.clone());
                        Facet::Nothing(nothing)
                    }
                    Ok(shape) => {
                        let range = self.range(&shape, clauses);
                        let estimate = estimate(db, &shape, &range, self.samples)?;
                        Facet::Pattern(Box::new(Known { shape, estimate, range }))
                    }
                },
            },
            _ => Facet::Other,
        })
    }

    fn warn(&self, warning: String) {
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// Bounds that comparisons with constants put on the value of a pattern.
    fn range(&self, shape: &super::shape::Shape, clauses: &[Clause]) -> ValueRange {
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
    fn implied(&self, clauses: &[Clause], facets: &[Facet], choices: &[Choice], input: &[Var]) -> Vec<usize> {
        let mut implied = Vec::new();
        let mut bound: HashSet<Var> = input.iter().copied().collect();
        for choice in choices {
            if let Facet::Pattern(known) = &facets[choice.clause]
                && let Part::Out(v) = &known.shape.parts[V]
                && !bound.contains(v)
                && !known.range.is_all()
                && !matches!(known.shape.parts[E], Part::Const(_))
                && !matches!(choice.method, Method::Lookup(order) if order != Order::Avet)
                && let Some(kind) = known.shape.attribute.as_ref().and_then(|a| a.value_type?.kind())
                && is_exact(kind)
            {
                let is_comparison = |i: &usize| self.comparison(&clauses[*i], *v, kind).is_some();
                implied.extend((0..clauses.len()).filter(is_comparison));
            }
            self.binds(&clauses[choice.clause].kind, &mut bound);
        }
        implied
    }

    fn lower(
        &self,
        clauses: &[Clause],
        facets: &[Facet],
        choices: &[Choice],
        input: &[Var],
        input_rows: f64,
        needed: &HashSet<Var>,
    ) -> Result<Plan> {
        let implied = self.implied(clauses, facets, choices, input);
        let choices: Vec<&Choice> = choices.iter().filter(|choice| !implied.contains(&choice.clause)).collect();
        // What the steps from each one on need.
        let mut needed_from: Vec<HashSet<Var>> = vec![needed.clone()];
        for choice in choices.iter().rev() {
            let mut vars = needed_from.last().cloned().unwrap_or_default();
            self.clause_needs(&clauses[choice.clause].kind, &mut vars);
            needed_from.push(vars);
        }
        needed_from.reverse();
        let mut facts = Facts::new(input);
        let mut plan = Plan { steps: Vec::new(), input: input.to_vec(), rows: input_rows, distinct: false };
        let mut rows = input_rows;
        for (n, choice) in choices.iter().enumerate() {
            let clause = &clauses[choice.clause];
            let after = &needed_from[n + 1];
            let layout = plan.layout().to_vec();
            let op = self.op(clause, &facets[choice.clause], choice.method, &layout, rows, after, &mut facts)?;
            rows = choice.rows;
            let mut new_layout: Vec<Var> = layout.iter().copied().filter(|var| after.contains(var)).collect();
            for var in self.op_outs(&op, clause) {
                if after.contains(&var) && !new_layout.contains(&var) {
                    new_layout.push(var);
                }
            }
            let dropped = new_layout.len() < layout.len() || layout.iter().any(|var| !new_layout.contains(var));
            plan.steps.push(Step { op, layout: new_layout.clone(), rows, place: Arc::clone(&clause.place) });
            // Rows that differ only in what was dropped would be joined again and again.
            let more =
                choices[n + 1..].iter().any(|c| !matches!(clauses[c.clause].kind, Kind::Call(_) | Kind::Equal(..)));
            if dropped && more && rows > 256.0 && !facts.is_distinct(&new_layout) {
                facts.made_distinct(&new_layout);
                plan.steps.push(Step { op: Op::Distinct, layout: new_layout, rows, place: Arc::default() });
            }
        }
        plan.rows = rows;
        plan.distinct = facts.is_distinct(plan.layout());
        Ok(plan)
    }

    /// Adds the variables that a clause reads or joins by.
    fn clause_needs(&self, kind: &Kind, vars: &mut HashSet<Var>) {
        match kind {
            Kind::Input { input } => vars.extend(self.run.program.input_rows[*input].vars.iter().copied()),
            Kind::Not { shared, .. } => vars.extend(shared.iter().copied()),
            kind => clause_vars(kind, &mut |var| {
                vars.insert(var);
            }),
        }
    }

    fn op_outs(&self, op: &Op, clause: &Clause) -> Vec<Var> {
        let mut outs = Vec::new();
        match (&clause.kind, op) {
            (Kind::Not { .. }, _) => {}
            (Kind::Input { input }, _) => outs.extend(self.run.program.input_rows[*input].vars.iter().copied()),
            (kind, _) => clause_vars(kind, &mut |var| outs.push(var)),
        }
        outs
    }

    #[expect(clippy::too_many_arguments, reason = "one step of a plan in the making")]
    fn op(
        &self,
        clause: &Clause,
        facet: &Facet,
        method: Method,
        layout: &[Var],
        rows: f64,
        after: &HashSet<Var>,
        facts: &mut Facts,
    ) -> Result<Op> {
        Ok(match (&clause.kind, facet) {
            (_, Facet::Nothing(reason)) => Op::Nothing(reason.clone()),
            (Kind::Pattern { source, terms }, Facet::Pattern(known)) => {
                self.pattern(*source, terms, known, method, layout, rows, after, facts, &clause.place)
            }
            (kind, Facet::Rows { relation, vars, rows: expected }) => {
                self.rows(kind, *relation, vars, *expected, layout, rows, after, facts, &clause.place)
            }
            (Kind::Call(call), _) => {
                let single = call.binding.as_ref().is_none_or(is_single);
                for var in &call.outs {
                    facts.varies(*var);
                    if single {
                        facts.depends(super::arg_vars(call).collect(), *var);
                    }
                }
                if !single {
                    facts.repeats();
                }
                Op::Call { call: Arc::clone(call) }
            }
            (Kind::Equal(a, b), _) => {
                let known = |term: &Term| term.var().is_none_or(|var| layout.contains(&var));
                let operand = |term: &Term| match term {
                    Term::Var(var) => Operand::Var(*var),
                    Term::Const(constant) => Operand::Const(self.run.constants[*constant].clone()),
                    Term::Any => Operand::Const(Value::Nil),
                };
                let (first, second) = if known(a) { (a, b) } else { (b, a) };
                if let (Some(a), Some(b)) = (first.var(), second.var()) {
                    facts.depends(vec![a], b);
                    facts.depends(vec![b], a);
                } else if let Some(b) = second.var() {
                    facts.depends(Vec::new(), b);
                }
                Op::Equal { a: operand(first), b: operand(second), copy: !known(second) }
            }
            (Kind::Not { body, shared }, _) => {
                if !layout.is_empty()
                    && let Some(lookup) = self.missing(body, layout, rows)?
                {
                    return Ok(Op::Lookup(lookup));
                }
                let mut input: Vec<Var> = shared.clone();
                input.push(ROW);
                let needed = HashSet::from_iter([ROW]);
                Op::Not { body: plan_body(self, body, &input, rows, &needed)? }
            }
            (Kind::Or { branches, .. }, _) => {
                facts.repeats();
                let plans = branches.iter().map(|branch| plan_body(self, branch, layout, rows, after));
                Op::Or { branches: plans.collect::<Result<_>>()? }
            }
            (Kind::Rule { rule, args }, _) => {
                let args = self.rule_args(args, layout);
                if let Some(closure) = self.paths(*rule, &args)? {
                    for arg in &args {
                        match arg {
                            RuleArg::Known(_) => {}
                            RuleArg::Out(var) => facts.varies(*var),
                            RuleArg::Any => facts.repeats(),
                        }
                    }
                    return Ok(Op::Closure(closure));
                }
                facts.repeats();
                let known = args.iter().map(|arg| matches!(arg, RuleArg::Known(_))).collect();
                Op::Rule(RuleCall { rule: *rule, component: self.component(*rule, known)?, args })
            }
            (Kind::Table { table, args, required }, _) => {
                facts.repeats();
                Op::Table(TableCall { table: *table, args: self.rule_args(args, layout), required: required.clone() })
            }
            _ => Op::Nothing("a clause of no kind".to_owned()),
        })
    }

    /// A `not` over one pattern that an index answers for each row: the rows without a match.
    fn missing(&self, body: &[Clause], layout: &[Var], rows: f64) -> Result<Option<Lookup>> {
        let [clause] = body else { return Ok(None) };
        let (Kind::Pattern { source, terms }, Facet::Pattern(known)) = (&clause.kind, self.facet(clause, body)?) else {
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

    /// Arguments of a rule or a table: known before, or to be found.
    pub(super) fn rule_args(&self, args: &[Term], layout: &[Var]) -> Vec<RuleArg> {
        let arg = |term: &Term| match term {
            Term::Any => RuleArg::Any,
            Term::Const(c) => RuleArg::Known(Operand::Const(self.run.constants[*c].clone())),
            Term::Var(var) if layout.contains(var) => RuleArg::Known(Operand::Var(*var)),
            Term::Var(var) => RuleArg::Out(*var),
        };
        args.iter().map(arg).collect()
    }

    #[expect(clippy::too_many_arguments, reason = "one step of a plan in the making")]
    fn rows(
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
    fn pattern(
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
    fn learn(&self, source: usize, shape: &super::shape::Shape, parts: &[Part; 5], facts: &mut Facts) {
        let Some(db) = self.run.db(source) else { return };
        let states = db.mode() == Mode::State;
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
        if let Some(attribute) = shape.attribute.as_ref().filter(|_| holds(db)) {
            if let Some(v) = names[V].filter(|_| !attribute.is_many()) {
                facts.depends(list(&[E]), v);
            }
            if let Some(e) = names[E].filter(|_| attribute.unique.is_some()) {
                facts.depends(list(&[V]), e);
            }
        }
    }
}

/// Whether what the schema promises holds for what a database shows.
pub(in crate::query) fn holds(db: &Db) -> bool {
    db.mode() == Mode::State && db.as_of_t().is_none()
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
