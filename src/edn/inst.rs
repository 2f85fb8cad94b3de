//! Instants: RFC 3339 text to milliseconds since 1970-01-01T00:00Z and back, in the proleptic Gregorian calendar.

const MS_PER_DAY: i64 = 86_400_000;
/// The calendar repeats after 400 years.
const DAYS_PER_CYCLE: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

/// Reads an instant: RFC 3339 or a prefix of it, in milliseconds since 1970-01-01T00:00Z.
///
/// Month, day, hour, minute, second and fraction may be left off from the right; the offset (`Z`, `+02:00`) may
/// stand after any of them and is zero where it is missing. Digits after the third of a fraction are dropped. A second
/// of 60 is allowed in minute 59 and is the first second of the next minute. A year outside 0000 to 9999 has a sign
/// and four to nine digits. `None` for any other text, and for what 64 bits cannot hold.
///
/// ```
/// use treering::edn::inst;
/// assert_eq!(inst::parse("1970-01-02"), Some(86_400_000));
/// assert_eq!(inst::parse("2026-01-01T01:00:00.5+01:00"), inst::parse("2026-01-01T00:00:00.500Z"));
/// assert_eq!(inst::parse("2026-02-29"), None);
/// ```
pub fn parse(text: &str) -> Option<i64> {
    let mut rest = Cursor(text.as_bytes());
    let year = rest.year()?;
    let (mut month, mut day, mut hour, mut minute, mut second, mut milli) = (1, 1, 0, 0, 0, 0);
    // A `-` after the year opens the month or a negative offset: an offset has a colon after its hours.
    if rest.part(b'-') {
        month = rest.two()?;
        if rest.part(b'-') {
            day = rest.two()?;
            if rest.eat(b'T') {
                hour = rest.two()?;
                if rest.eat(b':') {
                    minute = rest.two()?;
                    if rest.eat(b':') {
                        second = rest.two()?;
                        if rest.eat(b'.') {
                            milli = rest.fraction()?;
                        }
                    }
                }
            }
        }
    }
    let offset = rest.offset()?;
    let in_range = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < if minute == 59 { 61 } else { 60 };
    if !rest.0.is_empty() || !in_range {
        return None;
    }
    let in_day = ((hour * 60 + minute - offset) * 60 + second) * 1000 + milli;
    let total = i128::from(days_from_date(year, month, day)) * i128::from(MS_PER_DAY) + i128::from(in_day);
    i64::try_from(total).ok()
}

/// Writes an instant, given in milliseconds since 1970-01-01T00:00Z, as RFC 3339 in UTC with milliseconds.
///
/// Years outside 0000 to 9999 get a sign and as many digits as they need, at least four. [`parse`] is the inverse.
///
/// ```
/// use treering::edn::inst;
/// assert_eq!(inst::format(0), "1970-01-01T00:00:00.000-00:00");
/// ```
pub fn format(millis: i64) -> String {
    let (year, month, day) = date_from_days(millis.div_euclid(MS_PER_DAY));
    let in_day = millis.rem_euclid(MS_PER_DAY);
    let (seconds, milli) = (in_day / 1000, in_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let sign = match year {
        ..=-1 => "-",
        0..=9999 => "",
        _ => "+",
    };
    let year = year.abs();
    format!("{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}-00:00")
}

/// The text that is still to be read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes `byte`, unless it is the sign of an offset.
    fn part(&mut self, byte: u8) -> bool {
        let is_offset = self.0.len() == 6 && self.0.get(3) == Some(&b':');
        !is_offset && self.eat(byte)
    }

    fn digit(&mut self) -> Option<i64> {
        match self.0.split_first() {
            Some((first, rest)) if first.is_ascii_digit() => {
                self.0 = rest;
                Some(i64::from(first - b'0'))
            }
            _ => None,
        }
    }

    fn two(&mut self) -> Option<i64> {
        Some(self.digit()? * 10 + self.digit()?)
    }

    fn year(&mut self) -> Option<i64> {
        let negative = self.eat(b'-');
        let signed = negative || self.eat(b'+');
        let (mut year, mut digits) = (0, 0);
        while digits < if signed { 9 } else { 4 } {
            let Some(digit) = self.digit() else { break };
            year = year * 10 + digit;
            digits += 1;
        }
        (digits >= 4).then_some(if negative { -year } else { year })
    }

    /// Milliseconds of a fraction of a second; at least one digit.
    fn fraction(&mut self) -> Option<i64> {
        let mut millis = self.digit()? * 100;
        let mut unit = 10;
        while let Some(digit) = self.digit() {
            millis += digit * unit;
            unit /= 10;
        }
        Some(millis)
    }

    /// Minutes east of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.eat(b'Z') {
            return Some(0);
        }
        let negative = self.eat(b'-');
        if !negative && !self.eat(b'+') {
            return None;
        }
        let hours = self.two()?;
        let minutes = if self.eat(b':') { self.two()? } else { return None };
        let total = hours * 60 + minutes;
        (hours < 24 && minutes < 60).then_some(if negative { -total } else { total })
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days before month number `month` of a year that begins in March (0 is March, 11 is February): the lengths
/// 31 30 31 30 31 repeat every 153 days.
fn days_before_month(month: i64) -> i64 {
    (153 * month + 2) / 5
}

/// Days from 1970-01-01. Years are taken from March to February, so that a leap day is the last of its year.
fn days_from_date(year: i64, month: i64, day: i64) -> i64 {
    let year = if month < 3 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let in_cycle = year.rem_euclid(400);
    let leap_days = in_cycle / 4 - in_cycle / 100;
    year.div_euclid(400) * DAYS_PER_CYCLE + in_cycle * 365 + leap_days + days_before_month(month) + day - 1 - EPOCH
}

/// The inverse of [`days_from_date`].
fn date_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH;
    let in_cycle = days.rem_euclid(DAYS_PER_CYCLE);
    // Taking out the leap days that lie behind: after each 4 years but the last, one per century but the last.
    let year = (in_cycle - in_cycle / 1460 + in_cycle / 36_524 - in_cycle / 146_096) / 365;
    let in_year = in_cycle - (year * 365 + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - days_before_month(month) + 1;
    let year = days.div_euclid(DAYS_PER_CYCLE) * 400 + year;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{date_from_days, days_from_date, days_in_month, format, parse};

    #[test]
    fn calendar_agrees_with_counting_day_by_day() {
        let (mut year, mut month, mut day) = (-801, 1, 1);
        let first = days_from_date(year, month, day);
        for days in first..first + 146_097 * 8 {
            assert_eq!(date_from_days(days), (year, month, day));
            assert_eq!(days_from_date(year, month, day), days);
            day += 1;
            if day > days_in_month(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        assert_eq!(days_from_date(1970, 1, 1), 0);
        assert_eq!(days_from_date(2000, 2, 29), 11_016);
    }

    #[test]
    fn prefixes_and_offsets() {
        for (text, millis) in [
            ("1970", 0),
            ("1971", 31_536_000_000),
            ("1970-02", 2_678_400_000),
            ("1970-01-02", 86_400_000),
            ("1970-01-01T01", 3_600_000),
            ("1970-01-01T00:01", 60_000),
            ("1970-01-01T00:00:01", 1_000),
            ("1970-01-01T00:00:00.1", 100),
            ("1970-01-01T00:00:00.1239999999999", 123),
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00-00:00", 0),
            ("1970-01-01T00:00:00+01:30", -5_400_000),
            ("1970-01-01T00:00:00-23:59", 86_340_000),
            ("1970Z", 0),
            ("1970-01:00", 3_600_000),
            ("1970-01-01:00", 3_600_000),
            ("1970-01-01-01:00", 3_600_000),
            ("1969-12-31T23:59:60Z", 0),
            ("1969-12-31T23:59:59.999Z", -1),
            ("0000-01-01", -62_167_219_200_000),
            ("-0001-12-31", -62_167_305_600_000),
            ("+10000-01-01", 253_402_300_800_000),
            ("+292278994-08-17T07:12:55.807Z", i64::MAX),
            ("-292275055-05-16T16:47:04.192Z", i64::MIN),
        ] {
            assert_eq!(parse(text), Some(millis), "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "197",
            "19700",
            "1970-",
            "1970-1",
            "1970-00",
            "1970-13",
            "1970-01-00",
            "1970-01-32",
            "1900-02-29",
            "1970-01-01T",
            "1970-01-01T24",
            "1970-01-01T00:60",
            "1970-01-01T00:00:60",
            "1970-01-01T00:00:00.",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00+00:60",
            "1970-01-01T00:00:00+0000",
            "1970-01-01 00:00",
            "1970-01-01t00:00:00z",
            "1970-01-01T00:00:00ZZ",
            "1970é",
            "+1234567890",
            "+292278994-08-17T07:12:55.808Z",
            "-292275055-05-16T16:47:04.191Z",
            "+999999999",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn format_then_parse(millis in any::<i64>()) {
            prop_assert_eq!(parse(&format(millis)), Some(millis));
        }
    }
}
