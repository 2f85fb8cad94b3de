//! Nodes to bytes and back.

use std::sync::Arc;

use super::node::{Branch, Context, Node};
use crate::datom::Order;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Address, NodeSink};

fn not_durable() -> Error {
    Error::new(ErrorKind::Config, "index/not-durable", "this build keeps persistent sets in memory only")
}

pub(super) fn flush(_: &Context, _: &Arc<Branch>, _: &mut dyn NodeSink) -> Result<(Arc<Branch>, Vec<u8>)> {
    Err(not_durable())
}

pub(super) fn walk(_: &Context, _: &Arc<Branch>, _: &mut dyn FnMut(Address) -> Result<bool>) -> Result<()> {
    Ok(())
}

pub(super) fn decode_root(_: &[u8], _: Order) -> Result<Branch> {
    Err(not_durable())
}

pub(super) fn decode_node(_: &[u8], _: Order, _: u8) -> Result<Node> {
    Err(not_durable())
}

pub(super) fn store(_: &Node, _: &mut dyn NodeSink) -> Result<super::node::Link> {
    Err(not_durable())
}
