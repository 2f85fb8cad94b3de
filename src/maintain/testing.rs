//! Stores that are wrong on purpose, for tests of what finds it.

use std::sync::Arc;

use crate::commit::{self, Commit, Head, StoredNodes, head_key};
use crate::config::Config;
use crate::datom::{Columns, Order, Row};
use crate::edn::Keyword;
use crate::error::Result;
use crate::index::{Direction, NodeSource};
use crate::registry::Registry;
use crate::schema::{Attribute, Schema};
use crate::store::Access;

/// Puts another commit in the place of the one that the head of a closed database names: with the rows that `edit` answers
/// for those of each order, and the attributes that `redefine` has changed.
///
/// # Errors
/// Those of the store.
pub fn falsify(
    registry: &Registry,
    config: &Config,
    edit: &dyn Fn(Order, &Row) -> Option<Row>,
    redefine: &dyn Fn(&mut Attribute),
) -> Result<()> {
    let config = registry.complete(config)?;
    let store = registry.connect_store(&config, Access::Writer)?;
    let nodes = Arc::new(StoredNodes::uncached(store.clone()));
    let source: Arc<dyn NodeSource> = Arc::clone(&nodes) as _;
    let branch = config.branch_name();
    let head = commit::read_head(&store, branch)?;
    let stored: Commit = commit::read_commit(&store, head.commit)?;
    let kind = registry.index(Keyword::new(&stored.index))?;
    let mut snapshot = commit::restore(&stored, kind.as_ref(), &source)?;
    let settings = crate::edn::read(&stored.index_settings)?;
    for order in Order::ALL {
        let mut edited = Vec::new();
        let mut cursor = snapshot.index(order).cursor(None, None, Direction::Forward)?;
        while let Some(chunk) = cursor.next()? {
            edited.extend(chunk.rows().filter_map(|i| edit(order, &chunk.columns.row(i))));
        }
        edited.sort_unstable_by(|x, y| order.compare(x, y));
        let mut columns = Columns::default();
        edited.iter().for_each(|row| columns.push_row(row));
        let mut rows = std::iter::once(Ok(columns));
        snapshot.indexes[order as usize] = kind.build(order, &settings, Arc::clone(&source), &mut rows, None)?;
    }
    let mut attributes = stored.attributes.clone();
    attributes.iter_mut().for_each(redefine);
    let settings = stored.settings;
    snapshot.schema = Arc::new(Schema::restored(settings.flexibility, settings.attribute_refs, attributes));
    let provenance = commit::Provenance {
        config: stored.config,
        index: Keyword::new(&stored.index),
        index_settings: crate::edn::read(&stored.index_settings)?,
    };
    let (_, written, _) =
        commit::write_commit(&nodes, &snapshot, &provenance, stored.parents, stored.log, stored.created_at)?;
    let mut moved = Head { commit: written.id, ..head.clone() };
    debug_assert!(store.get(&head_key(branch), None)?.is_some());
    commit::move_head(&store, branch, &head, &mut moved)?;
    drop((nodes, source));
    store.close()
}
