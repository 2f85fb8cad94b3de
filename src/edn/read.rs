//! Text to forms.
//!
//! Open collections, tags, discards and metadata wait on a stack of their own, and the forms that are complete on
//! another, so that the depth of the text never becomes depth of calls.

use uuid::Uuid;

use super::equal::{Hashes, duplicate};
use super::token::{check_keyword, check_symbol, reads_as_symbol, skip_blank, word_end};
use super::{Form, FormKind, Keyword, Span, Symbol, inst, number, text};
use crate::{Error, ErrorKind, Result};

/// Bounds on what a [`Reader`] accepts; past one of them it fails with [`ErrorKind::Limit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most collections, tags, discards and metadata that are open at one place; 512 by default. More than
    /// [`Limits::DEEPEST`] count as that.
    pub max_depth: usize,
    /// Most bytes of the whole text; `u32::MAX` by default, which is also the most there can be.
    pub max_bytes: usize,
}

impl Limits {
    /// The greatest depth that can be allowed: comparing, printing and dropping a form call themselves once per level.
    pub const DEEPEST: usize = 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_depth: 512, max_bytes: u32::MAX as usize }
    }
}

/// Reads a text of exactly one form; whitespace and comments may stand around it.
///
/// # Errors
/// [`ErrorKind::Syntax`] with line and column where the text is not EDN, holds no form or more than one;
/// [`ErrorKind::Limit`] where it is deeper or longer than the default [`Limits`].
///
/// ```
/// use treering::edn::{self, FormKind};
/// let form = edn::read("[:find ?e :where [?e :name \"Alice\"]]")?;
/// assert_eq!(form.items().map(<[_]>::len), Some(4));
/// let error = edn::read("{:name }").unwrap_err();
/// assert_eq!(error.position(), Some((1, 8)));
/// # Ok::<(), treering::Error>(())
/// ```
pub fn read(text: &str) -> Result<Form> {
    let mut reader = Reader::new(text);
    let Some(form) = reader.next_form()? else {
        let fault = Fault::new("edn/eof", text.len(), text.len(), "wanted a form, the text holds none".to_owned());
        return Err(fault.into_error(text));
    };
    match reader.next_form()? {
        None => Ok(form),
        Some(second) => {
            let message = format!("wanted one form, got a second one, {}", second.kind_name());
            Err(Error::new(ErrorKind::Syntax, "edn/trailing", message).at(second.span, text))
        }
    }
}

/// Reads all forms of a text. Errors as [`read`], but for the number of forms.
///
/// ```
/// assert_eq!(treering::edn::read_all("1 ; one\n two")?.len(), 2);
/// # Ok::<(), treering::Error>(())
/// ```
pub fn read_all(text: &str) -> Result<Vec<Form>> {
    Reader::new(text).collect()
}

/// Reads the forms of a text one by one, as it is asked for them.
///
/// It is an iterator too. After an error it stands at the end of the text.
///
/// ```
/// use treering::edn::Reader;
/// let mut reader = Reader::new("1 two");
/// assert!(reader.next_form()?.is_some_and(|f| f.as_int() == Some(1)));
/// assert!(reader.next_form()?.is_some());
/// assert!(reader.next_form()?.is_none());
/// # Ok::<(), treering::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    limits: Limits,
    frames: Vec<Frame<'a>>,
    /// The complete members of all open collections.
    members: Vec<Form>,
    hashes: Hashes,
}

/// Something that was begun and waits for forms.
#[derive(Debug)]
struct Frame<'a> {
    open: Open<'a>,
    /// Offset of its first byte.
    start: usize,
    /// Where its members begin.
    base: usize,
}

#[derive(Debug, Clone, Copy)]
enum Open<'a> {
    List,
    Vector,
    /// A map, with the namespace of `#:namespace{`.
    Map(Option<&'a str>),
    Set,
    Tag(Symbol),
    Inst,
    Uuid,
    Discard,
    /// `^`, before the metadata.
    Meta,
    /// `^metadata`, before the form it belongs to.
    Described,
}

impl Open<'_> {
    /// How it is written, and the bracket that closes it; `None` where one form does.
    fn brackets(self) -> (&'static str, Option<u8>) {
        match self {
            Open::List => ("(", Some(b')')),
            Open::Vector => ("[", Some(b']')),
            Open::Map(None) => ("{", Some(b'}')),
            Open::Map(Some(_)) => ("#:…{", Some(b'}')),
            Open::Set => ("#{", Some(b'}')),
            Open::Tag(_) => ("#tag", None),
            Open::Inst => ("#inst", None),
            Open::Uuid => ("#uuid", None),
            Open::Discard => ("#_", None),
            Open::Meta | Open::Described => ("^", None),
        }
    }
}

/// An error before it has seen the text.
#[derive(Debug)]
pub(super) struct Fault {
    code: &'static str,
    start: usize,
    end: usize,
    message: String,
}

impl Fault {
    pub(super) fn new(code: &'static str, start: usize, end: usize, message: String) -> Self {
        Fault { code, start, end, message }
    }

    fn into_error(self, text: &str) -> Error {
        let kind = if self.code == LIMIT { ErrorKind::Limit } else { ErrorKind::Syntax };
        Error::new(kind, self.code, self.message).at(span(self.start, self.end), text)
    }
}

const LIMIT: &str = "edn/limit";

/// Offsets fit: a text is at most `u32::MAX` bytes.
fn span(start: usize, end: usize) -> Span {
    Span { start: start as u32, end: end as u32 }
}

/// Line and column of an offset, both from 1.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// A word as it is shown in a message: not longer than a message may be.
pub(super) fn shown(word: &str) -> String {
    const LONGEST: usize = 60;
    match word.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", word.get(..end).unwrap_or_default()),
        None => word.to_owned(),
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Form>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_form().transpose()
    }
}

impl std::iter::FusedIterator for Reader<'_> {}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `text`, with the default limits.
    pub fn new(text: &'a str) -> Self {
        Reader {
            text,
            at: 0,
            limits: Limits::default(),
            frames: Vec::new(),
            members: Vec::new(),
            hashes: Hashes::by_span(),
        }
    }

    /// Replaces the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Offset in bytes of what is to be read next.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Reads the next form; `None` at the end of the text. Errors as [`read`].
    pub fn next_form(&mut self) -> Result<Option<Form>> {
        let result = self.advance();
        self.hashes.clear();
        result.map_err(|fault| {
            self.at = self.text.len();
            self.frames.clear();
            self.members.clear();
            fault.into_error(self.text)
        })
    }

    fn advance(&mut self) -> Result<Option<Form>, Fault> {
        self.check_size()?;
        loop {
            self.at = skip_blank(self.text, self.at);
            let start = self.at;
            let Some(byte) = self.text.as_bytes().get(start).copied() else {
                return self.end_of_text();
            };
            let complete = match byte {
                b'(' => self.open(Open::List, start, 1)?,
                b'[' => self.open(Open::Vector, start, 1)?,
                b'{' => self.open(Open::Map(None), start, 1)?,
                b')' | b']' | b'}' => Some(self.close(byte)?),
                b'#' => self.dispatch()?,
                b'^' => self.open(Open::Meta, start, 1)?,
                _ => Some(self.atom(byte)?),
            };
            if let Some(form) = complete
                && let Some(form) = self.complete(form)?
            {
                return Ok(Some(form));
            }
        }
    }

    fn check_size(&self) -> Result<(), Fault> {
        let most = self.limits.max_bytes.min(u32::MAX as usize);
        if self.text.len() <= most || self.at == self.text.len() {
            return Ok(());
        }
        Err(Fault::new(LIMIT, 0, 0, format!("a text of at most {most} bytes can be read, got {}", self.text.len())))
    }

    fn end_of_text(&mut self) -> Result<Option<Form>, Fault> {
        let Some(Frame { open, start, .. }) = self.frames.last() else {
            return Ok(None);
        };
        let (line, column) = place(self.text, *start);
        let message = match open.brackets() {
            (written, Some(bracket)) => format!(
                "the `{written}` opened at line {line}, column {column} is never closed: wanted `{}` before the end \
                 of the text",
                char::from(bracket)
            ),
            (written, None) => format!("wanted a form after `{written}`, the text ends"),
        };
        Err(Fault::new("edn/eof", *start, *start + 1, message))
    }

    /// Begins something whose first `length` bytes are at `start`.
    fn open(&mut self, open: Open<'a>, start: usize, length: usize) -> Result<Option<Form>, Fault> {
        let deepest = self.limits.max_depth.min(Limits::DEEPEST);
        if self.frames.len() >= deepest {
            let message = format!("forms can be nested {deepest} deep, this one is deeper");
            return Err(Fault::new(LIMIT, start, start + length, message));
        }
        self.frames.push(Frame { open, start, base: self.members.len() });
        self.at = start + length;
        Ok(None)
    }

    /// Ends a collection at the bracket `byte`.
    fn close(&mut self, byte: u8) -> Result<Form, Fault> {
        let at = self.at;
        let wrong = |message| Fault::new("edn/unmatched", at, at + 1, message);
        let got = char::from(byte);
        let Some(Frame { open, start, base }) = self.frames.pop() else {
            return Err(wrong(format!("`{got}` closes nothing: wanted a form or the end of the text")));
        };
        let (written, wanted) = open.brackets();
        let Some(wanted) = wanted else {
            return Err(wrong(format!("wanted a form after `{written}`, got `{got}`")));
        };
        if wanted != byte {
            let (line, column) = place(self.text, start);
            let wanted = char::from(wanted);
            return Err(wrong(format!(
                "wanted `{wanted}` to close the `{written}` opened at line {line}, column {column}, got `{got}`"
            )));
        }
        self.at = at + 1;
        let kind = match open {
            Open::List => FormKind::List(self.members.drain(base..).collect()),
            Open::Vector => FormKind::Vector(self.members.drain(base..).collect()),
            Open::Set => self.set(base)?,
            // Brackets that match leave a map alone.
            Open::Map(namespace) => self.map(base, namespace)?,
            _ => return Err(wrong(format!("wanted a form after `{written}`, got `{got}`"))),
        };
        Ok(Form { kind, span: span(start, self.at) })
    }

    fn set(&mut self, base: usize) -> Result<FormKind, Fault> {
        let members = self.members.get(base..).unwrap_or_default();
        if let Some(second) = duplicate(members, 1, &mut self.hashes).and_then(|i| members.get(i)) {
            return Err(twice("a set holds each member once", second, self.text));
        }
        Ok(FormKind::Set(self.members.drain(base..).collect()))
    }

    fn map(&mut self, base: usize, namespace: Option<&str>) -> Result<FormKind, Fault> {
        let members = self.members.get_mut(base..).unwrap_or_default();
        if let Some(namespace) = namespace {
            members.iter_mut().step_by(2).try_for_each(|key| qualify(key, namespace))?;
        }
        if members.len() % 2 == 1 {
            let message = "a map is of keys and values: wanted a value for the last key, got `}`".to_owned();
            return Err(Fault::new("edn/map", self.at - 1, self.at, message));
        }
        if let Some(second) = duplicate(members, 2, &mut self.hashes).and_then(|i| members.get(i)) {
            return Err(twice("a map has each key once", second, self.text));
        }
        let mut pairs = Vec::with_capacity(members.len() / 2);
        let mut members = self.members.drain(base..);
        while let (Some(key), Some(value)) = (members.next(), members.next()) {
            pairs.push((key, value));
        }
        Ok(FormKind::Map(pairs))
    }

    /// Gives a complete form to what waits for it; hands it back where nothing does.
    fn complete(&mut self, mut form: Form) -> Result<Option<Form>, Fault> {
        loop {
            let Some(frame) = self.frames.last_mut() else {
                return Ok(Some(form));
            };
            let start = frame.start;
            let kind = match frame.open {
                Open::List | Open::Vector | Open::Map(_) | Open::Set => {
                    self.members.push(form);
                    return Ok(None);
                }
                Open::Discard => {
                    self.frames.pop();
                    return Ok(None);
                }
                Open::Meta => {
                    check_meta(&form)?;
                    frame.open = Open::Described;
                    return Ok(None);
                }
                Open::Described => {
                    self.frames.pop();
                    continue;
                }
                Open::Tag(tag) => FormKind::Tagged(tag, Box::new(form)),
                Open::Inst => FormKind::Inst(instant(&form)?),
                Open::Uuid => FormKind::Uuid(uuid(&form)?),
            };
            self.frames.pop();
            form = Form { kind, span: span(start, self.at) };
        }
    }

    /// What begins with `#`.
    fn dispatch(&mut self) -> Result<Option<Form>, Fault> {
        let start = self.at;
        let refused = |length: usize, message: &str| {
            Err(Fault::new("edn/dispatch", start, start + 1 + length, message.to_owned()))
        };
        let rest = self.text.get(start + 1..).unwrap_or_default();
        match rest.chars().next() {
            Some('{') => self.open(Open::Set, start, 2),
            Some('_') => self.open(Open::Discard, start, 2),
            Some('^') => self.open(Open::Meta, start, 2),
            Some('#') => self.symbolic().map(Some),
            Some(':') => self.namespaced_map(),
            Some('"') => refused(1, "EDN has no regular expressions: write the pattern as a string"),
            Some('(') => refused(1, "EDN has no functions: `#(` is Clojure code"),
            Some('\'') => refused(1, "EDN has no vars: `#'` is Clojure code"),
            Some('?') => refused(1, "EDN has no reader conditionals: `#?` is Clojure code"),
            Some('=') => refused(1, "EDN evaluates nothing: `#=` is Clojure code"),
            Some('<') => refused(1, "`#<` is how an object is printed that cannot be read back"),
            Some(c) if c.is_alphabetic() => self.tag(),
            Some(c) => {
                refused(c.len_utf8(), "wanted a tag, `{`, `_`, `#` or `:` after `#`, such as `#inst \"2026-01-01\"`")
            }
            None => {
                let message = "wanted a tag, `{`, `_`, `#` or `:` after `#`, the text ends".to_owned();
                Err(Fault::new("edn/eof", start, start + 1, message))
            }
        }
    }

    fn tag(&mut self) -> Result<Option<Form>, Fault> {
        let start = self.at;
        let end = word_end(self.text, start + 1)?;
        let word = self.text.get(start + 1..end).unwrap_or_default();
        check_symbol(word).map_err(|message| Fault::new("edn/dispatch", start, end, message))?;
        let open = match word {
            "inst" => Open::Inst,
            "uuid" => Open::Uuid,
            _ => Open::Tag(Symbol::new(word)),
        };
        self.open(open, start, end - start)
    }

    /// `##NaN`, `##Inf`, `##-Inf`
    fn symbolic(&mut self) -> Result<Form, Fault> {
        let start = self.at;
        let end = word_end(self.text, start + 2)?;
        let float = match self.text.get(start + 2..end).unwrap_or_default() {
            "NaN" => f64::NAN,
            "Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            word => {
                let message = format!("wanted ##NaN, ##Inf or ##-Inf, got `##{}`", shown(word));
                return Err(Fault::new("edn/dispatch", start, end, message));
            }
        };
        self.at = end;
        Ok(Form { kind: FormKind::Float(float), span: span(start, end) })
    }

    /// `#:namespace{…}`
    fn namespaced_map(&mut self) -> Result<Option<Form>, Fault> {
        let start = self.at;
        let end = word_end(self.text, start + 2)?;
        let namespace = self.text.get(start + 2..end).unwrap_or_default();
        let is_name = !namespace.is_empty() && !namespace.contains('/') && !number::starts(namespace.as_bytes());
        if !is_name || namespace.starts_with(':') || check_symbol(namespace).is_err() {
            let message = format!("wanted a namespace such as `#:person{{…}}`, got `#:{}`", shown(namespace));
            return Err(Fault::new("edn/dispatch", start, end, message));
        }
        let brace = skip_blank(self.text, end);
        match self.text.as_bytes().get(brace) {
            Some(b'{') => self.open(Open::Map(Some(namespace)), start, brace + 1 - start),
            other => {
                let code = if other.is_none() { "edn/eof" } else { "edn/dispatch" };
                Err(Fault::new(code, start, end, format!("wanted a map after `#:{}`", shown(namespace))))
            }
        }
    }

    /// A form without members; `byte` is its first.
    fn atom(&mut self, byte: u8) -> Result<Form, Fault> {
        let start = self.at;
        let (kind, end) = match byte {
            b'"' => {
                let (string, end) = text::string(self.text, start)?;
                (FormKind::Str(string), end)
            }
            b'\\' => self.character()?,
            _ => self.word()?,
        };
        self.at = end;
        Ok(Form { kind, span: span(start, end) })
    }

    fn character(&self) -> Result<(FormKind, usize), Fault> {
        let start = self.at;
        let first = match self.text.get(start + 1..).and_then(|rest| rest.chars().next()) {
            Some(c) if c.is_whitespace() || c.is_control() => {
                let message = "wanted a character after `\\`; a blank has a name: \\space, \\newline, \\tab, \\u00A0";
                return Err(Fault::new("edn/char", start, start + 1, message.to_owned()));
            }
            Some(c) => c,
            None => {
                let message = "wanted a character after `\\`, the text ends".to_owned();
                return Err(Fault::new("edn/eof", start, start + 1, message));
            }
        };
        let end = word_end(self.text, start + 1 + first.len_utf8())?;
        let token = self.text.get(start + 1..end).unwrap_or_default();
        match text::character(token) {
            Ok(c) => Ok((FormKind::Char(c), end)),
            Err(message) => Err(Fault::new("edn/char", start, end, message)),
        }
    }

    /// A number, a keyword, a symbol, `nil`, `true` or `false`.
    fn word(&self) -> Result<(FormKind, usize), Fault> {
        let start = self.at;
        let end = word_end(self.text, start)?;
        let word = self.text.get(start..end).unwrap_or_default();
        let kind = if let Some(name) = word.strip_prefix(':') {
            check_keyword(name).map(|()| FormKind::Keyword(Keyword::new(name))).map_err(|m| ("edn/keyword", m))
        } else if number::starts(word.as_bytes()) {
            number::parse(word).map_err(|m| ("edn/number", m))
        } else {
            match word {
                "nil" => Ok(FormKind::Nil),
                "true" => Ok(FormKind::Bool(true)),
                "false" => Ok(FormKind::Bool(false)),
                _ => check_symbol(word).map(|()| FormKind::Symbol(Symbol::new(word))).map_err(|m| ("edn/symbol", m)),
            }
        };
        kind.map(|kind| (kind, end)).map_err(|(code, message)| Fault::new(code, start, end, message))
    }
}

fn twice(rule: &str, second: &Form, text: &str) -> Fault {
    let (start, end) = (second.span.start as usize, second.span.end as usize);
    let written = shown(text.get(start..end).unwrap_or_default());
    Fault::new("edn/duplicate", start, end, format!("{rule}, got `{written}` a second time"))
}

/// Puts a key of `#:namespace{…}` into the namespace; `_` as the namespace of a key means none.
fn qualify(key: &mut Form, namespace: &str) -> Result<(), Fault> {
    let qualified = |own: Option<&str>, name: &str| match own {
        None => Some(format!("{namespace}/{name}")),
        Some("_") => Some(name.to_owned()),
        Some(_) => None,
    };
    let (text, reads) = match key.kind {
        FormKind::Keyword(k) => {
            let Some(text) = qualified(k.namespace(), k.name()) else { return Ok(()) };
            let reads = check_keyword(&text).is_ok();
            key.kind = FormKind::Keyword(Keyword::new(&text));
            (text, reads)
        }
        FormKind::Symbol(s) => {
            let Some(text) = qualified(s.namespace(), s.name()) else { return Ok(()) };
            let reads = reads_as_symbol(&text);
            key.kind = FormKind::Symbol(Symbol::new(&text));
            (text, reads)
        }
        _ => return Ok(()),
    };
    if reads {
        return Ok(());
    }
    let message =
        format!("the key becomes `{}` in the namespace `{}`, which is no name", shown(&text), shown(namespace));
    Err(fault_at(key, "edn/dispatch", message))
}

fn fault_at(form: &Form, code: &'static str, message: String) -> Fault {
    Fault::new(code, form.span.start as usize, form.span.end as usize, message)
}

fn check_meta(form: &Form) -> Result<(), Fault> {
    use FormKind::{Keyword, Map, Str, Symbol, Vector};
    match form.kind {
        Keyword(_) | Symbol(_) | Str(_) | Map(_) | Vector(_) => Ok(()),
        _ => {
            let got = form.kind_name();
            Err(fault_at(form, "edn/meta", format!("metadata is a keyword, a symbol, a string or a map, got {got}")))
        }
    }
}

fn instant(form: &Form) -> Result<i64, Fault> {
    form.as_str().and_then(inst::parse).ok_or_else(|| {
        let message =
            "`#inst` wants a time of RFC 3339 as a string, such as \"2026-01-31T12:00:00.000Z\" or a part of it";
        fault_at(form, "edn/inst", message.to_owned())
    })
}

fn uuid(form: &Form) -> Result<Uuid, Fault> {
    const LENGTH: usize = 36;
    form.as_str().filter(|s| s.len() == LENGTH).and_then(|s| Uuid::try_parse(s).ok()).ok_or_else(|| {
        let message = "`#uuid` wants a string such as \"f81d4fae-7dec-11d0-a765-00a0c91e6bf6\"";
        fault_at(form, "edn/uuid", message.to_owned())
    })
}
