//! From environments to rows: projection, aggregates, pull.

use std::collections::{BTreeMap, BTreeSet};

use treering::Value;
use treering::edn::FormKind;

use super::ast::{Element, Query, Shape, Term};
use super::eval::{Env, Solver};
use super::numbers::{Op, arithmetic, double};
use super::{Answer, Refusal, Result};

pub fn find(query: &Query, solver: &Solver, envs: Vec<Env>) -> Result<Answer> {
    if let Some(message) = envs.iter().filter_map(|e| e.failed.as_ref()).min() {
        return Err(Refusal::new("query/function", message.clone()));
    }
    let vars: Vec<_> = query.find.iter().map(Element::var).chain(query.with.iter().copied()).collect();
    // A pattern variable of pull is named like an input, not like a column.
    let tuples: BTreeSet<Vec<Value>> =
        envs.iter().map(|e| vars.iter().map(|v| e.vars.get(v).cloned().unwrap_or(Value::Nil)).collect()).collect();
    let mut rows: Vec<Vec<Value>> = Vec::new();
    if query.find.iter().any(|e| matches!(e, Element::Aggregate { .. })) {
        let mut groups: BTreeMap<Vec<Value>, Vec<Vec<Value>>> = BTreeMap::new();
        for tuple in tuples {
            let plain = query.find.iter().zip(&tuple).filter(|(e, _)| !matches!(e, Element::Aggregate { .. }));
            groups.entry(plain.map(|(_, v)| v.clone()).collect()).or_default().push(tuple);
        }
        for tuples in groups.values() {
            let mut row = Vec::new();
            for (i, element) in query.find.iter().enumerate() {
                let column: Vec<Value> = tuples.iter().map(|t| t[i].clone()).collect();
                row.push(match element {
                    Element::Aggregate { function, args, .. } => {
                        let args = args.iter().map(|t| argument(t, &envs)).collect::<Result<Vec<_>>>()?;
                        aggregate(function.as_str(), &args, column)?
                    }
                    element => plain(element, solver, &column[0])?,
                });
            }
            rows.push(row);
        }
    } else {
        for tuple in tuples {
            let row = query.find.iter().zip(&tuple).map(|(e, v)| plain(e, solver, v));
            rows.push(row.collect::<Result<_>>()?);
        }
        if query.with.is_empty() && !query.find.iter().any(|e| matches!(e, Element::Pull { .. })) {
            rows = rows.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        }
    }
    let keys = match &query.keys {
        Some(keys) if matches!(query.shape, Shape::Collection | Shape::Scalar) || keys.len() != query.find.len() => {
            return Err(Refusal::new("parser/query", "return keys do not fit the find"));
        }
        keys => keys.clone(),
    };
    Ok(Answer { shape: query.shape, rows, order: query.order.clone(), offset: query.offset, limit: query.limit, keys })
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
