//! The stored records: a commit, and the head of a branch.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::FORMAT;
use crate::db::Settings;
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::log::LogPosition;
use crate::schema::Attribute;
use crate::store::frame::Frame;

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

impl Commit {
    pub fn key(id: u128) -> String {
        format!("commit/{id:032x}")
    }

    pub fn encode(&self) -> Result<Vec<u8>> {
        encode(self, COMMIT_KIND, &Self::key(self.id))
    }

    pub fn decode(bytes: &[u8], id: u128) -> Result<Commit> {
        decode(bytes, COMMIT_KIND, &Self::key(id))
    }

    pub fn new_id() -> u128 {
        Uuid::now_v7().as_u128()
    }
}

impl Head {
    pub fn encode(&self, branch: Keyword) -> Result<Vec<u8>> {
        encode(self, HEAD_KIND, &head_key(branch))
    }

    pub fn decode(bytes: &[u8], branch: Keyword) -> Result<Head> {
        decode(bytes, HEAD_KIND, &head_key(branch))
    }
}

fn encode<T: Serialize>(record: &T, kind: u8, key: &str) -> Result<Vec<u8>> {
    let body = postcard::to_stdvec(&Versioned { format: FORMAT, record }).map_err(|e| {
        Error::new(ErrorKind::Internal, "commit/encode", format!("the record {key:?} cannot be encoded")).caused_by(e)
    })?;
    Frame::encode(kind, 0, &body, key, 0)
}

fn decode<T: DeserializeOwned>(bytes: &[u8], kind: u8, key: &str) -> Result<T> {
    let frame = Frame::decode(bytes, key, 0)?;
    if frame.kind != kind {
        return Err(corrupt(key, "is a record of another kind"));
    }
    let (format, rest) =
        postcard::take_from_bytes::<u16>(frame.body).map_err(|e| corrupt(key, "has no format number").caused_by(e))?;
    if format > FORMAT {
        let message = format!(
            "{key:?} was written with format {format}; this version reads formats up to {FORMAT}: use a newer one"
        );
        return Err(Error::new(ErrorKind::Config, "db-was-written-with-newer-treering-version", message));
    }
    postcard::from_bytes(rest).map_err(|e| corrupt(key, "cannot be decoded").caused_by(e))
}

fn corrupt(key: &str, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "store/corrupt", format!("the record {key:?} {what}"))
}
