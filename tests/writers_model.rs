//! Writers, gc and a reader over one log, in every interleaving of short runs.
//!
//! Puts are put-if-absent and the head's swap is compare-and-set; both are atomic. Everything else may be interrupted at
//! any step, for ever or for a while, and the reply of a put may be lost. A writer opens by reading the head, walking the
//! log to the first free number, putting its session frame there, and swapping the head that it read for one that names
//! its session; then it puts transactions and flushes. gc deletes what the head covers, but never session frames.

use std::collections::{BTreeMap, HashSet};

/// A frame of the log: the session that wrote it, and its transaction if it is not the session frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Frame {
    session: u8,
    tx: Option<u8>,
}

/// The head: whose it is, how far the flushed state reaches, and the transactions in it. Its pack is named by `pack`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Head {
    session: u8,
    seq: u8,
    txs: Vec<u8>,
    pack: (u8, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Closed,
    /// Looks at number `next`.
    Probing,
    /// The reply of the session frame was lost.
    SessionUnknown,
    Claiming,
    Ready,
    /// The reply of a transaction's frame was lost, or the number was taken.
    TxUnknown,
    /// The pack is written, the head not yet swapped.
    Flushed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Writer {
    at: At,
    session: u8,
    /// The head as last read or written.
    head: Head,
    /// Transactions of the state that it has in memory.
    txs: Vec<u8>,
    next: u8,
    /// Where its session frame lies.
    begun: u8,
    made: u8,
    opened: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    log: BTreeMap<u8, Frame>,
    head: Head,
    packs: Vec<(u8, u8)>,
    writers: Vec<Writer>,
    /// The head that gc read.
    gc: Option<Head>,
    gc_left: u8,
    /// The head that the reader holds, the next number it looks at, and what it has seen.
    reader: Option<(Head, u8, Vec<u8>)>,
    acknowledged: Vec<(u8, u8)>,
    /// Sessions that the head has named.
    claimed: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Flaw {
    None,
    /// gc deletes session frames like others.
    SessionsDeleted,
    /// A new writer swaps whatever head it finds instead of the one it opened from.
    AnyHeadClaimed,
    /// A number that is taken is written over.
    Overwritten,
    /// gc forgets the reader.
    ReaderForgotten,
    /// A lost reply is taken for success.
    ReplyAssumed,
}

struct Model {
    flaw: Flaw,
    /// Of each writer: how many it makes, and how often it opens.
    transactions: [u8; 2],
    opens: [u8; 2],
}

impl Model {
    fn start(&self) -> State {
        let head = Head { session: 0, seq: 0, txs: vec![], pack: (0, 0) };
        let writer = |_| Writer {
            at: At::Closed,
            session: 0,
            head: head.clone(),
            txs: vec![],
            next: 0,
            begun: 0,
            made: 0,
            opened: 0,
        };
        State {
            log: BTreeMap::new(),
            packs: vec![head.pack],
            writers: (0..2).map(writer).collect(),
            head,
            gc: None,
            gc_left: 1,
            reader: None,
            acknowledged: vec![],
            claimed: vec![],
        }
    }

    /// Puts a frame if its number is free. Whether it was put.
    fn put(&self, state: &mut State, seq: u8, frame: Frame) -> bool {
        if state.log.contains_key(&seq) && self.flaw != Flaw::Overwritten {
            return false;
        }
        state.log.insert(seq, frame);
        true
    }

    fn acknowledge(state: &mut State, w: usize) -> Result<(), String> {
        let writer = &mut state.writers[w];
        let (seq, tx) = (writer.next, w as u8 * 10 + writer.made);
        writer.txs.push(tx);
        writer.made += 1;
        writer.next += 1;
        writer.at = At::Ready;
        let (begun, session) = (writer.begun, writer.session);
        if state.acknowledged.iter().any(|(s, _)| *s == seq) {
            return Err(format!("two transactions acknowledged at {seq}"));
        }
        let newer = |(s, f): (&u8, &Frame)| {
            *s > begun && *s < seq && f.tx.is_none() && f.session != session && state.claimed.contains(&f.session)
        };
        if state.log.iter().any(newer) {
            return Err(format!("session {session} acknowledged at {seq} after a newer session"));
        }
        state.acknowledged.push((seq, tx));
        Ok(())
    }

    /// All states one step on, or what went wrong in a step.
    fn steps(&self, state: &State) -> Result<Vec<State>, String> {
        let mut next = Vec::new();
        for w in 0..state.writers.len() {
            self.writer_steps(state, w, &mut next)?;
        }
        // gc: reads the head, then deletes frame by frame and pack by pack what that head makes needless.
        match &state.gc {
            None if state.gc_left > 0 => {
                next.push(State { gc: Some(state.head.clone()), gc_left: state.gc_left - 1, ..state.clone() });
            }
            None => {}
            Some(head) => {
                for (seq, frame) in &state.log {
                    if *seq <= head.seq && (frame.tx.is_some() || self.flaw == Flaw::SessionsDeleted) {
                        let mut s = state.clone();
                        s.log.remove(seq);
                        next.push(s);
                    }
                }
                let held = state.reader.as_ref().map(|(h, ..)| h.pack).filter(|_| self.flaw != Flaw::ReaderForgotten);
                for pack in &state.packs {
                    // A pack of a later number may be one that a writer is about to name.
                    if pack.1 < head.pack.1 && Some(*pack) != held {
                        let mut s = state.clone();
                        s.packs.retain(|p| p != pack);
                        next.push(s);
                    }
                }
            }
        }
        // The reader: reads the head, then follows the log.
        match &state.reader {
            None => {
                let head = state.head.clone();
                let (seq, txs) = (head.seq + 1, head.txs.clone());
                next.push(State { reader: Some((head, seq, txs)), ..state.clone() });
            }
            Some((head, seq, txs)) => {
                if let Some(frame) = state.log.get(seq) {
                    let txs = txs.iter().copied().chain(frame.tx).collect();
                    next.push(State { reader: Some((head.clone(), seq + 1, txs)), ..state.clone() });
                }
            }
        }
        Ok(next)
    }

    fn writer_steps(&self, state: &State, w: usize, next: &mut Vec<State>) -> Result<(), String> {
        let writer = &state.writers[w];
        let with = |change: &dyn Fn(&mut Writer)| {
            let mut s = state.clone();
            change(&mut s.writers[w]);
            s
        };
        let tx = w as u8 * 10 + writer.made;
        match writer.at {
            At::Closed => {
                if writer.opened < self.opens[w] && writer.made < self.transactions[w] {
                    next.push(with(&|x| {
                        x.opened += 1;
                        x.session = 1 + w as u8 * 10 + x.opened;
                        x.head = state.head.clone();
                        x.txs = x.head.txs.clone();
                        x.next = x.head.seq + 1;
                        x.at = At::Probing;
                    }));
                }
            }
            At::Probing | At::SessionUnknown => match state.log.get(&writer.next) {
                Some(f) if f.tx.is_none() && f.session == writer.session => next.push(with(&|x| {
                    x.begun = x.next;
                    x.next += 1;
                    x.at = At::Claiming;
                })),
                Some(f) => next.push(with(&|x| {
                    x.txs.extend(f.tx);
                    x.next += 1;
                    x.at = At::Probing;
                })),
                None if writer.at == At::SessionUnknown => next.push(with(&|x| x.at = At::Closed)),
                None => {
                    let mut s = state.clone();
                    let frame = Frame { session: writer.session, tx: None };
                    self.put(&mut s, writer.next, frame);
                    let mut told = s.clone();
                    told.writers[w].begun = writer.next;
                    told.writers[w].next += 1;
                    told.writers[w].at = At::Claiming;
                    s.writers[w].at = At::SessionUnknown;
                    next.extend([told, s]);
                }
            },
            At::Claiming => {
                let expected = state.head == writer.head || self.flaw == Flaw::AnyHeadClaimed;
                let mut s = state.clone();
                if expected {
                    s.head.session = writer.session;
                    s.claimed.push(writer.session);
                    s.writers[w].head = s.head.clone();
                    s.writers[w].at = At::Ready;
                } else {
                    s.writers[w].at = At::Closed;
                }
                next.push(s);
            }
            At::Ready => {
                if writer.made < self.transactions[w] {
                    let mut s = state.clone();
                    let frame = Frame { session: writer.session, tx: Some(tx) };
                    if self.put(&mut s, writer.next, frame) {
                        let mut lost = s.clone();
                        Self::acknowledge(&mut s, w)?;
                        lost.writers[w].at = At::TxUnknown;
                        next.extend([s, lost]);
                    } else {
                        s.writers[w].at = At::TxUnknown;
                        next.push(s);
                    }
                }
                if writer.head.txs.len() < writer.txs.len() {
                    let mut s = state.clone();
                    s.packs.push((writer.session, writer.next - 1));
                    s.writers[w].at = At::Flushed;
                    next.push(s);
                }
            }
            At::TxUnknown => {
                let mut s = state.clone();
                let own = Some(&Frame { session: writer.session, tx: Some(tx) });
                if state.log.get(&writer.next) == own || self.flaw == Flaw::ReplyAssumed {
                    Self::acknowledge(&mut s, w)?;
                } else {
                    // Another's frame, or none: fenced, or unknown. Either way this session is over.
                    s.writers[w].made += 1;
                    s.writers[w].at = At::Closed;
                }
                next.push(s);
            }
            At::Flushed => {
                let mut s = state.clone();
                if state.head == writer.head {
                    let seq = writer.next - 1;
                    let pack = (writer.session, seq);
                    s.head = Head { session: writer.session, seq, txs: writer.txs.clone(), pack };
                    s.writers[w].head = s.head.clone();
                    s.writers[w].at = At::Ready;
                } else {
                    s.writers[w].at = At::Closed;
                }
                next.push(s);
            }
        }
        Ok(())
    }

    /// What must hold in every state.
    fn check(state: &State) -> Result<(), String> {
        if !state.packs.contains(&state.head.pack) {
            return Err("the head's pack is deleted".into());
        }
        if let Some((head, _, seen)) = &state.reader {
            if !state.packs.contains(&head.pack) {
                return Err("the reader's pack is deleted".into());
            }
            let told: Vec<u8> = state.acknowledged.iter().map(|(_, tx)| *tx).filter(|tx| seen.contains(tx)).collect();
            let order: Vec<u8> = seen.iter().copied().filter(|tx| told.contains(tx)).collect();
            let mut acknowledged = state.acknowledged.clone();
            acknowledged.sort_unstable();
            let wanted: Vec<u8> = acknowledged.into_iter().map(|(_, tx)| tx).filter(|tx| told.contains(tx)).collect();
            if order != wanted {
                return Err(format!("the reader saw {order:?}, acknowledged were {wanted:?}"));
            }
        }
        let mut recovered = state.head.txs.clone();
        let tail = (state.head.seq + 1..).map_while(|seq| state.log.get(&seq));
        recovered.extend(tail.filter_map(|f| f.tx));
        match state.acknowledged.iter().find(|(_, tx)| !recovered.contains(tx)) {
            Some((seq, tx)) => Err(format!("transaction {tx}, acknowledged at {seq}, is lost")),
            None => Ok(()),
        }
    }

    /// The number of states, or the first state in which something is wrong.
    fn run(&self) -> Result<usize, String> {
        let mut seen = HashSet::from([self.start()]);
        let mut edge = vec![self.start()];
        while !edge.is_empty() {
            let mut more = Vec::new();
            for state in &edge {
                for next in self.steps(state).map_err(|e| format!("{e} after {state:?}"))? {
                    Self::check(&next).map_err(|e| format!("{e} in {next:?}"))?;
                    if seen.insert(next.clone()) {
                        more.push(next);
                    }
                }
            }
            edge = more;
        }
        Ok(seen.len())
    }
}

/// Transactions and openings of the two writers.
const RUNS: [([u8; 2], [u8; 2]); 2] = [([1, 1], [2, 2]), ([2, 1], [1, 1])];

#[test]
fn nothing_acknowledged_is_lost() {
    for (transactions, opens) in RUNS {
        let model = Model { flaw: Flaw::None, transactions, opens };
        let states = model.run().unwrap_or_else(|e| panic!("{e}"));
        println!("{states} states with {transactions:?} transactions and {opens:?} openings of 2 writers");
    }
}

#[test]
fn flaws_are_found() {
    for flaw in
        [Flaw::SessionsDeleted, Flaw::AnyHeadClaimed, Flaw::Overwritten, Flaw::ReaderForgotten, Flaw::ReplyAssumed]
    {
        let found = RUNS.into_iter().find_map(|(transactions, opens)| Model { flaw, transactions, opens }.run().err());
        println!("{flaw:?}: {}", found.as_deref().map_or("not found", |e| e.split(" in ").next().unwrap_or(e)));
        assert!(found.is_some(), "{flaw:?} goes unnoticed");
    }
}
