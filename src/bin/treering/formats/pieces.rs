//! A text of many forms, cut into the text of each without reading them: brackets, strings and comments are enough.

use std::io::BufRead;

use treering::{Error, ErrorKind, Result};

/// Which notation the text is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Edn,
    Json,
}

/// Follows a text byte by byte. All that matters is ASCII, so that bytes will do.
#[derive(Debug, Clone)]
struct Scanner {
    dialect: Dialect,
    depth: i64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    Text,
    Escape,
    Comment,
    Char,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Blank,
    Part,
    Open,
    Close,
}

impl Scanner {
    fn new(dialect: Dialect) -> Scanner {
        Scanner { dialect, depth: 0, state: State::Plain }
    }

    fn feed(&mut self, byte: u8) -> Step {
        let edn = self.dialect == Dialect::Edn;
        match (self.state, byte) {
            (State::Comment, b'\n') => {
                self.state = State::Plain;
                Step::Blank
            }
            (State::Comment, _) => Step::Blank,
            (State::Escape, _) => {
                self.state = State::Text;
                Step::Part
            }
            (State::Char, _) => {
                self.state = State::Plain;
                Step::Part
            }
            (State::Text, b'\\') => {
                self.state = State::Escape;
                Step::Part
            }
            (State::Text, b'"') => {
                self.state = State::Plain;
                Step::Part
            }
            (State::Text, _) => Step::Part,
            (State::Plain, b'"') => {
                self.state = State::Text;
                Step::Part
            }
            (State::Plain, b';') if edn => {
                self.state = State::Comment;
                Step::Blank
            }
            (State::Plain, b'\\') if edn => {
                self.state = State::Char;
                Step::Part
            }
            (State::Plain, b'[' | b'{' | b'(') => {
                self.depth += 1;
                Step::Open
            }
            (State::Plain, b']' | b'}' | b')') => {
                self.depth -= 1;
                Step::Close
            }
            (State::Plain, b',') => Step::Blank,
            (State::Plain, byte) if byte.is_ascii_whitespace() => Step::Blank,
            (State::Plain, _) => Step::Part,
        }
    }
}

/// Whether every bracket and string of an EDN text is closed, or more than that.
pub fn is_complete(text: &str) -> bool {
    let mut scanner = Scanner::new(Dialect::Edn);
    for byte in text.bytes() {
        scanner.feed(byte);
    }
    scanner.depth <= 0 && matches!(scanner.state, State::Plain | State::Comment)
}

/// The text of one form and the line it begins on, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub line: u64,
    pub text: String,
}

/// Most bytes of one form.
const LONGEST: usize = 256 << 20;

/// The forms of a text one by one. Where a list stands around them all, its members are taken.
pub struct Pieces<R> {
    input: R,
    scanner: Scanner,
    /// Depth of the forms: 1 inside a list that stands around them.
    base: i64,
    /// The line of a bracket of which it is not known yet whether it stands around the forms.
    undecided: Option<u64>,
    line: u64,
    start: u64,
    current: Vec<u8>,
    done: bool,
}

impl<R: BufRead> Pieces<R> {
    pub fn new(input: R, dialect: Dialect) -> Self {
        Pieces {
            input,
            scanner: Scanner::new(dialect),
            base: 0,
            undecided: None,
            line: 1,
            start: 1,
            current: Vec::new(),
            done: false,
        }
    }

    /// Takes one byte; true where a form ends with it.
    fn take(&mut self, byte: u8) -> bool {
        let step = self.scanner.feed(byte);
        let depth = self.scanner.depth;
        if let Some(line) = self.undecided
            && step != Step::Blank
        {
            self.undecided = None;
            // An operation is a vector too: it begins with a keyword.
            if self.scanner.dialect == Dialect::Edn && matches!(byte, b':' | b'"' | b'0'..=b'9') {
                (self.start, self.base) = (line, 0);
                self.current.push(b'[');
            } else {
                self.base = 1;
            }
        }
        if self.current.is_empty() {
            match step {
                Step::Blank => {}
                Step::Open if depth == 1 && self.base == 0 && byte == b'[' => self.undecided = Some(self.line),
                Step::Close if self.base == 1 && depth < self.base => self.base = 0,
                _ => {
                    self.start = self.line;
                    self.current.push(byte);
                    return step == Step::Close && depth <= self.base;
                }
            }
            return false;
        }
        if step == Step::Close && depth < self.base {
            // The bracket ends the list and the last member, an atom.
            self.base = 0;
            return true;
        }
        // A tag, a discard or metadata belongs to the form that follows.
        let waits = self.scanner.dialect == Dialect::Edn && matches!(self.current.first(), Some(b'#' | b'^'));
        if step == Step::Blank && depth == self.base && !waits {
            return true;
        }
        self.current.push(byte);
        step == Step::Close && depth <= self.base
    }

    fn emit(&mut self) -> Result<Piece> {
        let text = String::from_utf8(std::mem::take(&mut self.current)).map_err(|cause| {
            Error::new(ErrorKind::Syntax, "import/utf-8", format!("line {}: text that is not UTF-8", self.start))
                .caused_by(cause)
        })?;
        Ok(Piece { line: self.start, text })
    }

    fn advance(&mut self) -> Result<Option<Piece>> {
        loop {
            let buffer = self.input.fill_buf().map_err(|cause| {
                Error::new(ErrorKind::Storage, "import/read", format!("line {}: {cause}", self.line)).caused_by(cause)
            })?;
            if buffer.is_empty() {
                return self.end();
            }
            // The borrow of the buffer must end before the state changes.
            let bytes = buffer.to_vec();
            let mut used = 0;
            let mut complete = false;
            for byte in &bytes {
                used += 1;
                complete = self.take(*byte);
                if *byte == b'\n' {
                    self.line += 1;
                }
                if complete {
                    break;
                }
            }
            self.input.consume(used);
            if self.current.len() > LONGEST {
                let message = format!("line {}: one form is longer than {LONGEST} bytes", self.start);
                return Err(Error::new(ErrorKind::Limit, "import/limit", message));
            }
            if complete {
                return self.emit().map(Some);
            }
        }
    }

    fn end(&mut self) -> Result<Option<Piece>> {
        self.done = true;
        if !self.current.is_empty() {
            return self.emit().map(Some);
        }
        if self.base == 1 || self.undecided.is_some() {
            let message = "the `[` around the forms of the text is never closed: the text is cut off";
            return Err(Error::new(ErrorKind::Syntax, "import/cut-off", message));
        }
        Ok(None)
    }
}

impl<R: BufRead> Iterator for Pieces<R> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Result<Piece>> {
        if self.done {
            return None;
        }
        let next = self.advance();
        self.done |= next.is_err();
        next.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str, dialect: Dialect) -> Vec<(u64, String)> {
        // A buffer of three bytes puts every boundary in the middle of something.
        let input = std::io::BufReader::with_capacity(3, text.as_bytes());
        let pieces = Pieces::new(input, dialect).map(|piece| piece.map(|p| (p.line, p.text)));
        pieces.map(|piece| piece.unwrap_or_else(|error| (0, error.code().to_owned()))).collect()
    }

    fn edn(text: &str) -> Vec<(u64, String)> {
        pieces(text, Dialect::Edn)
    }

    fn of(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
        expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect()
    }

    #[test]
    fn forms_one_after_another() {
        assert_eq!(
            edn("{:a 1}\n; {:no}\n{:b \"}\\\"{\"} {:c \\}}"),
            of(&[(1, "{:a 1}"), (3, "{:b \"}\\\"{\"}"), (3, "{:c \\}}"),])
        );
        assert_eq!(
            edn("[:db/add 1 :a [2]]\n[:db/add 2 :a 3]"),
            of(&[(1, "[:db/add 1 :a [2]]"), (2, "[:db/add 2 :a 3]"),])
        );
        assert_eq!(edn(""), of(&[]));
        assert_eq!(edn("a b"), of(&[(1, "a"), (1, "b")]));
    }

    #[test]
    fn members_of_a_list_around_them() {
        assert_eq!(
            edn("[{:a 1}\n {:b [1 2]}\n [:db/add 1 :a 2]\n]"),
            of(&[(1, "{:a 1}"), (2, "{:b [1 2]}"), (3, "[:db/add 1 :a 2]"),])
        );
        assert_eq!(edn("[ ]"), of(&[]));
        assert_eq!(
            edn("[{:a 1} #_ {:b 2} #:n{:c 3} d]"),
            of(&[(1, "{:a 1}"), (1, "#_ {:b 2}"), (1, "#:n{:c 3}"), (1, "d"),])
        );
        assert_eq!(
            pieces("[{\"a\": \"]\"}, {\"b\": [1]},\n3]", Dialect::Json),
            of(&[(1, "{\"a\": \"]\"}"), (1, "{\"b\": [1]}"), (2, "3"),])
        );
    }

    #[test]
    fn cut_off_and_stray_text_is_seen() {
        assert_eq!(edn("[{:a 1}"), of(&[(1, "{:a 1}"), (0, "import/cut-off")]));
        assert_eq!(edn("{:a 1"), of(&[(1, "{:a 1")]));
        assert_eq!(edn("[{:a 1}] ] {:b 1}").first(), of(&[(1, "{:a 1}")]).first());
        assert_eq!(edn("]"), of(&[(1, "]")]));
        let wrong = Pieces::new(&b"{\xff}"[..], Dialect::Edn).next();
        assert_eq!(wrong.map(|piece| piece.unwrap_err().code()), Some("import/utf-8"));
    }

    #[test]
    fn completeness() {
        for text in ["", "[:find ?e]", "(a \"(\")", "]", "x ; (", "\\("] {
            assert!(is_complete(text), "{text}");
        }
        for text in ["[:find", "(a \"b)", "{:a \\}", "\""] {
            assert!(!is_complete(text), "{text}");
        }
    }
}
