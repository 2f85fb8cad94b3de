//! The kind of index that `docs/indexes.md` shows, run: it conforms, and the page shows what is run.

#[path = "index_third_kind/bisected.rs"]
mod bisected;

use std::sync::Arc;

use bisected::Bisected;
use treering::Registry;
use treering::edn::Keyword;
use treering::index::IndexKind;
use treering::index::testing::conformance;

#[test]
fn it_conforms() {
    conformance(Arc::new(Bisected));
}

#[test]
fn it_is_found_under_its_keyword() {
    let registry = Registry::new().with_index(Bisected);
    let found = registry.index(Keyword::new("example.index/bisected"));
    assert_eq!(found.map(|kind| kind.keyword()).ok(), Some(Bisected.keyword()));
}

#[test]
fn the_page_shows_it_whole() {
    let page = include_str!("../docs/indexes.md");
    let source = include_str!("index_third_kind/bisected.rs");
    assert!(page.contains(source), "docs/indexes.md must hold tests/index_third_kind/bisected.rs as it is");
    assert!(source.lines().count() < 150);
}
