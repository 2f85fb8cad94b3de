//! Keywords and symbols, interned: a copy of four bytes that compares for equality as an integer.
//!
//! The table of texts is the process's, grows only, and is read without a lock: a database keeps its attribute and
//! enum names for its whole life, so nothing would be gained by counting references to them.

use std::cmp::Ordering;
use std::fmt;
use std::sync::OnceLock;

use hashbrown::HashMap;
use parking_lot::Mutex;

/// One interned text and the place of the slash between namespace and name.
#[derive(Debug, Clone, Copy)]
struct Text {
    text: &'static str,
    slash: Option<u32>,
}

/// Shelf `k` holds `FIRST << k` texts, so that a text never moves once it is placed.
const FIRST: usize = 1024;
const SHELVES: usize = 22;

struct Table {
    ids: Mutex<Option<HashMap<&'static str, u32>>>,
    shelves: [OnceLock<Box<[OnceLock<Text>]>>; SHELVES],
}

static TABLE: Table = Table { ids: Mutex::new(None), shelves: [const { OnceLock::new() }; SHELVES] };

/// Shelf and place on it of text number `id`.
fn place(id: u32) -> (usize, usize) {
    let n = id as usize / FIRST + 1;
    let shelf = n.ilog2() as usize;
    (shelf, id as usize - FIRST * ((1 << shelf) - 1))
}

impl Table {
    fn intern(&'static self, text: &str) -> u32 {
        let mut ids = self.ids.lock();
        let ids = ids.get_or_insert_with(HashMap::new);
        if let Some(id) = ids.get(text) {
            return *id;
        }
        let id = ids.len() as u32;
        let (shelf, slot) = place(id);
        let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
        // A lone "/" is a name; otherwise the first slash parts namespace and name.
        let slash = if text.len() > 1 { text.find('/').map(|i| i as u32) } else { None };
        let slots = self.shelves[shelf].get_or_init(|| (0..FIRST << shelf).map(|_| OnceLock::new()).collect());
        slots[slot].get_or_init(|| Text { text, slash });
        ids.insert(text, id);
        id
    }

    fn get(&'static self, id: u32) -> Text {
        let (shelf, slot) = place(id);
        let text = self.shelves[shelf].get().and_then(|slots| slots[slot].get());
        *text.expect("an id is handed out after its text is placed")
    }
}

macro_rules! interned {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(u32);

        impl $name {
            /// Interns `text`, written without a leading colon: `"name"` or `"namespace/name"`.
            pub fn new(text: &str) -> Self {
                $name(TABLE.intern(text))
            }

            /// The text without a leading colon.
            pub fn as_str(self) -> &'static str {
                TABLE.get(self.0).text
            }

            /// The part before the slash.
            pub fn namespace(self) -> Option<&'static str> {
                let Text { text, slash } = TABLE.get(self.0);
                slash.map(|i| &text[..i as usize])
            }

            /// The part after the slash; all of it where there is none.
            pub fn name(self) -> &'static str {
                let Text { text, slash } = TABLE.get(self.0);
                slash.map_or(text, |i| &text[i as usize + 1..])
            }

            /// The number of the text in this process; never stored.
            pub fn id(self) -> u32 {
                self.0
            }

            /// The inverse of [`id`](Self::id); `None` for a number that was never handed out.
            pub fn from_id(id: u32) -> Option<Self> {
                let known = TABLE.ids.lock().as_ref().map_or(0, HashMap::len);
                ((id as usize) < known).then_some($name(id))
            }

            /// The inverse of [`id`](Self::id) for a number that came from it: no check, no lock.
            pub(crate) fn from_cell(id: u64) -> Self {
                $name(id as u32)
            }
        }

        /// By namespace, none first, then by name; both by code point.
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                if self.0 == other.0 {
                    return Ordering::Equal;
                }
                self.namespace().cmp(&other.namespace()).then_with(|| self.name().cmp(other.name()))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        /// As text without a leading colon.
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                Ok($name::new(&text))
            }
        }
    };
}

interned! {
    /// A keyword such as `:person/name`, interned. Created from text without its colon.
    Keyword
}
interned! {
    /// A symbol such as `?e`, `$` or `str/join`, interned.
    Symbol
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{}", self.as_str())
    }
}

impl fmt::Debug for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{}", self.as_str())
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interning_is_stable_over_shelves() {
        let ids: Vec<Keyword> = (0..5000).map(|i| Keyword::new(&format!("shelf/k{i}"))).collect();
        for (i, k) in ids.iter().enumerate() {
            assert_eq!(k.as_str(), format!("shelf/k{i}"));
            assert_eq!(Keyword::new(k.as_str()), *k);
            assert_eq!(Keyword::from_id(k.id()), Some(*k));
        }
        assert_eq!(Keyword::from_id(u32::MAX), None);
    }

    #[test]
    fn order_is_by_namespace_then_name() {
        let mut ks = ["b/a", "z", "a/z", "a-b/a", "a"].map(Keyword::new);
        ks.sort();
        assert_eq!(ks.map(Keyword::as_str), ["a", "z", "a/z", "a-b/a", "b/a"]);
    }

    #[test]
    fn slash_alone_is_a_name() {
        assert_eq!(Symbol::new("/").namespace(), None);
        assert_eq!(Symbol::new("/").name(), "/");
    }
}
