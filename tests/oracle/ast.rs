//! Queries as data: what the oracle understands of a form.

use treering::Value;
use treering::edn::{Form, FormKind, Keyword, Symbol};

use super::{Refusal, Result, value};

/// A place in a pattern or an argument of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    Var(Symbol),
    Blank,
    Const(Value),
    Source(Symbol),
}

/// What the result of a function or an input is taken apart into.
#[derive(Debug, Clone, PartialEq)]
pub enum Binding {
    Ignore,
    Var(Symbol),
    Tuple(Vec<Binding>),
    Each(Box<Binding>),
    Source(Symbol),
    Rules,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Clause {
    Pattern {
        source: Option<Symbol>,
        terms: Vec<Term>,
    },
    Call {
        function: Symbol,
        args: Vec<Term>,
        binding: Option<Binding>,
    },
    /// `join` are the variables of `not-join`; `not` has none.
    Not {
        source: Option<Symbol>,
        join: Option<Vec<Symbol>>,
        body: Vec<Clause>,
    },
    /// `join` are the required and the other variables of `or-join`; `or` has none.
    Or {
        source: Option<Symbol>,
        join: Option<(Vec<Symbol>, Vec<Symbol>)>,
        branches: Vec<Vec<Clause>>,
    },
    Rule {
        source: Option<Symbol>,
        name: Symbol,
        args: Vec<Term>,
    },
}

#[derive(Debug, Clone)]
pub struct Rule {
    pub required: usize,
    pub head: Vec<Symbol>,
    pub body: Vec<Clause>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    Relation,
    Collection,
    Tuple,
    Scalar,
}

#[derive(Debug, Clone)]
pub enum Element {
    Var(Symbol),
    Aggregate { function: Symbol, args: Vec<Term>, var: Symbol },
    Pull { source: Symbol, var: Symbol, pattern: Form },
}

impl Element {
    pub fn var(&self) -> Symbol {
        match self {
            Element::Var(v) | Element::Aggregate { var: v, .. } | Element::Pull { var: v, .. } => *v,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Query {
    pub shape: Shape,
    pub find: Vec<Element>,
    pub with: Vec<Symbol>,
    /// `None` when there is no `:in`: a database, or nothing.
    pub inputs: Option<Vec<Binding>>,
    pub body: Vec<Clause>,
    pub keys: Option<Vec<Value>>,
    pub having: Vec<Having>,
    pub order: Vec<(usize, bool)>,
    pub limit: Option<usize>,
    pub offset: usize,
}

/// A predicate over rows that were found.
#[derive(Debug, Clone)]
pub struct Having {
    pub function: Symbol,
    pub args: Vec<HavingArg>,
}

#[derive(Debug, Clone)]
pub enum HavingArg {
    Const(Value),
    Element(Element),
}

pub fn bad<T>(what: &str, form: &Form) -> Result<T> {
    Err(Refusal::new("parser/query", format!("{what}: {form:?}")))
}

pub fn items(form: &Form) -> Option<&[Form]> {
    match &form.kind {
        FormKind::List(xs) | FormKind::Vector(xs) => Some(xs),
        _ => None,
    }
}

pub fn symbol(form: &Form) -> Option<Symbol> {
    if let FormKind::Symbol(s) = form.kind { Some(s) } else { None }
}

pub fn is_var(s: Symbol) -> bool {
    s.as_str().starts_with('?')
}

pub fn is_source(s: Symbol) -> bool {
    s.as_str().starts_with('$')
}

/// The parts of a query by key, from its map or its vector form.
fn sections(form: &Form) -> Result<Vec<(Keyword, Vec<Form>)>> {
    let mut out: Vec<(Keyword, Vec<Form>)> = Vec::new();
    match &form.kind {
        FormKind::Map(entries) => {
            for (k, v) in entries {
                let FormKind::Keyword(k) = k.kind else { return bad("key of a query", k) };
                let one_form = matches!(k.as_str(), "limit" | "offset" | "order-by");
                let forms = match items(v) {
                    Some(xs) if !one_form => xs.to_vec(),
                    _ => vec![v.clone()],
                };
                out.push((k, forms));
            }
        }
        FormKind::Vector(xs) | FormKind::List(xs) => {
            for x in xs {
                match (&x.kind, out.last_mut()) {
                    (FormKind::Keyword(k), _) => out.push((*k, Vec::new())),
                    (_, Some((_, forms))) => forms.push(x.clone()),
                    (_, None) => return bad("query begins with", x),
                }
            }
        }
        _ => return bad("query", form),
    }
    Ok(out)
}

pub fn parse(form: &Form) -> Result<Query> {
    let sections = sections(form)?;
    let section = |name: &str| sections.iter().find(|(k, _)| k.as_str() == name).map(|(_, f)| f.as_slice());
    let is_map = matches!(form.kind, FormKind::Map(_));
    let Some(find_forms) = section("find") else { return bad("no :find", form) };
    let (shape, elements) = find_shape(find_forms)?;
    let find: Vec<Element> = elements.iter().map(element).collect::<Result<_>>()?;
    let with: Vec<Symbol> = section("with").unwrap_or(&[]).iter().filter_map(symbol).collect();
    let inputs = match section("in") {
        Some(forms) => Some(forms.iter().map(binding).collect::<Result<_>>()?),
        None => None,
    };
    let body = section("where").unwrap_or(&[]).iter().map(clause).collect::<Result<_>>()?;
    let mut keys = None;
    for (name, make) in [
        ("keys", (|s: Symbol| Value::Keyword(Keyword::new(s.as_str()))) as fn(Symbol) -> Value),
        ("syms", Value::Symbol),
        ("strs", |s| Value::from(s.as_str())),
    ] {
        if let Some(forms) = section(name) {
            keys = Some(forms.iter().filter_map(symbol).map(make).collect::<Vec<_>>());
        }
    }
    let number = |name: &str| match section(name).and_then(|f| f.first()).map(|f| &f.kind) {
        Some(FormKind::Int(n)) if is_map => usize::try_from(*n).ok(),
        _ => None,
    };
    let order = match section("order-by").and_then(|f| f.first()) {
        Some(form) if is_map => order(form, &find)?,
        _ => Vec::new(),
    };
    let having = section("having").unwrap_or(&[]).iter().map(having).collect::<Result<_>>()?;
    Ok(Query {
        shape,
        find,
        with,
        inputs,
        body,
        keys,
        having,
        order,
        limit: number("limit"),
        offset: number("offset").unwrap_or(0),
    })
}

fn find_shape(forms: &[Form]) -> Result<(Shape, Vec<Form>)> {
    let dots = |form: &Form, text: &str| symbol(form).is_some_and(|s| s.as_str() == text);
    match forms {
        [one] if matches!(one.kind, FormKind::Vector(_)) => match items(one).unwrap_or(&[]) {
            [x, end] if dots(end, "...") => Ok((Shape::Collection, vec![x.clone()])),
            xs => Ok((Shape::Tuple, xs.to_vec())),
        },
        [x, end] if dots(end, ".") => Ok((Shape::Scalar, vec![x.clone()])),
        xs => Ok((Shape::Relation, xs.to_vec())),
    }
}

fn element(form: &Form) -> Result<Element> {
    if let Some(s) = symbol(form) {
        return if is_var(s) { Ok(Element::Var(s)) } else { bad("find element", form) };
    }
    let Some([head, rest @ ..]) = items(form) else { return bad("find element", form) };
    let Some(head) = symbol(head) else { return bad("find element", form) };
    if head.as_str() == "pull" {
        let (source, rest) = match rest {
            [s, rest @ ..] if symbol(s).is_some_and(is_source) => (symbol(s).unwrap_or(head), rest),
            _ => (super::dollar(), rest),
        };
        return match rest {
            [e, pattern] if symbol(e).is_some_and(is_var) => {
                Ok(Element::Pull { source, var: symbol(e).unwrap_or(head), pattern: pattern.clone() })
            }
            _ => bad("pull", form),
        };
    }
    let (function, rest) = match rest {
        [f, rest @ ..] if head.as_str() == "aggregate" => (symbol(f).unwrap_or(head), rest),
        _ => (head, rest),
    };
    match rest {
        [args @ .., var] if symbol(var).is_some_and(is_var) => {
            let args = args.iter().map(term).collect::<Result<_>>()?;
            Ok(Element::Aggregate { function, args, var: symbol(var).unwrap_or(head) })
        }
        _ => bad("aggregate", form),
    }
}

fn having(form: &Form) -> Result<Having> {
    let Some([call]) = items(form) else { return bad("having", form) };
    let Some([function, args @ ..]) = items(call) else { return bad("having", form) };
    let Some(function) = symbol(function) else { return bad("having", form) };
    let arg = |arg: &Form| match &arg.kind {
        FormKind::Symbol(_) | FormKind::List(_) => Ok(HavingArg::Element(element(arg)?)),
        _ => Ok(HavingArg::Const(value(arg)?)),
    };
    Ok(Having { function, args: args.iter().map(arg).collect::<Result<_>>()? })
}

fn order(form: &Form, find: &[Element]) -> Result<Vec<(usize, bool)>> {
    let one = [form.clone()];
    let mut keys: Vec<(usize, bool)> = Vec::new();
    for part in items(form).unwrap_or(&one) {
        match &part.kind {
            FormKind::Int(i) => keys.push((*i as usize, false)),
            FormKind::Symbol(s) => match find.iter().position(|e| matches!(e, Element::Var(v) if v == s)) {
                Some(i) => keys.push((i, false)),
                None => return bad(":order-by", part),
            },
            FormKind::Keyword(k) => match (k.as_str(), keys.last_mut()) {
                ("asc", Some(key)) => key.1 = false,
                ("desc", Some(key)) => key.1 = true,
                _ => return bad(":order-by", part),
            },
            _ => return bad(":order-by", part),
        }
    }
    Ok(keys)
}

pub fn term(form: &Form) -> Result<Term> {
    Ok(match symbol(form) {
        Some(s) if s.as_str() == "_" => Term::Blank,
        Some(s) if is_var(s) => Term::Var(s),
        Some(s) if is_source(s) => Term::Source(s),
        _ => Term::Const(value(form)?),
    })
}

pub fn binding(form: &Form) -> Result<Binding> {
    if let Some(s) = symbol(form) {
        return Ok(match s.as_str() {
            "_" => Binding::Ignore,
            "%" => Binding::Rules,
            _ if is_source(s) => Binding::Source(s),
            _ => Binding::Var(s),
        });
    }
    match items(form) {
        Some([x, dots]) if symbol(dots).is_some_and(|s| s.as_str() == "...") => {
            Ok(Binding::Each(Box::new(binding(x)?)))
        }
        Some([x]) if matches!(x.kind, FormKind::Vector(_)) => Ok(Binding::Each(Box::new(binding(x)?))),
        Some(xs) if !xs.is_empty() => Ok(Binding::Tuple(xs.iter().map(binding).collect::<Result<_>>()?)),
        _ => bad("binding", form),
    }
}

fn body(forms: &[Form]) -> Result<Vec<Clause>> {
    forms.iter().map(clause).collect()
}

fn vars(form: &Form) -> Result<Vec<Symbol>> {
    let Some(xs) = items(form) else { return bad("variables", form) };
    Ok(xs.iter().filter_map(symbol).filter(|s| is_var(*s)).collect())
}

pub fn clause(form: &Form) -> Result<Clause> {
    match &form.kind {
        FormKind::Vector(xs) => match xs.as_slice() {
            [] => bad("empty clause", form),
            [call, rest @ ..] if matches!(call.kind, FormKind::List(_)) => {
                let Some([f, args @ ..]) = items(call) else { return bad("call", form) };
                let Some(function) = symbol(f) else { return bad("call", form) };
                let args = args.iter().map(term).collect::<Result<_>>()?;
                let binding = match rest {
                    [] => None,
                    [b] => Some(binding(b)?),
                    _ => return bad("call", form),
                };
                Ok(Clause::Call { function, args, binding })
            }
            [s, rest @ ..] if symbol(s).is_some_and(is_source) => {
                Ok(Clause::Pattern { source: symbol(s), terms: rest.iter().map(term).collect::<Result<_>>()? })
            }
            xs => Ok(Clause::Pattern { source: None, terms: xs.iter().map(term).collect::<Result<_>>()? }),
        },
        FormKind::List(xs) => {
            let (source, xs) = match xs.as_slice() {
                [s, rest @ ..] if symbol(s).is_some_and(is_source) => (symbol(s), rest),
                xs => (None, xs),
            };
            let Some((head, rest)) = xs.split_first() else { return bad("clause", form) };
            let Some(head) = symbol(head) else { return bad("clause", form) };
            match (head.as_str(), rest) {
                ("not", [_, ..]) => Ok(Clause::Not { source, join: None, body: body(rest)? }),
                ("not-join", [join, rest @ ..]) if !rest.is_empty() => {
                    Ok(Clause::Not { source, join: Some(vars(join)?), body: body(rest)? })
                }
                ("or", [_, ..]) => Ok(Clause::Or { source, join: None, branches: branches(rest)? }),
                ("or-join", [join, rest @ ..]) if !rest.is_empty() => {
                    let (required, free) = match items(join) {
                        Some([r, _free @ ..]) if matches!(r.kind, FormKind::Vector(_)) => (vars(r)?, vars(join)?),
                        _ => (Vec::new(), vars(join)?),
                    };
                    Ok(Clause::Or { source, join: Some((required, free)), branches: branches(rest)? })
                }
                ("and" | "not" | "not-join" | "or" | "or-join", _) => bad("clause", form),
                (_, args) => {
                    Ok(Clause::Rule { source, name: head, args: args.iter().map(term).collect::<Result<_>>()? })
                }
            }
        }
        _ => bad("clause", form),
    }
}

fn branches(forms: &[Form]) -> Result<Vec<Vec<Clause>>> {
    let branch = |form: &Form| match items(form) {
        Some([head, rest @ ..])
            if matches!(form.kind, FormKind::List(_)) && symbol(head).is_some_and(|s| s.as_str() == "and") =>
        {
            body(rest)
        }
        _ => Ok(vec![clause(form)?]),
    };
    forms.iter().map(branch).collect()
}

/// The rules of a `%` input: `[[(name ?a [?b]) clauses…] …]`.
pub fn rules(form: &Form) -> Result<Vec<(Symbol, Rule)>> {
    let Some(xs) = items(form) else { return bad("rules", form) };
    let rule = |form: &Form| -> Result<(Symbol, Rule)> {
        let Some([head, rest @ ..]) = items(form) else { return bad("rule", form) };
        let Some([name, args @ ..]) = items(head) else { return bad("rule head", form) };
        let Some(name) = symbol(name) else { return bad("rule head", form) };
        let (required, args) = match args {
            [r, args @ ..] if matches!(r.kind, FormKind::Vector(_)) => (items(r).unwrap_or(&[]).to_vec(), args),
            args => (Vec::new(), args),
        };
        let mut all = Vec::new();
        for arg in required.iter().chain(args) {
            match symbol(arg) {
                Some(s) if is_var(s) => all.push(s),
                _ => return Err(Refusal::new("parser/rule-var", format!("no variable in a rule head: {arg:?}"))),
            }
        }
        Ok((name, Rule { required: required.len(), head: all, body: body(rest)? }))
    };
    xs.iter().map(rule).collect()
}
