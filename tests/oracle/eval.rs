//! Clauses over environments.
//!
//! An environment whose function failed is kept, marked with the error and without the variables that the function
//! would have bound. Clauses that can still be answered may drop it; those that can no longer count as true. What is
//! left at the end fails the query: an error is raised only by a row that every other clause lets through.

use std::collections::{BTreeMap, BTreeSet};

use treering::Value;
use treering::edn::Symbol;

use super::ast::{Binding, Clause, Query, Term};
use super::functions;
use super::scope::{self, Rules, Scope, Vars};
use super::{Input, Refusal, Result, Source};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Env {
    pub vars: BTreeMap<Symbol, Value>,
    pub failed: Option<String>,
}

impl Env {
    fn bound(&self) -> Vars {
        self.vars.keys().copied().collect()
    }

    fn only(&self, vars: &Vars) -> Env {
        let vars = self.vars.iter().filter(|(k, _)| vars.contains(k)).map(|(k, v)| (*k, v.clone())).collect();
        Env { vars, failed: self.failed.clone() }
    }

    /// With `v` bound to `value`; `None` when it is bound to something else.
    pub fn with(mut self, v: Symbol, value: Value) -> Option<Env> {
        match self.vars.get(&v) {
            Some(old) if *old != value => None,
            Some(_) => Some(self),
            None => {
                self.vars.insert(v, value);
                Some(self)
            }
        }
    }

    fn fail(mut self, message: String) -> Env {
        self.failed.get_or_insert(message);
        self
    }

    /// Joins what another environment has bound.
    fn join(mut self, other: &Env, vars: &Vars) -> Option<Env> {
        if let Some(message) = &other.failed {
            self = self.fail(message.clone());
        }
        for v in vars {
            if let Some(value) = other.vars.get(v) {
                self = self.with(*v, value.clone())?;
            }
        }
        Some(self)
    }
}

/// One way of calling a rule: its name, the default source and the arguments that are known.
type Goal = (Symbol, Symbol, Vec<Option<Value>>);

/// Values for the arguments of a goal, and the error that the answer stands for, if any.
type Found = (Vec<Option<Value>>, Option<String>);

/// The answers of goals so far. Filled by passes until one adds nothing.
#[derive(Default)]
pub struct Tables {
    answers: BTreeMap<Goal, BTreeSet<Found>>,
    visited: BTreeSet<Goal>,
    grown: bool,
}

pub struct Solver {
    pub sources: BTreeMap<Symbol, Source>,
    pub values: BTreeMap<Symbol, Value>,
    pub patterns: BTreeMap<Symbol, treering::edn::Form>,
    pub rules: Rules,
    inputs: Vars,
    /// Rows that may still be looked at and environments that may still be made, so that no case runs for ever.
    pub steps: u64,
    /// Goals that are being answered inside one another.
    depth: usize,
}

/// Deepest nesting of goals: each is some calls on the stack.
const MAX_DEPTH: usize = 300;

impl Solver {
    /// Binds the inputs and checks that the clauses can be answered.
    pub fn start(query: &Query, inputs: &[Input]) -> Result<(Solver, Vec<Env>)> {
        let implicit = if inputs.is_empty() { vec![] } else { vec![Binding::Source(super::dollar())] };
        let bindings = query.inputs.as_ref().unwrap_or(&implicit);
        if bindings.len() != inputs.len() {
            let wanted = bindings.len();
            return Err(Refusal::new("query/inputs", format!("{wanted} inputs wanted, {} got", inputs.len())));
        }
        let mut solver = Solver {
            sources: BTreeMap::new(),
            values: BTreeMap::new(),
            patterns: BTreeMap::new(),
            rules: Rules::new(),
            inputs: Vars::new(),
            steps: 2_000_000,
            depth: 0,
        };
        let mut envs = vec![Env::default()];
        for (binding, input) in bindings.iter().zip(inputs) {
            match (binding, input) {
                (Binding::Source(name), Input::Source(source)) => {
                    solver.sources.insert(*name, source.clone());
                }
                (Binding::Source(name), Input::Form(form)) => {
                    let rows = rows(&super::value(form)?)
                        .ok_or_else(|| Refusal::new("query/inputs", "a source must be a collection of tuples"))?;
                    solver.sources.insert(*name, Source::Rows(rows));
                }
                (Binding::Rules, Input::Form(form)) => {
                    for (name, rule) in super::ast::rules(form)? {
                        solver.rules.entry(name).or_default().push(rule);
                    }
                }
                (_, Input::Form(form)) => {
                    if let Binding::Var(v) = binding {
                        solver.patterns.insert(*v, form.clone());
                    }
                    let value = super::value(form)?;
                    solver.inputs.extend(scope::binding_vars(binding));
                    let mut next = Vec::new();
                    for env in &envs {
                        next.extend(destructure(env, binding, &value).map_err(|m| Refusal::new("query/binding", m))?);
                    }
                    envs = next;
                }
                (_, Input::Source(_)) => {
                    return Err(Refusal::new("query/inputs", "a database in the place of a value"));
                }
            }
        }
        if let Some(rule) = scope::unstratified(&solver.rules) {
            return Err(Refusal::new("query/rules", format!("rule {rule} depends on its own negation")));
        }
        let scope = Scope { rules: &solver.rules, outer: Vars::new() };
        match scope.all(&query.body, &solver.inputs, &mut BTreeSet::new()) {
            None => return Err(Refusal::new("query/where", "insufficient bindings")),
            Some(bound) => {
                let plain = |v: &Symbol| !super::ast::is_var(*v);
                let needed = query.find.iter().map(super::ast::Element::var).chain(query.with.iter().copied());
                if let Some(v) = needed.filter(|v| !plain(v)).find(|v| !bound.contains(v)) {
                    return Err(Refusal::new("parser/query", format!("{v} is not bound")));
                }
            }
        }
        Ok((solver, envs))
    }

    pub fn source(&self, name: Symbol) -> Result<&Source> {
        self.sources.get(&name).ok_or_else(|| Refusal::new("parser/query", format!("unknown source {name}")))
    }

    /// Solves with complete tables: passes over `clauses` until no goal has new answers.
    pub fn solve_all(&mut self, envs: Vec<Env>, clauses: &[Clause]) -> Result<Vec<Env>> {
        self.complete(super::dollar(), envs, clauses, &Vars::new())
    }

    fn complete(&mut self, src: Symbol, envs: Vec<Env>, clauses: &[Clause], outer: &Vars) -> Result<Vec<Env>> {
        let mut tables = Tables::default();
        loop {
            tables.grown = false;
            tables.visited.clear();
            let out = self.solve(&mut tables, src, envs.clone(), clauses, outer)?;
            if !tables.grown {
                return Ok(out);
            }
        }
    }

    /// The extensions of `envs` that satisfy all clauses.
    fn solve(
        &mut self,
        tables: &mut Tables,
        src: Symbol,
        envs: Vec<Env>,
        clauses: &[Clause],
        outer: &Vars,
    ) -> Result<Vec<Env>> {
        let rules = self.rules.clone();
        let scope = Scope { rules: &rules, outer: outer.clone() };
        let left = clauses.iter().collect();
        self.step(tables, src, envs, left, &scope.within(clauses))
    }

    fn step(
        &mut self,
        tables: &mut Tables,
        src: Symbol,
        envs: Vec<Env>,
        clauses: Vec<&Clause>,
        scope: &Scope<'_>,
    ) -> Result<Vec<Env>> {
        let mut groups: BTreeMap<(Vars, bool), Vec<Env>> = BTreeMap::new();
        for env in envs {
            groups.entry((env.bound(), env.failed.is_some())).or_default().push(env);
        }
        let mut out = Vec::new();
        for ((bound, failed), envs) in groups {
            let ready = clauses.iter().enumerate().filter_map(|(i, c)| {
                let after = scope.after(c, &bound, &mut BTreeSet::new())?;
                Some((cost(c, &bound, after.len() - bound.len()), i))
            });
            match ready.min() {
                None if clauses.is_empty() || failed => out.extend(envs),
                None => return Err(Refusal::new("query/where", format!("insufficient bindings: {clauses:?}"))),
                Some((_, i)) => {
                    let mut next = Vec::new();
                    for env in envs {
                        let before = next.len();
                        self.extend(tables, src, env, clauses[i], scope, &mut next)?;
                        // An environment costs more than a look at a row.
                        charge(&mut self.steps, 10 + 10 * (next.len() - before))?;
                    }
                    let mut left = clauses.clone();
                    left.remove(i);
                    out.extend(self.step(tables, src, next, left, scope)?);
                }
            }
        }
        Ok(out)
    }

    fn extend(
        &mut self,
        tables: &mut Tables,
        src: Symbol,
        env: Env,
        clause: &Clause,
        scope: &Scope<'_>,
        out: &mut Vec<Env>,
    ) -> Result<()> {
        match clause {
            Clause::Pattern { source, terms } => self.pattern(source.unwrap_or(src), terms, &env, out),
            Clause::Call { function, args, binding } => self.call(src, *function, args, binding.as_ref(), env, out),
            Clause::Not { source, join, body } => {
                let (inner, outer) = match join {
                    Some(join) => (env.only(&join.iter().copied().collect()), Vars::new()),
                    None => (env.clone(), scope.outer.clone()),
                };
                let inner = Env { failed: None, ..inner };
                let found = self.complete(source.unwrap_or(src), vec![inner], body, &outer)?;
                if let Some(failed) = found.iter().map(|e| e.failed.clone()).min() {
                    // A solution without an error drops the row; with errors alone its fate is unknown.
                    if let Some(message) = failed {
                        out.push(env.fail(message));
                    }
                } else {
                    out.push(env);
                }
                Ok(())
            }
            Clause::Or { source, join, branches } => {
                let src = source.unwrap_or(src);
                let vars = scope::binds(clause);
                let mut found = BTreeSet::new();
                for branch in branches {
                    let (inner, outer) = match join {
                        Some(_) => (env.only(&vars), Vars::new()),
                        None => (env.clone(), scope.outer.clone()),
                    };
                    for end in self.solve(tables, src, vec![inner], branch, &outer)? {
                        found.extend(env.clone().join(&end, &vars));
                    }
                }
                out.extend(found);
                Ok(())
            }
            Clause::Rule { source, name, args } => {
                let goal_args: Vec<Option<Value>> = args
                    .iter()
                    .map(|t| match t {
                        Term::Var(v) => env.vars.get(v).cloned(),
                        Term::Const(c) => Some(c.clone()),
                        Term::Blank | Term::Source(_) => None,
                    })
                    .collect();
                let goal = (*name, source.unwrap_or(src), goal_args);
                let found = self.answers(tables, &goal)?;
                charge(&mut self.steps, found.len())?;
                for (row, failed) in found {
                    let mut end = Some(env.clone());
                    for (term, value) in args.iter().zip(row) {
                        if let (Term::Var(v), Some(value)) = (term, value) {
                            end = end.and_then(|e| e.with(*v, value));
                        }
                    }
                    out.extend(end.map(|e| if let Some(m) = failed { e.fail(m) } else { e }));
                }
                Ok(())
            }
        }
    }

    fn answers(&mut self, tables: &mut Tables, goal: &Goal) -> Result<BTreeSet<Found>> {
        if tables.visited.insert(goal.clone()) {
            let (name, src, args) = goal;
            let rules = self.rules.get(name).cloned().unwrap_or_default();
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(Refusal::new("oracle/steps", "the rules are nested too deep for the oracle"));
            }
            for rule in rules {
                let mut env = Some(Env::default());
                for (v, value) in rule.head.iter().zip(args) {
                    if let Some(value) = value {
                        env = env.and_then(|e| e.with(*v, value.clone()));
                    }
                }
                let Some(env) = env else { continue };
                for end in self.solve(tables, *src, vec![env], &rule.body, &Vars::new())? {
                    let row = rule.head.iter().map(|v| end.vars.get(v).cloned()).collect();
                    if tables.answers.entry(goal.clone()).or_default().insert((row, end.failed)) {
                        tables.grown = true;
                    }
                }
            }
            self.depth -= 1;
        }
        Ok(tables.answers.get(goal).cloned().unwrap_or_default())
    }

    fn pattern(&mut self, src: Symbol, terms: &[Term], env: &Env, out: &mut Vec<Env>) -> Result<()> {
        let source =
            self.sources.get(&src).ok_or_else(|| Refusal::new("parser/query", format!("unknown source {src}")))?;
        // What stands in the place of an entity is resolved before the walk; a constant must name something.
        let mut wanted: Vec<Option<Value>> = Vec::new();
        for (i, term) in terms.iter().enumerate() {
            let (value, constant) = match term {
                Term::Const(c) => (Some(c), true),
                Term::Var(v) => (env.vars.get(v), false),
                Term::Blank | Term::Source(_) => (None, false),
            };
            wanted.push(match value {
                Some(value) if i == 0 => match source.entity(value) {
                    Ok(id) => Some(id),
                    Err(()) if constant => {
                        return Err(Refusal::new("entity-id/missing", format!("{value:?} names no entity")));
                    }
                    Err(()) => return Ok(()),
                },
                value => value.cloned(),
            });
        }
        charge(&mut self.steps, source.rows().len())?;
        let fits = |row: &&Vec<Value>| {
            let fits = |(i, w): (usize, &Option<Value>)| match w {
                Some(w) => {
                    *w == row[i] || (i == 2 && is_ref(source, &row[1]) && source.entity(w).is_ok_and(|id| id == row[i]))
                }
                None => true,
            };
            row.len() >= terms.len() && wanted.iter().enumerate().all(fits)
        };
        for row in source.rows().iter().filter(fits) {
            let mut end = Some(env.clone());
            for (i, term) in terms.iter().enumerate() {
                if let (None, Term::Var(v)) = (&wanted[i], term) {
                    end = end.and_then(|end| end.with(*v, row[i].clone()));
                }
            }
            out.extend(end);
        }
        Ok(())
    }

    fn call(
        &mut self,
        src: Symbol,
        function: Symbol,
        args: &[Term],
        binding: Option<&Binding>,
        env: Env,
        out: &mut Vec<Env>,
    ) -> Result<()> {
        let mut name = function;
        if super::ast::is_var(function) {
            let Some(Value::Symbol(s)) = env.vars.get(&function) else {
                return Err(Refusal::new("query/where", format!("{function} is no function")));
            };
            name = *s;
        }
        let mut given = Vec::new();
        let mut place = None;
        for arg in args {
            match arg {
                Term::Var(v) => given.push(env.vars.get(v).cloned().unwrap_or(Value::Nil)),
                Term::Const(c) => given.push(c.clone()),
                Term::Blank => given.push(Value::Nil),
                Term::Source(s) => place = Some(if *s == super::dollar() { src } else { *s }),
            }
        }
        let source = place.map(|s| self.source(s)).transpose()?;
        let unknown = || Refusal::new("query/where", format!("unknown function {name}"));
        let result = functions::call(name, &given, source).ok_or_else(unknown)?;
        let result = match result {
            Ok(result) => result,
            Err(message) => {
                out.push(env.fail(format!("{name}: {message}")));
                return Ok(());
            }
        };
        match binding {
            None => out.extend(functions::truthy(&result).then_some(env)),
            Some(_) if result == Value::Nil => {}
            Some(binding) => match destructure(&env, binding, &result) {
                Ok(ends) => out.extend(ends),
                Err(message) => out.push(env.fail(message)),
            },
        }
        Ok(())
    }
}

/// Takes from the steps that are left.
fn charge(steps: &mut u64, taken: usize) -> Result<()> {
    let left = steps.checked_sub(taken as u64);
    *steps = left.ok_or_else(|| Refusal::new("oracle/steps", "the case is too large for the oracle"))?;
    Ok(())
}

fn is_ref(source: &Source, attribute: &Value) -> bool {
    match (source.schema(), attribute) {
        (Some(schema), Value::Keyword(a)) => schema.refs.contains(a),
        _ => false,
    }
}

/// Filters first, then what binds least.
fn cost(clause: &Clause, bound: &Vars, news: usize) -> usize {
    let constants = |terms: &[Term]| terms.iter().filter(|t| matches!(t, Term::Const(_))).count();
    match clause {
        Clause::Call { .. } => news,
        Clause::Pattern { terms, .. } => {
            let known = scope::term_vars(terms).intersection(bound).count() + constants(terms);
            100 + 10 * news
                + 5_usize.saturating_sub(known)
                + if scope::term_vars(terms).is_disjoint(bound) { 50 } else { 0 }
        }
        Clause::Not { .. } => 90,
        Clause::Or { .. } => 160 + 10 * news,
        Clause::Rule { .. } => 170 + 10 * news,
    }
}

/// The tuples of a collection that stands as a relation.
pub fn rows(value: &Value) -> Option<Vec<Vec<Value>>> {
    let all = members(value)?;
    all.iter().map(members).collect()
}

/// The members of a collection; entries for a map.
pub fn members(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::Tuple(xs) | Value::Set(xs) => Some(xs.to_vec()),
        Value::Map(entries) => {
            Some(entries.iter().map(|(k, v)| Value::Tuple(vec![k.clone(), v.clone()].into())).collect())
        }
        _ => None,
    }
}

/// The environments that bind `value` to `binding`.
pub fn destructure(env: &Env, binding: &Binding, value: &Value) -> std::result::Result<Vec<Env>, String> {
    match binding {
        Binding::Ignore => Ok(vec![env.clone()]),
        Binding::Var(v) => Ok(env.clone().with(*v, value.clone()).into_iter().collect()),
        Binding::Each(inner) => {
            let all = members(value).ok_or_else(|| format!("{value:?} is not a collection"))?;
            let mut out = Vec::new();
            for one in all {
                out.extend(destructure(env, inner, &one)?);
            }
            Ok(out)
        }
        Binding::Tuple(parts) => {
            let all = members(value).ok_or_else(|| format!("{value:?} is not a tuple"))?;
            if all.len() < parts.len() {
                return Err(format!("{value:?} has fewer than {} members", parts.len()));
            }
            let mut envs = vec![env.clone()];
            for (part, one) in parts.iter().zip(&all) {
                let mut next = Vec::new();
                for env in &envs {
                    next.extend(destructure(env, part, one)?);
                }
                envs = next;
            }
            Ok(envs)
        }
        Binding::Source(_) | Binding::Rules => Err("a source or rules inside a binding".into()),
    }
}
