//! The reference page of flags and keys, made from the flags and keys themselves.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use super::Cli;
use crate::config::{LOCAL_FILE, LOCAL_IDENTITY};

/// `docs/CONFIGURATION.md`, whole.
pub fn reference() -> String {
    let mut page = String::from(HEAD);
    let command = Cli::command();
    for name in ["serve", "mount", "lint", "local", "demo"] {
        let Some(sub) = command.find_subcommand(name) else { continue };
        flags(&mut page, sub, &format!("latchkey {name}"));
        for nested in sub.get_subcommands() {
            flags(&mut page, nested, &format!("latchkey {name} {}", nested.get_name()));
        }
    }
    page.push_str(KEYS_HEAD);
    page.push_str(&crate::config::reference());
    let _ = writeln!(
        page,
        "\nWithout a file, the variables `{LOCAL_FILE}` and `{LOCAL_IDENTITY}` together configure the store `local`.\n\n\
         Towards backends, `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` (or in lower case) name the proxies, `http://` and `https://` ones, and where none is used: names with all below \
         them, addresses, networks, `*`. Loopback, `*.svc` and `*.svc.cluster.local` are always reached directly. A proxy resolves names itself, so behind one the agent cannot see what \
         address a permitted name stands for. `SSL_CERT_FILE` names a PEM file of the authorities that are trusted where a store has no `ca` of its own. Files of authorities are read again when \
         they change, within 10 s; one that cannot be read leaves things as they were."
    );
    page
}

fn flags(page: &mut String, command: &clap::Command, title: &str) {
    let mut rows = String::new();
    for arg in command.get_arguments() {
        let name = match (arg.get_long(), arg.get_value_names()) {
            (Some(long), _) => format!("--{long}"),
            (None, Some([name, ..])) => name.to_string(),
            (None, _) => arg.get_id().to_string().to_uppercase(),
        };
        let variable =
            arg.get_env().map_or_else(|| "–".to_owned(), |name| format!("`{}`", name.to_string_lossy()));
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default =
            if defaults.is_empty() { "–".to_owned() } else { format!("`{}`", defaults.join(",")) };
        let help = arg.get_help().map_or_else(String::new, ToString::to_string);
        let _ = writeln!(rows, "| `{name}` | {variable} | {default} | {help} |");
    }
    if !rows.is_empty() {
        let about = command.get_about().map_or_else(String::new, ToString::to_string);
        let _ = write!(
            page,
            "\n### `{title}`\n\n{about}.\n\n| flag | variable | default | meaning |\n|---|---|---|---|\n{rows}"
        );
    }
}

const HEAD: &str = "# Configuration\n\nThis page is generated from the program (`UPDATE_DOCS=1 cargo test --test it \
reference`) and held to it by a test.\n\nThe agent reads its flags, their environment variables, and one YAML file. \
A flag wins over its variable. Unknown keys of the file are errors that name the nearest known one; everything wrong \
with the file is told at once. Exit codes: 0 done, 1 failed, 2 usage or configuration.\n\n## Flags\n";

const KEYS_HEAD: &str = "\n## The file\n\n`*` stands for a name of your choice, `[]` for the entries of a list. \
Durations are whole numbers with `ms`, `s`, `m` or `h`.\n\n";
