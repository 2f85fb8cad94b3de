//! The log: transactions in order, durable before anything else knows of them.
//!
//! A log is a row of numbered entries without gaps, each a frame (see [`crate::store::frame`]) that names the session
//! of the writer, the entry before it by its checksum, and how far the log was known to be durable when it was
//! written. What the transactions inside an entry look like is not this module's business.
//!
//! Something may be taken out of an entry later; it then says what its hash was, so that the row holds.
//!
//! On a backend that writes in place, entries lie one after the other in preallocated segments, so that a commit is one
//! overwrite and one sync. On others each entry is a blob of its own under its number, put only if absent: that is the
//! fence, for two writers cannot both have an entry with one number. Every writer there begins with an entry without
//! transactions, its session; an older one finds it where its own next entry should go.

mod copy;
mod entry;
mod medium;
mod reader;
mod rewrite;
mod writer;

pub(crate) use copy::LogCopy;
pub(crate) use entry::{Entry, LogPosition, Transaction};
pub(crate) use reader::{LogReader, Tail, number_after};
pub(crate) use rewrite::{check_entry, is_mark, rewrite};
pub(crate) use writer::LogWriter;

#[cfg(test)]
mod tests;
