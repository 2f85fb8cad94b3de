//! Tables of things by name.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::edn::Symbol;

/// Things by name. A value: cheap to clone, never changed.
pub(crate) struct Named<T>(Arc<HashMap<Symbol, T>>);

impl<T: Clone> Named<T> {
    /// These things and one more, which takes the place of one with the same name.
    #[must_use]
    pub fn with(&self, name: Symbol, thing: T) -> Named<T> {
        let mut table = HashMap::clone(&self.0);
        table.insert(name, thing);
        Named(Arc::new(table))
    }
}

impl<T> Named<T> {
    /// Whether both are one table.
    pub fn is_same(&self, other: &Named<T>) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The thing of that name. `clojure.core/inc` is `inc`, and `clojure.string/trim` is `str/trim`.
    pub fn get(&self, name: Symbol) -> Option<&T> {
        self.0.get(&name).or_else(|| {
            let other = match name.namespace()? {
                "clojure.core" => Symbol::new(name.name()),
                "clojure.string" => Symbol::new(&format!("str/{}", name.name())),
                _ => return None,
            };
            self.0.get(&other)
        })
    }

    /// The known name that is nearest to an unknown one, for "did you mean".
    pub fn nearest(&self, name: Symbol) -> Option<Symbol> {
        let wanted = name.as_str();
        let limit = 1 + wanted.chars().count() / 4;
        let candidates = self.0.keys().map(|k| (crate::schema::distance(wanted, k.as_str(), limit), *k));
        candidates.filter(|(d, k)| *d <= limit && *d < k.as_str().chars().count()).min().map(|(_, k)| k)
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<Symbol> {
        let mut names: Vec<Symbol> = self.0.keys().copied().collect();
        names.sort_unstable();
        names
    }
}

impl<T> Clone for Named<T> {
    fn clone(&self) -> Self {
        Named(Arc::clone(&self.0))
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named(Arc::default())
    }
}

impl<T> FromIterator<(Symbol, T)> for Named<T> {
    fn from_iter<I: IntoIterator<Item = (Symbol, T)>>(things: I) -> Self {
        Named(Arc::new(things.into_iter().collect()))
    }
}

impl<T> fmt::Debug for Named<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
