//! From environments to rows: projection, aggregates, pull.

use std::collections::{BTreeMap, BTreeSet};

use treering::Value;
use treering::edn::FormKind;

use super::ast::{Element, HavingArg, Query, Shape, Term};
use super::eval::{Env, Solver};
use super::numbers::{Op, arithmetic, double};
use super::{Answer, Refusal, Result};

pub fn find(query: &Query, solver: &Solver, envs: Vec<Env>) -> Result<Answer> {
    if let Some(message) = envs.iter().filter_map(|e| e.failed.as_ref()).min() {
        return Err(Refusal::new("query/function", message.clone()));
    }
    // What only :having aggregates counts as :with does.
    let extra: Vec<&Element> = query.having.iter().flat_map(|having| &having.args).filter_map(only_in_having).collect();
    let elements: Vec<&Element> = query.find.iter().chain(extra).collect();
    let vars: Vec<_> = elements.iter().map(|e| e.var()).chain(query.with.iter().copied()).collect();
    // A pattern variable of pull is named like an input, not like a column.
    let tuples: BTreeSet<Vec<Value>> =
        envs.iter().map(|e| vars.iter().map(|v| e.vars.get(v).cloned().unwrap_or(Value::Nil)).collect()).collect();
    let visible = query.find.len();
    let mut rows: Vec<Vec<Value>> = Vec::new();
    if elements.iter().any(|e| matches!(e, Element::Aggregate { .. })) {
        let mut groups: BTreeMap<Vec<Value>, Vec<Vec<Value>>> = BTreeMap::new();
        for tuple in tuples {
            let plain = elements.iter().zip(&tuple).filter(|(e, _)| !matches!(e, Element::Aggregate { .. }));
            groups.entry(plain.map(|(_, v)| v.clone()).collect()).or_default().push(tuple);
        }
        for tuples in groups.values() {
            let mut row = Vec::new();
            for (i, element) in elements.iter().enumerate() {
                let column: Vec<Value> = tuples.iter().map(|t| t[i].clone()).collect();
                row.push(match element {
                    Element::Aggregate { function, args, .. } => {
                        let args = args.iter().map(|t| argument(t, &envs)).collect::<Result<Vec<_>>>()?;
                        aggregate(function.as_str(), &args, column)?
                    }
                    _ => column[0].clone(),
                });
            }
            rows.push(row);
        }
    } else {
        rows = tuples.into_iter().map(|tuple| tuple[..visible].to_vec()).collect();
        if query.with.is_empty() && !query.find.iter().any(|e| matches!(e, Element::Pull { .. })) {
            rows = rows.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        }
    }
    let mut kept = Vec::new();
    for mut row in rows {
        if passes(query, &elements, &row)? {
            row.truncate(visible);
            let pulled = query.find.iter().zip(&row).map(|(element, v)| plain(element, solver, v));
            kept.push(pulled.collect::<Result<Vec<_>>>()?);
        }
    }
    let rows = kept;
    let keys = match &query.keys {
        Some(keys) if matches!(query.shape, Shape::Collection | Shape::Scalar) || keys.len() != query.find.len() => {
            return Err(Refusal::new("parser/query", "return keys do not fit the find"));
        }
        keys => keys.clone(),
    };
    Ok(Answer { shape: query.shape, rows, order: query.order.clone(), offset: query.offset, limit: query.limit, keys })
}

fn only_in_having(arg: &HavingArg) -> Option<&Element> {
    match arg {
        HavingArg::Element(element @ Element::Aggregate { .. }) => Some(element),
        _ => None,
    }
}

/// Whether a row of the elements passes `:having`.
fn passes(query: &Query, elements: &[&Element], row: &[Value]) -> Result<bool> {
    // The aggregates of :having stand after those of :find, one after the other.
    let mut extra = query.find.len();
    for having in &query.having {
        let mut args = Vec::new();
        for arg in &having.args {
            args.push(match arg {
                HavingArg::Const(v) => v.clone(),
                HavingArg::Element(Element::Aggregate { .. }) => {
                    extra += 1;
                    row[extra - 1].clone()
                }
                HavingArg::Element(element) => {
                    let same = |e: &&&Element| matches!(e, Element::Var(v) if *v == element.var());
                    let Some(at) = elements.iter().position(|e| same(&e)) else {
                        return Err(Refusal::new("parser/query", "a variable of :having that :find does not have"));
                    };
                    row[at].clone()
                }
            });
        }
        let called = super::functions::call(having.function, &args, None);
        match called.unwrap_or_else(|| Err("unknown function".to_owned())) {
            Ok(result) if super::functions::truthy(&result) => {}
            Ok(_) => return Ok(false),
            Err(message) => return Err(Refusal::new("query/function", message)),
        }
    }
    Ok(true)
}

fn argument(term: &Term, envs: &[Env]) -> Result<Value> {
    match term {
        Term::Const(c) => Ok(c.clone()),
        Term::Var(v) => {
            let value = envs.first().and_then(|e| e.vars.get(v));
            value.cloned().ok_or_else(|| Refusal::new("parser/query", format!("{v} is not bound")))
        }
        _ => Err(Refusal::new("parser/query", "argument of an aggregate")),
    }
}

fn plain(element: &Element, solver: &Solver, v: &Value) -> Result<Value> {
    let Element::Pull { source, pattern, .. } = element else { return Ok(v.clone()) };
    let pattern = match &pattern.kind {
        FormKind::Symbol(s) => solver.patterns.get(s).unwrap_or(pattern),
        _ => pattern,
    };
    super::pull::pull(solver.source(*source)?, pattern, v)
}

fn sum(column: &[Value]) -> Result<Value> {
    let sum = column.iter().try_fold(Value::Long(0), |s, v| arithmetic(Op::Add, &s, v));
    sum.map_err(|m| Refusal::new("query/aggregate", m))
}

fn doubles(column: &[Value]) -> Result<Vec<f64>> {
    let number = |v| double(v).ok_or_else(|| Refusal::new("query/aggregate", format!("{v:?} is not a number")));
    column.iter().map(number).collect()
}

fn variance(column: &[Value]) -> Result<f64> {
    let xs = doubles(column)?;
    let mean = xs.iter().sum::<f64>() / xs.len() as f64;
    Ok(xs.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / xs.len() as f64)
}

fn aggregate(function: &str, args: &[Value], mut column: Vec<Value>) -> Result<Value> {
    column.sort();
    let n = match args {
        [] => None,
        [Value::Long(n)] if *n >= 0 => Some(*n as usize),
        _ => return Err(Refusal::new("query/aggregate", "a number wanted before the variable")),
    };
    let distinct: BTreeSet<Value> = column.iter().cloned().collect();
    Ok(match (function, n) {
        ("count", None) => Value::Long(column.len() as i64),
        ("count-distinct", None) => Value::Long(distinct.len() as i64),
        ("distinct", None) => Value::Set(distinct.into_iter().collect()),
        ("min", None) => column.first().cloned().unwrap_or(Value::Nil),
        ("max", None) => column.last().cloned().unwrap_or(Value::Nil),
        ("min", Some(n)) => Value::Tuple(column.into_iter().take(n).collect()),
        ("max", Some(n)) => Value::Tuple(column[column.len().saturating_sub(n)..].into()),
        ("sum", None) => sum(&column)?,
        ("avg", None) => {
            let xs = doubles(&column)?;
            Value::Double(xs.iter().sum::<f64>() / xs.len() as f64)
        }
        ("median", None) => {
            let mut xs = doubles(&column)?;
            xs.sort_by(f64::total_cmp);
            let middle = xs.len() / 2;
            Value::Double(if xs.len() % 2 == 1 { xs[middle] } else { (xs[middle - 1] + xs[middle]) / 2.0 })
        }
        ("variance", None) => Value::Double(variance(&column)?),
        ("stddev", None) => Value::Double(variance(&column)?.sqrt()),
        _ => return Err(Refusal::new("query/aggregate", format!("unknown aggregate {function}"))),
    })
}
