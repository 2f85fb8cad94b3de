//! The persistent set on a million people, by size of leaves and branches: what `docs/decisions/0001-leaf-shape.md`
//! rests on. `cargo bench --bench index -- [people [leaf bulk-leaf branch]]`.
//!
//! With `kinds`, the kinds of index beside each other instead: what `docs/indexes.md` says of them.
//!
//! Every figure stands beside the number of rows it is about, so that a figure for nothing is seen.

mod kinds;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use treering::index::testing::{SplitMix, build_with_sizes};
use treering::index::{Address, Cursor, Direction, Edit, Edits, Index, NodeSink};
use treering::{AttrId, Columns, Cut, Key, OPEN, Order, Result, Row, TX0, Value, ValueRef};

const NAMES: [&str; 8] = ["Ivan", "Petr", "Sergei", "Oleg", "Yuri", "Dmitry", "Fedor", "Denis"];
const LAST_NAMES: [&str; 6] = ["Ivanov", "Petrov", "Sidorov", "Kovalev", "Kuznetsov", "Voronoi"];
const SEXES: [&str; 2] = ["male", "female"];
const NAME: AttrId = AttrId(101);
const LAST_NAME: AttrId = AttrId(102);
const SEX: AttrId = AttrId(103);
const AGE: AttrId = AttrId(104);
const SALARY: AttrId = AttrId(105);
const ATTRIBUTES: [AttrId; 5] = [NAME, LAST_NAME, SEX, AGE, SALARY];

struct Person {
    name: &'static str,
    last_name: &'static str,
    sex: &'static str,
    age: i64,
    salary: i64,
}

impl Person {
    fn random(random: &mut SplitMix) -> Person {
        Person {
            name: NAMES[random.below(8) as usize],
            last_name: LAST_NAMES[random.below(6) as usize],
            sex: SEXES[random.below(2) as usize],
            age: random.below(100) as i64,
            salary: random.below(100_000) as i64,
        }
    }

    fn value(&self, attribute: AttrId) -> ValueRef<'static> {
        match attribute {
            NAME => ValueRef::Str(self.name),
            LAST_NAME => ValueRef::Str(self.last_name),
            SEX => ValueRef::Str(self.sex),
            AGE => ValueRef::Long(self.age),
            _ => ValueRef::Long(self.salary),
        }
    }
}

/// The rows of all people in `order`, in pieces.
fn rows(people: &[Person], order: Order) -> Vec<Columns> {
    let mut pieces = vec![Columns::default()];
    let mut push = |e: usize, a: AttrId| {
        if pieces[pieces.len() - 1].len() == 100_000 {
            pieces.push(Columns::default());
        }
        let last = pieces.len() - 1;
        pieces[last].push(e as u64 + 1, a, &people[e].value(a), TX0 + 1, OPEN);
    };
    match order {
        Order::Eavt => (0..people.len()).for_each(|e| ATTRIBUTES.iter().for_each(|a| push(e, *a))),
        Order::Aevt => ATTRIBUTES.iter().for_each(|a| (0..people.len()).for_each(|e| push(e, *a))),
        _ => {
            for a in ATTRIBUTES {
                let mut es: Vec<usize> = (0..people.len()).collect();
                es.sort_by(|x, y| match (people[*x].value(a), people[*y].value(a)) {
                    (ValueRef::Str(x), ValueRef::Str(y)) => x.cmp(y),
                    (ValueRef::Long(x), ValueRef::Long(y)) => x.cmp(&y),
                    _ => unreachable!("people have strings and longs"),
                });
                es.into_iter().for_each(|e| push(e, a));
            }
        }
    }
    pieces
}

fn build(pieces: &[Columns], order: Order, sizes: (usize, usize, usize)) -> Result<Arc<dyn Index>> {
    build_with_sizes(order, sizes, &mut pieces.iter().cloned().map(Ok))
}

/// The median of some runs.
fn time<T>(runs: usize, mut f: impl FnMut() -> T) -> (Duration, T) {
    let mut times = Vec::new();
    let mut result = f();
    for _ in 0..runs {
        let start = Instant::now();
        result = black_box(f());
        times.push(start.elapsed());
    }
    times.sort();
    (times[times.len() / 2], result)
}

fn attribute_range(index: &dyn Index, a: AttrId, v: Option<Value>) -> Result<Box<dyn Cursor>> {
    let key = Key { a: Some(a), v, ..Key::default() };
    index.cursor(Some(&Cut::before(key.clone())), Some(&Cut::after(key)), Direction::Forward)
}

fn q1(avet: &dyn Index) -> Result<Vec<u64>> {
    let mut es = Vec::new();
    let mut cursor = attribute_range(avet, NAME, Some(Value::Str("Ivan".into())))?;
    while let Some(chunk) = cursor.next()? {
        match chunk.columns.e.plain() {
            Some(plain) => es.extend_from_slice(&plain[chunk.rows()]),
            None => es.extend(chunk.rows().map(|i| chunk.columns.e.get(i))),
        }
    }
    Ok(es)
}

fn q2(avet: &dyn Index, aevt: &dyn Index) -> Result<Vec<(u64, u64)>> {
    let es = q1(avet)?;
    let mut pairs = Vec::with_capacity(es.len());
    let mut cursor = attribute_range(aevt, AGE, None)?;
    let mut next = 0;
    while let Some(chunk) = cursor.next()? {
        let (column, cells) = (&chunk.columns.e, chunk.columns.v.cells());
        let mut i = chunk.start;
        while next < es.len() && i < chunk.end {
            let (x, y) = (column.get(i), es[next]);
            if x == y {
                pairs.push((x, cells[i]));
                next += 1;
            }
            i += usize::from(x <= y);
        }
    }
    Ok(pairs)
}

fn merge5(aevt: &dyn Index) -> Result<usize> {
    let mut columns: [Vec<u64>; 6] = Default::default();
    for (k, a) in ATTRIBUTES.into_iter().enumerate() {
        let mut cursor = attribute_range(aevt, a, None)?;
        let mut row = 0;
        while let Some(chunk) = cursor.next()? {
            let cells = &chunk.columns.v.cells()[chunk.rows()];
            let es = chunk.columns.e.plain().map_or(&[][..], |es| &es[chunk.rows()]);
            if k == 0 {
                columns[5].extend_from_slice(es);
            } else if columns[5].get(row..row + es.len()) != Some(es) {
                return Ok(0);
            }
            row += es.len();
            columns[k].extend_from_slice(cells);
        }
    }
    let n = columns[5].len();
    black_box(columns);
    Ok(n)
}

fn average(aevt: &dyn Index) -> Result<(i64, usize)> {
    let (mut sum, mut n) = (0, 0);
    let mut cursor = attribute_range(aevt, SALARY, None)?;
    while let Some(chunk) = cursor.next()? {
        sum += chunk.columns.v.cells()[chunk.rows()].iter().map(|cell| *cell as i64).sum::<i64>();
        n += chunk.len();
    }
    Ok((sum, n))
}

fn entity(index: &dyn Index, e: u64) -> Result<usize> {
    let key = Key { e: Some(e), ..Key::default() };
    let mut cursor = index.cursor(Some(&Cut::before(key.clone())), Some(&Cut::after(key)), Direction::Forward)?;
    let mut n = 0;
    while let Some(chunk) = cursor.next()? {
        n += chunk.len();
    }
    Ok(n)
}

fn edits(order: Order, people: &[(u64, Person)], tx: u64) -> Edits {
    let rows = people.iter().flat_map(|(e, person)| {
        ATTRIBUTES.map(|a| (Row { e: *e, a, v: person.value(a).to_value(), tx, until: OPEN }, Edit::Insert))
    });
    Edits::sorted(order, rows.collect())
}

/// Counts bytes.
#[derive(Default)]
struct Counting {
    nodes: u32,
    bytes: usize,
}

impl NodeSink for Counting {
    fn put(&mut self, bytes: &[u8]) -> Result<Address> {
        self.nodes += 1;
        self.bytes += bytes.len();
        Ok(Address { pack: 1, offset: self.bytes as u32, len: bytes.len() as u32 })
    }
}

const ORDERS: [Order; 3] = [Order::Eavt, Order::Aevt, Order::Avet];

fn measure(people: &[Person], pieces: &[Vec<Columns>; 3], sizes: (usize, usize, usize)) -> Result<()> {
    let datoms = people.len() * 5;
    let start = Instant::now();
    let mut indexes = Vec::new();
    for (order, pieces) in ORDERS.into_iter().zip(pieces) {
        indexes.push(build(pieces, order, sizes)?);
    }
    let built = start.elapsed();
    let (eavt, aevt, avet) = (&*indexes[0], &*indexes[1], &*indexes[2]);
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let (t1, found1) = time(9, || q1(avet).map(|es| es.len()));
    let (t2, found2) = time(9, || q2(avet, aevt).map(|pairs| pairs.len()));
    let (t5, found5) = time(5, || merge5(aevt));
    let (ta, averaged) = time(9, || average(aevt));
    let mut random = SplitMix(3);
    let (tp, found_points) = time(3, || {
        (0..20_000).map(|_| entity(eavt, 1 + random.below(people.len() as u64)).unwrap_or(0)).sum::<usize>()
    });
    let (tr, ranked) = time(3, || {
        let salary = |n: u64| Key { a: Some(SALARY), v: Some(Value::Long(n as i64)), ..Key::default() };
        (0..20_000).filter(|_| avet.rank(&Cut::before(salary(random.below(100_000)))).is_ok()).count()
    });

    // A batch of 4,000 people after the others, then 1,000 alone, each followed by a snapshot that is kept.
    let newcomers = |random: &mut SplitMix, from: usize, n: usize| -> Vec<(u64, Person)> {
        (0..n).map(|i| ((from + i) as u64 + 1, Person::random(random))).collect()
    };
    let batch = newcomers(&mut random, people.len(), 4000);
    let batches: Vec<Edits> = ORDERS.iter().map(|order| edits(*order, &batch, TX0 + 2)).collect();
    let start = Instant::now();
    for (index, batch) in indexes.iter_mut().zip(&batches) {
        *index = index.apply(batch)?;
    }
    let batched = start.elapsed();
    let singles = newcomers(&mut random, people.len() + 4000, 1000);
    let mut transactions: Vec<[Edits; 3]> = Vec::new();
    for (i, (e, person)) in singles.into_iter().enumerate() {
        let one = [(e, person)];
        transactions.push(ORDERS.map(|order| edits(order, &one, TX0 + 3 + i as u64)));
    }
    let start = Instant::now();
    let mut before = Vec::new();
    let mut by_order = [Duration::ZERO; 3];
    for transaction in &transactions {
        before = indexes.clone();
        for ((index, edits), spent) in indexes.iter_mut().zip(transaction).zip(&mut by_order) {
            let start = Instant::now();
            *index = index.apply(edits)?;
            *spent += start.elapsed();
        }
    }
    let single = start.elapsed() / transactions.len() as u32;
    black_box(before);

    let memory: usize = indexes.iter().map(|index| index.novelty()).sum();
    let mut sink = Counting::default();
    let mut bytes = [0; 3];
    let start = Instant::now();
    for (index, bytes) in indexes.iter().zip(&mut bytes) {
        let before = sink.bytes;
        index.flush(&mut sink)?;
        *bytes = sink.bytes - before;
    }
    let flushed = start.elapsed();
    let rows: u64 = indexes[0].len();
    println!(
        "| {} / {} / {} | {:.0} | {:.3} ({}) | {:.3} ({}) | {:.2} ({}) | {:.3} ({}) | {:.0} ({}) | {:.0} ({}) | {:.2} ({}) | {:.1} = {} ({}) | {:.2} = {} ({} nodes, {:.0} ms) | {:.1} |",
        sizes.0,
        sizes.1,
        sizes.2,
        ms(built),
        ms(t1),
        found1?,
        ms(t2),
        found2?,
        ms(t5),
        found5?,
        ms(ta),
        averaged?.1,
        tp.as_secs_f64() * 1e9 / 20_000.0,
        found_points,
        tr.as_secs_f64() * 1e9 / 20_000.0,
        ranked,
        60_000.0 / batched.as_secs_f64() / 1e6,
        3 * batches[0].len(),
        single.as_secs_f64() * 1e6,
        by_order.map(|d| format!("{:.1}", d.as_secs_f64() * 1e6 / transactions.len() as f64)).join(" + "),
        transactions.len() * 15,
        bytes.iter().sum::<usize>() as f64 / rows as f64,
        bytes.map(|b| format!("{:.2}", b as f64 / rows as f64)).join(" + "),
        sink.nodes,
        ms(flushed),
        memory as f64 / rows as f64,
    );
    assert_eq!(rows as usize, datoms + 5 * 5000);
    Ok(())
}

/// Shapes of a column of entities in memory: a million ids, copied out and joined with an array of as many cells.
fn column_shapes(leaf: usize) {
    const N: usize = 1_000_000;
    let mut random = SplitMix(5);
    // Every eighth entity, as those of one name.
    let ids: Vec<u64> = (1..=N as u64).filter(|_| random.below(8) == 0).collect();
    let plain: Vec<Vec<u64>> = ids.chunks(leaf).map(<[u64]>::to_vec).collect();
    let narrow: Vec<(u64, Vec<u32>)> =
        ids.chunks(leaf).map(|c| (c[0], c.iter().map(|e| (e - c[0]) as u32).collect())).collect();
    let us = |d: Duration| d.as_secs_f64() * 1e6;
    let (copy_plain, n1) = time(51, || {
        let mut out: Vec<u64> = Vec::with_capacity(ids.len());
        plain.iter().for_each(|c| out.extend_from_slice(c));
        out.len()
    });
    let (copy_narrow, n2) = time(51, || {
        let mut out: Vec<u64> = Vec::with_capacity(ids.len());
        narrow.iter().for_each(|(base, c)| out.extend(c.iter().map(|x| base + u64::from(*x))));
        out.len()
    });
    // The join of those entities with a column that has every entity: by merging, and by arithmetic where e is affine.
    let all: Vec<(Vec<u64>, Vec<u64>)> = (0..N)
        .step_by(leaf)
        .map(|s| (((s + 1) as u64..=((s + leaf).min(N)) as u64).collect(), vec![7; leaf]))
        .collect();
    let (merged, n3) = time(21, || {
        let mut out: Vec<u64> = Vec::with_capacity(ids.len());
        let mut next = 0;
        for (es, cells) in &all {
            let mut i = 0;
            while next < ids.len() && i < es.len() {
                if es[i] == ids[next] {
                    out.push(cells[i]);
                    next += 1;
                }
                i += usize::from(next < ids.len() && es[i] < ids[next]) | usize::from(next >= ids.len());
            }
        }
        out.len()
    });
    let (indexed, n4) = time(21, || {
        let mut out: Vec<u64> = Vec::with_capacity(ids.len());
        let mut next = 0;
        for (es, cells) in &all {
            let (base, end) = (es[0], es[0] + es.len() as u64);
            while next < ids.len() && ids[next] < end {
                out.push(cells[(ids[next] - base) as usize]);
                next += 1;
            }
        }
        out.len()
    });
    println!(
        "| {leaf} | {:.0} ({n1}) | {:.0} ({n2}) | {:.0} ({n3}) | {:.0} ({n4}) |",
        us(copy_plain),
        us(copy_narrow),
        us(merged),
        us(indexed)
    );
}

fn main() -> Result<()> {
    let numbers: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let people = numbers.first().copied().unwrap_or(1_000_000);
    let mut random = SplitMix(42);
    let people: Vec<Person> = (0..people).map(|_| Person::random(&mut random)).collect();
    let pieces = ORDERS.map(|order| rows(&people, order));
    if std::env::args().any(|arg| arg == "kinds") {
        return kinds::compare(&people, &pieces);
    }
    println!(
        "| leaf / bulk leaf / branch | build ms | q1 ms | q2 ms | merge5 ms | average ms | entity ns | rank ns | batch M rows/s | transaction µs | bytes per datom | in memory |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    if let [_, leaf, bulk_leaf, branch] = numbers[..] {
        return measure(&people, &pieces, (leaf, bulk_leaf, branch));
    }
    for leaf in [128, 256, 512, 1024, 2048, 4096] {
        measure(&people, &pieces, (leaf, leaf, 64))?;
    }
    for branch in [16, 32, 128, 256] {
        measure(&people, &pieces, (512, 512, branch))?;
    }
    measure(&people, &pieces, (256, 1024, 64))?;
    println!("\n| leaf | copy plain µs | copy base + u32 µs | merge join µs | affine join µs |\n|---|---|---|---|---|");
    [256, 1024, 4096].into_iter().for_each(column_shapes);
    Ok(())
}
