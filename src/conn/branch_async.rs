//! The calls about branches and commits as futures, for any executor.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::Connection;
use super::commits::{branch_as_db, branches, commit_as_db};
use super::listen::check_not_in_function;
use super::revision::Revision;
use crate::config::Config;
use crate::db::Db;
use crate::edn::Keyword;
use crate::error::Result;
use crate::merge::Merge;
use crate::registry::Registry;
use crate::store::BoxFuture;
use crate::transact::{IntoTxData, TxReport};

/// [`branches`](crate::branches) as a future, for any executor.
///
/// # Errors
/// As there.
pub fn branches_async(config: &Config) -> BoxFuture<'static, Result<BTreeSet<Keyword>>> {
    let config = config.clone();
    Registry::standard().pool().run(move || branches(&config))
}

/// [`branch_as_db`](crate::branch_as_db) as a future, for any executor.
///
/// # Errors
/// As there.
pub fn branch_as_db_async(config: &Config, branch: &str) -> BoxFuture<'static, Result<Db>> {
    let (config, branch) = (config.clone(), branch.to_owned());
    Registry::standard().pool().run(move || branch_as_db(&config, &branch))
}

/// [`commit_as_db`](crate::commit_as_db) as a future, for any executor.
///
/// # Errors
/// As there.
pub fn commit_as_db_async(config: &Config, commit: Uuid) -> BoxFuture<'static, Result<Db>> {
    let config = config.clone();
    Registry::standard().pool().run(move || commit_as_db(&config, commit))
}

/// The calls about branches as futures. Dropping a future does not take back what it does.
impl Connection {
    /// [`branches`](Self::branches) as a future, for any executor.
    ///
    /// # Errors
    /// As there.
    pub fn branches_async(&self) -> BoxFuture<'static, Result<BTreeSet<Keyword>>> {
        self.elsewhere(|conn| conn.branches())
    }

    /// [`commit`](Self::commit) as a future, for any executor.
    ///
    /// # Errors
    /// As there.
    pub fn commit_async(&self) -> BoxFuture<'static, Result<Uuid>> {
        self.elsewhere(|conn| conn.commit())
    }

    /// [`branch`](Self::branch) as a future, for any executor.
    ///
    /// # Errors
    /// As there.
    pub fn branch_async(&self, from: impl Into<Revision>, new: &str) -> BoxFuture<'static, Result<()>> {
        let (from, new) = (from.into(), new.to_owned());
        self.elsewhere(move |conn| conn.branch(from, &new))
    }

    /// [`delete_branch`](Self::delete_branch) as a future, for any executor.
    ///
    /// # Errors
    /// As there.
    pub fn delete_branch_async(&self, branch: &str) -> BoxFuture<'static, Result<()>> {
        let branch = branch.to_owned();
        self.elsewhere(move |conn| conn.delete_branch(&branch))
    }

    /// [`force_branch`](Self::force_branch) as a future, for any executor.
    ///
    /// # Errors
    /// As there.
    pub fn force_branch_async<R: Into<Revision>>(
        &self,
        db: &Db,
        branch: &str,
        parents: impl IntoIterator<Item = R>,
    ) -> BoxFuture<'static, Result<()>> {
        let (db, branch) = (db.clone(), branch.to_owned());
        let parents: Vec<Revision> = parents.into_iter().map(Into::into).collect();
        self.elsewhere(move |conn| conn.force_branch(&db, &branch, parents))
    }

    /// [`merge_db`](Self::merge_db) as a future, for any executor.
    ///
    /// # Errors
    /// As there.
    pub fn merge_db_async<R: Into<Revision>>(
        &self,
        parents: impl IntoIterator<Item = R>,
        tx_data: impl IntoTxData,
    ) -> BoxFuture<'static, Result<Arc<TxReport>>> {
        let parents: Vec<Revision> = parents.into_iter().map(Into::into).collect();
        let data = tx_data.into_tx_data();
        self.elsewhere(move |conn| conn.merge_db(parents, data?))
    }

    /// [`merge_from`](Self::merge_from) as a future, for any executor.
    ///
    /// # Errors
    /// As there.
    pub fn merge_from_async(&self, from: impl Into<Revision>) -> BoxFuture<'static, Result<Merge>> {
        let from = from.into();
        self.elsewhere(move |conn| conn.merge_from(from))
    }

    /// [`commit_as_db`](Self::commit_as_db) as a future, for any executor.
    ///
    /// # Errors
    /// As there.
    pub fn commit_as_db_async(&self, commit: Uuid) -> BoxFuture<'static, Result<Db>> {
        self.elsewhere(move |conn| conn.commit_as_db(commit))
    }

    /// [`branch_as_db`](Self::branch_as_db) as a future, for any executor.
    ///
    /// # Errors
    /// As there.
    pub fn branch_as_db_async(&self, branch: &str) -> BoxFuture<'static, Result<Db>> {
        let branch = branch.to_owned();
        self.elsewhere(move |conn| conn.branch_as_db(&branch))
    }

    /// Runs `work` on a thread of the pool.
    fn elsewhere<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        let allowed = check_not_in_function();
        let this = self.clone();
        self.shared.pool.run(move || allowed.and_then(|()| work(&this)))
    }
}
