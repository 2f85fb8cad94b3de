//! Any change of a stored database's bytes, under the checksum that they had or under a right one: opening, reading,
//! writing and closing it never panics; under the old checksum the answer is the right one or an error.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use treering::edn::Keyword;
use treering::index::Direction;
use treering::store::Encoding;
use treering::store::frame::{HEADER, Sealed};
use treering::store::fs::Fs;
use treering::store::testing::{Crash, SimFs};
use treering::store::{Backend, BoxFuture, FileBackend};
use treering::{Access, BackendKind, Config, Db, Order, Registry, Result, StoreConfig, connect_in, create_database_in};

#[derive(Debug)]
struct Sim(SimFs);

const ROOT: &str = "/db";

impl BackendKind for Sim {
    fn keyword(&self) -> Keyword {
        Keyword::new("sim")
    }

    fn validate(&self, _: &StoreConfig) -> Result<()> {
        Ok(())
    }

    fn identity(&self, _: &StoreConfig) -> Result<String> {
        Ok(ROOT.to_owned())
    }

    fn create<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async { Ok(Arc::new(FileBackend::create_with(Arc::new(self.0.clone()), ROOT)?) as Arc<dyn Backend>) })
    }

    fn exists<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(true) })
    }

    fn connect<'a>(&'a self, _: &'a StoreConfig, _: Access) -> BoxFuture<'a, Result<Arc<dyn Backend>>> {
        Box::pin(async {
            Ok(Arc::new(FileBackend::open_writer_with(Arc::new(self.0.clone()), ROOT)?) as Arc<dyn Backend>)
        })
    }

    fn delete<'a>(&'a self, _: &'a StoreConfig) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

fn registry(fs: &SimFs) -> Registry {
    Registry::with_builtins().with_backend(Sim(fs.clone()))
}

fn config() -> Config {
    Config::from_edn("{:store {:backend :sim} :index-config {:branching-factor 16}}").expect("a config")
}

/// A frame of a file: where it begins, its kind and its body.
struct Place {
    path: PathBuf,
    key: String,
    at: usize,
    kind: u8,
    body: Vec<u8>,
}

struct Original {
    fs: SimFs,
    frames: Vec<Place>,
    datoms: Vec<String>,
}

static ORIGINAL: LazyLock<Original> = LazyLock::new(|| {
    let fs = SimFs::new();
    create_database_in(&registry(&fs), &config()).expect("created");
    let conn = connect_in(&registry(&fs), &config()).expect("connected");
    let one = "[{:db/ident :s :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true}
        {:db/ident :r :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}]";
    conn.transact(one).expect("made");
    for i in 0..40 {
        let text = format!("[{{:db/id {} :s \"{i}\" :r [1]}} {{:db/id 1 :s \"v{i}\"}}]", i + 2);
        conn.transact(text.as_str()).expect("made");
        if i % 15 == 14 {
            conn.flush().expect("flushed");
        }
    }
    let datoms = read(&conn.db()).expect("read");
    drop(conn);
    let fs = fs.crash_image(fs.ops_len(), Crash::Kept);
    let mut frames = Vec::new();
    let mut dirs = vec![PathBuf::from(ROOT)];
    while let Some(dir) = dirs.pop() {
        for entry in fs.list(&dir).expect("listed") {
            let path = dir.join(&entry.name);
            if entry.is_dir {
                dirs.push(path);
            } else {
                frames_of(&fs, &path, &mut frames);
            }
        }
    }
    assert!(frames.len() > 20);
    Original { fs, frames, datoms }
});

fn frames_of(fs: &SimFs, path: &Path, frames: &mut Vec<Place>) {
    let file = fs.open(path, false).expect("open");
    let mut bytes = vec![0; file.len().expect("a length") as usize];
    file.read_at(0, &mut bytes).expect("read");
    let key = path.strip_prefix(ROOT).expect("below").display().to_string();
    let step = if key.starts_with("log/") { 8 } else { 1 };
    let mut at = 0;
    while let Ok((sealed, _)) = Sealed::verify(bytes.get(at..).unwrap_or_default(), &key, at as u64) {
        let (kind, body) = (sealed.kind(), Encoding::PLAIN.unseal(&sealed).expect("plain").body.into_owned());
        let next = (at + sealed.frame_len()).next_multiple_of(step);
        frames.push(Place { path: path.to_owned(), key: key.clone(), at, kind, body });
        at = next;
    }
}

fn read(db: &Db) -> Result<Vec<String>> {
    let mut datoms = Vec::new();
    for db in [db.clone(), db.history()?] {
        for order in [Order::Eavt, Order::Aevt, Order::Avet] {
            let mut cursor = db.cursor(order, None, None, Direction::Forward)?;
            while let Some(chunk) = cursor.next()? {
                datoms.extend(chunk.rows().map(|i| format!("{:?}", chunk.columns.row(i))));
            }
        }
    }
    Ok(datoms)
}

fuzz_target!(|bytes: &[u8]| {
    let [mode, number, at @ .., low, high] = bytes else { return };
    let original = &*ORIGINAL;
    let place = &original.frames[usize::from(*number) % original.frames.len()];
    let mut body = place.body.clone();
    if mode & 2 == 0 {
        // Some bytes of the body changed.
        for change in at.chunks_exact(3) {
            let i = usize::from(u16::from_le_bytes([change[0], change[1]]));
            let len = body.len().max(1);
            if let Some(byte) = body.get_mut(i % len) {
                *byte ^= change[2];
            }
        }
    } else {
        // Another body, as far as there is room.
        let from = usize::from(u16::from_le_bytes([*low, *high])) % (body.len() + 1);
        body.truncate(from);
        body.extend(at.iter().take(place.body.len() - from));
    }
    let resealed = mode & 1 == 1;
    let sealed = if resealed {
        Encoding::PLAIN.seal(place.kind, 0, &body, &place.key, place.at as u64).expect("a small body")
    } else {
        let mut whole = Encoding::PLAIN.seal(place.kind, 0, &place.body, &place.key, place.at as u64).expect("a small body");
        whole.truncate(HEADER);
        whole.extend_from_slice(&body);
        whole
    };
    let damaged = original.fs.crash_image(0, Crash::Kept);
    damaged.open(&place.path, true).and_then(|file| file.write_at(place.at as u64, &sealed)).expect("written");
    let Ok(conn) = connect_in(&registry(&damaged), &config()) else { return };
    if let Ok(datoms) = read(&conn.db()) {
        // Damage in the last entry of the log is a write that was torn: it is dropped.
        let after = original.frames.iter().any(|f| f.key == place.key && f.at > place.at);
        let last = place.key.starts_with("log/") && !after;
        assert!(resealed || last || datoms == original.datoms, "a wrong answer");
    }
    if conn.transact("[{:db/id 7 :s \"after\" :r [8]}]").is_ok() {
        let _ = read(&conn.db());
    }
    let _ = conn.release();
});
