//! Runs generated cases through any evaluator and compares it with the oracle.

use treering::Value;

use super::generate::{Case, Rng, World};
use super::{Refusal, canon};

/// How many cases were judged, and how many were answered by an error on both sides or left out.
#[derive(Debug, Default, PartialEq)]
pub struct Tally {
    pub judged: u64,
    pub failed: u64,
    pub left_out: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.judged += other.judged;
        self.failed += other.failed;
        self.left_out += other.left_out;
    }
}

/// The seed and the number of cases: `TREERING_SEED` and `TREERING_CASES`, or the defaults.
pub fn wanted(seed: u64, cases: u64) -> (u64, u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    (number("TREERING_SEED").unwrap_or(seed), number("TREERING_CASES").unwrap_or(cases))
}

/// Averages and the like are rounded, since the order of a sum is nobody's business.
fn rounded(v: &Value) -> Value {
    match v {
        Value::Double(x) if x.is_finite() => Value::Double(format!("{x:.9e}").parse().unwrap_or(*x)),
        Value::Tuple(xs) => Value::Tuple(xs.iter().map(rounded).collect()),
        Value::Set(xs) => Value::set(xs.iter().map(rounded).collect()),
        _ => canon(v),
    }
}

/// Judges `cases` cases from `seed` on. `load` makes what `run` asks: `run` is given the query as text and answers rows
/// in their order (one row of one value for a scalar, rows of one value for a collection), or an error.
///
/// # Errors
/// What went wrong, with everything that is needed to see it again.
pub fn judge<D>(
    (seed, cases): (u64, u64),
    first_tx: u64,
    mut load: impl FnMut(&World) -> D,
    mut run: impl FnMut(&D, &World, &Case, &str) -> Result<Vec<Vec<Value>>, String>,
) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for seed in seed..seed + cases {
        let mut rng = Rng(seed);
        let world = World::generate(&mut rng, first_tx);
        let case = Case::generate(seed, &world, &mut rng);
        let inputs = case.oracle_inputs(&world);
        let wanted = super::answer(&Case::form(&case.query()), &inputs);
        // What takes too long, and what the oracle says it does not know, is no verdict on anybody else.
        let knows = |refusal: &Refusal| {
            !matches!(refusal.code, "oracle/steps" | "oracle/schema")
                && !refusal.message.contains("the oracle does not")
        };
        if wanted.as_ref().is_err_and(|refusal| !knows(refusal)) {
            tally.left_out += 1;
            continue;
        }
        let db = load(&world);
        // The query as it is, and once with its clauses in another order.
        for text in [case.query(), case.permuted(&mut rng)] {
            let got = run(&db, &world, &case, &text);
            let verdict = match (&wanted, &got) {
                (Err(_), Err(_)) => {
                    tally.failed += 1;
                    Ok(())
                }
                (Ok(answer), Ok(rows)) => {
                    let round = |rows: &[Vec<Value>]| -> Vec<Vec<Value>> {
                        rows.iter().map(|r| r.iter().map(rounded).collect()).collect()
                    };
                    let answer = super::Answer { rows: round(&answer.rows), ..answer.clone() };
                    answer.accepts(&round(rows))
                }
                (Err(refusal), Ok(rows)) => {
                    Err(format!("an error wanted ({}), {} rows got", refusal.message, rows.len()))
                }
                (Ok(answer), Err(error)) => Err(format!("{} rows wanted, an error got: {error}", answer.rows.len())),
            };
            verdict.map_err(|what| format!("{what}\n{}asked as\n{text}\n", case.describe(&world)))?;
        }
        tally.judged += 1;
    }
    Ok(tally)
}
