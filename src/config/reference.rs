//! The reference page, made from the keys themselves.

use std::fmt::Write as _;

use super::keys::KEYS;
use super::watch::RELOADED;

/// The table of keys in Markdown, as `docs/CONFIGURATION.md` holds it.
pub fn reference() -> String {
    let mut page = String::from("| key | value | default | what it is for |\n|---|---|---|---|\n");
    for key in KEYS {
        let default = if key.default.is_empty() { "–" } else { key.default };
        let _ = writeln!(page, "| `{}` | {} | {default} | {} |", key.path, key.value, key.summary);
    }
    let keys: Vec<String> = RELOADED.iter().map(|key| format!("`{key}`")).collect();
    let _ = writeln!(
        page,
        "\nThe agent looks at its file every few seconds and takes {} anew, for mounts that begin afterwards. All else \
         sizes or opens something at the start and waits for the next one; the log names what has changed. A file with \
         anything wrong in it changes nothing: the log names every problem, and \
         `latchkey_config_reload{{outcome=\"failed\"}}` is 1 until the file is good.",
        keys.join(", "),
    );
    page
}
