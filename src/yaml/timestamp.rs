//! Times as Go's `yaml.v3` reads them, and as its JSON encoder writes them again.

use std::fmt::Write as _;

/// `None` where the text is no time; `Some(None)` where it is one that JSON cannot hold.
pub(super) fn json(text: &str) -> Option<Option<String>> {
    let mut rest = Rest(text);
    let year = rest.digits(4, 4)?;
    rest.skip('-')?;
    let month = rest.digits(1, 2)?;
    rest.skip('-')?;
    let day = rest.digits(1, 2)?;
    if !(1..=12).contains(&month) || day < 1 || day > days(year, month) {
        return None;
    }
    let mut out = format!("{year:04}-{month:02}-{day:02}T");
    if rest.0.is_empty() {
        out.push_str("00:00:00Z");
        return Some(Some(out));
    }
    let zoned = match rest.next()? {
        'T' | 't' => true,
        ' ' => {
            // Go's layout takes any number of them.
            while rest.skip(' ').is_some() {}
            false
        }
        _ => return None,
    };
    let hour = rest.digits(1, 2).filter(|hour| *hour < 24)?;
    rest.skip(':')?;
    let minute = rest.digits(1, 2).filter(|minute| *minute < 60)?;
    rest.skip(':')?;
    let second = rest.digits(1, 2).filter(|second| *second < 60)?;
    let _ = write!(out, "{hour:02}:{minute:02}:{second:02}");
    out.push_str(&rest.fraction());
    let zone = if zoned { rest.zone()? } else { Some("Z".to_owned()) };
    rest.0.is_empty().then(|| zone.map(|zone| out + &zone))
}

/// What is not read yet.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.0.chars().next()?;
        self.0 = &self.0[c.len_utf8()..];
        Some(c)
    }

    fn skip(&mut self, wanted: char) -> Option<()> {
        self.0 = self.0.strip_prefix(wanted)?;
        Some(())
    }

    /// A number of so many digits.
    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let count = self.0.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = (count >= least).then(|| self.0.split_at(count))?;
        self.0 = rest;
        digits.parse().ok()
    }

    /// The fraction of a second, where there is one: nine digits at most, without zeros at the end.
    fn fraction(&mut self) -> String {
        let Some(digits) = self.0.strip_prefix(['.', ',']) else { return String::new() };
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return String::new();
        }
        self.0 = &digits[count..];
        let kept = digits[..count.min(9)].trim_end_matches('0');
        if kept.is_empty() { String::new() } else { format!(".{kept}") }
    }

    /// The distance from UTC; `Some(None)` where JSON has no room for it.
    fn zone(&mut self) -> Option<Option<String>> {
        let sign = match self.next()? {
            'Z' => return Some(Some("Z".to_owned())),
            sign @ ('+' | '-') => sign,
            _ => return None,
        };
        let hours = self.digits(2, 2).filter(|hours| *hours <= 24)?;
        self.skip(':')?;
        let minutes = self.digits(2, 2).filter(|minutes| *minutes <= 60)?;
        let (hours, minutes) = (hours + minutes / 60, minutes % 60);
        Some(match (hours, minutes) {
            (0, 0) => Some("Z".to_owned()),
            (24.., _) => None,
            _ => Some(format!("{sign}{hours:02}:{minutes:02}")),
        })
    }
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
