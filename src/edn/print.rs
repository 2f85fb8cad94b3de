//! Forms to text.

use std::fmt::{self, Write};

use bigdecimal::BigDecimal;

use super::text::NAMED;
use super::{Form, FormKind, inst};

/// On one line. Reading the text gives an equal form, but for what can only be built and never be read: keywords,
/// symbols and tags whose text has blanks, brackets or the like (or that read as something else, as the symbol `nil`
/// and the tag `inst` do), doubled keys and members, numbers past the reader's bounds, and nesting deeper than the
/// reader allows.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_kind(&self.kind, f)
    }
}

fn write_kind(kind: &FormKind, out: &mut impl Write) -> fmt::Result {
    match kind {
        FormKind::Nil => out.write_str("nil"),
        FormKind::Bool(b) => write!(out, "{b}"),
        FormKind::Int(i) => write!(out, "{i}"),
        FormKind::BigInt(i) => write!(out, "{i}N"),
        FormKind::Float(f) => write_float(*f, out),
        FormKind::Decimal(d) => write_decimal(d, out),
        FormKind::Str(s) => write_string(s, out),
        FormKind::Char(c) => write_char(*c, out),
        FormKind::Keyword(k) => write!(out, "{k}"),
        FormKind::Symbol(s) => write!(out, "{s}"),
        FormKind::List(items) => write_items("(", items, ")", out),
        FormKind::Vector(items) => write_items("[", items, "]", out),
        FormKind::Set(items) => write_items("#{", items, "}", out),
        FormKind::Map(pairs) => {
            out.write_char('{')?;
            for (i, (key, value)) in pairs.iter().enumerate() {
                if i > 0 {
                    out.write_str(", ")?;
                }
                write_kind(&key.kind, out)?;
                out.write_char(' ')?;
                write_kind(&value.kind, out)?;
            }
            out.write_char('}')
        }
        FormKind::Inst(millis) => write!(out, "#inst \"{}\"", inst::format(*millis)),
        FormKind::Uuid(uuid) => write!(out, "#uuid \"{uuid}\""),
        FormKind::Tagged(tag, form) => {
            write!(out, "#{tag} ")?;
            write_kind(&form.kind, out)
        }
    }
}

fn write_items(open: &str, items: &[Form], close: &str, out: &mut impl Write) -> fmt::Result {
    out.write_str(open)?;
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.write_char(' ')?;
        }
        write_kind(&item.kind, out)?;
    }
    out.write_str(close)
}

fn write_float(float: f64, out: &mut impl Write) -> fmt::Result {
    if float.is_nan() {
        out.write_str("##NaN")
    } else if float == f64::INFINITY {
        out.write_str("##Inf")
    } else if float == f64::NEG_INFINITY {
        out.write_str("##-Inf")
    } else {
        // The shortest text that reads back the same, with a point or an exponent in it.
        write!(out, "{float:?}")
    }
}

/// Keeps the digits and the scale as they are: `1.50M`, `15E+3M`; never as long as the power of ten is high.
fn write_decimal(decimal: &BigDecimal, out: &mut impl Write) -> fmt::Result {
    const MOST_ZEROS: usize = 6;
    let (digits, scale) = decimal.as_bigint_and_exponent();
    let digits = digits.to_string();
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
    out.write_str(sign)?;
    match usize::try_from(scale) {
        Ok(0) => write!(out, "{digits}M"),
        Ok(scale) if scale < digits.len() => {
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            write!(out, "{whole}.{fraction}M")
        }
        Ok(scale) if scale - digits.len() < MOST_ZEROS => write!(out, "0.{digits:0>scale$}M"),
        _ => write!(out, "{digits}E{:+}M", -i128::from(scale)),
    }
}

fn write_string(text: &str, out: &mut impl Write) -> fmt::Result {
    out.write_char('"')?;
    let mut from = 0;
    for (at, c) in text.char_indices().filter(|(_, c)| matches!(c, '"' | '\\') || c.is_control()) {
        out.write_str(text.get(from..at).unwrap_or_default())?;
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\t' => out.write_str("\\t")?,
            '\r' => out.write_str("\\r")?,
            '\u{8}' => out.write_str("\\b")?,
            '\u{c}' => out.write_str("\\f")?,
            _ => write!(out, "\\u{:04X}", u32::from(c))?,
        }
        from = at + c.len_utf8();
    }
    out.write_str(text.get(from..).unwrap_or_default())?;
    out.write_char('"')
}

fn write_char(c: char, out: &mut impl Write) -> fmt::Result {
    out.write_char('\\')?;
    if let Some((name, _)) = NAMED.iter().find(|(_, named)| *named == c) {
        out.write_str(name)
    } else if c.is_whitespace() || c.is_control() {
        // All of these lie within 16 bits.
        write!(out, "u{:04X}", u32::from(c))
    } else {
        out.write_char(c)
    }
}

/// Prints over several lines where one of `width` characters does not do; members stand under each other.
///
/// What has no room left because it is nested too deep is put on one line, however long.
///
/// ```
/// use treering::edn::{pretty, read};
/// let form = read("{:name \"Alice\" :likes [:tea :rain]}")?;
/// assert_eq!(pretty(&form, 24), "{:name \"Alice\",\n :likes [:tea :rain]}");
/// # Ok::<(), treering::Error>(())
/// ```
pub fn pretty(form: &Form, width: usize) -> String {
    let mut page = Page { out: String::new(), column: 0, width };
    page.form(form, 0);
    page.out
}

/// Lines below this many characters are not broken further.
const LEAST_ROOM: usize = 8;

struct Page {
    out: String,
    /// Characters on the last line.
    column: usize,
    width: usize,
}

/// Takes text until there is no room for more.
struct Room<'a> {
    out: &'a mut String,
    left: usize,
}

impl Write for Room<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // Texts far too long are not counted through.
        let count = if s.len() / 4 > self.left { usize::MAX } else { s.chars().count() };
        self.left = self.left.checked_sub(count).ok_or(fmt::Error)?;
        self.out.push_str(s);
        Ok(())
    }
}

impl Page {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn line(&mut self, indent: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.column = indent;
    }

    /// Prints on the rest of the line, leaving `after` characters free; `false`, and nothing printed, if it is too long.
    fn fits(&mut self, form: &Form, after: usize) -> bool {
        let before = self.out.len();
        let room = self.width.saturating_sub(self.column.saturating_add(after));
        let mut line = Room { out: &mut self.out, left: room };
        if write_kind(&form.kind, &mut line).is_ok() {
            self.column += room - line.left;
            return true;
        }
        self.out.truncate(before);
        false
    }

    /// Prints from the present column on, with `after` closing brackets to follow.
    fn form(&mut self, form: &Form, after: usize) {
        if self.fits(form, after) {
            return;
        }
        let has_room = self.column.saturating_add(LEAST_ROOM) <= self.width;
        match &form.kind {
            FormKind::List(items) if has_room => self.items("(", items, ")", after),
            FormKind::Vector(items) if has_room => self.items("[", items, "]", after),
            FormKind::Set(items) if has_room => self.items("#{", items, "}", after),
            FormKind::Map(pairs) if has_room => self.map(pairs, after),
            FormKind::Tagged(tag, tagged) if has_room => {
                self.put(&format!("#{tag} "));
                self.form(tagged, after);
            }
            _ => {
                let text = form.to_string();
                self.put(&text);
            }
        }
    }

    fn items(&mut self, open: &str, items: &[Form], close: &str, after: usize) {
        self.put(open);
        let indent = self.column;
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.line(indent);
            }
            self.form(item, if i + 1 == items.len() { after + 1 } else { 0 });
        }
        self.put(close);
    }

    fn map(&mut self, pairs: &[(Form, Form)], after: usize) {
        self.put("{");
        let indent = self.column;
        for (i, (key, value)) in pairs.iter().enumerate() {
            if i > 0 {
                self.put(",");
                self.line(indent);
            }
            let is_last = i + 1 == pairs.len();
            self.form(key, 0);
            // A value that starts far to the right goes under its key.
            if self.column - indent.min(self.column) > self.width / 2 {
                self.line(indent + 1);
            } else {
                self.put(" ");
            }
            self.form(value, if is_last { after + 1 } else { 1 });
        }
        self.put("}");
    }
}
