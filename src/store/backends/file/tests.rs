use super::*;
use crate::store::Store;
use crate::store::testing::conformance;

#[test]
fn conforms() {
    let home = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    conformance(|| {
        count.set(count.get() + 1);
        Arc::new(FileBackend::create(home.path().join(count.get().to_string())).unwrap())
    });
}

#[test]
fn a_second_writer_is_fenced_and_readers_are_not() {
    let home = tempfile::tempdir().unwrap();
    let writer = Store::new(FileBackend::create(home.path()).unwrap());
    let error = FileBackend::open_writer(home.path()).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Fenced, "store/locked"));
    assert!(error.message().contains(&format!(":pid {}", std::process::id())), "{error}");
    let reader = Store::new(FileBackend::open_reader(home.path()).unwrap());
    writer.put("a", vec![1]).unwrap();
    assert_eq!(reader.get("a", None).unwrap(), Some(vec![1]));
    for error in [
        reader.put("a", vec![2]).unwrap_err(),
        reader.put_many(vec![("a".into(), vec![2])]).unwrap_err(),
        reader.delete("a").unwrap_err(),
        reader.swap("a", None, vec![2]).unwrap_err(),
        reader.write_at("a", 0, vec![2]).unwrap_err(),
    ] {
        assert_eq!(error.code(), "store/read-only");
    }
    drop(writer);
    FileBackend::open_writer(home.path()).expect("the lock went with its holder");
}

#[test]
fn paths_that_are_no_store_are_named() {
    let home = tempfile::tempdir().unwrap();
    let (missing, file) = (home.path().join("missing"), home.path().join("file"));
    std::fs::write(&file, "x").unwrap();
    for (path, code) in [(&missing, "store/missing"), (&file, "store/not-a-directory")] {
        for error in [FileBackend::open_writer(path).unwrap_err(), FileBackend::open_reader(path).unwrap_err()] {
            assert_eq!(error.code(), code);
            assert!(error.message().contains(path.to_str().unwrap()), "{error}");
        }
    }
    assert_eq!(FileBackend::create(&file).unwrap_err().code(), "store/not-a-directory");
    let below = FileBackend::create(file.join("below")).unwrap_err();
    assert!(below.message().contains(file.to_str().unwrap()), "{below}");
}

#[test]
fn foreign_and_temporary_files_are_not_blobs() {
    let home = tempfile::tempdir().unwrap();
    drop(FileBackend::create(home.path()).unwrap());
    let left = home.path().join(TEMP).join("7~");
    std::fs::write(&left, "half a blob").unwrap();
    std::fs::write(home.path().join("with space"), "x").unwrap();
    let store = Store::new(FileBackend::open_reader(home.path()).unwrap());
    assert!(store.list("").unwrap().is_empty());
    assert!(left.exists(), "a reader removes nothing");
    drop(FileBackend::open_writer(home.path()).unwrap());
    assert!(!left.exists(), "a writer removes what another left");
}

#[test]
fn one_key_cannot_be_the_path_of_another() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::new(FileBackend::create(home.path()).unwrap());
    store.put("a/b", vec![1]).unwrap();
    assert_eq!(store.put("a", vec![2]).unwrap_err().kind(), ErrorKind::Storage);
    assert_eq!(store.put("a/b/c", vec![2]).unwrap_err().kind(), ErrorKind::Storage);
    assert_eq!(store.get("a", None).unwrap(), None);
    assert!(!store.delete("a").unwrap());
    assert_eq!(store.list("").unwrap(), ["a/b"]);
    assert_eq!(std::fs::read_dir(home.path().join(TEMP)).unwrap().count(), 0, "what failed leaves nothing behind");
}

#[test]
fn destroying_removes_blobs_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x/y");
    let store = Store::new(FileBackend::create(&path).unwrap());
    store.put("a/b/c", vec![1]).unwrap();
    store.put("d", vec![1]).unwrap();
    assert_eq!(FileBackend::destroy(&path).unwrap_err().code(), "store/locked");
    drop(store);
    std::fs::write(path.join("not mine"), "x").unwrap();
    FileBackend::destroy(&path).unwrap();
    let left: Vec<_> = std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["not mine"]);
    std::fs::remove_file(path.join("not mine")).unwrap();
    FileBackend::destroy(&path).unwrap();
    assert!(!path.exists());
    assert_eq!(FileBackend::destroy(&path).unwrap_err().code(), "store/missing");
}

#[test]
fn overwriting_grows_ahead() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::new(FileBackend::create(home.path()).unwrap());
    let len = || std::fs::metadata(home.path().join("log")).unwrap().len();
    store.write_at("log", 0, vec![1; 100]).unwrap();
    assert_eq!(len(), 64 * 1024);
    store.write_at("log", 64 * 1024 - 10, vec![1; 10]).unwrap();
    assert_eq!(len(), 64 * 1024, "a write inside what is allocated changes no length");
    store.write_at("log", 64 * 1024 - 10, vec![1; 20]).unwrap();
    assert_eq!(len(), 128 * 1024);
    store.write_at("log", 5 << 20, vec![1; 10]).unwrap();
    assert_eq!(len(), (5 << 20) + 128 * 1024);
    store.write_at("log", len(), vec![1; 10]).unwrap();
    assert_eq!(len(), 6 << 20, "blocks are at most 1 MiB");
    let error = store.write_at("log", u64::MAX, vec![1]).unwrap_err();
    assert!(error.message().contains("log"), "{error}");
}
