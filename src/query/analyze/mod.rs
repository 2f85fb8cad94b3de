//! Ast to logic: names become variables, constants and sources; scopes are told apart; rules that do not recur are
//! written out; what cannot be right is refused with its place.

mod calls;
mod canonical;
mod clauses;
mod finds;
mod having;
mod rules;
mod scope;

pub(super) use clauses::clause_vars;
pub(super) use rules::RuleBook;

use std::sync::Arc;

use super::aggregate::Aggregates;
use super::ast::{self, Ast, InElement, Name};
use super::builtin::Functions;
use super::logic::{Bind, Clause, Constant, InputRows, Kind, Place, Program, Rule, SortKey, SourceInput, Term, Var};
use super::parse::is_variable;
use crate::datom::Value;
use crate::edn::{Span, Symbol};
use crate::error::{Error, ErrorKind, Result};
use scope::Scope;

/// What is known while names are resolved, and what was made so far.
pub(super) struct Analyzer<'a> {
    functions: &'a Functions,
    aggregates: &'a Aggregates,
    rules: &'a RuleBook,
    vars: Vec<Symbol>,
    constants: Vec<Constant>,
    sources: Vec<SourceInput>,
    /// Clauses made from rules so far.
    written_out: usize,
    /// Rules that are answered from tables, each with the source it is asked about.
    tabled: Vec<(Symbol, Option<usize>)>,
}

/// The text that is being analyzed, and the source that patterns mean when they name none.
#[derive(Clone)]
struct Context {
    text: Option<Arc<str>>,
    source: Option<usize>,
    depth: usize,
}

impl Context {
    fn place(&self, span: Span) -> Arc<Place> {
        Arc::new(Place { text: self.text.clone(), span })
    }

    fn error(&self, code: &'static str, span: Span, message: impl Into<String>) -> Error {
        self.place(span).mark(Error::new(ErrorKind::Query, code, message))
    }
}

/// Deepest nesting of clauses and of rules inside one another.
const MAX_DEPTH: usize = 200;

/// Resolves a query.
pub(super) fn analyze(ast: &Ast, rules: &RuleBook, functions: &Functions, aggregates: &Aggregates) -> Result<Program> {
    let mut analyzer = Analyzer {
        functions,
        aggregates,
        rules,
        vars: Vec::new(),
        constants: Vec::new(),
        sources: Vec::new(),
        written_out: 0,
        tabled: Vec::new(),
    };
    analyzer.query(ast)
}

impl<'a> Analyzer<'a> {
    fn query(&mut self, ast: &Ast) -> Result<Program> {
        let mut context = Context { text: ast.text.clone(), source: None, depth: 0 };
        let mut scope = Scope::default();
        let mut input_rows = Vec::new();
        self.inputs(ast, &context, &mut scope, &mut input_rows)?;
        context.source = self.sources.iter().position(|source| source.name.as_str() == "$");
        let mut clauses: Vec<Clause> = Vec::new();
        for input in 0..input_rows.len() {
            clauses.push(Clause { kind: Kind::Input { input }, place: context.place(Span::default()) });
        }
        clauses.extend(self.body(&ast.clauses, &mut scope, &context)?);
        let (mut find, with) = self.find(ast, &scope, &context)?;
        let visible = find.len();
        let having = self.having(ast, &mut find, &mut scope, &context)?;
        let mut rules: Vec<Rule> = Vec::new();
        // Bodies of tabled rules may call further ones.
        while let Some((name, source)) = self.tabled.get(rules.len()).copied() {
            let branches = self.rule_branches(name, source)?;
            rules.push(Rule { name, component: self.rules.component(name), branches });
        }
        let mut program = Program {
            vars: std::mem::take(&mut self.vars),
            constants: std::mem::take(&mut self.constants),
            sources: std::mem::take(&mut self.sources),
            input_rows,
            clauses,
            rules,
            find,
            visible,
            names: Arc::default(),
            wanted: Vec::new(),
            having,
            with,
            shape: ast.shape,
            keys: ast.return_map.as_ref().map(|map| map.keys.clone().into()),
            order_by: ast.order_by.iter().map(|k| SortKey { column: k.column, descending: k.descending }).collect(),
            limit: ast.limit,
            offset: ast.offset,
            after: ast.after.clone(),
            timeout: ast.timeout,
            warnings: self.rules.unused(&ast.clauses),
            inputs: ast.inputs.iter().map(ToString::to_string).collect(),
        };
        canonical::sort_clauses(&mut program);
        Ok(program.with_columns())
    }

    fn inputs(
        &mut self,
        ast: &Ast,
        context: &Context,
        scope: &mut Scope,
        input_rows: &mut Vec<InputRows>,
    ) -> Result<()> {
        for (input, element) in ast.inputs.iter().enumerate() {
            match element {
                InElement::Source(name) => {
                    if self.sources.iter().any(|source| source.name == name.symbol) {
                        let message = format!("the source {} stands twice in :in", name.text());
                        return Err(context.error("query/syntax", name.span, message));
                    }
                    self.sources.push(SourceInput { name: name.symbol, input });
                }
                InElement::Rules => {}
                InElement::Binding(binding) => {
                    self.input_binding(binding, input, &mut Vec::new(), context, scope, input_rows)?;
                }
            }
        }
        Ok(())
    }

    /// Scalars and members of tuples become constants, collections become rows.
    fn input_binding(
        &mut self,
        binding: &ast::Binding,
        input: usize,
        path: &mut Vec<usize>,
        context: &Context,
        scope: &mut Scope,
        input_rows: &mut Vec<InputRows>,
    ) -> Result<()> {
        match binding {
            ast::Binding::Blank => {}
            ast::Binding::Var(name) => {
                self.fresh_input(*name, context, scope)?;
                let constant = self.constant(Constant::Input { input, path: path.clone() });
                scope.set(name.symbol, Term::Const(constant));
            }
            ast::Binding::Tuple(members) => {
                for (i, member) in members.iter().enumerate() {
                    path.push(i);
                    self.input_binding(member, input, path, context, scope, input_rows)?;
                    path.pop();
                }
            }
            ast::Binding::Collection(..) => {
                let mut names = Vec::new();
                let bind = compile_binding(binding, &mut names);
                let mut vars = Vec::with_capacity(names.len());
                for name in names {
                    self.fresh_input(name, context, scope)?;
                    let var = self.fresh(name.symbol);
                    scope.set(name.symbol, Term::Var(var));
                    vars.push(var);
                }
                input_rows.push(InputRows { input, path: path.clone(), bind, vars });
            }
        }
        Ok(())
    }

    fn fresh_input(&self, name: Name, context: &Context, scope: &Scope) -> Result<()> {
        if scope.get(name.symbol).is_some() {
            let message = format!("{} stands twice in :in", name.text());
            return Err(context.error("query/syntax", name.span, message));
        }
        Ok(())
    }

    fn fresh(&mut self, name: Symbol) -> Var {
        self.vars.push(name);
        (self.vars.len() - 1) as Var
    }

    fn constant(&mut self, constant: Constant) -> usize {
        self.constants.push(constant);
        self.constants.len() - 1
    }

    fn literal(&mut self, value: Value) -> usize {
        self.constant(Constant::Literal(value))
    }

    fn source(&self, name: Option<Name>, span: Span, context: &Context) -> Result<usize> {
        match name {
            Some(name) => self.sources.iter().position(|source| source.name == name.symbol).ok_or_else(|| {
                let known: Vec<&str> = self.sources.iter().map(|source| source.name.as_str()).collect();
                let known = if known.is_empty() { "no sources".to_owned() } else { known.join(" ") };
                let message = format!("the source {} is not in :in, which has {known}", name.text());
                context.error("query/unknown-source", name.span, message)
            }),
            None => context.source.ok_or_else(|| {
                context.error("query/unknown-source", span, "the clause reads the source $, which :in does not have")
            }),
        }
    }

    /// The term of a name in a scope; a plain symbol must be bound by `:in`.
    fn name(&mut self, name: Name, scope: &mut Scope, context: &Context) -> Result<Term> {
        if let Some(term) = scope.get(name.symbol) {
            return Ok(term);
        }
        if !is_variable(name.symbol) {
            let message =
                format!("a variable such as ?{0} was wanted, got the symbol {0}, which :in does not bind", name.text());
            return Err(context.error("query/syntax", name.span, message));
        }
        let term = Term::Var(self.fresh(name.symbol));
        scope.set(name.symbol, term);
        Ok(term)
    }

    fn term(&mut self, term: &ast::Term, scope: &mut Scope, context: &Context) -> Result<Term> {
        match term {
            ast::Term::Blank => Ok(Term::Any),
            ast::Term::Var(name) => self.name(*name, scope, context),
            ast::Term::Const(value) => Ok(Term::Const(self.literal(value.clone()))),
            ast::Term::Source(name) => {
                let message = format!("a variable or a value was wanted, got the source {}", name.text());
                Err(context.error("query/syntax", name.span, message))
            }
        }
    }
}

/// Numbers the variables of a binding; `names` gets each once.
fn compile_binding(binding: &ast::Binding, names: &mut Vec<Name>) -> Bind {
    match binding {
        ast::Binding::Blank => Bind::Blank,
        ast::Binding::Var(name) => {
            let known = names.iter().position(|other| other.symbol == name.symbol);
            Bind::Slot(known.unwrap_or_else(|| {
                names.push(*name);
                names.len() - 1
            }))
        }
        ast::Binding::Tuple(members) => {
            Bind::Tuple(members.iter().map(|member| compile_binding(member, names)).collect())
        }
        ast::Binding::Collection(inner) => Bind::Collection(Box::new(compile_binding(inner, names))),
    }
}
