//! The floor under each shape: written by hand over dense columns and posting lists of codes, nothing joined beforehand.

use crate::data::{Org, Person};

/// Keys to the entities that have them, sorted.
pub struct Posting {
    offsets: Vec<u32>,
    entities: Vec<u32>,
}

impl Posting {
    fn new(keys: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Posting {
        let mut offsets = vec![0_u32; keys + 1];
        pairs.clone().for_each(|(key, _)| offsets[key as usize + 1] += 1);
        (0..keys).for_each(|i| offsets[i + 1] += offsets[i]);
        let mut places = offsets.clone();
        let mut entities = vec![0; offsets[keys] as usize];
        for (key, entity) in pairs {
            entities[places[key as usize] as usize] = entity;
            places[key as usize] += 1;
        }
        Posting { offsets, entities }
    }

    #[inline]
    fn get(&self, key: u32) -> &[u32] {
        &self.entities[self.offsets[key as usize] as usize..self.offsets[key as usize + 1] as usize]
    }
}

/// Columns by entity, place 0 unused.
pub struct People {
    n: usize,
    name: Vec<u8>,
    last: Vec<u8>,
    sex: Vec<u8>,
    age: Vec<u8>,
    salary: Vec<u32>,
    by_name: Posting,
    by_last: Posting,
    by_sex: Posting,
    by_follows: Posting,
    salaries: Vec<u32>,
    salaried: Vec<u32>,
}

impl People {
    pub fn new(people: &[Person]) -> People {
        let n = people.len();
        fn column<T: Copy + Default>(people: &[Person], of: impl Fn(&Person) -> T) -> Vec<T> {
            std::iter::once(T::default()).chain(people.iter().map(of)).collect()
        }
        let ids = || 1..=n as u32;
        let posting = |keys: usize, of: fn(&Person) -> u32| Posting::new(keys, people.iter().map(of).zip(ids()));
        let by_salary = posting(100_000, |p| p.salary);
        let salaries = (0..100_000).flat_map(|v| std::iter::repeat_n(v, by_salary.get(v).len())).collect();
        let follows = people.iter().map(|p| p.follows).zip(ids()).filter(|(f, _)| *f > 0);
        People {
            n,
            name: column(people, |p| p.name),
            last: column(people, |p| p.last),
            sex: column(people, |p| p.sex),
            age: column(people, |p| p.age),
            salary: column(people, |p| p.salary),
            by_name: posting(8, |p| p.name.into()),
            by_last: posting(6, |p| p.last.into()),
            by_sex: posting(2, |p| p.sex.into()),
            by_follows: Posting::new(n + 1, follows),
            salaries,
            salaried: by_salary.entities,
        }
    }

    pub fn q1(&self) -> Vec<u32> {
        self.by_name.get(0).to_vec()
    }

    pub fn q2(&self) -> Vec<(u32, u32)> {
        self.by_name.get(0).iter().map(|e| (*e, self.age[*e as usize].into())).collect()
    }

    /// The entities named Ivan that pass, and what is made of them.
    fn compact<T: Copy + Default>(&self, passes: impl Fn(usize) -> bool, row: impl Fn(u32) -> T) -> Vec<T> {
        let list = self.by_name.get(0);
        let mut out = vec![T::default(); list.len()];
        let mut kept = 0;
        for e in list {
            out[kept] = row(*e);
            kept += usize::from(passes(*e as usize));
        }
        out.truncate(kept);
        out
    }

    pub fn q3(&self) -> Vec<(u32, u32)> {
        self.compact(|e| self.sex[e] == 0, |e| (e, self.age[e as usize].into()))
    }

    pub fn q4(&self) -> Vec<(u32, u32, u32)> {
        let row = |e: u32| (e, self.last[e as usize].into(), self.age[e as usize].into());
        self.compact(|e| self.sex[e] == 0, row)
    }

    pub fn not(&self) -> Vec<u32> {
        self.compact(|e| self.sex[e] != 0, |e| e)
    }

    pub fn q5(&self) -> Vec<(u32, u32, u32)> {
        let mut wanted = [false; 256];
        let mut left = 100;
        for e in self.by_name.get(0) {
            let known = &mut wanted[self.age[*e as usize] as usize];
            if !std::mem::replace(known, true) {
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        let mut out = Vec::with_capacity(self.n);
        for e in 1..=self.n {
            if wanted[self.age[e] as usize] {
                out.push((e as u32, self.last[e].into(), self.age[e].into()));
            }
        }
        out
    }

    pub fn salaries(&self, above: u32, below: u32) -> Vec<(u32, u32)> {
        let start = self.salaries.partition_point(|v| *v <= above);
        let end = self.salaries.partition_point(|v| *v < below);
        self.salaried[start..end].iter().copied().zip(self.salaries[start..end].iter().copied()).collect()
    }

    fn union<'a>(&self, lists: impl Iterator<Item = &'a [u32]>) -> Vec<u32> {
        let mut bits = vec![0_u64; self.n / 64 + 1];
        let mut most = 0;
        for list in lists {
            most += list.len();
            list.iter().for_each(|e| bits[*e as usize / 64] |= 1 << (e % 64));
        }
        let mut out = Vec::with_capacity(most);
        for (k, word) in bits.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                out.push(k as u32 * 64 + word.trailing_zeros());
                word &= word - 1;
            }
        }
        out
    }

    pub fn or(&self) -> Vec<u32> {
        self.union([self.by_name.get(0), self.by_last.get(0)].into_iter())
    }

    pub fn or_join(&self) -> Vec<u32> {
        let named = self.by_name.get(0);
        self.union(std::iter::once(named).chain(named.iter().map(|e| self.by_follows.get(*e))))
    }

    pub fn merge5(&self) -> Vec<[u32; 6]> {
        let row = |e: usize| {
            let (name, last, sex, age) = (self.name[e], self.last[e], self.sex[e], self.age[e]);
            [e as u32, name.into(), last.into(), sex.into(), age.into(), self.salary[e]]
        };
        (1..=self.n).map(row).collect()
    }

    pub fn average(&self) -> f64 {
        self.salary[1..].iter().map(|x| u64::from(*x)).sum::<u64>() as f64 / self.n as f64
    }

    pub fn by_sex(&self) -> Vec<(usize, f64, usize)> {
        let (mut all, mut one) = (0_u64, 0_u64);
        for (salaries, sexes) in self.salary[1..].chunks(4096).zip(self.sex[1..].chunks(4096)) {
            let (mut a, mut b) = (0_u32, 0_u32);
            for (v, g) in salaries.iter().zip(sexes) {
                a += *v;
                b += *v & u32::from(*g).wrapping_neg();
            }
            all += u64::from(a);
            one += u64::from(b);
        }
        let group = |(i, sum): (usize, u64)| {
            let count = self.by_sex.get(i as u32).len();
            (i, sum as f64 / count as f64, count)
        };
        [all - one, one].into_iter().enumerate().map(group).collect()
    }

    pub fn by_sex_and_name(&self) -> Vec<(usize, usize, f64)> {
        // Four tables, so that one row's store is not the next row's load.
        let mut tables = [[(0_u64, 0_u64); 16]; 4];
        let (sexes, names, salaries) = (&self.sex[1..], &self.name[1..], &self.salary[1..]);
        for (i, salary) in salaries.iter().enumerate() {
            let slot = &mut tables[i & 3][usize::from((sexes[i] << 3 | names[i]) & 15)];
            slot.0 += u64::from(*salary);
            slot.1 += 1;
        }
        let total = |g: usize| tables.iter().fold((0, 0), |sum, t| (sum.0 + t[g].0, sum.1 + t[g].1));
        (0..16).map(|g| (g / 8, g % 8, total(g).0 as f64 / total(g).1 as f64)).collect()
    }

    pub fn stats(&self) -> (f64, f64, f64) {
        let (mut sum, mut squares) = (0_u64, 0_u64);
        for x in &self.salary[1..] {
            sum += u64::from(*x);
            squares += u64::from(*x) * u64::from(*x);
        }
        let mean = sum as f64 / self.n as f64;
        let variance = squares as f64 / self.n as f64 - mean * mean;
        let median = f64::from(self.salaries[(self.n - 1) / 2] + self.salaries[self.n / 2]) / 2.0;
        (variance, variance.sqrt(), median)
    }

    pub fn top(&self) -> Vec<(u32, u32)> {
        let start = self.salaries.partition_point(|v| *v < self.salaries[self.n - 10]);
        let mut out: Vec<(u32, u32)> = (start..self.n).map(|i| (self.salaried[i], self.salaries[i])).collect();
        out.sort_by(|x, y| y.1.cmp(&x.1).then(x.0.cmp(&y.0)));
        out.truncate(10);
        out
    }

    pub fn point(&self, e: usize) -> [u32; 5] {
        [self.name[e].into(), self.last[e].into(), self.sex[e].into(), self.age[e].into(), self.salary[e]]
    }
}

pub struct Organisation {
    name: Vec<u8>,
    dept: Vec<u8>,
    division: Vec<u8>,
    by_dept: Posting,
    by_division: Posting,
}

impl Organisation {
    pub fn new(org: &Org) -> Organisation {
        Organisation {
            name: org.people.iter().map(|p| p.0).collect(),
            dept: org.people.iter().map(|p| p.1 as u8).collect(),
            division: org.divisions.iter().map(|d| *d as u8).collect(),
            by_dept: Posting::new(100, org.people.iter().map(|p| p.1).zip(0..)),
            by_division: Posting::new(10, org.divisions.iter().copied().zip(0..)),
        }
    }

    pub fn chain(&self) -> Vec<[u32; 4]> {
        let row = |e: usize| {
            let dept = self.dept[e];
            [e as u32, self.name[e].into(), dept.into(), self.division[dept as usize].into()]
        };
        (0..self.name.len()).map(row).collect()
    }

    pub fn chain_set(&self) -> Vec<(u32, u32)> {
        let mut seen = [false; 128];
        for (name, dept) in self.name.iter().zip(&self.dept) {
            seen[usize::from(name & 7) << 4 | usize::from(self.division[*dept as usize] & 15)] = true;
        }
        (0..128).filter(|i| seen[*i as usize]).map(|i| (i >> 4, i & 15)).collect()
    }

    pub fn division(&self) -> Vec<(u32, u32)> {
        let mut out = Vec::new();
        for dept in self.by_division.get(3) {
            out.extend(self.by_dept.get(*dept).iter().map(|e| (*e, u32::from(self.name[*e as usize]))));
        }
        out
    }

    pub fn pull(&self, e: usize) -> [u32; 3] {
        let dept = self.dept[e];
        [self.name[e].into(), dept.into(), self.division[dept as usize].into()]
    }
}

pub struct Graph {
    n: u32,
    next: Posting,
}

impl Graph {
    pub fn new(edges: &[(u32, u32)]) -> Graph {
        let mut edges = edges.to_vec();
        edges.sort_unstable();
        let n = edges.iter().map(|(a, b)| a.max(b)).max().map_or(0, |most| most + 1);
        Graph { n, next: Posting::new(n as usize, edges.iter().copied()) }
    }

    /// All pairs, by one search from each node.
    pub fn closure(&self) -> Vec<(u32, u32)> {
        let (mut out, mut stamp, mut stack) = (Vec::new(), vec![u32::MAX; self.n as usize], Vec::new());
        for start in 0..self.n {
            stack.extend_from_slice(self.next.get(start));
            while let Some(x) = stack.pop() {
                if stamp[x as usize] != start {
                    stamp[x as usize] = start;
                    out.push((start, x));
                    stack.extend_from_slice(self.next.get(x));
                }
            }
        }
        out
    }

    /// All pairs of a graph whose edges go from lower to higher numbers, by rows of bits.
    pub fn closure_of_dag(&self) -> Vec<(u32, u32)> {
        let width = (self.n as usize).div_ceil(64);
        let mut bits = vec![0_u64; width * self.n as usize];
        let mut total = 0;
        for v in (0..self.n as usize).rev() {
            let (before, done) = bits.split_at_mut((v + 1) * width);
            let row = &mut before[v * width..];
            for x in self.next.get(v as u32) {
                row[*x as usize / 64] |= 1 << (x % 64);
                let from = (*x as usize - v - 1) * width;
                row.iter_mut().zip(&done[from..from + width]).for_each(|(a, b)| *a |= *b);
            }
            total += row.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        }
        let mut out = Vec::with_capacity(total);
        for v in 0..self.n {
            for (k, word) in bits[v as usize * width..][..width].iter().enumerate() {
                let mut word = *word;
                while word != 0 {
                    out.push((v, k as u32 * 64 + word.trailing_zeros()));
                    word &= word - 1;
                }
            }
        }
        out
    }

    pub fn reach(&self, start: u32) -> Vec<u32> {
        let (mut seen, mut out) = (vec![false; self.n as usize], Vec::new());
        let mut at = 0;
        let mut node = start;
        loop {
            for x in self.next.get(node) {
                if !std::mem::replace(&mut seen[*x as usize], true) {
                    out.push(*x);
                }
            }
            let Some(next) = out.get(at) else { return out };
            (node, at) = (*next, at + 1);
        }
    }

    pub fn count_triangles(&self) -> u64 {
        let (mut mark, mut count) = (vec![0_u8; self.n as usize], 0);
        for a in 0..self.n {
            let near = self.next.get(a);
            near.iter().for_each(|x| mark[*x as usize] = 1);
            for b in near {
                count += self.next.get(*b).iter().map(|x| u64::from(mark[*x as usize])).sum::<u64>();
            }
            near.iter().for_each(|x| mark[*x as usize] = 0);
        }
        count
    }

    pub fn triangles(&self) -> Vec<(u32, u32, u32)> {
        let (mut mark, mut out) = (vec![false; self.n as usize], Vec::new());
        for a in 0..self.n {
            let near = self.next.get(a);
            near.iter().for_each(|x| mark[*x as usize] = true);
            for b in near {
                out.extend(self.next.get(*b).iter().filter(|x| mark[**x as usize]).map(|x| (a, *b, *x)));
            }
            near.iter().for_each(|x| mark[*x as usize] = false);
        }
        out
    }
}
