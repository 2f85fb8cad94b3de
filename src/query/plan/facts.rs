//! What the schema promises: which variables are determined by which, so that rows are known to be distinct.

use hashbrown::HashSet;

use crate::query::logic::Var;

/// Functional dependencies, and what the rows of a plan so far vary by.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    dependencies: Vec<(Vec<Var>, Var)>,
    /// Two rows that agree in all of these are the same row of every relation joined so far.
    varies_by: HashSet<Var>,
    /// Whether rows may repeat even so.
    repeats: bool,
    anonymous: Var,
}

/// Numbers of variables that stand for positions without a name.
const ANONYMOUS: Var = 1 << 30;

impl Facts {
    pub fn new(input: &[Var]) -> Facts {
        Facts { varies_by: input.iter().copied().collect(), anonymous: ANONYMOUS, ..Facts::default() }
    }

    pub fn anonymous(&mut self) -> Var {
        self.anonymous += 1;
        self.anonymous
    }

    /// Facts of other rows, which these are joined with later.
    pub fn apart(&self) -> Facts {
        Facts { anonymous: self.anonymous, ..Facts::default() }
    }

    /// Takes in the facts of rows that are joined.
    pub fn join(&mut self, other: Facts) {
        self.dependencies.extend(other.dependencies);
        self.varies_by.extend(other.varies_by);
        self.repeats |= other.repeats;
        self.anonymous = other.anonymous;
    }

    pub fn depends(&mut self, on: Vec<Var>, var: Var) {
        self.dependencies.push((on, var));
    }

    pub fn varies(&mut self, var: Var) {
        self.varies_by.insert(var);
    }

    pub fn repeats(&mut self) {
        self.repeats = true;
    }

    /// Whether rows that agree in `columns` are the same row.
    pub fn is_distinct(&self, columns: &[Var]) -> bool {
        if self.repeats {
            return false;
        }
        let mut known: HashSet<Var> = columns.iter().copied().collect();
        loop {
            let before = known.len();
            for (on, var) in &self.dependencies {
                if on.iter().all(|v| known.contains(v)) {
                    known.insert(*var);
                }
            }
            if known.len() == before {
                return self.varies_by.is_subset(&known);
            }
        }
    }

    /// After duplicates were dropped.
    pub fn made_distinct(&mut self, columns: &[Var]) {
        self.varies_by = columns.iter().copied().collect();
        self.repeats = false;
    }
}
