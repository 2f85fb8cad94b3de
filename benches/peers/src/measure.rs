//! Timing, and how figures are told: `shape<TAB>ms<TAB>rows<TAB>check`.

use std::hint::black_box;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use treering::{Output, Value};

/// What the command line asks for.
pub struct Task {
    pub data: PathBuf,
    pub scratch: PathBuf,
    pub group: String,
    shape: Option<String>,
    skip: Vec<String>,
}

/// Rows, and the sum of all numbers and of the lengths of all texts.
pub type Answer = (u64, f64);

impl Task {
    pub fn from_args() -> Task {
        let skip = std::env::var("BP_SKIP").unwrap_or_default();
        let skip = skip.split(',').map(str::to_owned).collect();
        let mut task = Task { data: "".into(), scratch: "".into(), group: String::new(), shape: None, skip };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} wants a value"));
            match word.as_str() {
                "--data" => task.data = value().into(),
                "--scratch" => task.scratch = value().into(),
                "--group" => task.group = value(),
                "--shape" => task.shape = Some(value()),
                other => panic!("unknown option {other}"),
            }
        }
        task
    }

    fn wants(&self, shape: &str) -> bool {
        self.shape.as_deref().is_none_or(|wanted| wanted == shape) && !self.skip.iter().any(|skipped| skipped == shape)
    }

    pub fn tell(&self, shape: &str, ms: f64, (rows, check): Answer) {
        if self.wants(shape) {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{shape}\t{ms:.6}\t{rows}\t{check:.4}").and_then(|()| out.flush()).expect("somebody reads");
        }
    }

    /// Times `run`, which does the operation `times` times; `answer` looks at what it made and is not timed. The median
    /// of at least five runs and 0.3 s after one that is not counted; of three once they take four seconds.
    pub fn bench<T>(&self, shape: &str, times: u32, mut run: impl FnMut() -> T, answer: impl Fn(&T) -> Answer) {
        if !self.wants(shape) {
            return;
        }
        eprintln!("start {shape}");
        let began = Instant::now();
        let made = black_box(run());
        let first = began.elapsed();
        let found = answer(&made);
        drop(made);
        let mut spans = if first > Duration::from_secs(8) { vec![first] } else { Vec::new() };
        while first <= Duration::from_secs(8) && !enough(&spans) {
            let began = Instant::now();
            let made = black_box(run());
            spans.push(began.elapsed());
            drop(made);
        }
        spans.sort();
        self.tell(shape, spans[spans.len() / 2].as_secs_f64() * 1e3 / f64::from(times), found);
    }
}

fn enough(spans: &[Duration]) -> bool {
    let spent: Duration = spans.iter().sum();
    (spans.len() >= 5 && spent >= Duration::from_millis(300)) || (spans.len() >= 3 && spent >= Duration::from_secs(4))
}

/// Leaves of a value, and their sum.
pub fn leaves(value: &Value) -> Answer {
    let sum = |parts: Vec<Answer>| parts.iter().fold((0, 0.0), |(n, s), (m, t)| (n + m, s + t));
    match value {
        Value::Nil => (0, 0.0),
        Value::Long(n) => (1, *n as f64),
        Value::Double(x) => (1, *x),
        Value::Ref(e) => (1, e.0 as f64),
        Value::Str(text) => (1, text.len() as f64),
        Value::Keyword(word) => (1, word.as_str().len() as f64),
        Value::Tuple(items) | Value::Set(items) => sum(items.iter().map(leaves).collect()),
        Value::Map(entries) => sum(entries.iter().map(|(_, value)| leaves(value)).collect()),
        other => panic!("no check for {other:?}"),
    }
}

/// Rows of an output, and the check over its columns from `first` on.
pub fn output(output: &Output, first: usize) -> Answer {
    let sum = |row: Vec<Value>| row.iter().skip(first).map(|value| leaves(value).1).sum::<f64>();
    (output.len() as u64, output.rows().map(sum).sum())
}
