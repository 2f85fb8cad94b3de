//! The template of `docs/backends.md` is a crate that builds outside of this one.

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_template_for_backends_builds_as_a_crate_of_its_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let page = read("docs/backends.md");
    let code = read("tests/treering-table/src/lib.rs");
    let (_, code) = code.split_once("\n\n").unwrap();
    assert!(page.contains(&format!("```rust\n{code}```\n")), "the page and the crate say different things");

    let home = tempfile::tempdir().unwrap();
    let crate_dir = home.path().join("treering-table");
    std::fs::create_dir_all(crate_dir.join("src")).unwrap();
    std::fs::copy(root.join("tests/treering-table/src/lib.rs"), crate_dir.join("src/lib.rs")).unwrap();
    let manifest = read("tests/treering-table/Cargo.toml");
    let path = format!("path = {:?}", root.display().to_string());
    std::fs::write(crate_dir.join("Cargo.toml"), manifest.replace("path = \"../..\"", &path)).unwrap();
    // The versions that this crate is built with are there.
    std::fs::copy(root.join("Cargo.lock"), crate_dir.join("Cargo.lock")).unwrap();

    // Beside `debug/deps/outside_crate-…`.
    let target: PathBuf = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("outside-crate");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut check = Command::new(cargo);
    check.args(["check", "--offline", "--quiet"]).current_dir(&crate_dir).env("CARGO_TARGET_DIR", target);
    let checked = check.output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
