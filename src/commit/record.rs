//! The stored records: a commit, and the head of a branch.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::kin::Kin;
use crate::db::Settings;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::log::LogPosition;
use crate::schema::Attribute;
use crate::store::Encoding;

/// A database as a flush left it. Commits are never changed; the id is the name of the database for ever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Commit {
    pub id: u128,
    /// The commits that this one follows.
    pub parents: Vec<u128>,
    /// Milliseconds since 1970-01-01T00:00Z.
    pub created_at: i64,
    pub settings: Settings,
    /// The config map that the database was created with, as EDN, without secrets.
    pub config: String,
    /// The index kind's keyword, without colon.
    pub index: String,
    /// The index kind's settings, as EDN.
    pub index_settings: String,
    /// The roots, in the sequence of [`crate::datom::Order::ALL`].
    pub roots: [Vec<u8>; 6],
    pub basis_t: u64,
    pub max_eid: u64,
    pub last_instant: i64,
    /// All attributes that are not built in.
    pub attributes: Vec<Attribute>,
    /// Where the log goes on after this commit.
    pub log: LogPosition,
}

/// Of which entities the log may say more than the indexes do, once they were purged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Purges {
    Of(BTreeSet<u64>),
    /// Too many to name them.
    OfAny,
}

impl Purges {
    /// Most entities that are named.
    const MOST: usize = 10_000;

    /// Those of some transactions; `None` if they purge nothing.
    pub fn of(entities: impl IntoIterator<Item = u64>) -> Option<Purges> {
        let entities: BTreeSet<u64> = entities.into_iter().collect();
        (!entities.is_empty()).then_some(Purges::Of(entities).bounded())
    }

    /// Both.
    pub fn and(self, other: Purges) -> Purges {
        match (self, other) {
            (Purges::Of(mut x), Purges::Of(mut y)) => {
                x.append(&mut y);
                Purges::Of(x).bounded()
            }
            _ => Purges::OfAny,
        }
    }

    pub fn concern(&self, e: u64) -> bool {
        match self {
            Purges::Of(entities) => entities.contains(&e),
            Purges::OfAny => true,
        }
    }

    fn bounded(self) -> Purges {
        match self {
            Purges::Of(entities) if entities.len() > Purges::MOST => Purges::OfAny,
            other => other,
        }
    }
}

/// The one record of a branch that changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The commit.
    pub commit: u128,
    /// The session of the writer that may move the head.
    pub session: u128,
    /// Drawn when the branch was made; names its log.
    pub incarnation: u128,
    /// The end of the log, if the last writer closed it: nothing that follows it can have been lost.
    pub closed_at: Option<LogPosition>,
    /// What was purged by the commit and may still stand in the log before it.
    pub purges: Option<Purges>,
    /// The last transaction of the last purge after which packs that are not wholly in use were not emptied yet: they may
    /// hold what was purged.
    pub unclean: Option<u64>,
    /// Where the log begins: what lies before was collected.
    pub log_start: LogPosition,
    /// How the branch is related to others.
    pub kin: Kin,
    /// The format that the record has in the store.
    #[serde(skip)]
    pub format: u16,
    /// The bytes that it has in the store, with which the next one is compared; none before it is stored.
    #[serde(skip)]
    pub stored: Vec<u8>,
}

/// The head of format 1.
#[derive(Serialize, Deserialize)]
struct Head1 {
    commit: u128,
    session: u128,
    incarnation: u128,
    closed_at: Option<LogPosition>,
}

/// The head of format 2.
#[derive(Serialize, Deserialize)]
struct Head2 {
    commit: u128,
    session: u128,
    incarnation: u128,
    closed_at: Option<LogPosition>,
    purges: Option<Purges>,
    unclean: Option<u64>,
    log_start: LogPosition,
}

/// The record before its content is known: enough to refuse a format that is not ours.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    format: u16,
    record: T,
}

const COMMIT_KIND: u8 = 3;
const HEAD_KIND: u8 = 4;

/// Where a branch's head is kept. Characters that keys do not have are written as `_` and their number in hex.
pub(crate) fn head_key(branch: Keyword) -> String {
    let mut key = String::from("head/");
    for c in branch.as_str().chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' => key.push(c),
            other => key.push_str(&format!("_{:x}_", u32::from(other))),
        }
    }
    key
}

/// The branch whose head is kept under `key`; `None` for a key that [`head_key`] does not make.
pub(crate) fn branch_of_key(key: &str) -> Option<Keyword> {
    let mut name = String::new();
    let mut parts = key.strip_prefix("head/")?.split('_');
    name.push_str(parts.next()?);
    while let Some(code) = parts.next() {
        name.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        name.push_str(parts.next()?);
    }
    Some(Keyword::new(&name))
}

impl Commit {
    pub fn key(id: u128) -> String {
        format!("commit/{id:032x}")
    }

    pub fn encode(&self, encoding: &Encoding) -> Result<Vec<u8>> {
        encode(encoding, self, FORMAT, COMMIT_KIND, &Self::key(self.id))
    }

    pub fn decode(encoding: &Encoding, bytes: &[u8], id: u128) -> Result<Commit> {
        let key = Self::key(id);
        let (_, body) = open(encoding, bytes, COMMIT_KIND, &key)?;
        parse(&body, &key)
    }
}

impl Head {
    pub fn encode(&self, encoding: &Encoding, branch: Keyword) -> Result<Vec<u8>> {
        self.encode_at(encoding, &head_key(branch))
    }

    /// The record as it is kept under a key.
    pub fn encode_at(&self, encoding: &Encoding, key: &str) -> Result<Vec<u8>> {
        match *self {
            Head { commit, session, incarnation, closed_at, format: 1, .. } => {
                encode(encoding, &Head1 { commit, session, incarnation, closed_at }, 1, HEAD_KIND, key)
            }
            Head { commit, session, incarnation, closed_at, unclean, log_start, format: 2, .. } => {
                let purges = self.purges.clone();
                let head = Head2 { commit, session, incarnation, closed_at, purges, unclean, log_start };
                encode(encoding, &head, 2, HEAD_KIND, key)
            }
            _ => encode(encoding, self, FORMAT, HEAD_KIND, key),
        }
    }

    pub fn decode(encoding: &Encoding, bytes: Vec<u8>, branch: Keyword) -> Result<Head> {
        Head::decode_at(encoding, bytes, &head_key(branch))
    }

    /// The head under a key.
    pub fn decode_at(encoding: &Encoding, bytes: Vec<u8>, key: &str) -> Result<Head> {
        let (format, body) = open(encoding, &bytes, HEAD_KIND, key)?;
        let head = match format {
            1 => {
                let Head1 { commit, session, incarnation, closed_at } = parse(&body, key)?;
                Head { commit, session, closed_at, ..Head::new(incarnation) }
            }
            2 => {
                let Head2 { commit, session, incarnation, closed_at, purges, unclean, log_start } = parse(&body, key)?;
                Head { commit, session, closed_at, purges, unclean, log_start, ..Head::new(incarnation) }
            }
            _ => parse(&body, key)?,
        };
        Ok(Head { format, stored: bytes, ..head })
    }

    /// The head of a new branch, without a commit.
    pub fn new(incarnation: u128) -> Head {
        Head {
            commit: 0,
            session: 0,
            incarnation,
            closed_at: None,
            purges: None,
            unclean: None,
            log_start: LogPosition::START,
            kin: Kin::default(),
            format: FORMAT,
            stored: Vec::new(),
        }
    }

    /// What stands in the place of a head whose branch was removed, where another process may try to move it: it names no
    /// commit.
    pub fn removed(&self) -> Head {
        Head::new(self.incarnation)
    }

    /// Whether the branch was removed.
    pub fn is_removed(&self) -> bool {
        self.commit == 0
    }
}

fn encode<T: Serialize>(encoding: &Encoding, record: &T, format: u16, kind: u8, key: &str) -> Result<Vec<u8>> {
    let body = postcard::to_stdvec(&Versioned { format, record }).map_err(|e| {
        Error::new(ErrorKind::Internal, "commit/encode", format!("the record {key:?} cannot be encoded")).caused_by(e)
    })?;
    encoding.seal(kind, 0, &body, key, 0)
}

/// The format of a record, and its bytes after that.
fn open(encoding: &Encoding, bytes: &[u8], kind: u8, key: &str) -> Result<(u16, Vec<u8>)> {
    let frame = encoding.open(bytes, key, 0)?;
    if frame.kind != kind {
        return Err(corrupt(key, "is a record of another kind"));
    }
    let (format, rest) =
        postcard::take_from_bytes::<u16>(&frame.body).map_err(|e| corrupt(key, "has no format number").caused_by(e))?;
    if format > FORMAT {
        let message = format!(
            "{key:?} was written with format {format}; this version reads formats up to {FORMAT}: use a newer one"
        );
        return Err(Error::new(ErrorKind::Config, "db-was-written-with-newer-treering-version", message));
    }
    Ok((format, rest.to_vec()))
}

fn parse<T: DeserializeOwned>(body: &[u8], key: &str) -> Result<T> {
    postcard::from_bytes(body).map_err(|e| corrupt(key, "cannot be decoded").caused_by(e))
}

fn corrupt(key: &str, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "store/corrupt", format!("the record {key:?} {what}"))
}

#[cfg(test)]
mod tests {
    use super::{FORMAT, HEAD_KIND, Head, Purges, branch_of_key, encode, head_key};
    use crate::edn::Keyword;
    use crate::log::LogPosition;
    use crate::store::Encoding;

    #[test]
    fn too_many_entities_are_not_named() {
        assert_eq!(Purges::of([]), None);
        let few = Purges::of([3, 5]).unwrap();
        assert!(few.concern(5) && !few.concern(4));
        let both = few.clone().and(Purges::of([4]).unwrap());
        assert!(both.concern(4) && both.concern(3) && !both.concern(6));
        assert_eq!(both.clone().and(Purges::OfAny), Purges::OfAny);
        assert_eq!(both.and(Purges::of(10..20_000).unwrap()), Purges::OfAny);
        assert!(Purges::OfAny.concern(1));
    }

    #[test]
    fn a_later_format_is_refused() {
        let branch = Keyword::new("db");
        let head = Head::new(9);
        let bytes = encode(&Encoding::PLAIN, &head, FORMAT + 1, HEAD_KIND, &head_key(branch)).unwrap();
        let error = Head::decode(&Encoding::PLAIN, bytes, branch).unwrap_err();
        assert_eq!(error.code(), "db-was-written-with-newer-treering-version");
    }

    #[test]
    fn a_branch_is_told_by_the_key_of_its_head() {
        for name in ["db", "a-b.c", "feature/x_1", "über", "_", "a__b", "5f"] {
            let branch = Keyword::new(name);
            assert_eq!(branch_of_key(&head_key(branch)), Some(branch), "{name}");
        }
        for key in ["head/a_5f", "head/a_zz_", "head/a_110000_", "commit/a"] {
            assert_eq!(branch_of_key(key), None, "{key}");
        }
    }

    #[test]
    fn a_head_keeps_its_format() {
        let branch = Keyword::new("db");
        for format in [1, 2, 3] {
            let head = Head { commit: 5, closed_at: Some(LogPosition::START), format, ..Head::new(9) };
            let bytes = head.encode(&Encoding::PLAIN, branch).unwrap();
            let read = Head::decode(&Encoding::PLAIN, bytes.clone(), branch).unwrap();
            assert_eq!(read, Head { stored: bytes.clone(), ..head });
            assert_eq!(read.encode(&Encoding::PLAIN, branch).unwrap(), bytes);
        }
    }
}
