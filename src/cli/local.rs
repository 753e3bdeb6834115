//! `latchkey local`: keeps the embedded store. Values come from standard input or a file, never from an argument, where
//! a shell's history and every `ps` would show them; nothing here prints one.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::{Output, unwritable};
use crate::app::local::{Content, EntryPath, Keeper, Reader, Readers, Row, VALUE_BYTES_MAX};
use crate::config;
use crate::error::{Problem, Problems, Reason};

/// The arguments of `latchkey local`.
#[derive(Debug, Args)]
pub struct LocalArgs {
    #[command(subcommand)]
    command: LocalCommand,
}

#[derive(Debug, Subcommand)]
enum LocalCommand {
    /// Make an identity (the key) and an empty store; never overwrites either
    Init(Files),
    /// Add a version of an entry, or change who may read it
    ///
    /// The value is standard input as it comes, its last newline included (see --trim-newline). With nothing on
    /// standard input, --reader and --no-readers change the readers of an entry and leave its value alone.
    Set(Set),
    /// Show entries, versions and readers, never values
    List(List),
    /// Remove an entry, or one of its versions
    Remove(Remove),
    /// Change the key: first to the old and a new one, then to the new one alone
    RotateKey(RotateKey),
}

// Which store: every command takes these.
#[derive(Debug, Args)]
struct Files {
    /// The store's file
    #[arg(long, env = config::LOCAL_FILE, value_name = "FILE")]
    file: PathBuf,
    /// The file with the key that opens it
    #[arg(long, env = config::LOCAL_IDENTITY, value_name = "FILE")]
    identity: PathBuf,
}

#[derive(Debug, Args)]
struct Set {
    /// The entry, such as `prod/db`
    #[arg(value_name = "PATH")]
    path: String,
    /// Let a service account read it, beside those that may already; `*` may end the namespace or be the account
    #[arg(long = "reader", value_name = "NAMESPACE/SERVICEACCOUNT")]
    readers: Vec<String>,
    /// Remove all readers first; --reader then adds
    #[arg(long)]
    no_readers: bool,
    /// Take the value from a file instead; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "fields")]
    value_file: Option<PathBuf>,
    /// Set a field from a file; repeat for several, which together are the new version; `-` is standard input, once
    #[arg(long = "field", value_name = "NAME=FILE")]
    fields: Vec<String>,
    /// Take one newline from the end of what is read, files included
    #[arg(long)]
    trim_newline: bool,
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, Args)]
struct List {
    /// A table for people, or JSON
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, Args)]
struct Remove {
    /// The entry
    #[arg(value_name = "PATH")]
    path: String,
    /// Remove only this version; its number is never reused
    #[arg(long, value_name = "NUMBER")]
    version: Option<u64>,
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, Args)]
#[group(id = "step", required = true, multiple = false, args = ["new_identity", "finish"])]
struct RotateKey {
    /// First: make this identity file, and encrypt the store to it too
    #[arg(long, value_name = "FILE")]
    new_identity: Option<PathBuf>,
    /// Then, once every agent has it: drop all keys but that of --identity
    #[arg(long)]
    finish: bool,
    #[command(flatten)]
    files: Files,
}

/// Standard input, and nothing where it is a terminal: a secret that is typed there would show.
pub fn input() -> Box<dyn Read> {
    if io::stdin().is_terminal() { Box::new(io::empty()) } else { Box::new(io::stdin().lock()) }
}

/// Does what was asked, and says on `out` what it did. `input` is what [`input`] gives.
///
/// # Errors
/// The problem, with the flag that it is about.
pub fn run(args: &LocalArgs, out: &mut dyn Write, input: &mut dyn Read) -> Result<(), Problems> {
    let done = match &args.command {
        LocalCommand::Init(files) => init(files, out).map_err(|problem| files.flag(problem)),
        LocalCommand::Set(set) => set.run(out, input).map_err(|problem| set.files.flag(problem)),
        LocalCommand::List(list) => list.run(out).map_err(|problem| list.files.flag(problem)),
        LocalCommand::Remove(remove) => remove.run(out).map_err(|problem| remove.files.flag(problem)),
        LocalCommand::RotateKey(rotate) => rotate.run(out).map_err(|problem| {
            let new = rotate.new_identity.as_deref();
            flag(rotate.files.flag(problem), new, "--new-identity")
        }),
    };
    done.map_err(Problems::from)
}

impl Files {
    fn keeper(&self) -> Result<Keeper, Problem> {
        Keeper::open(&self.file, &self.identity)
    }

    /// The problem, with the flag that names its file.
    fn flag(&self, problem: Problem) -> Problem {
        flag(flag(problem, Some(&self.file), "--file"), Some(&self.identity), "--identity")
    }
}

fn flag(problem: Problem, path: Option<&Path>, name: &'static str) -> Problem {
    let about = path.is_some_and(|path| problem.place.hop.as_deref() == Some(&*path.to_string_lossy()));
    if about && problem.place.parameter.is_none() { problem.parameter(name) } else { problem }
}

fn init(files: &Files, out: &mut dyn Write) -> Result<(), Problem> {
    let (_, recipient) = Keeper::init(&files.file, &files.identity)?;
    let (file, identity) = (files.file.display(), files.identity.display());
    say(
        out,
        format_args!(
            "made the store     {file}\n\
             and its identity   {identity}   (public key {recipient})\n\
             \n\
             Keep a copy of the identity in a safe place: without it nothing opens the store.\n\
             Next: latchkey local set PATH --reader NAMESPACE/SERVICEACCOUNT < VALUE\n"
        ),
    )
}

impl Set {
    fn run(&self, out: &mut dyn Write, input: &mut dyn Read) -> Result<(), Problem> {
        let path = entry_path(&self.path)?;
        let add = self.readers.iter().map(|text| reader(text)).collect::<Result<_, _>>()?;
        let readers = Readers { clear: self.no_readers, add };
        let keeper = self.files.keeper()?;
        let content = self.content(input)?;
        let added = content.is_some();
        let row = keeper.set(&path, &readers, content)?;
        let versions = row.versions.last().map_or(0, |version| version.number);
        let what = if added { "set" } else { "kept" };
        say(out, format_args!("{what} {path}, version {versions}; readers: {}\n", names(&row)))?;
        if row.readers.is_empty() {
            say(
                out,
                format_args!(
                    "Nobody may read it yet: latchkey local set {path} --reader NAMESPACE/SERVICEACCOUNT\n"
                ),
            )?;
        }
        Ok(())
    }

    fn content(&self, input: &mut dyn Read) -> Result<Option<Content>, Problem> {
        if !self.fields.is_empty() {
            return self.all_fields(input).map(|fields| Some(Content::Fields(fields)));
        }
        if let Some(file) = &self.value_file {
            let value = self.value(file, input).map_err(|problem| problem.parameter("--value-file"))?;
            return Ok(Some(Content::Value(value)));
        }
        let value =
            self.value(Path::new("-"), input).map_err(|problem| problem.parameter("standard input"))?;
        if !value.is_empty() {
            return Ok(Some(Content::Value(value)));
        }
        if self.no_readers || !self.readers.is_empty() {
            return Ok(None);
        }
        Err(Problem::new(Reason::Invalid, "standard input brought no value")
            .parameter("--value-file")
            .remedy("pipe the value in, or name a file, which may be empty"))
    }

    fn all_fields(&self, input: &mut dyn Read) -> Result<BTreeMap<String, Zeroizing<Vec<u8>>>, Problem> {
        let wrong = |what: &str| Problem::new(Reason::Invalid, what).parameter("--field");
        let mut fields = BTreeMap::new();
        let mut piped = false;
        for field in &self.fields {
            // Whatever stands there instead may be a value: it is not told.
            let (name, file) =
                field.split_once('=').filter(|(_, file)| !file.is_empty()).ok_or_else(|| {
                    wrong("is not `NAME=FILE`")
                        .remedy("put the value into a file, or pipe it in with `NAME=-`")
                })?;
            if file == "-" && std::mem::replace(&mut piped, true) {
                return Err(wrong("takes standard input twice").remedy("put all values but one into files"));
            }
            let object = format!("field `{name}`");
            let value = self
                .value(Path::new(file), input)
                .map_err(|problem| problem.parameter("--field").object(&object))?;
            if fields.insert(name.to_owned(), value).is_some() {
                return Err(wrong("is given twice").object(object).remedy("give each field once"));
            }
        }
        Ok(fields)
    }

    fn value(&self, file: &Path, input: &mut dyn Read) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let unreadable = |error: io::Error| {
            Problem::new(Reason::Invalid, format!("cannot be read ({})", error.kind()))
                .remedy("name a file that holds the value and that you may read; `-` is standard input")
        };
        let mut value = if file == Path::new("-") {
            whole(input).map_err(unreadable)?
        } else {
            File::open(file).and_then(|mut file| whole(&mut file)).map_err(unreadable)?
        };
        if value.len() > VALUE_BYTES_MAX {
            let what = format!("has more than {VALUE_BYTES_MAX} bytes");
            return Err(Problem::new(Reason::Invalid, what).remedy("split it"));
        }
        if self.trim_newline && value.last() == Some(&b'\n') {
            value.pop();
        }
        Ok(value)
    }
}

/// One byte more than may be, at most. The buffer has its full size at once: one that grows leaves copies behind.
fn whole(input: &mut dyn Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(VALUE_BYTES_MAX + 1));
    input.take(VALUE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl List {
    fn run(&self, out: &mut dyn Write) -> Result<(), Problem> {
        let rows = self.files.keeper()?.list()?;
        match self.output {
            Output::Json => {
                let entries: Vec<_> = rows.iter().map(json).collect();
                say(out, format_args!("{:#}\n", serde_json::json!({ "entries": entries })))
            }
            Output::Text if rows.is_empty() => {
                say(out, format_args!("The store is empty. Next: latchkey local set PATH < VALUE\n"))
            }
            Output::Text => table(&rows, out),
        }
    }
}

fn table(rows: &[Row], out: &mut dyn Write) -> Result<(), Problem> {
    let cells = |row: &Row| {
        let newest = row.versions.last();
        [
            row.path.to_string(),
            newest.map_or_else(String::new, |newest| newest.number.to_string()),
            newest.map_or_else(String::new, |newest| newest.created.clone()),
            newest.map_or_else(String::new, |newest| match newest.fields.len() {
                0 => "one value".to_owned(),
                _ => newest.fields.join(", "),
            }),
            names(row),
        ]
    };
    let mut lines = vec![["PATH", "VERSION", "SET", "HOLDS", "READERS"].map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    for [path, version, set, holds, readers] in &lines {
        let [a, b, c, d] = widths;
        say(out, format_args!("{path:a$}  {version:>b$}  {set:c$}  {holds:d$}  {readers}\n"))?;
    }
    Ok(())
}

fn json(row: &Row) -> serde_json::Value {
    let versions: Vec<_> = row
        .versions
        .iter()
        .map(|version| {
            serde_json::json!({
                "version": version.number,
                "created": version.created,
                "fields": version.fields,
            })
        })
        .collect();
    let readers: Vec<String> = row.readers.iter().map(Reader::to_string).collect();
    serde_json::json!({ "path": row.path.as_str(), "readers": readers, "versions": versions })
}

impl Remove {
    fn run(&self, out: &mut dyn Write) -> Result<(), Problem> {
        let path = entry_path(&self.path)?;
        self.files.keeper()?.remove(&path, self.version)?;
        match self.version {
            Some(version) => say(out, format_args!("removed version {version} of {path}\n")),
            None => say(out, format_args!("removed {path}\n")),
        }
    }
}

impl RotateKey {
    fn run(&self, out: &mut dyn Write) -> Result<(), Problem> {
        let keeper = self.files.keeper()?;
        let Some(new) = &self.new_identity else {
            let recipients = keeper.finish_rotation()?;
            return say(out, format_args!("the store opens with {} alone\n", recipients.join(", ")));
        };
        let recipients = keeper.rotate_key(new)?;
        say(
            out,
            format_args!(
                "the store opens with each of {}\n\
                 Next: give every agent {new}, then drop the old key:\n\
                 latchkey local rotate-key --finish --file {file} --identity {new}\n",
                recipients.join(", "),
                new = new.display(),
                file = self.files.file.display(),
            ),
        )
    }
}

fn entry_path(text: &str) -> Result<EntryPath, Problem> {
    EntryPath::parse(text).ok_or_else(|| {
        Problem::new(Reason::Invalid, "is not the path of an entry").parameter("PATH").remedy(EntryPath::RULE)
    })
}

fn reader(text: &str) -> Result<Reader, Problem> {
    Reader::parse(text).ok_or_else(|| {
        Problem::new(Reason::Invalid, "names no service account").parameter("--reader").remedy(Reader::RULE)
    })
}

fn names(row: &Row) -> String {
    if row.readers.is_empty() {
        return "nobody".to_owned();
    }
    row.readers.iter().map(Reader::to_string).collect::<Vec<_>>().join(", ")
}

fn say(out: &mut dyn Write, text: fmt::Arguments<'_>) -> Result<(), Problem> {
    out.write_fmt(text).map_err(|error| unwritable(&error))
}
