//! String and character literals.

use std::sync::Arc;

use super::read::{Fault, shown};

/// The characters that have a name after the backslash.
pub(super) const NAMED: [(&str, char); 6] =
    [("newline", '\n'), ("space", ' '), ("tab", '\t'), ("return", '\r'), ("backspace", '\u{8}'), ("formfeed", '\u{c}')];

/// Reads the string whose opening quote is at `open`; also gives the offset after the closing quote.
pub(super) fn string(text: &str, open: usize) -> Result<(Arc<str>, usize), Fault> {
    let bytes = text.as_bytes();
    let first = open + 1;
    let mut decoded = String::new();
    let mut from = first;
    loop {
        let rest = bytes.get(from..).unwrap_or_default();
        let Some(length) = rest.iter().position(|b| matches!(b, b'"' | b'\\')) else {
            return Err(unclosed(text, open));
        };
        let end = from + length;
        let piece = text.get(from..end).unwrap_or_default();
        if rest.get(length) == Some(&b'"') {
            if from == first {
                return Ok((Arc::from(piece), end + 1));
            }
            decoded.push_str(piece);
            return Ok((Arc::from(decoded), end + 1));
        }
        decoded.push_str(piece);
        let (c, next) = escape(text, end, open)?;
        decoded.push(c);
        from = next;
    }
}

fn unclosed(text: &str, open: usize) -> Fault {
    let (line, column) = super::read::place(text, open);
    let message = format!(
        "the string opened at line {line}, column {column} is never closed: wanted `\"` before the end of the text"
    );
    Fault::new("edn/eof", open, open + 1, message)
}

/// Reads the escape whose backslash is at `at`, and gives the offset after it.
fn escape(text: &str, at: usize, open: usize) -> Result<(char, usize), Fault> {
    let rest = text.get(at + 1..).unwrap_or_default();
    let Some(c) = rest.chars().next() else {
        return Err(unclosed(text, open));
    };
    let plain = match c {
        't' => '\t',
        'r' => '\r',
        'n' => '\n',
        '\\' => '\\',
        '"' => '"',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'u' => return unicode(text, at),
        '0'..='7' => return octal(rest, at),
        _ => {
            let message =
                format!("wanted one of \\t \\r \\n \\\\ \\\" \\b \\f \\uXXXX or octal \\0 to \\377, got `\\{c}`");
            return Err(Fault::new("edn/string", at, at + 1 + c.len_utf8(), message));
        }
    };
    Ok((plain, at + 2))
}

/// `\uXXXX`, or two of them that make up one character.
fn unicode(text: &str, at: usize) -> Result<(char, usize), Fault> {
    let Some(high) = hex4(text, at + 2) else {
        return Err(Fault::new("edn/string", at, at + 2, "wanted four hexadecimal digits after `\\u`".to_owned()));
    };
    if let Some(c) = char::from_u32(high) {
        return Ok((c, at + 6));
    }
    let low = if text.get(at + 6..at + 8) == Some("\\u") { hex4(text, at + 8) } else { None };
    if let (0xD800..0xDC00, Some(low @ 0xDC00..0xE000)) = (high, low)
        && let Some(c) = char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    {
        return Ok((c, at + 12));
    }
    let message = format!("\\u{high:04X} is half of a surrogate pair; wanted the pair, such as \\uD83D\\uDE00");
    Err(Fault::new("edn/string", at, at + 6, message))
}

fn hex4(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}

/// `\N`, `\NN` or `\NNN` in octal; `rest` begins at the first digit.
fn octal(rest: &str, at: usize) -> Result<(char, usize), Fault> {
    let mut value = 0;
    let mut length = 0;
    for digit in rest.bytes().take(3).map_while(|b| char::from(b).to_digit(8)) {
        value = value * 8 + digit;
        length += 1;
    }
    match u8::try_from(value) {
        Ok(byte) => Ok((char::from(byte), at + 1 + length)),
        Err(_) => Err(Fault::new("edn/string", at, at + 1 + length, "an octal escape ends at \\377".to_owned())),
    }
}

/// The character that a literal names; `token` is what stands after the backslash. `Err` is the sentence.
pub(super) fn character(token: &str) -> Result<char, String> {
    let mut chars = token.chars();
    if let (Some(c), None) = (chars.next(), chars.next()) {
        return Ok(c);
    }
    if let Some((_, c)) = NAMED.iter().find(|(name, _)| *name == token) {
        return Ok(*c);
    }
    if let Some(digits) = token.strip_prefix('u')
        && digits.len() == 4
        && let Some(code) = hex4(digits, 0)
    {
        return char::from_u32(code)
            .ok_or_else(|| format!("\\u{code:04X} is half of a surrogate pair, not a character; write the character"));
    }
    if let Some(digits) = token.strip_prefix('o')
        && digits.len() <= 3
        && digits.bytes().all(|b| (b'0'..b'8').contains(&b))
    {
        return u32::from_str_radix(digits, 8)
            .ok()
            .and_then(|code| u8::try_from(code).ok())
            .map(char::from)
            .ok_or_else(|| "an octal character ends at \\o377".to_owned());
    }
    Err(format!(
        "wanted a character such as \\a, \\newline, \\space, \\tab, \\return, \\backspace, \\formfeed, \\u0041 or \
         \\o101, got `\\{}`",
        shown(token)
    ))
}
