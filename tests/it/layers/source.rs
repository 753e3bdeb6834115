//! Source files as pairs of path and text, and what a path says about the module inside.

use std::path::{Path, PathBuf};

use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token};

/// A file: its path from the top of the repository, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The module that the file holds: `src/store/local/mod.rs` is `store::local`, `src/lib.rs` the root, which is
    /// empty, and `src/main.rs` the unit `main`.
    pub(crate) fn module(&self) -> Vec<String> {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let stem = inner.strip_suffix(".rs").unwrap_or(inner);
        let mut names: Vec<String> = stem.split('/').map(str::to_owned).collect();
        if names.last().is_some_and(|last| last == "mod") || names == ["lib"] {
            names.pop();
        }
        names
    }
}

/// The top of the repository.
pub(crate) fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder of the repository whose name ends so, in order.
pub(crate) fn read(folder: &str, extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    walk(&top().join(folder), &mut found);
    found.retain(|path| path.extension().is_some_and(|end| end == extension));
    found.sort();
    found.iter().map(|path| load(path)).collect()
}

/// Whether these attributes say that an item exists in tests alone.
pub(crate) fn only_in_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) => {
            list.path.is_ident("cfg") && list.parse_args::<Meta>().is_ok_and(|cfg| needs_test(&cfg))
        }
        Meta::NameValue(_) => false,
    })
}

/// `test` and `all(.., test, ..)` do; `any(test, ..)` and `not(test)` do not.
fn needs_test(cfg: &Meta) -> bool {
    match cfg {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|all| all.iter().any(needs_test)),
        Meta::List(_) | Meta::NameValue(_) => false,
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn load(path: &Path) -> Source {
    let text = std::fs::read_to_string(path).expect("a source file is readable text");
    let short = path.strip_prefix(top()).unwrap_or(path);
    Source::new(&short.to_string_lossy(), &text)
}
