//! Equality of forms, and duplicates among them.
//!
//! The members of maps and sets are matched by hash, so that the time grows with the size of the text and not with
//! its square; hashes are keyed anew each time, so that no text can be made to collide. Few members that are no
//! collections are compared with each other instead.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use hashbrown::HashTable;

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
        use FormKind::{
            BigInt, Bool, Char, Decimal, Float, Inst, Int, Keyword, List, Map, Nil, Set, Str, Symbol, Tagged, Uuid,
            Vector,
        };
        match (self, other) {
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
            (List(a), List(b)) | (Vector(a), Vector(b)) => a == b,
            (Map(a), Map(b)) => same_members(a, b),
            (Set(a), Set(b)) => same_members(a, b),
            (Uuid(a), Uuid(b)) => a == b,
            (Tagged(t, a), Tagged(u, b)) => t == u && a == b,
            _ => false,
        }
    }
}

impl Eq for FormKind {}

fn float_bits(float: f64) -> u64 {
    if float.is_nan() { f64::NAN.to_bits() } else { float.to_bits() }
}

/// A member of a set, or a key and its value.
trait Member: PartialEq {
    fn hash(&self, keys: &RandomState) -> u64;
    fn is_atom(&self) -> bool;
}

impl Member for Form {
    fn hash(&self, keys: &RandomState) -> u64 {
        let mut hasher = keys.build_hasher();
        hash_kind(&self.kind, keys, &mut hasher);
        hasher.finish()
    }

    fn is_atom(&self) -> bool {
        use FormKind::{List, Map, Set, Tagged, Vector};
        !matches!(self.kind, List(_) | Vector(_) | Map(_) | Set(_) | Tagged(..))
    }
}

impl Member for (Form, Form) {
    fn hash(&self, keys: &RandomState) -> u64 {
        let mut hasher = keys.build_hasher();
        hash_kind(&self.0.kind, keys, &mut hasher);
        hash_kind(&self.1.kind, keys, &mut hasher);
        hasher.finish()
    }

    /// Keys decide: the values of unequal keys are not looked at.
    fn is_atom(&self) -> bool {
        self.0.is_atom()
    }
}

/// Equal forms feed equal bytes.
fn hash_kind(kind: &FormKind, keys: &RandomState, hasher: &mut impl Hasher) {
    std::mem::discriminant(kind).hash(hasher);
    match kind {
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
            items.iter().for_each(|item| hash_kind(&item.kind, keys, hasher));
        }
        FormKind::Map(pairs) => unordered(pairs, keys).hash(hasher),
        FormKind::Set(items) => unordered(items, keys).hash(hasher),
        FormKind::Tagged(tag, form) => {
            tag.hash(hasher);
            hash_kind(&form.kind, keys, hasher);
        }
    }
}

fn unordered(members: &[impl Member], keys: &RandomState) -> (usize, u64) {
    (members.len(), members.iter().fold(0, |sum, m| sum.wrapping_add(m.hash(keys))))
}

/// Whether `a` and `b` hold the same members, each as often, in any order.
fn same_members<M: Member>(a: &[M], b: &[M]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if let ([a], [b]) = (a, b) {
        return a == b;
    }
    if a.len() <= FEW && a.iter().all(M::is_atom) {
        let mut free = (1u32 << a.len()) - 1;
        return b.iter().all(|wanted| {
            let found = a.iter().enumerate().find(|(i, m)| free & (1 << i) != 0 && *m == wanted);
            found.is_some_and(|(i, _)| {
                free &= !(1 << i);
                true
            })
        });
    }
    let keys = RandomState::new();
    let mut free: HashTable<(u64, &M)> = HashTable::with_capacity(a.len());
    for member in a {
        let hash = member.hash(&keys);
        free.insert_unique(hash, (hash, member), |(hash, _)| *hash);
    }
    b.iter().all(|wanted| {
        let hash = wanted.hash(&keys);
        match free.find_entry(hash, |(h, m)| *h == hash && *m == wanted) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    })
}

/// The place of the first of `forms[0]`, `forms[step]`, … that equals one before it.
pub(super) fn duplicate(forms: &[Form], step: usize) -> Option<usize> {
    let count = forms.len().div_ceil(step);
    if count < 2 {
        return None;
    }
    let mut places = (0..forms.len()).step_by(step);
    if count <= FEW && forms.iter().step_by(step).all(Form::is_atom) {
        return places.find(|&i| {
            let form = forms.get(i);
            forms.iter().take(i).step_by(step).any(|before| Some(before) == form)
        });
    }
    let keys = RandomState::new();
    let mut seen: HashTable<(u64, &Form)> = HashTable::with_capacity(count);
    for (place, form) in places.zip(forms.iter().step_by(step)) {
        let hash = form.hash(&keys);
        if seen.find(hash, |(h, before)| *h == hash && *before == form).is_some() {
            return Some(place);
        }
        seen.insert_unique(hash, (hash, form), |(hash, _)| *hash);
    }
    None
}
