use super::{LogPosition, LogReader, LogWriter, Tail, Transaction, rewrite};
use crate::error::ErrorKind;
use crate::store::{Backend, BoxFuture, Capabilities, MemoryBackend, Store};
use std::ops::Range;
use std::sync::Arc;

/// Memory that has no writing in place: entries are blobs of their own.
#[derive(Debug, Clone)]
struct Blobs(MemoryBackend);

impl Backend for Blobs {
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> BoxFuture<'a, crate::Result<Option<Vec<u8>>>> {
        self.0.get(key, range)
    }
    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, crate::Result<()>> {
        self.0.put(key, bytes)
    }
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, crate::Result<bool>> {
        self.0.delete(key)
    }
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, crate::Result<Vec<String>>> {
        self.0.list(prefix)
    }
    fn swap<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        new: Vec<u8>,
    ) -> BoxFuture<'a, crate::Result<bool>> {
        self.0.swap(key, expected, new)
    }
    fn sync(&self) -> BoxFuture<'_, crate::Result<()>> {
        self.0.sync()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities { write_at: false, ..self.0.capabilities() }
    }
}

fn transaction(t: u64, len: usize) -> Transaction {
    Transaction { t, bytes: vec![t as u8; len] }
}

fn stores() -> [Store; 2] {
    [Store::new(MemoryBackend::new()), Store::new(Blobs(MemoryBackend::new()))]
}

fn read_all(store: &Store) -> (Vec<u64>, LogReader) {
    let mut reader = LogReader::new(store.clone(), 7, LogPosition::START);
    let mut ts = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        ts.extend(entry.transactions.iter().map(|transaction| transaction.t));
    }
    (ts, reader)
}

#[test]
fn what_was_appended_is_read_in_order() {
    for store in stores() {
        let mut writer = LogWriter::begin(&LogReader::new(store.clone(), 7, LogPosition::START), 1).unwrap();
        for t in 0..200 {
            writer.append(vec![transaction(t, t as usize * 50)]).unwrap();
        }
        let (ts, reader) = read_all(&store);
        assert_eq!(ts, (0..200).collect::<Vec<_>>());
        assert_eq!(reader.position(), writer.position());
        assert_eq!(reader.tail().unwrap(), Tail::Clean);

        let mut second = LogWriter::begin(&reader, 2).unwrap();
        second.append(vec![transaction(200, 10)]).unwrap();
        assert_eq!(read_all(&store).0.len(), 201);
    }
}

#[test]
fn an_older_writer_finds_the_session_of_the_newer() {
    let [_, store] = stores();
    let mut old = LogWriter::begin(&LogReader::new(store.clone(), 7, LogPosition::START), 1).unwrap();
    old.append(vec![transaction(1, 10)]).unwrap();
    let mut new = LogWriter::begin(&read_all(&store).1, 2).unwrap();
    let error = old.append(vec![transaction(2, 10)]).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Fenced, "writer/fenced"));
    assert_eq!(old.append(vec![transaction(3, 10)]).unwrap_err().code(), "writer-shut-down");
    new.append(vec![transaction(4, 10)]).unwrap();
    assert_eq!(read_all(&store).0, [1, 4]);
}

#[test]
fn damage_before_the_end_is_an_error_and_a_torn_end_is_not() {
    let memory = Arc::new(MemoryBackend::new());
    let store = Store::on(memory.clone());
    let mut writer = LogWriter::begin(&LogReader::new(store.clone(), 7, LogPosition::START), 1).unwrap();
    let mut starts = Vec::new();
    for t in 0..5 {
        starts.push(writer.position());
        writer.append(vec![transaction(t, 100)]).unwrap();
    }
    let key = store.list("log/").unwrap().remove(0);
    let whole = store.get(&key, None).unwrap().unwrap();

    for (n, start) in starts.iter().enumerate() {
        let mut bytes = whole.clone();
        bytes[start.offset as usize + 60] ^= 1;
        store.put(&key, bytes).unwrap();
        let (ts, reader) = read_all(&store);
        assert_eq!(ts.len(), n);
        if n < 4 {
            assert_eq!(reader.tail().unwrap_err().kind(), ErrorKind::Corrupt);
        } else {
            assert_eq!(reader.tail().unwrap(), Tail::Dropped);
        }
    }

    // A new writer goes on where the torn entry stood, and is not confused by what is left of it.
    let (ts, reader) = read_all(&store);
    assert_eq!(ts, [0, 1, 2, 3]);
    let mut next = LogWriter::begin(&reader, 2).unwrap();
    assert_eq!(read_all(&store).1.tail().unwrap(), Tail::Dropped);
    next.append(vec![transaction(9, 1000)]).unwrap();
    let (ts, reader) = read_all(&store);
    assert_eq!(ts, [0, 1, 2, 3, 9]);
    assert_eq!(reader.tail().unwrap(), Tail::Clean);
}

#[test]
fn readers_find_what_follows_a_sealed_segment() {
    for store in stores() {
        let mut writer = LogWriter::begin(&LogReader::new(store.clone(), 7, LogPosition::START), 1).unwrap();
        let mut beside = LogReader::beside_writer(store.clone(), 7, LogPosition::START, 0);
        for t in 0..30 {
            writer.append(vec![transaction(t, 100)]).unwrap();
            if t % 7 == 3 {
                let sealed = writer.seal();
                assert_eq!(writer.seal(), sealed, "an empty segment is not left");
            }
            while beside.next().unwrap().is_some() {}
        }
        assert_eq!(beside.position(), writer.position());
        let (ts, reader) = read_all(&store);
        assert_eq!(ts, (0..30).collect::<Vec<_>>());
        assert_eq!(reader.tail().unwrap(), Tail::Clean);
        let mut next = LogWriter::begin(&reader, 2).unwrap();
        next.append(vec![transaction(30, 10)]).unwrap();
        assert_eq!(read_all(&store).0.len(), 31);
    }
}

/// What is taken out of entries, or put in, breaks no chain, however often.
#[test]
fn rewritten_entries_still_follow_each_other() {
    for store in stores() {
        let mut writer = LogWriter::begin(&LogReader::new(store.clone(), 7, LogPosition::START), 1).unwrap();
        for t in 0..40 {
            writer.append(vec![transaction(t, 20), transaction(100 + t, 20)]).unwrap();
            if t == 25 {
                writer.seal();
            }
        }
        let end = writer.seal();
        writer.append(vec![transaction(40, 5)]).unwrap();
        for len in [0_usize, 500, 1] {
            let mut reduce =
                |given: &Transaction| Ok((given.t < 20 && given.t.is_multiple_of(3)).then(|| vec![9; len]));
            rewrite(&store, 7, LogPosition::START, end.seq, &mut reduce).unwrap();
            let mut reader = LogReader::new(store.clone(), 7, LogPosition::START);
            let mut found = Vec::new();
            while let Some(entry) = reader.next().unwrap() {
                found.extend(entry.transactions);
            }
            assert_eq!(found.len(), 81);
            assert_eq!(reader.position(), writer.position());
            for Transaction { t, bytes } in found {
                let wanted = if t < 20 && t % 3 == 0 { vec![9; len] } else { transaction(t, bytes.len()).bytes };
                assert_eq!(bytes, wanted, "transaction {t}");
            }
        }
        let error = rewrite(&store, 7, LogPosition::START, 1000, &mut |_| Ok(None)).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, "log/corrupt"));
    }
}
