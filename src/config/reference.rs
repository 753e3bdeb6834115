//! The reference page, made from the keys themselves.

use std::fmt::Write as _;

use super::keys::KEYS;

/// The table of keys in Markdown, as `docs/CONFIGURATION.md` holds it.
pub fn reference() -> String {
    let mut page = String::from("| key | value | default | what it is for |\n|---|---|---|---|\n");
    for key in KEYS {
        let default = if key.default.is_empty() { "–" } else { key.default };
        let _ = writeln!(page, "| `{}` | {} | {default} | {} |", key.path, key.value, key.summary);
    }
    page
}
