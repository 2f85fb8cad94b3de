//! Triangles: three patterns that tie three variables to each other in a circle.

use std::sync::Arc;

use hashbrown::HashSet;

use super::lower::Planner;
use super::order::Facet;
use super::{Op, Part, Plan, Side, Step, Triangle, plan_body};
use crate::error::Result;
use crate::query::analyze::clause_vars;
use crate::query::logic::{Clause, Kind, Var};

/// An edge that a pattern gives: from its entity to its value.
struct Edge {
    clause: usize,
    from: Var,
    to: Var,
    side: Side,
    rows: f64,
}

impl Planner<'_> {
    /// The plan of clauses that begin with a triangle, when nothing else says more about its variables.
    pub(super) fn begins_with_triangle(
        &self,
        clauses: &[Clause],
        facets: &[Facet],
        needed: &HashSet<Var>,
    ) -> Result<Option<Plan>> {
        let edges: Vec<Edge> =
            clauses.iter().zip(facets).enumerate().filter_map(|(i, (clause, facet))| edge(i, clause, facet)).collect();
        for one in 0..edges.len() {
            for two in one + 1..edges.len() {
                for three in two + 1..edges.len() {
                    let circle = [&edges[one], &edges[two], &edges[three]];
                    if let Some(triangle) = triangle(circle)
                        && self.is_alone(clauses, &circle, &triangle.vars)
                    {
                        return self.with_triangle(clauses, circle, triangle, needed).map(Some);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whether no other clause binds one of the variables.
    fn is_alone(&self, clauses: &[Clause], circle: &[&Edge; 3], vars: &[Var; 3]) -> bool {
        clauses.iter().enumerate().filter(|(i, _)| circle.iter().all(|edge| edge.clause != *i)).all(|(_, clause)| {
            let mut alone = !matches!(clause.kind, Kind::Equal(..));
            let mut look = |var: Var| alone &= !vars.contains(&var);
            match &clause.kind {
                Kind::Not { .. } => {}
                Kind::Call(call) => call.outs.iter().copied().for_each(&mut look),
                Kind::Input { input } => {
                    self.run.program.input_rows[*input].vars.iter().copied().for_each(&mut look);
                }
                kind => clause_vars(kind, &mut look),
            }
            alone
        })
    }

    fn with_triangle(
        &self,
        clauses: &[Clause],
        circle: [&Edge; 3],
        triangle: Triangle,
        needed: &HashSet<Var>,
    ) -> Result<Plan> {
        let rest: Vec<Clause> = clauses
            .iter()
            .enumerate()
            .filter(|(i, _)| circle.iter().all(|edge| edge.clause != *i))
            .map(|(_, clause)| clause.clone())
            .collect();
        // As in random graphs: of all paths of two edges a share is closed.
        let rows = circle.iter().map(|edge| edge.rows).fold(f64::INFINITY, f64::min).powf(1.25);
        let vars = triangle.vars.to_vec();
        let place = Arc::clone(&clauses[circle[0].clause].place);
        let after = plan_body(self, &rest, &vars, rows, needed)?;
        let mut steps = vec![Step { op: Op::Triangle(triangle), layout: vars, rows, place }];
        steps.extend(after.steps);
        Ok(Plan { steps, input: Vec::new(), rows: after.rows, distinct: after.distinct })
    }
}

fn edge(clause: usize, Clause { kind, .. }: &Clause, facet: &Facet) -> Option<Edge> {
    let (Kind::Pattern { source, .. }, Facet::Pattern(known)) = (kind, facet) else { return None };
    let attribute = known.shape.attribute.as_ref().filter(|attribute| attribute.is_ref())?;
    match &known.shape.parts {
        [Part::Out(from), Part::Const(_), Part::Out(to), Part::Any, Part::Any] => Some(Edge {
            clause,
            from: *from,
            to: *to,
            side: Side { source: *source, attribute: Arc::clone(attribute), along: true },
            rows: known.estimate.rows,
        }),
        _ => None,
    }
}

/// The triangle of three edges, if they are one.
fn triangle(circle: [&Edge; 3]) -> Option<Triangle> {
    let [one, two, three] = circle;
    let (a, b) = (one.from, one.to);
    let others = [two, three];
    let touches = |edge: &Edge, var: Var| edge.from == var || edge.to == var;
    // The edge from `b` and the edge from `a`, either way; what they have in common is `c`.
    let from_b = others.iter().position(|edge| touches(edge, b) && !touches(edge, a))?;
    let (of_b, of_a) = (others[from_b], others[1 - from_b]);
    let other_end = |edge: &Edge, var: Var| if edge.from == var { edge.to } else { edge.from };
    let c = other_end(of_b, b);
    let closes = touches(of_a, a) && other_end(of_a, a) == c && c != a && c != b && a != b;
    let side = |edge: &Edge, from: Var| Side { along: edge.from == from, ..edge.side.clone() };
    closes.then(|| Triangle { vars: [a, b, c], sides: [side(one, a), side(of_b, b), side(of_a, a)] })
}
