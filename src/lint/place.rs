//! From a place inside a parameter to the place in the file, where both texts run side by side.

use crate::yaml::{Node, Style, Value};

/// The line and column in the file; the start of the value where its text is folded, escaped or repeated by an alias,
/// so that no place is ever named that is not what is meant.
pub(super) fn in_file(lines: &[&str], value: &Node, at: Option<(u32, u32)>) -> (u32, u32) {
    at.and_then(|at| exact(lines, value, at)).unwrap_or(value.at)
}

fn exact(lines: &[&str], value: &Node, (line, column): (u32, u32)) -> Option<(u32, u32)> {
    let Value::Scalar(scalar) = &value.value else { return None };
    let wanted: Vec<&str> = scalar.text.lines().take(usize::try_from(line).ok()?).collect();
    let last = wanted.last().filter(|_| u32::try_from(wanted.len()) == Ok(line))?;
    let (row, start) = match scalar.style {
        Style::Literal => {
            let row = block(lines, value.at.0, &wanted)? + wanted.len() - 1;
            (row, lines.get(row)?.chars().count().checked_sub(last.chars().count())?)
        }
        Style::Plain if line == 1 => (index(value.at.0)?, index(value.at.1)?),
        Style::Single | Style::Double if line == 1 => (index(value.at.0)?, index(value.at.1)? + 1),
        Style::Plain | Style::Single | Style::Double | Style::Folded => return None,
    };
    let own: String = lines.get(row)?.chars().skip(start).collect();
    let place = (u32::try_from(row + 1).ok()?, u32::try_from(start).ok()?.checked_add(column)?);
    own.starts_with(last).then_some(place)
}

fn index(number: u32) -> Option<usize> {
    usize::try_from(number).ok()?.checked_sub(1)
}

/// Where the lines of a block begin. The tree places it at its first line that is not blank, or at its anchor or tag.
fn block(lines: &[&str], at: u32, wanted: &[&str]) -> Option<usize> {
    let first = index(at)?;
    let blank = wanted.iter().take_while(|line| line.trim().is_empty()).count();
    let same = |own: &str, line: &str| {
        own.strip_suffix(line).is_some_and(|indent| indent.bytes().all(|byte| byte == b' '))
    };
    let runs = |from: &usize| {
        wanted.iter().enumerate().all(|(n, line)| lines.get(from + n).is_some_and(|own| same(own, line)))
    };
    [first.checked_sub(blank), Some(first), Some(first + 1)].into_iter().flatten().find(runs)
}
