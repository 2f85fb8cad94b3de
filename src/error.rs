//! The one error type of the crate.
//!
//! Every error carries a [`ErrorKind`] to branch on, a stable keyword code (`:transact/unique`), a sentence for
//! people that says what was wanted and what was got, the place in the text where there is one, and the cause.

use std::fmt;

use crate::edn::Span;

/// The result of every fallible call of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarsely: enough to choose between fixing the input, retrying, reconnecting and restoring.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Text that is not EDN, or a form that is not a query, a pattern, a rule or tx-data.
    Syntax,
    /// The config map: unknown key, wrong type, unknown backend or index kind, mismatch with the stored database.
    Config,
    /// The tx-data breaks a rule of the schema or of the transactor; nothing was written.
    Transact,
    /// The query is well-formed but cannot be answered: unbound variable, unknown function, wrong argument types.
    Query,
    /// An argument of another call (entity id, attribute, index range, view) is not usable.
    Argument,
    /// The database, branch, commit or key does not exist, or exists already.
    Existence,
    /// Another writer holds the database, or took it over since.
    Fenced,
    /// Stored bytes do not match their checksum or their format.
    Corrupt,
    /// The storage backend failed: input/output, network, full disk.
    Storage,
    /// A deadline, a byte or row budget, a size or depth limit, or a cancellation.
    Limit,
    /// The connection was released, or its writer stopped after a failed write.
    Closed,
    /// A defect of the engine itself; please report it.
    Internal,
}

/// An error of any layer. See the module docs for its parts.
pub struct Error(Box<Parts>);

struct Parts {
    kind: ErrorKind,
    code: &'static str,
    message: String,
    excerpt: Option<Excerpt>,
    source: Option<Box<dyn std::error::Error + Send + Sync + 'static>>,
}

/// The line of the text that an error points at.
struct Excerpt {
    line: u32,
    column: u32,
    width: u32,
    text: String,
}

impl Error {
    /// An error of `kind` with a stable `code`, written without its colon (`"transact/unique"`), and a sentence.
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Error(Box::new(Parts { kind, code, message: message.into(), excerpt: None, source: None }))
    }

    /// Adds the line of `text` that `span` lies on; shown with a caret under the place.
    #[must_use]
    pub fn at(mut self, span: Span, text: &str) -> Self {
        if self.0.excerpt.is_none() {
            self.0.excerpt = Excerpt::cut(span, text);
        }
        self
    }

    /// Adds the error that led to this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts `context` and a colon before the message: where the error happened, from inside out.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// Puts a semicolon and `context` after the message: what led to it.
    #[must_use]
    pub fn context_after(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{}; {context}", self.0.message);
        self
    }

    /// The same error for another who waited for the same thing, without its cause.
    pub(crate) fn again(&self) -> Error {
        Error::new(self.kind(), self.code(), self.message())
    }

    /// What went wrong, coarsely.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stable keyword code without its colon, such as `"transact/unique"`.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The sentence for people, without the excerpt and the causes.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Line and column (both from 1) in the text that was read, where the error has a place.
    pub fn position(&self) -> Option<(u32, u32)> {
        self.0.excerpt.as_ref().map(|e| (e.line, e.column))
    }

    /// Whether the same call can succeed later without any change: the storage failed, or a limit was hit.
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Storage | ErrorKind::Limit)
    }
}

impl Excerpt {
    fn cut(span: Span, text: &str) -> Option<Excerpt> {
        let start = (span.start as usize).min(text.len());
        let before = text.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line_end = text.get(start..)?.find('\n').map_or(text.len(), |i| start + i);
        let line = before.matches('\n').count() as u32 + 1;
        let column = text.get(line_start..start)?.chars().count() as u32 + 1;
        let end = (span.end as usize).clamp(start, line_end);
        let width = text.get(start..end)?.chars().count().max(1) as u32;
        Some(Excerpt { line, column, width, text: text.get(line_start..line_end)?.to_owned() })
    }
}

/// Longest part of a line shown in an excerpt, in characters.
const EXCERPT_WIDTH: usize = 100;

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.column as usize - 1;
        let skip = column.saturating_sub(EXCERPT_WIDTH / 2);
        let shown: String = self.text.chars().skip(skip).take(EXCERPT_WIDTH).collect();
        let room = EXCERPT_WIDTH.saturating_sub(column - skip).max(1);
        let carets = "^".repeat((self.width as usize).min(room));
        let number = self.line.to_string();
        let pad = " ".repeat(number.len());
        write!(f, "\n{pad} |\n{number} | {shown}\n{pad} | {}{carets}", " ".repeat(column - skip))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(excerpt) = &self.0.excerpt {
            write!(f, " (line {}, column {}){excerpt}", excerpt.line, excerpt.column)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{} {self}", self.0.code)?;
        if let Some(source) = &self.0.source {
            write!(f, "\ncaused by: {source:?}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}
