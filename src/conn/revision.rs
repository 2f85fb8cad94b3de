//! What names a database of the past: a branch or a commit.

use std::fmt;

use uuid::Uuid;

use crate::edn::Keyword;

/// A branch, which means its last commit, or a commit: what a branch is made from, and what is merged.
///
/// ```
/// use treering::Revision;
/// assert_eq!(Revision::from("dev"), Revision::from(":dev"));
/// let id = "0192f6b4-7b5c-7c3e-8a51-2f1f0c9d3e77";
/// assert!(matches!(Revision::from(id), Revision::Commit(_)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revision {
    /// A branch by its name.
    Branch(Keyword),
    /// A commit by its id.
    Commit(Uuid),
}

impl From<Keyword> for Revision {
    fn from(branch: Keyword) -> Self {
        Revision::Branch(branch)
    }
}

impl From<Uuid> for Revision {
    fn from(commit: Uuid) -> Self {
        Revision::Commit(commit)
    }
}

/// A UUID is a commit, anything else a branch, with or without its colon.
impl From<&str> for Revision {
    fn from(text: &str) -> Self {
        Uuid::try_parse(text).map_or_else(|_| Revision::Branch(branch_name(text)), Revision::Commit)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Revision::Branch(branch) => write!(f, "{branch}"),
            Revision::Commit(commit) => write!(f, "{commit}"),
        }
    }
}

/// The branch of that name, which may be written with its colon.
pub(super) fn branch_name(text: &str) -> Keyword {
    Keyword::new(text.strip_prefix(':').unwrap_or(text))
}
