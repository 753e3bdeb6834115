//! Writes a volume as the driver's atomic writer does: the files stand in a folder
//! `..<time>`, the symlink `..data` names the current one and is swapped by a rename, and top-level symlinks lead
//! through it. A reader sees all old files or all new ones.
//!
//! Three differences, each to the benefit of a folder that is not a fresh tmpfs. What stands in the way and was not
//! written by this writer is refused, where the driver deletes it. A `..data_tmp` left by a crash is replaced, where
//! the driver fails for ever. A write that fails takes its new folder away, where the driver leaves it. Like the
//! driver's, nothing is synced to a disk, since a volume lives in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Wall;
use crate::error::{Problem, Reason};
use crate::model::RelPath;
use crate::text::printable;

/// One file of an answer. Not printable: it holds a value.
#[derive(Clone, Copy)]
pub struct NewFile<'a> {
    /// Where, as it came on the wire.
    pub path: &'a str,
    /// Its mode as Go understands it: 0777, and far above them three flags for set-id and sticky. The bits 07000 of
    /// a Unix mode mean nothing to Go, so the driver drops them.
    pub mode: u32,
    /// Its content.
    pub contents: &'a [u8],
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Every content was there already and no file had gone: nothing was touched, a new mode neither.
    Unchanged,
    /// The volume holds the new files and no others.
    Replaced,
}

/// Writes the whole volume into the folder `target`, which exists. What is not among `files` is removed from it; no
/// files at all mean "keep what is there". Of two files with one path the later wins. `stamp` names the new folder.
///
/// # Errors
/// `invalid` for a path that the driver refuses, before anything is written; `setup` for what the system refuses: until
/// the one step that makes the new files current, the old ones stay as they were.
pub fn write(target: &Path, files: &[NewFile<'_>], stamp: Wall) -> Result<Written, Problem> {
    for file in files {
        check(file.path).map_err(|rule| {
            let what = format!("the driver refuses a path that {rule}");
            Problem::new(Reason::Invalid, what).object(format!("file `{}`", printable(file.path)))
        })?;
    }
    let payload: BTreeMap<&str, NewFile<'_>> = files.iter().map(|file| (file.path, *file)).collect();
    if payload.is_empty() {
        return Ok(Written::Unchanged);
    }
    let volume = Volume { root: target };
    let old = volume.current()?;
    let old_paths = old.as_deref().map(|folder| volume.paths(folder)).transpose()?.unwrap_or_default();
    let gone = old_paths.iter().any(|path| !payload.contains_key(path.as_str()));
    if let Some(folder) = &old
        && !gone
        && payload.values().all(|file| same(&folder.join(file.path), file.contents))
    {
        return Ok(Written::Unchanged);
    }
    let names: BTreeSet<&str> = payload.keys().map(|path| top(path)).collect();
    let missing = volume.missing(&names)?;
    let new = volume.folder(stamp)?;
    let filled = payload.values().try_for_each(|file| put(&new, file)).and_then(|()| volume.swap(&new));
    if let Err(problem) = filled {
        let _ = fs::remove_dir_all(&new);
        return Err(problem);
    }
    for name in missing {
        let link = target.join(name);
        symlink(through(name), &link).map_err(|error| failed("create the link", &link, &error))?;
    }
    for name in old_paths.iter().map(|path| top(path)).filter(|name| !names.contains(name)) {
        volume.unlink(name)?;
    }
    match old.as_deref().map(|folder| (folder, fs::remove_dir_all(folder))) {
        Some((folder, Err(error))) if error.kind() != ErrorKind::NotFound => {
            return Err(failed("remove the old folder", folder, &error));
        }
        Some(_) | None => {}
    }
    Ok(Written::Replaced)
}

/// The driver's rules for a path. They let stand what ours refuse, such as control characters.
fn check(path: &str) -> Result<(), &'static str> {
    let mut components = path.split('/');
    if path.is_empty() {
        Err("is empty")
    } else if path.starts_with('/') {
        Err("is absolute")
    } else if path.len() > RelPath::BYTES_MAX {
        Err("is longer than 4096 bytes")
    } else if path.split('/').any(|part| part == "..") {
        Err("contains `..`")
    } else if path.starts_with("..") {
        Err("starts with the reserved prefix `..`")
    } else if path.split('/').any(|part| part.len() > RelPath::COMPONENT_BYTES_MAX) {
        Err("has a component longer than 255 bytes")
    } else if path == "." {
        // Lets the driver's check pass, and then fails as a folder.
        Err("is the volume itself")
    } else if components.any(|part| part.is_empty() || part == ".") {
        Err("is not in its shortest form")
    } else {
        Ok(())
    }
}

/// A folder in the writer's layout.
struct Volume<'a> {
    root: &'a Path,
}

impl Volume<'_> {
    /// The folder that `..data` names, if there is one. A link that this writer cannot have made is not followed.
    fn current(&self) -> Result<Option<PathBuf>, Problem> {
        let data = self.root.join(DATA);
        let name = match fs::read_link(&data) {
            Ok(name) => name,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read the link", &data, &error)),
        };
        let ours =
            name.to_str().is_some_and(|name| name.starts_with("..") && name.len() > 2 && !name.contains('/'));
        if ours { Ok(Some(self.root.join(name))) } else { Err(in_the_way(&data)) }
    }

    /// The paths of all files below a folder.
    fn paths(&self, folder: &Path) -> Result<BTreeSet<String>, Problem> {
        let mut paths = BTreeSet::new();
        let mut open = vec![folder.to_path_buf()];
        while let Some(next) = open.pop() {
            let entries = match fs::read_dir(&next) {
                Ok(entries) => entries,
                // Someone took the folder away under its link: there is nothing to keep.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("read the folder", &next, &error)),
            };
            for entry in entries {
                let entry = entry.map_err(|error| failed("read the folder", &next, &error))?;
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(path);
                } else if let Some(name) = path.strip_prefix(folder).ok().and_then(Path::to_str) {
                    paths.insert(name.to_owned());
                }
            }
        }
        Ok(paths)
    }

    /// The top-level names that have no link yet.
    fn missing<'n>(&self, names: &BTreeSet<&'n str>) -> Result<Vec<&'n str>, Problem> {
        let mut missing = Vec::new();
        for name in names {
            let link = self.root.join(name);
            match fs::read_link(&link) {
                Ok(target) if target == through(name) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => missing.push(*name),
                Ok(_) | Err(_) => return Err(in_the_way(&link)),
            }
        }
        Ok(missing)
    }

    /// Removes a top-level link, if it is one of this writer's.
    fn unlink(&self, name: &str) -> Result<(), Problem> {
        let link = self.root.join(name);
        if fs::read_link(&link).is_ok_and(|target| target == through(name)) { remove(&link) } else { Ok(()) }
    }

    /// A new folder `..<time>_<count>`, 0755 whatever the umask says. The count keeps two writes of one millisecond
    /// apart: a name that came back would show a reader of the old folder a new one, half written.
    fn folder(&self, stamp: Wall) -> Result<PathBuf, Problem> {
        // `2026-11-24T10:33:00.123Z` becomes `2026_11_24_10_33_00.123`.
        let time = stamp.to_string().replace(['-', 'T', ':'], "_").replace('Z', "");
        loop {
            let count = FOLDERS.fetch_add(1, Ordering::Relaxed);
            let folder = self.root.join(format!("..{time}_{count}"));
            match fs::create_dir(&folder) {
                Ok(()) => {
                    fs::set_permissions(&folder, Permissions::from_mode(0o755))
                        .map_err(|error| failed("set the mode of", &folder, &error))?;
                    return Ok(folder);
                }
                // Another process wrote in the same millisecond.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("create the folder", &folder, &error)),
            }
        }
    }

    /// Makes `..data` name the new folder, in one step.
    fn swap(&self, new: &Path) -> Result<(), Problem> {
        let (data, next) = (self.root.join(DATA), self.root.join(NEXT));
        remove(&next)?;
        let name = new.file_name().unwrap_or_default();
        symlink(name, &next).map_err(|error| failed("create the link", &next, &error))?;
        fs::rename(&next, &data).map_err(|error| failed("swap the link", &data, &error))
    }
}

/// Writes one file, readable by nobody else until its mode is set, which no umask narrows.
fn put(folder: &Path, file: &NewFile<'_>) -> Result<(), Problem> {
    let path = folder.join(file.path);
    let write = || -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        open.write_all(file.contents)?;
        open.set_permissions(Permissions::from_mode(unix_mode(file.mode)))
    };
    write().map_err(|error| {
        let what = format!("cannot write the file: {}", error.kind());
        Problem::new(Reason::Setup, what)
            .object(format!("file `{}`", printable(file.path)))
            .remedy("look at the folder's permissions and free space, and whether another file is its folder")
    })
}

/// What Go's `os.Chmod` asks the system for, given an `os.FileMode`.
fn unix_mode(mode: u32) -> u32 {
    [(23, 0o4000), (22, 0o2000), (20, 0o1000)]
        .into_iter()
        .filter(|(bit, _)| mode >> bit & 1 == 1)
        .fold(mode & 0o777, |unix, (_, flag)| unix | flag)
}

/// Whether a file has this content. One that cannot be read is taken for different.
fn same(path: &Path, contents: &[u8]) -> bool {
    fs::read(path).is_ok_and(|there| there == contents)
}

fn remove(path: &Path) -> Result<(), Problem> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Where a top-level link leads.
fn through(name: &str) -> PathBuf {
    Path::new(DATA).join(name)
}

/// The first component: that is what pods see in the volume's root.
fn top(path: &str) -> &str {
    path.split_once('/').map_or(path, |(top, _)| top)
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Problem {
    let what = format!("cannot {doing}: {}", error.kind());
    Problem::new(Reason::Setup, what)
        .hop(path.display().to_string())
        .remedy("look at the folder's owner, permissions and free space")
}

fn in_the_way(path: &Path) -> Problem {
    let what = "something else stands where the volume needs a link of its own";
    Problem::new(Reason::Setup, what)
        .hop(path.display().to_string())
        .remedy("choose an empty folder, or move it away")
}

/// The link that names the current folder.
const DATA: &str = "..data";
/// The link that is renamed over it.
const NEXT: &str = "..data_tmp";
/// How many folders this process has made.
static FOLDERS: AtomicU64 = AtomicU64::new(0);
