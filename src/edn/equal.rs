//! Equality of forms, and duplicates among them.
//!
//! The members of maps and sets are matched by hash, and the hash of a map or set inside of others is kept, so that
//! the time grows with the size of the text, not with its square or its depth. Hashes are keyed anew each time, so that
//! no text can be made to collide. Few members that are no collections are compared with each other instead.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use hashbrown::{HashMap, HashTable};

use super::{Form, FormKind};

/// Most members that are compared each with each.
const FEW: usize = 16;

impl PartialEq for Form {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Form {}

/// By content: `1`, `1N`, `1.0` and `1M` all differ, as do `1.0M` and `1.00M`, `0.0` and `-0.0`, `[]` and `()`; a NaN
/// is equal to every NaN.
impl PartialEq for FormKind {
    fn eq(&self, other: &Self) -> bool {
        same(self, other, &mut Hashes::by_address())
    }
}

impl Eq for FormKind {}

/// The hashes of the maps and sets of one comparison or of one text.
#[derive(Debug)]
pub(super) struct Hashes {
    keys: RandomState,
    /// What tells a map or set from every other that is hashed with this.
    identity: fn(&Form) -> usize,
    known: HashMap<usize, u64>,
    /// How many forms were hashed.
    #[cfg(test)]
    fed: usize,
}

impl Hashes {
    fn new(identity: fn(&Form) -> usize) -> Self {
        Hashes {
            keys: RandomState::new(),
            identity,
            known: HashMap::new(),
            #[cfg(test)]
            fed: 0,
        }
    }

    /// For forms that stay where they are as long as this is used.
    fn by_address() -> Self {
        Hashes::new(|form| std::ptr::from_ref(form) as usize)
    }

    /// For the forms of one text: only one map or set begins at a place.
    pub(super) fn by_span() -> Self {
        Hashes::new(|form| form.span.start as usize)
    }

    /// Forgets all; to be called when the hashes are of no more use.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// Feeds a form to `hasher`; equal forms feed equal bytes.
    fn feed(&mut self, form: &Form, hasher: &mut impl Hasher) {
        #[cfg(test)]
        {
            self.fed += 1;
        }
        std::mem::discriminant(&form.kind).hash(hasher);
        match &form.kind {
            FormKind::Nil => {}
            FormKind::Bool(b) => b.hash(hasher),
            FormKind::Int(i) | FormKind::Inst(i) => i.hash(hasher),
            FormKind::BigInt(i) => i.hash(hasher),
            FormKind::Float(f) => float_bits(*f).hash(hasher),
            FormKind::Decimal(d) => d.as_bigint_and_exponent().hash(hasher),
            FormKind::Str(s) => s.hash(hasher),
            FormKind::Char(c) => c.hash(hasher),
            FormKind::Keyword(k) => k.hash(hasher),
            FormKind::Symbol(s) => s.hash(hasher),
            FormKind::Uuid(u) => u.hash(hasher),
            FormKind::List(items) | FormKind::Vector(items) => {
                items.len().hash(hasher);
                items.iter().for_each(|item| self.feed(item, hasher));
            }
            FormKind::Map(pairs) => self.unordered(form, pairs).hash(hasher),
            FormKind::Set(items) => self.unordered(form, items).hash(hasher),
            FormKind::Tagged(tag, tagged) => {
                tag.hash(hasher);
                self.feed(tagged, hasher);
            }
        }
    }

    /// The hash of a map or set: it does not depend on the order of the members.
    fn unordered(&mut self, form: &Form, members: &[impl Member]) -> u64 {
        let identity = (self.identity)(form);
        if let Some(hash) = self.known.get(&identity) {
            return *hash;
        }
        let hash = members.iter().fold(members.len() as u64, |sum, m| sum.wrapping_add(m.hash(self)));
        self.known.insert(identity, hash);
        hash
    }
}

fn same(a: &FormKind, b: &FormKind, hashes: &mut Hashes) -> bool {
    use FormKind::{
        BigInt, Bool, Char, Decimal, Float, Inst, Int, Keyword, List, Map, Nil, Set, Str, Symbol, Tagged, Uuid, Vector,
    };
    match (a, b) {
        (Nil, Nil) => true,
        (Bool(a), Bool(b)) => a == b,
        (Int(a), Int(b)) | (Inst(a), Inst(b)) => a == b,
        (BigInt(a), BigInt(b)) => a == b,
        (Float(a), Float(b)) => float_bits(*a) == float_bits(*b),
        (Decimal(a), Decimal(b)) => a.as_bigint_and_exponent() == b.as_bigint_and_exponent(),
        (Str(a), Str(b)) => a == b,
        (Char(a), Char(b)) => a == b,
        (Keyword(a), Keyword(b)) => a == b,
        (Symbol(a), Symbol(b)) => a == b,
        (List(a), List(b)) | (Vector(a), Vector(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b, hashes))
        }
        (Map(a), Map(b)) => same_members(a, b, hashes),
        (Set(a), Set(b)) => same_members(a, b, hashes),
        (Uuid(a), Uuid(b)) => a == b,
        (Tagged(t, a), Tagged(u, b)) => t == u && a.same(b, hashes),
        _ => false,
    }
}

fn float_bits(float: f64) -> u64 {
    if float.is_nan() { f64::NAN.to_bits() } else { float.to_bits() }
}

/// A member of a set, or a key and its value.
trait Member {
    fn same(&self, other: &Self, hashes: &mut Hashes) -> bool;
    fn hash(&self, hashes: &mut Hashes) -> u64;
    fn is_atom(&self) -> bool;
}

impl Member for Form {
    fn same(&self, other: &Self, hashes: &mut Hashes) -> bool {
        same(&self.kind, &other.kind, hashes)
    }

    fn hash(&self, hashes: &mut Hashes) -> u64 {
        let mut hasher = hashes.keys.build_hasher();
        hashes.feed(self, &mut hasher);
        hasher.finish()
    }

    fn is_atom(&self) -> bool {
        use FormKind::{List, Map, Set, Tagged, Vector};
        !matches!(self.kind, List(_) | Vector(_) | Map(_) | Set(_) | Tagged(..))
    }
}

impl Member for (Form, Form) {
    fn same(&self, other: &Self, hashes: &mut Hashes) -> bool {
        self.0.same(&other.0, hashes) && self.1.same(&other.1, hashes)
    }

    fn hash(&self, hashes: &mut Hashes) -> u64 {
        let mut hasher = hashes.keys.build_hasher();
        hashes.feed(&self.0, &mut hasher);
        hashes.feed(&self.1, &mut hasher);
        hasher.finish()
    }

    /// Keys decide: the values of unequal keys are not looked at.
    fn is_atom(&self) -> bool {
        self.0.is_atom()
    }
}

/// Whether `a` and `b` hold the same members, each as often, in any order.
fn same_members<M: Member>(a: &[M], b: &[M], hashes: &mut Hashes) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if let ([a], [b]) = (a, b) {
        return a.same(b, hashes);
    }
    if a.len() <= FEW && a.iter().all(M::is_atom) {
        let mut free = (1u32 << a.len()) - 1;
        return b.iter().all(|wanted| {
            let found = a.iter().enumerate().find(|(i, m)| free & (1 << i) != 0 && m.same(wanted, hashes));
            found.is_some_and(|(i, _)| {
                free &= !(1 << i);
                true
            })
        });
    }
    let mut free: HashTable<(u64, &M)> = HashTable::with_capacity(a.len());
    for member in a {
        let hash = member.hash(hashes);
        free.insert_unique(hash, (hash, member), |(hash, _)| *hash);
    }
    b.iter().all(|wanted| {
        let hash = wanted.hash(hashes);
        match free.find_entry(hash, |(h, m)| *h == hash && m.same(wanted, hashes)) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    })
}

/// The place of the first of `forms[0]`, `forms[step]`, … that equals one before it.
pub(super) fn duplicate(forms: &[Form], step: usize, hashes: &mut Hashes) -> Option<usize> {
    let count = forms.len().div_ceil(step);
    if count < 2 {
        return None;
    }
    let mut places = (0..forms.len()).step_by(step);
    if count <= FEW && forms.iter().step_by(step).all(Form::is_atom) {
        return places.find(|&i| {
            let form = forms.get(i);
            form.is_some_and(|f| forms.iter().take(i).step_by(step).any(|before| before.same(f, hashes)))
        });
    }
    let mut seen: HashTable<(u64, &Form)> = HashTable::with_capacity(count);
    for (place, form) in places.zip(forms.iter().step_by(step)) {
        let hash = form.hash(hashes);
        if seen.find(hash, |(h, before)| *h == hash && before.same(form, hashes)).is_some() {
            return Some(place);
        }
        seen.insert_unique(hash, (hash, form), |(hash, _)| *hash);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Hashes, same};
    use crate::edn::read;

    #[test]
    fn depth_does_not_multiply_hashing() {
        const DEPTH: usize = 300;
        let text = format!("{}:x{}", "#{[1] ".repeat(DEPTH), "}".repeat(DEPTH));
        let (a, b) = (read(&text).unwrap(), read(&text).unwrap());
        let mut hashes = Hashes::by_address();
        assert!(same(&a.kind, &b.kind, &mut hashes));
        // On either side a level is a vector, its member, and a set that is met as a member and when its own members
        // are matched.
        assert!(hashes.fed <= 2 * 8 * DEPTH, "{} forms hashed", hashes.fed);
    }
}
