//! Clauses in a sequence of their own, which is the same however they were written down: so that whatever is chosen
//! among equals later does not depend on the order of the text.
//!
//! A clause is told by its text with the names of its variables, a variable by its name and the clauses it stands in. Two
//! rounds of that tell apart what rules wrote out several times under the same names (as Weisfeiler and Leman 1968 refine
//! colours of a graph); what is alike even then is alike in every way that matters to a plan.

use std::fmt::Write as _;

use xxhash_rust::xxh3::xxh3_64;

use super::clause_vars;
use crate::query::logic::{Arg, Callee, Clause, Kind, Program, Term, Var};

/// How often variables are told by the clauses that they stand in.
const ROUNDS: usize = 2;

/// Puts the clauses of all bodies of a program into their sequence.
pub(super) fn sort_clauses(program: &mut Program) {
    let mut clauses = std::mem::take(&mut program.clauses);
    sort(&mut clauses, program);
    program.clauses = clauses;
    for rule in 0..program.rules.len() {
        for branch in 0..program.rules[rule].branches.len() {
            let mut body = std::mem::take(&mut program.rules[rule].branches[branch].body);
            sort(&mut body, program);
            program.rules[rule].branches[branch].body = body;
        }
    }
}

fn sort(clauses: &mut [Clause], program: &Program) {
    // A clause by itself needs no order, unless it has bodies.
    for clause in &mut *clauses {
        match &mut clause.kind {
            Kind::Not { body, shared } => {
                sort(body, program);
                shared.sort_by_key(|var| program.name(*var));
            }
            Kind::Or { branches, .. } => branches.iter_mut().for_each(|branch| sort(branch, program)),
            _ => {}
        }
    }
    if clauses.len() < 2 {
        return;
    }
    let mut vars: Vec<Var> = Vec::new();
    clauses.iter().for_each(|clause| vars_of(&clause.kind, program, &mut |var| vars.push(var)));
    vars.sort_unstable();
    vars.dedup();
    let mut told =
        Told { program, keys: vars.iter().map(|var| xxh3_64(program.name(*var).as_bytes())).collect(), vars };
    let mut keys: Vec<u64> = told.all(clauses);
    for _ in 0..ROUNDS {
        let mut stands_in: Vec<Vec<u64>> = told.keys.iter().map(|key| vec![*key]).collect();
        for (clause, key) in clauses.iter().zip(&keys) {
            vars_of(&clause.kind, program, &mut |var| {
                if let Ok(at) = told.vars.binary_search(&var) {
                    stands_in[at].push(*key);
                }
            });
        }
        told.keys = stands_in.into_iter().map(digest).collect();
        keys = told.all(clauses);
    }
    let mut order: Vec<(u64, usize)> = keys.into_iter().zip(0..).collect();
    order.sort_unstable();
    let sorted: Vec<Clause> = order.iter().map(|(_, at)| clauses[*at].clone()).collect();
    clauses.clone_from_slice(&sorted);
}

/// A digest of a name and of the clauses, whatever their sequence.
fn digest(mut keys: Vec<u64>) -> u64 {
    keys[1..].sort_unstable();
    let bytes: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
    xxh3_64(&bytes)
}

fn vars_of(kind: &Kind, program: &Program, f: &mut dyn FnMut(Var)) {
    match kind {
        Kind::Input { input } => program.input_rows[*input].vars.iter().for_each(|var| f(*var)),
        kind => clause_vars(kind, f),
    }
}

/// What variables are told by so far.
struct Told<'p> {
    program: &'p Program,
    vars: Vec<Var>,
    keys: Vec<u64>,
}

impl Told<'_> {
    fn all(&self, clauses: &[Clause]) -> Vec<u64> {
        clauses.iter().map(|clause| xxh3_64(self.text(&clause.kind).as_bytes())).collect()
    }

    fn var(&self, var: Var, out: &mut String) {
        let key = self.vars.binary_search(&var).map_or(0, |at| self.keys[at]);
        let _ = write!(out, " ?{key:x}");
    }

    fn term(&self, term: &Term, out: &mut String) {
        let _ = match term {
            Term::Any => write!(out, " _"),
            Term::Var(var) => return self.var(*var, out),
            Term::Const(constant) => write!(out, " {:?}", self.program.constants[*constant]),
        };
    }

    /// The clause, written with what its variables are told by.
    fn text(&self, kind: &Kind) -> String {
        let mut out = String::new();
        match kind {
            Kind::Pattern { source, terms } => {
                let _ = write!(out, "pattern {}", self.program.sources[*source].name);
                terms.iter().for_each(|term| self.term(term, &mut out));
            }
            Kind::Input { input } => {
                let _ = write!(out, "input {input}");
            }
            Kind::Call(call) => {
                let _ = write!(out, "call {} {:?}", call.name, call.binding);
                if let Callee::Named(constant) = &call.callee {
                    self.term(&Term::Const(*constant), &mut out);
                }
                for arg in &call.args {
                    match arg {
                        Arg::Term(term) => self.term(term, &mut out),
                        Arg::Source(source) => {
                            let _ = write!(out, " {}", self.program.sources[*source].name);
                        }
                    }
                }
                call.outs.iter().for_each(|var| self.var(*var, &mut out));
            }
            Kind::Equal(a, b) => {
                out.push_str("equal");
                [a, b].into_iter().for_each(|term| self.term(term, &mut out));
            }
            Kind::Not { body, .. } => {
                out.push_str("not");
                self.body(body, &mut out);
            }
            Kind::Or { branches, required } => {
                out.push_str("or");
                required.iter().for_each(|var| self.var(*var, &mut out));
                branches.iter().for_each(|branch| self.body(branch, &mut out));
            }
            Kind::Rule { rule, args } => {
                let _ = write!(out, "rule {}", self.program.rules[*rule].name);
                args.iter().for_each(|term| self.term(term, &mut out));
            }
            Kind::Table { table, args, .. } => {
                let _ = write!(out, "table {table:?}");
                args.iter().for_each(|term| self.term(term, &mut out));
            }
        }
        out
    }

    fn body(&self, clauses: &[Clause], out: &mut String) {
        let mut keys = self.all(clauses);
        keys.sort_unstable();
        let _ = write!(out, " {keys:x?}");
    }
}
