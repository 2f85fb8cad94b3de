//! What a query reads of its databases, as far as its text and its inputs tell.

use std::collections::BTreeSet;

use super::builtin::Function;
use super::input::Input;
use super::logic::{AggregateName, Arg, Call, Callee, Clause, Constant, Element, Having, Kind, Program, Term};
use crate::datom::{AttrId, Value};
use crate::edn::{Form, FormKind, Keyword};
use crate::schema::{Schema, builtin as attributes};

/// What a run of a query reads.
pub(super) enum Reads {
    /// Nothing else of a database than facts of these attributes, ascending, and the schema.
    Attributes(Vec<AttrId>),
    Everything,
}

/// What an analyzed query tells of what its runs read.
#[derive(Debug)]
pub(super) enum Told {
    /// Another run may find something else in the same facts.
    Changing,
    Everything,
    /// These constants are attributes. A keyword anywhere among the constants may be an ident or begin a lookup ref.
    Attributes(Vec<usize>),
}

/// What a run with these inputs reads of a database with this schema. `None` if that does not determine the answer.
pub(super) fn reads(program: &Program, inputs: &[Input], schema: &Schema, told: &Told) -> Option<Reads> {
    let named = match told {
        Told::Changing => return None,
        Told::Everything => return Some(Reads::Everything),
        Told::Attributes(named) => named,
    };
    let constant = |constant: &Constant| match constant {
        Constant::Literal(value) => Some(value.clone()),
        Constant::Input { input, path } => path.iter().try_fold(given(inputs.get(*input)?)?, |value, i| match value {
            Value::Tuple(members) => members.get(*i).cloned(),
            _ => None,
        }),
    };
    let is_keyword = |i: &usize| matches!(program.constants.get(*i).and_then(constant), Some(Value::Keyword(_)));
    if !named.iter().all(is_keyword) {
        return Some(Reads::Everything);
    }
    let mut keywords = BTreeSet::from([Keyword::new("db/ident")]);
    for constant in &program.constants {
        if let Constant::Literal(value) = constant {
            gather(value, &mut keywords);
        }
    }
    for (input, name) in inputs.iter().zip(&program.inputs) {
        match input {
            Input::Value(value) if name != "%" => gather(value, &mut keywords),
            Input::Relation(rows) => rows.iter().flatten().for_each(|value| gather(value, &mut keywords)),
            _ => {}
        }
    }
    let mut read: Vec<AttrId> = keywords.iter().filter_map(|k| Some(schema.attribute(forward(*k))?.id)).collect();
    read.push(attributes::IDENT);
    read.sort_unstable();
    read.dedup();
    Some(Reads::Attributes(read))
}

fn given(input: &Input) -> Option<Value> {
    if let Input::Value(value) = input { Some(value.clone()) } else { None }
}

/// The attribute that a reversed one turns round.
fn forward(k: Keyword) -> Keyword {
    match (k.namespace(), k.name().strip_prefix('_')) {
        (_, None) => k,
        (None, Some(name)) => Keyword::new(name),
        (Some(namespace), Some(name)) => Keyword::new(&format!("{namespace}/{name}")),
    }
}

fn gather(value: &Value, keywords: &mut BTreeSet<Keyword>) {
    match value {
        Value::Keyword(k) => _ = keywords.insert(*k),
        Value::Tuple(members) | Value::Set(members) => members.iter().for_each(|member| gather(member, keywords)),
        Value::Map(entries) => entries.iter().for_each(|(k, v)| {
            gather(k, keywords);
            gather(v, keywords);
        }),
        _ => {}
    }
}

/// What an analyzed query tells.
pub(super) fn told(program: &Program) -> Told {
    let mut reading = Reading::default();
    reading.clauses(&program.clauses);
    program.rules.iter().flat_map(|rule| &rule.branches).for_each(|branch| reading.clauses(&branch.body));
    program.find.iter().for_each(|element| reading.element(element));
    program.having.iter().for_each(|having| reading.having(having));
    match reading {
        Reading { changing: true, .. } => Told::Changing,
        Reading { everything: true, .. } => Told::Everything,
        Reading { attributes, .. } => Told::Attributes(attributes),
    }
}

#[derive(Default)]
struct Reading {
    changing: bool,
    everything: bool,
    attributes: Vec<usize>,
}

impl Reading {
    fn clauses(&mut self, clauses: &[Clause]) {
        let mut stack = vec![clauses];
        while let Some(clauses) = stack.pop() {
            for clause in clauses {
                match &clause.kind {
                    Kind::Pattern { terms, .. } => self.attribute(terms.get(1)),
                    Kind::Call(call) => self.call(call),
                    Kind::Not { body, .. } => stack.push(body),
                    Kind::Or { branches, .. } => stack.extend(branches.iter().map(Vec::as_slice)),
                    Kind::Input { .. } | Kind::Equal(..) | Kind::Rule { .. } | Kind::Table { .. } => {}
                }
            }
        }
    }

    fn attribute(&mut self, term: Option<&Term>) {
        match term {
            Some(Term::Const(constant)) => self.attributes.push(*constant),
            _ => self.everything = true,
        }
    }

    fn call(&mut self, call: &Call) {
        let Callee::Known(function) = &call.callee else {
            // A query of its own may call anything.
            self.changing = true;
            return;
        };
        self.function(function);
        let reads = call.args.iter().any(|arg| matches!(arg, Arg::Source(_)));
        match (reads, function.name.as_str()) {
            (true, "get-else") if function.is_built_in() => self.attribute(call.args.get(2).and_then(term)),
            (true, "get-some" | "missing?") if function.is_built_in() => {
                call.args.iter().skip(2).for_each(|arg| self.attribute(term(arg)));
            }
            (true, _) => self.everything = true,
            // What other functions give may name an entity by an attribute that stands nowhere.
            (false, _) => self.everything |= !call.outs.is_empty() && !function.gives_numbers(),
        }
    }

    fn function(&mut self, function: &Function) {
        self.changing |= !function.pure;
    }

    fn element(&mut self, element: &Element) {
        match element {
            Element::Term(_) => {}
            Element::Aggregate { name: AggregateName::Known(name), .. } => {
                self.changing |= matches!(name.name(), "rand" | "sample");
            }
            Element::Pull { pattern: super::logic::Pattern::Form(form), .. } => {
                self.everything = true;
                self.changing |= calls(form);
            }
            Element::Aggregate { .. } | Element::Pull { .. } => self.changing = true,
        }
    }

    fn having(&mut self, having: &Having) {
        match &having.callee {
            Callee::Known(function) => self.function(function),
            Callee::Named(_) | Callee::Query => self.changing = true,
        }
    }
}

fn term(arg: &Arg) -> Option<&Term> {
    if let Arg::Term(term) = arg { Some(term) } else { None }
}

/// Whether a pattern of pull calls functions.
fn calls(pattern: &Form) -> bool {
    let mut stack = vec![pattern];
    while let Some(form) = stack.pop() {
        match &form.kind {
            FormKind::Keyword(k) if k.as_str() == "xform" => return true,
            FormKind::Symbol(s) if s.as_str() == "xform" => return true,
            _ => {}
        }
        stack.extend(form.items().unwrap_or_default());
        stack.extend(form.pairs().unwrap_or_default().iter().flat_map(|(k, v)| [k, v]));
    }
    false
}
