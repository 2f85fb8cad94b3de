//! Walking a database along patterns.
//!
//! Level by level: the entities of one level are read in the order of their ids, by cursors that only move on, and what
//! they lead to is the next level. The maps are put together afterwards, last level first. So neither the depth of the
//! data nor the width of `pull_many` becomes depth of calls or cursors opened anew.

use hashbrown::HashMap;

use super::pattern::{DEFAULT_LIMIT, Field, Pattern, Spec, Sub, What};
use crate::datom::{AttrId, Cut, EntityId, Key, Order, Value};
use crate::db::{Db, Mode};
use crate::edn::Keyword;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Chunk, Cursor, Direction};

/// Most levels of a result: dropping, comparing and printing it call themselves for each, and threads have 2 MB of stack.
pub(super) const MAX_DEPTH: u32 = 1536;
/// Most entities that one batch of roots may lead to.
const MAX_NODES: usize = 4_000_000;
/// Roots that are walked together.
const BATCH: usize = 4096;

/// Pulls one entity. [`Value::Nil`] when nothing was found.
///
/// # Errors
/// `Argument`, code `:pull/history`, for a history database; `Limit`, codes `:pull/depth` and `:pull/size`, for a tree
/// that is too deep or too large; those of `:xform` functions and of reading the store.
pub fn pull_pattern(db: &Db, pattern: &Pattern, e: EntityId) -> Result<Value> {
    Ok(pull_many(db, pattern, &[e])?.pop().unwrap_or(Value::Nil))
}

/// Pulls many entities, in the order given, [`Value::Nil`] for those where nothing was found. Reads the entities in the
/// order of their ids, whatever the order they are given in.
///
/// # Errors
/// As [`pull_pattern`].
pub fn pull_many(db: &Db, pattern: &Pattern, entities: &[EntityId]) -> Result<Vec<Value>> {
    if db.mode() == Mode::Events {
        let message = "a pull wants a state of the database, not its history; take an as-of database";
        return Err(Error::new(ErrorKind::Argument, "pull/history", message));
    }
    let mut results = Vec::with_capacity(entities.len());
    for batch in entities.chunks(BATCH) {
        results.extend(Walk::new(db, batch, pattern).run()?);
    }
    Ok(results)
}

/// The place of a node in [`Walk::nodes`].
type NodeId = u32;

/// An entity on its way to become a map.
struct Node<'p> {
    e: EntityId,
    pattern: &'p Pattern,
    /// The node that led here, and how.
    parent: Option<NodeId>,
    step: Step,
    depth: u32,
    entries: Vec<Entry<'p>>,
}

/// How an entity was come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// As a root, or by a pattern of its own: a new scope, in which nothing was seen yet.
    Entered,
    /// By recursion over an attribute.
    Recursed(Keyword),
    /// As a component.
    Component,
}

/// A key of a map and what is under it.
struct Entry<'p> {
    key: Value,
    many: bool,
    items: Vec<Item>,
    /// What the pattern says, where it names the attribute.
    spec: Option<&'p Spec>,
}

enum Item {
    Value(Value),
    Node(NodeId),
}

struct Walk<'p> {
    db: &'p Db,
    nodes: Vec<Node<'p>>,
    roots: usize,
    /// The pattern of components.
    everything: &'p Pattern,
}

static EVERYTHING: Pattern = Pattern { specs: Vec::new(), wildcard: true };

impl<'p> Walk<'p> {
    fn new(db: &'p Db, roots: &[EntityId], pattern: &'p Pattern) -> Walk<'p> {
        let node =
            |e: &EntityId| Node { e: *e, pattern, parent: None, step: Step::Entered, depth: 0, entries: Vec::new() };
        Walk { db, nodes: roots.iter().map(node).collect(), roots: roots.len(), everything: &EVERYTHING }
    }

    fn run(mut self) -> Result<Vec<Value>> {
        let mut level = 0..self.nodes.len();
        while !level.is_empty() {
            let next = level.end;
            let mut by_entity: Vec<usize> = level.collect();
            by_entity.sort_unstable_by_key(|i| self.nodes.get(*i).map(|node| node.e));
            let last = by_entity.last().and_then(|i| self.nodes.get(*i)).map_or(EntityId(0), |node| node.e);
            let mut reader = LevelReader::new(self.db, last);
            for i in by_entity {
                self.read(i, &mut reader)?;
            }
            level = next..self.nodes.len();
        }
        self.assemble()
    }

    /// Reads one entity and adds the nodes that it leads to.
    fn read(&mut self, i: usize, reader: &mut LevelReader<'_>) -> Result<()> {
        let Some(Node { e, pattern, .. }) = self.nodes.get(i) else { return Ok(()) };
        let (e, pattern) = (*e, *pattern);
        let mut found: Vec<Option<Vec<Value>>> = vec![None; pattern.specs.len()];
        let mut exists = None;
        let mut rest = Vec::new();
        if pattern.wildcard {
            rest = self.read_all(e, pattern, &mut found, reader)?;
            exists = Some(!rest.is_empty() || found.iter().any(Option::is_some));
        } else {
            let mut forward: Vec<(AttrId, usize)> = Vec::new();
            for (place, spec) in pattern.specs.iter().enumerate() {
                if let What::Forward(field) = spec.what {
                    forward.push((field.id, place));
                }
            }
            forward.sort_unstable();
            if pattern.specs.iter().any(|spec| spec.what == What::Id) {
                exists = Some(reader.exists(e)?);
            }
            for (a, place) in forward {
                let limit = pattern.specs.get(place).and_then(|spec| spec.limit);
                let values = reader.values(e, a, limit)?;
                if let Some(slot) = found.get_mut(place) {
                    *slot = (!values.is_empty()).then_some(values);
                }
            }
        }
        for (place, spec) in pattern.specs.iter().enumerate() {
            if let What::Reverse(field) = spec.what
                && let Some(slot) = found.get_mut(place)
            {
                let referring = reader.referring(e, field.id, if field.many { spec.limit } else { Some(1) })?;
                *slot = (!referring.is_empty()).then_some(referring);
            }
        }
        self.make_entries(i, found, rest, exists.unwrap_or(false))
    }

    /// All attributes of an entity: those that specs name into `found`, the others returned, by keyword.
    fn read_all(
        &self,
        e: EntityId,
        pattern: &Pattern,
        found: &mut [Option<Vec<Value>>],
        reader: &mut LevelReader<'_>,
    ) -> Result<Vec<(Keyword, Field, Vec<Value>)>> {
        let mut rest = Vec::new();
        let mut next = reader.attribute_from(e, AttrId(0))?;
        while let Some(a) = next {
            let is_named = |spec: &Spec| matches!(spec.what, What::Forward(field) if field.id == a);
            let named = pattern.specs.iter().position(is_named);
            let limit = match named.and_then(|place| pattern.specs.get(place)) {
                Some(spec) => spec.limit,
                None => Some(DEFAULT_LIMIT),
            };
            let values = reader.values(e, a, limit)?;
            match (named.and_then(|place| found.get_mut(place)), self.db.schema().get(a)) {
                (Some(slot), _) => *slot = Some(values),
                (None, Some(attribute)) => {
                    let (is_ref, component) = (attribute.is_ref(), attribute.component);
                    let field = Field { id: a, is_ref, component, many: attribute.is_many() };
                    rest.push((attribute.ident, field, values));
                }
                (None, None) => {}
            }
            next = reader.attribute_from(e, AttrId(a.0 + 1))?;
        }
        rest.sort_unstable_by_key(|(ident, ..)| *ident);
        Ok(rest)
    }

    /// Turns the values of a node into entries: in the order of the pattern, then all others.
    fn make_entries(
        &mut self,
        i: usize,
        found: Vec<Option<Vec<Value>>>,
        rest: Vec<(Keyword, Field, Vec<Value>)>,
        exists: bool,
    ) -> Result<()> {
        let Some(Node { e, pattern, .. }) = self.nodes.get(i) else { return Ok(()) };
        let (e, pattern) = (*e, *pattern);
        let mut entries = Vec::with_capacity(found.len() + rest.len());
        let names_id = pattern.specs.iter().any(|spec| spec.what == What::Id);
        let id = || vec![Item::Value(Value::Ref(e))];
        if pattern.wildcard && exists && !names_id {
            let key = Value::Keyword(Keyword::new("db/id"));
            entries.push(Entry { key, many: false, items: id(), spec: None });
        }
        for (spec, mut values) in pattern.specs.iter().zip(found) {
            let exhausted = self.is_exhausted(i, spec);
            if exhausted && let Some(values) = &mut values {
                // A recursion that is used up leads nowhere new, and still tells of the entities that it has passed.
                values.retain(|value| matches!(value, Value::Ref(e) if self.was_seen(i, *e)));
            }
            let (many, items) = match (spec.what, values.filter(|values| !values.is_empty())) {
                (What::Id, _) => (false, if exists { id() } else { Vec::new() }),
                (What::Forward(field) | What::Reverse(field), Some(values)) => {
                    (field.many, self.items(i, Some(spec), field, values)?)
                }
                (What::Forward(_) | What::Reverse(_), None) if exhausted => continue,
                (_, _) => (false, Vec::new()),
            };
            entries.push(Entry { key: spec.key.clone(), many, items, spec: Some(spec) });
        }
        for (ident, field, values) in rest {
            let items = self.items(i, None, field, values)?;
            entries.push(Entry { key: Value::Keyword(ident), many: field.many, items, spec: None });
        }
        if let Some(node) = self.nodes.get_mut(i) {
            node.entries = entries;
        }
        Ok(())
    }

    fn items(&mut self, i: usize, spec: Option<&'p Spec>, field: Field, values: Vec<Value>) -> Result<Vec<Item>> {
        if !field.is_ref {
            return Ok(values.into_iter().map(Item::Value).collect());
        }
        let reverse = spec.is_some_and(|spec| matches!(spec.what, What::Reverse(_)));
        let mut items = Vec::with_capacity(values.len());
        for value in values {
            let Value::Ref(e) = value else {
                items.push(Item::Value(value));
                continue;
            };
            items.push(match spec.map(|spec| (&spec.sub, spec.name)) {
                Some((Sub::Pattern(pattern), _)) => self.child(i, e, pattern, Step::Entered)?,
                Some((Sub::Recursion(_), name)) => match self.nodes.get(i) {
                    Some(Node { pattern, .. }) if !self.was_seen(i, e) => {
                        self.child(i, e, pattern, Step::Recursed(name))?
                    }
                    _ => Item::Value(self.only_id(e)),
                },
                Some((Sub::Plain, _)) | None => {
                    if field.component && !reverse && !self.was_seen(i, e) {
                        self.child(i, e, self.everything, Step::Component)?
                    } else {
                        Item::Value(self.only_id(e))
                    }
                }
            });
        }
        Ok(items)
    }

    fn child(&mut self, parent: usize, e: EntityId, pattern: &'p Pattern, step: Step) -> Result<Item> {
        let depth = self.nodes.get(parent).map_or(0, |node| node.depth) + 1;
        if depth > MAX_DEPTH {
            let message = format!("pull: the result is more than {MAX_DEPTH} entities deep; limit the recursion");
            return Err(Error::new(ErrorKind::Limit, "pull/depth", message));
        }
        if self.nodes.len() >= MAX_NODES {
            let message = format!("pull: the pattern leads to more than {MAX_NODES} entities; limit the recursion");
            return Err(Error::new(ErrorKind::Limit, "pull/size", message));
        }
        // Below MAX_NODES, so it fits.
        let id = self.nodes.len() as NodeId;
        self.nodes.push(Node { e, pattern, parent: Some(parent as NodeId), step, depth, entries: Vec::new() });
        Ok(Item::Node(id))
    }

    /// The nodes from `i` up that were come to by recursion, without the one that the recursion began at.
    fn scope(&self, i: usize) -> impl Iterator<Item = &Node<'p>> {
        let up = |node: &&Node<'p>| node.parent.and_then(|parent| self.nodes.get(parent as usize));
        std::iter::successors(self.nodes.get(i), up).take_while(|node| node.step != Step::Entered)
    }

    fn was_seen(&self, i: usize, e: EntityId) -> bool {
        self.scope(i).any(|node| node.e == e)
    }

    /// Whether a recursion has gone as deep as its number of levels.
    fn is_exhausted(&self, i: usize, spec: &Spec) -> bool {
        match spec.sub {
            Sub::Recursion(Some(levels)) => {
                let gone = self.scope(i).filter(|node| node.step == Step::Recursed(spec.name)).take(levels).count();
                gone >= levels
            }
            _ => false,
        }
    }

    /// An entity that is not gone into. Attributes as entities come with their names.
    fn only_id(&self, e: EntityId) -> Value {
        let pair = |key: &str, value| (Value::Keyword(Keyword::new(key)), value);
        let mut map = vec![pair("db/id", Value::Ref(e))];
        map.extend(self.db.schema().ident_of_entity(e.0).map(|ident| pair("db/ident", ident.into())));
        Value::Map(map.into())
    }

    /// Makes the maps, children before parents: a child always comes after its parent.
    fn assemble(mut self) -> Result<Vec<Value>> {
        let mut made: Vec<Option<Value>> = Vec::new();
        made.resize_with(self.nodes.len(), || None);
        while let Some(node) = self.nodes.pop() {
            let mut map = Vec::with_capacity(node.entries.len());
            for entry in node.entries {
                if let Some(pair) = finish(entry, &mut made)? {
                    map.push(pair);
                }
            }
            if let Some(slot) = made.get_mut(self.nodes.len()) {
                *slot = (!map.is_empty()).then(|| Value::Map(map.into()));
            }
        }
        made.truncate(self.roots);
        Ok(made.into_iter().map(|value| value.unwrap_or(Value::Nil)).collect())
    }
}

/// The key and value of an entry, if there is one.
fn finish(entry: Entry<'_>, made: &mut [Option<Value>]) -> Result<Option<(Value, Value)>> {
    let mut values: Vec<Value> = Vec::with_capacity(entry.items.len());
    for item in entry.items {
        match item {
            Item::Value(value) => values.push(value),
            Item::Node(id) => values.extend(made.get_mut(id as usize).and_then(Option::take)),
        }
    }
    let value = if entry.many { (!values.is_empty()).then(|| Value::from(values)) } else { values.into_iter().next() };
    let (default, xform) = entry.spec.map_or((None, None), |spec| (spec.default.as_ref(), spec.xform.as_ref()));
    let value = match (value, default, xform) {
        (None, Some(default), _) => Some(default.clone()),
        (value, _, Some(xform)) => Some(xform(value.as_ref().unwrap_or(&Value::Nil))?),
        (value, _, None) => value,
    };
    Ok(value.map(|value| (entry.key, value)))
}

/// The cursors of one level.
struct LevelReader<'a> {
    db: &'a Db,
    /// The greatest entity of the level.
    last: EntityId,
    entities: Rows<'a>,
    reverse: HashMap<AttrId, Rows<'a>>,
}

impl<'a> LevelReader<'a> {
    fn new(db: &'a Db, last: EntityId) -> LevelReader<'a> {
        LevelReader { db, last, entities: Rows::new(db, Order::Eavt, None, last), reverse: HashMap::new() }
    }

    fn exists(&mut self, e: EntityId) -> Result<bool> {
        Ok(self.attribute_from(e, AttrId(0))?.is_some())
    }

    /// The first attribute of an entity whose number is not below `a`.
    fn attribute_from(&mut self, e: EntityId, a: AttrId) -> Result<Option<AttrId>> {
        let row = self.entities.at((e.0, u64::from(a.0)))?;
        let Some((chunk, i)) = row.filter(|(chunk, i)| chunk.columns.e.get(*i) == e.0) else { return Ok(None) };
        Ok(Some(AttrId(chunk.columns.a.get(i) as u32)))
    }

    fn values(&mut self, e: EntityId, a: AttrId, limit: Option<usize>) -> Result<Vec<Value>> {
        let place = (e.0, u64::from(a.0));
        let mut values = Vec::new();
        let mut row = self.entities.at(place)?;
        while let Some((chunk, i)) = row
            && (chunk.columns.e.get(i), chunk.columns.a.get(i)) == place
            && limit.is_none_or(|limit| values.len() < limit)
        {
            values.push(chunk.columns.v.get(i).to_value());
            row = self.entities.after()?;
        }
        Ok(values)
    }

    /// The entities that refer to `e` by the attribute `a`.
    fn referring(&mut self, e: EntityId, a: AttrId, limit: Option<usize>) -> Result<Vec<Value>> {
        let (db, last) = (self.db, self.last);
        let rows = self.reverse.entry(a).or_insert_with(|| Rows::new(db, Order::Avet, Some(a), last));
        let mut entities = Vec::new();
        let mut row = rows.at((e.0, 0))?;
        while let Some((chunk, i)) = row
            && chunk.columns.a.get(i) == u64::from(a.0)
            && matches!(chunk.columns.v.get(i), crate::datom::ValueRef::Ref(v) if v == e)
            && limit.is_none_or(|limit| entities.len() < limit)
        {
            entities.push(Value::Ref(EntityId(chunk.columns.e.get(i))));
            row = rows.after()?;
        }
        Ok(entities)
    }
}

/// A cursor that goes to places in ascending order, and is opened again for a place that lies behind.
struct Rows<'a> {
    db: &'a Db,
    order: Order,
    /// The attribute whose AVET rows are read; `None` for EAVT.
    attribute: Option<AttrId>,
    /// The end of what is read.
    end: Cut,
    cursor: Option<Box<dyn Cursor>>,
    chunk: Option<Chunk>,
    /// Where the cursor was last sent: entity and attribute in EAVT, the value of a ref in AVET.
    place: (u64, u64),
    /// Whether rows of `place` were passed.
    passed: bool,
}

impl<'a> Rows<'a> {
    /// Rows for entities (as values, in AVET) up to `last`.
    fn new(db: &'a Db, order: Order, attribute: Option<AttrId>, last: EntityId) -> Rows<'a> {
        let end = Cut::after(match attribute {
            None => Key { e: Some(last.0), ..Key::default() },
            Some(_) => Key { a: attribute, v: Some(Value::Ref(last)), ..Key::default() },
        });
        Rows { db, order, attribute, end, cursor: None, chunk: None, place: (0, 0), passed: false }
    }

    fn cut(&self, (first, second): (u64, u64)) -> Cut {
        Cut::before(match self.attribute {
            None => Key { e: Some(first), a: Some(AttrId(second as u32)), ..Key::default() },
            Some(a) => Key { a: Some(a), v: Some(Value::Ref(EntityId(first))), ..Key::default() },
        })
    }

    /// The first row at or after a place.
    fn at(&mut self, place: (u64, u64)) -> Result<Option<(&Chunk, usize)>> {
        let cut = self.cut(place);
        let behind = place < self.place || (place == self.place && self.passed);
        if self.cursor.is_none() || behind {
            self.cursor = Some(self.db.cursor(self.order, Some(&cut), Some(&self.end), Direction::Forward)?);
            self.chunk = None;
        } else if let Some(chunk) = &mut self.chunk {
            chunk.start = chunk.columns.position(self.order, &cut).clamp(chunk.start, chunk.end);
            if chunk.is_empty()
                && let Some(cursor) = &mut self.cursor
            {
                cursor.seek(&cut)?;
            }
        }
        self.place = place;
        self.passed = false;
        self.peek()
    }

    /// The row after the one that was given last.
    fn after(&mut self) -> Result<Option<(&Chunk, usize)>> {
        if let Some(chunk) = &mut self.chunk {
            chunk.start = (chunk.start + 1).min(chunk.end);
        }
        self.passed = true;
        self.peek()
    }

    fn peek(&mut self) -> Result<Option<(&Chunk, usize)>> {
        if self.chunk.as_ref().is_none_or(Chunk::is_empty) {
            self.chunk = match &mut self.cursor {
                Some(cursor) => cursor.next()?,
                None => None,
            };
        }
        Ok(self.chunk.as_ref().map(|chunk| (chunk, chunk.start)))
    }
}
