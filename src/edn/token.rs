//! Tokens: where a word of the text ends, and which words are keywords and symbols.

use super::read::{Fault, shown};

/// What a byte means to the reader.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Part of a word.
    Word,
    /// Blank: whitespace or a comma.
    Blank,
    /// Ends a word and begins something else.
    Delimiter,
    /// Not allowed in a word.
    Refused,
    /// Part of a character of several bytes.
    Wide,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Word; 256];
    let mut b = 0;
    while b < 256 {
        classes[b] = match b as u8 {
            b' ' | b',' | b'\t'..=b'\r' | 0x1c..=0x1f => Class::Blank,
            b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'"' | b';' | b'^' | b'\\' => Class::Delimiter,
            b'@' | b'`' | b'~' | 0..=0x1b | 0x7f => Class::Refused,
            0x80.. => Class::Wide,
            _ => Class::Word,
        };
        b += 1;
    }
    classes
};

fn class(byte: u8) -> Class {
    // A byte is always inside a table of 256.
    CLASSES[usize::from(byte)]
}

fn char_at(text: &str, at: usize) -> Option<char> {
    text.get(at..).and_then(|rest| rest.chars().next())
}

/// The offset of the first byte from `at` on that is neither blank nor in a comment; a byte order mark at the very
/// beginning counts as blank.
pub(super) fn skip_blank(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match class(*byte) {
            Class::Blank => at += 1,
            Class::Delimiter if *byte == b';' => {
                let rest = bytes.get(at..).unwrap_or_default();
                at += rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
            }
            Class::Wide => match char_at(text, at) {
                Some(c) if c.is_whitespace() || (c == '\u{feff}' && at == 0) => at += c.len_utf8(),
                _ => return at,
            },
            _ => return at,
        }
    }
    at
}

/// The offset after the word of which a part, at least, stands before `at`.
pub(super) fn word_end(text: &str, mut at: usize) -> Result<usize, Fault> {
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match class(*byte) {
            Class::Word => at += 1,
            Class::Blank | Class::Delimiter => return Ok(at),
            Class::Refused => return Err(refused(char::from(*byte), at)),
            Class::Wide => match char_at(text, at) {
                Some(c) if c.is_whitespace() => return Ok(at),
                Some(c) if c.is_control() => return Err(refused(c, at)),
                Some(c) => at += c.len_utf8(),
                None => return Ok(at),
            },
        }
    }
    Ok(at)
}

fn refused(c: char, at: usize) -> Fault {
    let message = match c {
        '@' | '`' | '~' => format!("`{c}` has no meaning in EDN: it is Clojure code; write the data itself"),
        _ => format!("the character U+{:04X} is not allowed outside strings", u32::from(c)),
    };
    Fault::new("edn/symbol", at, at + c.len_utf8(), message)
}

/// Namespace and name: the last slash parts them, and a name may be a slash. `None` where a part would be empty.
fn split(word: &str) -> Option<(Option<&str>, &str)> {
    if word == "/" {
        return Some((None, word));
    }
    if let Some(namespace) = word.strip_suffix("//") {
        return (!namespace.is_empty()).then_some((Some(namespace), "/"));
    }
    match word.rsplit_once('/') {
        None => Some((None, word)),
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Some((Some(namespace), name)),
        Some(_) => None,
    }
}

fn starts_with_digit(word: &str) -> bool {
    word.as_bytes().first().is_some_and(u8::is_ascii_digit)
}

/// What keywords and symbols have in common.
fn well_formed(word: &str) -> bool {
    let Some((namespace, name)) = split(word) else { return false };
    let namespace_ok = namespace.is_none_or(|n| !n.starts_with('/') && !n.ends_with(':') && !starts_with_digit(name));
    namespace_ok && !name.is_empty() && !name.ends_with(':') && !word.contains("::")
}

/// Checks a keyword's text, given without its colon; `Err` is the sentence that says what is wrong.
pub(super) fn check_keyword(word: &str) -> Result<(), String> {
    if word.starts_with(':') {
        return Err(format!(
            "`:{}` is resolved by Clojure code, not by EDN; write the namespace out, such as `:person/name`",
            shown(word)
        ));
    }
    if well_formed(word) {
        return Ok(());
    }
    Err(format!("wanted a keyword such as `:name` or `:person/name`, got `:{}`", shown(word)))
}

/// Checks a symbol's text; `Err` is the sentence that says what is wrong.
pub(super) fn check_symbol(word: &str) -> Result<(), String> {
    if word.starts_with('\'') {
        return Err("a quote `'` has no meaning in EDN: leave it out".to_owned());
    }
    let is_number = |w: &str| {
        let digits = w.strip_prefix(['+', '-']).unwrap_or(w);
        starts_with_digit(digits.strip_prefix('.').unwrap_or(digits))
    };
    if is_number(word) {
        return Err(format!("a number begins with a digit, such as `0.5`, got `{}`", shown(word)));
    }
    if well_formed(word) {
        return Ok(());
    }
    Err(format!("wanted a symbol such as `?e`, `name` or `ns/name`, got `{}`", shown(word)))
}

/// Whether a text that was put together reads as a symbol.
pub(super) fn reads_as_symbol(word: &str) -> bool {
    let is_other = matches!(word, "nil" | "true" | "false") || word.starts_with([':', '#']);
    !is_other && check_symbol(word).is_ok()
}
