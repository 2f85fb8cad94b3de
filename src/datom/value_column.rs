//! A column of values.

use std::cmp::Ordering;
use std::ops::Range;

use uuid::Uuid;

use super::order::{Side, compare};
use super::value::{ValueKind, ValueRef};
use super::wide;

/// A column of values. Every row has a kind and a cell of eight bytes: the value itself where the kind is inline, else
/// the place of its bytes in one of two heaps.
#[derive(Debug, Clone)]
pub struct ValueColumn {
    /// One kind for all rows, or one each.
    kinds: Kinds,
    cells: Vec<u64>,
    /// Strings and URIs.
    text: String,
    /// Uuids, bytes, and the encoded wide kinds.
    bytes: Vec<u8>,
    /// Bytes of both heaps that no cell points at any more.
    garbage: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Kinds {
    One(ValueKind),
    Each(Vec<ValueKind>),
}

impl Default for ValueColumn {
    fn default() -> Self {
        ValueColumn {
            kinds: Kinds::One(ValueKind::Nil),
            cells: Vec::new(),
            text: String::new(),
            bytes: Vec::new(),
            garbage: 0,
        }
    }
}

/// A cell that points at `len` bytes from `start` of a heap.
fn pointer(start: usize, len: usize) -> u64 {
    (start as u64) << 32 | len as u64
}

fn pointed(cell: u64) -> Range<usize> {
    let start = (cell >> 32) as usize;
    start..start + (cell & 0xFFFF_FFFF) as usize
}

/// Most bytes that one column keeps in a heap: cells address it with 32 bits.
pub(crate) const MAX_HEAP: usize = u32::MAX as usize;

/// The part of a heap that some cells point into.
#[derive(Debug, Default)]
struct HeapSpan {
    start: usize,
    end: usize,
    /// The bytes pointed at; those that neighbours share counted once.
    used: usize,
    last: Option<u64>,
}

impl HeapSpan {
    fn add(&mut self, cell: u64) {
        if self.last == Some(cell) {
            return;
        }
        let place = pointed(cell);
        self.start = if self.last.is_none() { place.start } else { self.start.min(place.start) };
        self.end = self.end.max(place.end);
        self.used += place.len();
        self.last = Some(cell);
    }

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// The bytes that are copied when the rows are.
    fn room(&self) -> usize {
        if self.is_dense() { self.len() } else { self.used }
    }

    /// Whether copying the whole part copies little that is not wanted.
    fn is_dense(&self) -> bool {
        self.len() <= 64 + self.used + self.used / 4
    }
}

/// The heaps of a value column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heap {
    Text,
    Bytes,
}

#[inline]
fn heap_of(kind: ValueKind) -> Option<Heap> {
    match kind {
        ValueKind::Str | ValueKind::Uri => Some(Heap::Text),
        kind if kind.is_inline() => None,
        _ => Some(Heap::Bytes),
    }
}

/// The column with heaps that nearly all of the parts' rows, which are so many, come from, if most of its own are among
/// them; and the bytes of its heaps that no cell would point at then.
fn most_of<'a>(
    parts: impl Iterator<Item = (&'a ValueColumn, Range<usize>)> + Clone,
    rows: usize,
) -> Option<(&'a ValueColumn, usize)> {
    let of = |own: &'a ValueColumn| parts.clone().filter(move |(column, _)| std::ptr::eq(*column, own));
    let is_most = |column: &&'a ValueColumn| {
        let kept: usize = of(column).map(|(_, range)| range.len()).sum();
        column.heap_len() > 0 && 2 * kept >= rows && 4 * kept >= 3 * column.len()
    };
    // Parts take turns, so the first or the second is of that column.
    let most = parts.clone().take(2).map(|(column, _)| column).find(is_most)?;
    let own = of(most).map(|(_, range)| range);
    let (mut garbage, mut next) = (most.garbage, 0);
    for range in own {
        garbage += if next < range.start { most.heap_len_of(next..range.start) } else { 0 };
        next = range.end;
    }
    garbage += most.heap_len_of(next..most.len());
    (4 * garbage <= most.heap_len()).then_some((most, garbage))
}

impl ValueColumn {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The kind of all rows, where they have one kind.
    pub fn kind(&self) -> Option<ValueKind> {
        match &self.kinds {
            Kinds::One(kind) => Some(*kind),
            Kinds::Each(_) => None,
        }
    }

    /// The kind of row `i`.
    #[inline]
    pub fn kind_at(&self, i: usize) -> ValueKind {
        match &self.kinds {
            Kinds::One(kind) => *kind,
            Kinds::Each(kinds) => kinds[i],
        }
    }

    /// The cells: values of inline kinds as [`ValueRef::cell`] tells them; for the other kinds only equality of the
    /// cell means something: the values are equal then.
    pub fn cells(&self) -> &[u64] {
        &self.cells
    }

    /// The value in row `i`.
    #[inline]
    pub fn get(&self, i: usize) -> ValueRef<'_> {
        let cell = self.cells[i];
        let kind = self.kind_at(i);
        match kind {
            ValueKind::Str => ValueRef::Str(&self.text[pointed(cell)]),
            ValueKind::Uri => ValueRef::Uri(&self.text[pointed(cell)]),
            ValueKind::Bytes => ValueRef::Bytes(&self.bytes[pointed(cell)]),
            ValueKind::Uuid => ValueRef::Uuid(Uuid::from_slice(&self.bytes[pointed(cell)]).unwrap_or_default()),
            _ => match ValueRef::from_cell(kind, cell) {
                Some(value) => value,
                None => self.wide(cell),
            },
        }
    }

    fn wide(&self, cell: u64) -> ValueRef<'_> {
        let mut bytes = &self.bytes[pointed(cell)];
        let value = wide::decode(&mut bytes).expect("the heap holds what push encoded");
        ValueRef::Wide(std::borrow::Cow::Owned(value))
    }

    /// Makes room for `more` rows.
    pub fn reserve(&mut self, more: usize) {
        self.cells.reserve(more);
        if let Kinds::Each(kinds) = &mut self.kinds {
            kinds.reserve(more);
        }
    }

    /// Appends a value.
    pub fn push(&mut self, value: &ValueRef<'_>) {
        let cell = self.cell_of(value);
        self.push_cell(value.kind(), cell);
    }

    fn push_cell(&mut self, kind: ValueKind, cell: u64) {
        match &mut self.kinds {
            kinds if self.cells.is_empty() => *kinds = Kinds::One(kind),
            Kinds::Each(kinds) => kinds.push(kind),
            Kinds::One(one) if *one == kind => {}
            Kinds::One(_) => self.part_kinds().push(kind),
        }
        self.cells.push(cell);
    }

    /// Puts a value before row `i`.
    pub fn insert(&mut self, i: usize, value: &ValueRef<'_>) {
        let (kind, cell) = (value.kind(), self.cell_of(value));
        match &mut self.kinds {
            kinds if self.cells.is_empty() => *kinds = Kinds::One(kind),
            Kinds::Each(kinds) => kinds.insert(i, kind),
            Kinds::One(one) if *one == kind => {}
            Kinds::One(_) => self.part_kinds().insert(i, kind),
        }
        self.cells.insert(i, cell);
    }

    /// Removes row `i`.
    pub fn remove(&mut self, i: usize) {
        let kind = self.kind_at(i);
        if let Kinds::Each(kinds) = &mut self.kinds {
            kinds.remove(i);
        }
        let cell = self.cells.remove(i);
        if !kind.is_inline() {
            self.garbage += pointed(cell).len();
            if self.garbage > 64 + (self.text.len() + self.bytes.len()) / 2 {
                self.compact();
            }
        }
    }

    /// Rewrites the heaps without what no cell points at.
    fn compact(&mut self) {
        let mut fresh = ValueColumn::default();
        fresh.extend(self, 0..self.len());
        *self = fresh;
    }

    /// Appends the rows `range` of `other`.
    pub fn extend(&mut self, other: &ValueColumn, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        if let Some(kind) = other.kind_of(&range).filter(|kind| kind.is_inline()) {
            self.extend_kinds(kind, range.len());
            self.cells.extend_from_slice(&other.cells[range]);
            return;
        }
        let (text, bytes) = other.spans(range.clone());
        if text.is_dense() && bytes.is_dense() {
            self.extend_whole(other, range, &text, &bytes);
        } else {
            self.extend_each(other, range);
        }
    }

    /// The rows of `parts`, one part after the other, in the room that they need.
    pub(super) fn concat<'a>(parts: impl Iterator<Item = (&'a ValueColumn, Range<usize>)> + Clone) -> ValueColumn {
        let mut out = ValueColumn::default();
        let rows = parts.clone().map(|(_, range)| range.len()).sum();
        out.cells.reserve_exact(rows);
        if let Some((most, garbage)) = most_of(parts.clone(), rows) {
            out.concat_onto(most, parts);
            out.garbage = garbage;
            return out;
        }
        // What lies in the heaps, of each part.
        let mut spans = Vec::new();
        if parts.clone().any(|(column, _)| column.heap_len() > 0) {
            spans.extend(parts.clone().map(|(column, range)| column.spans(range)));
            let room = |heap: fn(&(HeapSpan, HeapSpan)) -> &HeapSpan| spans.iter().map(heap).map(HeapSpan::room).sum();
            out.text.reserve_exact(room(|(text, _)| text));
            out.bytes.reserve_exact(room(|(_, bytes)| bytes));
        }
        for (n, (column, range)) in parts.enumerate().filter(|(_, (_, range))| !range.is_empty()) {
            match (column.kind_of(&range), spans.get(n)) {
                (Some(kind), _) if kind.is_inline() => {
                    out.extend_kinds(kind, range.len());
                    out.cells.extend_from_slice(&column.cells[range]);
                }
                (_, Some((text, bytes))) if text.is_dense() && bytes.is_dense() => {
                    out.extend_whole(column, range, text, bytes);
                }
                _ => out.extend_each(column, range),
            }
        }
        out
    }

    /// [`concat`](Self::concat) where `most` of the rows are of one column: its heaps are copied as they are, and what the
    /// other rows have follows them.
    fn concat_onto<'a>(
        &mut self,
        most: &'a ValueColumn,
        parts: impl Iterator<Item = (&'a ValueColumn, Range<usize>)> + Clone,
    ) {
        let others = parts.clone().filter(|(column, _)| !std::ptr::eq(*column, most));
        let (mut text, mut bytes) = (most.text.len(), most.bytes.len());
        for (other, range) in others {
            let spans = other.spans(range);
            (text, bytes) = (text + spans.0.used, bytes + spans.1.used);
        }
        self.text.reserve_exact(text);
        self.bytes.reserve_exact(bytes);
        self.text.push_str(&most.text);
        self.bytes.extend_from_slice(&most.bytes);
        for (column, range) in parts.filter(|(_, range)| !range.is_empty()) {
            if !std::ptr::eq(column, most) {
                self.extend_each(column, range);
                continue;
            }
            match &most.kinds {
                Kinds::One(kind) => self.extend_kinds(*kind, range.len()),
                Kinds::Each(kinds) => self.part_kinds().extend_from_slice(&kinds[range.clone()]),
            }
            self.cells.extend_from_slice(&most.cells[range]);
        }
    }

    /// Appends rows whose bytes lie close together in the heaps: two copies, and the cells moved by a distance.
    fn extend_whole(&mut self, other: &ValueColumn, range: Range<usize>, text: &HeapSpan, bytes: &HeapSpan) {
        let text_from = self.text.len();
        let bytes_from = self.bytes.len();
        assert!(text_from.max(bytes_from) + text.len().max(bytes.len()) <= MAX_HEAP, "a leaf keeps less than 4 GiB");
        self.text.push_str(&other.text[text.range()]);
        self.bytes.extend_from_slice(&other.bytes[bytes.range()]);
        self.garbage += text.len().saturating_sub(text.used) + bytes.len().saturating_sub(bytes.used);
        let moved_text = (text_from as u64).wrapping_sub(text.range().start as u64) << 32;
        let moved_bytes = (bytes_from as u64).wrapping_sub(bytes.range().start as u64) << 32;
        let cells = &other.cells[range.clone()];
        match (other.kind_of(&range), &other.kinds) {
            (Some(kind), _) => {
                let distance = match heap_of(kind) {
                    None => 0,
                    Some(Heap::Text) => moved_text,
                    Some(Heap::Bytes) => moved_bytes,
                };
                self.extend_kinds(kind, cells.len());
                self.cells.extend(cells.iter().map(|cell| cell.wrapping_add(distance)));
            }
            (None, Kinds::One(_)) => {}
            (None, Kinds::Each(kinds)) => {
                let kinds = &kinds[range];
                self.part_kinds().extend_from_slice(kinds);
                self.cells.extend(cells.iter().zip(kinds).map(|(cell, kind)| {
                    cell.wrapping_add(match heap_of(*kind) {
                        None => 0,
                        Some(Heap::Text) => moved_text,
                        Some(Heap::Bytes) => moved_bytes,
                    })
                }));
            }
        }
    }

    /// The kind of all the rows of a range, which is not empty, where they have one.
    fn kind_of(&self, range: &Range<usize>) -> Option<ValueKind> {
        match &self.kinds {
            Kinds::One(kind) => Some(*kind),
            Kinds::Each(kinds) => {
                let kinds = &kinds[range.clone()];
                let first = *kinds.first()?;
                kinds.iter().all(|kind| *kind == first).then_some(first)
            }
        }
    }

    fn extend_kinds(&mut self, kind: ValueKind, n: usize) {
        match &mut self.kinds {
            kinds if self.cells.is_empty() => *kinds = Kinds::One(kind),
            Kinds::Each(kinds) => kinds.resize(kinds.len() + n, kind),
            Kinds::One(one) if *one == kind => {}
            Kinds::One(_) => {
                let kinds = self.part_kinds();
                kinds.resize(kinds.len() + n, kind);
            }
        }
    }

    /// Appends row by row; bytes that many rows share are shared again where the rows are neighbours.
    fn extend_each(&mut self, other: &ValueColumn, range: Range<usize>) {
        let mut last: Option<(Heap, u64, u64)> = None;
        for i in range {
            last = self.push_from(other, i, last);
        }
    }

    /// Appends row `i` of `other`. `last` is what this gave for the row before: the heap, the cell there and the cell here.
    fn push_from(&mut self, other: &ValueColumn, i: usize, last: Option<(Heap, u64, u64)>) -> Option<(Heap, u64, u64)> {
        let (kind, cell) = (other.kind_at(i), other.cells[i]);
        let own = match (heap_of(kind), last) {
            (None, _) => cell,
            (Some(heap), Some((same, theirs, ours))) if heap == same && theirs == cell => ours,
            (Some(Heap::Text), _) => self.place_text(&other.text[pointed(cell)]),
            (Some(Heap::Bytes), _) => self.place_bytes(&other.bytes[pointed(cell)]),
        };
        self.push_cell(kind, own);
        heap_of(kind).map(|heap| (heap, cell, own))
    }

    /// The rows `range` with those at `places` replaced by the rows `by` of `other`; `None` where the values are not all
    /// inline and of one kind.
    pub(crate) fn patched(
        &self,
        range: Range<usize>,
        places: &[usize],
        other: &ValueColumn,
        by: Range<usize>,
    ) -> Option<ValueColumn> {
        let kind = self.kind().filter(|kind| kind.is_inline() && other.kind() == Some(*kind))?;
        let mut cells = self.cells[range.clone()].to_vec();
        places.iter().zip(by).for_each(|(place, row)| cells[place - range.start] = other.cells[row]);
        Some(ValueColumn { kinds: Kinds::One(kind), cells, ..ValueColumn::default() })
    }

    /// The rows `rows`, in that sequence.
    pub(crate) fn gather(&self, rows: &[u32]) -> ValueColumn {
        let size = |row: &u32| match self.kind_at(*row as usize).is_inline() {
            true => 0,
            false => pointed(self.cells[*row as usize]).len(),
        };
        let used: usize = if self.heap_len() == 0 { 0 } else { rows.iter().map(size).sum() };
        if used >= self.heap_len() / 2 {
            // The heaps as they are, and cells that point into them.
            let kinds = match &self.kinds {
                Kinds::One(kind) => Kinds::One(*kind),
                Kinds::Each(kinds) => Kinds::Each(rows.iter().map(|row| kinds[*row as usize]).collect()),
            };
            let garbage = self.heap_len().saturating_sub(used);
            let cells = rows.iter().map(|row| self.cells[*row as usize]).collect();
            let mut out = ValueColumn { kinds, cells, text: self.text.clone(), bytes: self.bytes.clone(), garbage };
            out.unify_kinds();
            return out;
        }
        let mut out = ValueColumn::default();
        out.cells.reserve(rows.len());
        let mut last: Option<(Heap, u64, u64)> = None;
        rows.iter().for_each(|row| last = out.push_from(self, *row as usize, last));
        out
    }

    /// Where in the heaps the bytes of the rows `range` lie.
    fn spans(&self, range: Range<usize>) -> (HeapSpan, HeapSpan) {
        let (mut text, mut bytes) = (HeapSpan::default(), HeapSpan::default());
        match &self.kinds {
            Kinds::One(kind) => match heap_of(*kind) {
                None => {}
                Some(Heap::Text) => self.cells[range].iter().for_each(|cell| text.add(*cell)),
                Some(Heap::Bytes) => self.cells[range].iter().for_each(|cell| bytes.add(*cell)),
            },
            Kinds::Each(kinds) => {
                for (cell, kind) in self.cells[range.clone()].iter().zip(&kinds[range]) {
                    match heap_of(*kind) {
                        None => {}
                        Some(Heap::Text) => text.add(*cell),
                        Some(Heap::Bytes) => bytes.add(*cell),
                    }
                }
            }
        }
        (text, bytes)
    }

    /// How many rows from `range.start` on, at least one, have at most `budget` bytes in the heaps, and how many bytes that
    /// is.
    pub(crate) fn fitting(&self, range: Range<usize>, budget: usize) -> (usize, usize) {
        if self.heap_len() <= budget {
            return (range.len(), self.heap_len_of(range));
        }
        let (mut rows, mut heap) = (0, 0);
        for i in range {
            let size = if self.kind_at(i).is_inline() { 0 } else { pointed(self.cells[i]).len() };
            if rows > 0 && heap + size > budget {
                break;
            }
            (rows, heap) = (rows + 1, heap + size);
        }
        (rows, heap)
    }

    /// Bytes that the rows `range` have in the two heaps; those that neighbours share count once.
    pub(crate) fn heap_len_of(&self, range: Range<usize>) -> usize {
        let (text, bytes) = self.spans(range);
        text.used + bytes.used
    }

    /// Bytes in the two heaps, unused ones included.
    pub(crate) fn heap_len(&self) -> usize {
        self.text.len() + self.bytes.len()
    }

    fn part_kinds(&mut self) -> &mut Vec<ValueKind> {
        if let Kinds::One(kind) = self.kinds {
            let mut kinds = Vec::with_capacity(self.cells.capacity());
            kinds.resize(self.cells.len(), kind);
            self.kinds = Kinds::Each(kinds);
        }
        match &mut self.kinds {
            Kinds::Each(kinds) => kinds,
            Kinds::One(_) => unreachable!("parted above"),
        }
    }

    fn cell_of(&mut self, value: &ValueRef<'_>) -> u64 {
        match value {
            ValueRef::Str(s) | ValueRef::Uri(s) => self.place_text(s),
            ValueRef::Bytes(b) => self.place_bytes(b),
            ValueRef::Uuid(u) => self.place_bytes(u.as_bytes()),
            ValueRef::Wide(value) => {
                let mut encoded = Vec::new();
                wide::encode(value, &mut encoded);
                self.place_bytes(&encoded)
            }
            inline => inline.cell().expect("all other kinds are inline"),
        }
    }

    fn place_text(&mut self, s: &str) -> u64 {
        // The text before is often the same one: sorted columns, enums kept as strings.
        let start = self.text.len().wrapping_sub(s.len());
        if !s.is_empty() && self.text.get(start..) == Some(s) {
            return pointer(start, s.len());
        }
        assert!(self.text.len() + s.len() <= MAX_HEAP, "a leaf keeps less than 4 GiB of text");
        self.text.push_str(s);
        pointer(self.text.len() - s.len(), s.len())
    }

    fn place_bytes(&mut self, b: &[u8]) -> u64 {
        assert!(self.bytes.len() + b.len() <= MAX_HEAP, "a leaf keeps less than 4 GiB of bytes");
        self.bytes.extend_from_slice(b);
        pointer(self.bytes.len() - b.len(), b.len())
    }

    /// A column without rows and with room for `n`, for rows like those of `model`.
    pub(super) fn with_room_like(model: &ValueColumn, n: usize) -> ValueColumn {
        let share = |heap: usize| (heap as u128 * n as u128 / model.len().max(1) as u128) as usize;
        let kinds = match &model.kinds {
            Kinds::One(kind) => Kinds::One(*kind),
            Kinds::Each(_) => Kinds::Each(Vec::with_capacity(n)),
        };
        ValueColumn {
            kinds,
            cells: Vec::with_capacity(n),
            text: String::with_capacity(share(model.text.len()).min(model.text.len())),
            bytes: Vec::with_capacity(share(model.bytes.len()).min(model.bytes.len())),
            garbage: 0,
        }
    }

    /// `n` rows of nil, for a decoder to set row by row.
    pub(super) fn of_nils(n: usize) -> ValueColumn {
        ValueColumn { cells: vec![0; n], ..ValueColumn::default() }
    }

    /// Gives `n` rows a kind; their cells are still to be set.
    pub(super) fn set_kinds(&mut self, kind: ValueKind, rows: impl Iterator<Item = usize>, n: usize) {
        if n == self.len() {
            self.kinds = Kinds::One(kind);
            return;
        }
        let kinds = self.part_kinds();
        rows.for_each(|i| kinds[i] = kind);
    }

    pub(super) fn set_cell(&mut self, i: usize, cell: u64) {
        self.cells[i] = cell;
    }

    /// One kind for all rows, where they turned out to have one.
    pub(super) fn unify_kinds(&mut self) {
        if let Kinds::Each(kinds) = &self.kinds {
            let first = kinds.first().copied().unwrap_or(ValueKind::Nil);
            if kinds.iter().all(|kind| *kind == first) {
                self.kinds = Kinds::One(first);
            }
        }
    }

    /// Puts text at the end of its heap; `None` where the heap is full.
    pub(super) fn append_text(&mut self, s: &str) -> Option<u64> {
        (self.text.len() + s.len() <= MAX_HEAP).then(|| {
            self.text.push_str(s);
            pointer(self.text.len() - s.len(), s.len())
        })
    }

    /// Puts bytes at the end of their heap; `None` where the heap is full.
    pub(super) fn append_bytes(&mut self, b: &[u8]) -> Option<u64> {
        (self.bytes.len() + b.len() <= MAX_HEAP).then(|| {
            self.bytes.extend_from_slice(b);
            pointer(self.bytes.len() - b.len(), b.len())
        })
    }

    /// The bytes of row `i` in its heap; none for an inline kind.
    pub(super) fn heap_bytes(&self, i: usize) -> &[u8] {
        match heap_of(self.kind_at(i)) {
            None => &[],
            Some(Heap::Text) => self.text[pointed(self.cells[i])].as_bytes(),
            Some(Heap::Bytes) => &self.bytes[pointed(self.cells[i])],
        }
    }

    /// Where in the sorted rows `range` the value `x` would go: before or after its equals.
    pub fn partition(&self, range: Range<usize>, x: &ValueRef<'_>, side: Side) -> usize {
        let cells = &self.cells[range.clone()];
        let goes_before =
            |order: Ordering| order == Ordering::Less || (order == Ordering::Equal && side == Side::After);
        let place = match (&self.kinds, x) {
            (Kinds::One(ValueKind::Str), ValueRef::Str(x)) | (Kinds::One(ValueKind::Uri), ValueRef::Uri(x)) => {
                // As bytes, or each step would look at both ends of its text.
                let heap = self.text.as_bytes();
                cells.partition_point(|cell| goes_before(heap[pointed(*cell)].cmp(x.as_bytes())))
            }
            (Kinds::One(ValueKind::Long), ValueRef::Long(x))
            | (Kinds::One(ValueKind::Instant), ValueRef::Instant(x)) => {
                cells.partition_point(|cell| goes_before((*cell as i64).cmp(x)))
            }
            _ => {
                let (mut low, mut high) = (range.start, range.end);
                while low < high {
                    let middle = low + (high - low) / 2;
                    if goes_before(compare(&self.get(middle), x)) {
                        low = middle + 1;
                    } else {
                        high = middle;
                    }
                }
                return low;
            }
        };
        range.start + place
    }

    /// Bytes held on the heap.
    pub fn weight(&self) -> usize {
        let kinds = match &self.kinds {
            Kinds::One(_) => 0,
            Kinds::Each(kinds) => kinds.capacity(),
        };
        kinds + self.cells.capacity() * 8 + self.text.capacity() + self.bytes.capacity()
    }
}

/// Equality of the values, whatever the heaps look like.
impl PartialEq for ValueColumn {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && (0..self.len()).all(|i| compare(&self.get(i), &other.get(i)) == Ordering::Equal)
    }
}
