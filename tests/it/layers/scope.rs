//! What a path means: follows it through the modules and the imports of the whole crate.
//!
//! Where a name could mean several things (imports in different blocks, `cfg` branches), all of them count.

use std::collections::{BTreeMap, BTreeSet};

use super::collect::{Facts, Import, Written};

/// A path that is reached: of this crate, or of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reached {
    Inner(Vec<String>),
    Outer(Vec<String>),
}

/// The names of every module.
#[derive(Default)]
pub(super) struct Names<'a> {
    modules: BTreeMap<Vec<String>, Scope<'a>>,
}

#[derive(Default)]
struct Scope<'a> {
    imports: Vec<&'a Import>,
    types: BTreeSet<&'a str>,
}

/// A walk over one path: who asks, and what was reached on the way.
struct Walk<'a> {
    names: &'a Names<'a>,
    asker: &'a [String],
    reached: BTreeSet<Reached>,
}

/// Whether a name may come from a glob over another crate. In the asker's own module that glob is judged itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guess {
    No,
    Yes,
}

impl<'a> Names<'a> {
    /// Adds a file's module and what the file says of names.
    pub(super) fn add(&mut self, module: &[String], facts: &'a Facts) {
        for module in facts.modules.iter().map(Vec::as_slice).chain([module]) {
            // `store::local` without a file for `store` still makes `store` a module.
            for length in 0..=module.len() {
                self.modules.entry(module[..length].to_vec()).or_default();
            }
        }
        for import in &facts.imports {
            self.modules.entry(import.module.clone()).or_default().imports.push(import);
        }
        for (module, name) in &facts.types {
            self.modules.entry(module.clone()).or_default().types.insert(name);
        }
    }

    /// Every path reached from a path written in a module: the crate's own on the way, and the last of each way.
    /// `binds` is the name that the path itself gives to a `use`.
    pub(super) fn resolve(&self, module: &[String], path: &Written, binds: Option<&str>) -> Vec<Reached> {
        let mut walk = Walk { names: self, asker: module, reached: BTreeSet::new() };
        walk.start(module, path, binds, FUEL);
        walk.reached.into_iter().collect()
    }

    /// Whether the module has an import of this name, or no globs that could bring it.
    pub(super) fn settled(&self, module: &[String], name: &str) -> bool {
        self.modules.get(module).is_none_or(|scope| {
            let named = |import: &&Import| import.name.as_deref() == Some(name);
            scope.imports.iter().any(named) || scope.imports.iter().all(|import| import.name.is_some())
        })
    }
}

impl Walk<'_> {
    fn start(&mut self, module: &[String], path: &Written, not: Option<&str>, fuel: usize) {
        let Some((first, rest)) = path.segments.split_first() else { return };
        let ours = first == "latchkey";
        if fuel == 0 || path.global {
            return if ours { self.walk(&[], rest, fuel) } else { self.outer(&path.segments) };
        }
        match first.as_str() {
            "crate" if module.first().is_some_and(|top| top == "main") => self.walk(&module[..1], rest, fuel),
            "crate" => self.walk(&[], rest, fuel),
            "self" => self.walk(module, rest, fuel),
            "super" => {
                let ups = path.segments.iter().take_while(|segment| *segment == "super").count();
                let above = &module[..module.len().saturating_sub(ups)];
                self.walk(above, &path.segments[ups..], fuel);
            }
            _ => {
                if !self.enter(module, &path.segments, not, Guess::No, fuel) {
                    if ours { self.walk(&[], rest, fuel) } else { self.outer(&path.segments) }
                }
            }
        }
    }

    /// From a module of the crate on.
    fn walk(&mut self, base: &[String], rest: &[String], fuel: usize) {
        self.reached.insert(Reached::Inner([base, rest].concat()));
        if !rest.is_empty() && fuel > 0 {
            self.enter(base, rest, None, Guess::Yes, fuel);
        }
    }

    /// Looks the first segment up among the names of a module; says whether it is surely one of them.
    fn enter(
        &mut self,
        module: &[String],
        path: &[String],
        not: Option<&str>,
        guess: Guess,
        fuel: usize,
    ) -> bool {
        let names = self.names;
        let Some((first, rest)) = path.split_first() else { return false };
        let Some(scope) = names.modules.get(module) else { return false };
        let child = [module, std::slice::from_ref(first)].concat();
        if names.modules.contains_key(&child) && not != Some(first) {
            self.walk(&child, rest, fuel);
            return true;
        }
        let mut found = scope.types.contains(first.as_str());
        if found {
            self.reached.insert(Reached::Inner([module, path].concat()));
        }
        for import in scope.imports.iter().filter(|import| import.name.as_ref() == Some(first)) {
            if not != Some(first) && fuel > 0 {
                let segments = [&import.path.segments, rest].concat();
                let whole = Written { global: import.path.global, segments };
                self.start(module, &whole, Some(first), fuel - 1);
                found |= !import.block;
            }
        }
        found || (fuel > 0 && self.globs(scope, path, guess, fuel - 1))
    }

    /// The name may come from a glob. A glob over another crate is only a guess, so it never settles a name.
    fn globs(&mut self, scope: &Scope<'_>, path: &[String], guess: Guess, fuel: usize) -> bool {
        let mut found = false;
        for glob in scope.imports.iter().filter(|import| import.name.is_none()) {
            if !(glob.public || self.asker.starts_with(&glob.module)) {
                continue;
            }
            for target in self.names.resolve_within(&glob.module, &glob.path, fuel) {
                match target {
                    Reached::Inner(module) if module != glob.module => {
                        found |= self.enter(&module, path, None, Guess::Yes, fuel);
                    }
                    Reached::Outer(outer) if guess == Guess::Yes => {
                        self.outer(&[outer.as_slice(), path].concat());
                    }
                    Reached::Inner(_) | Reached::Outer(_) => {}
                }
            }
        }
        found
    }

    fn outer(&mut self, path: &[String]) {
        let mut path = path.to_vec();
        if matches!(path[0].as_str(), "core" | "alloc") {
            "std".clone_into(&mut path[0]);
        }
        self.reached.insert(Reached::Outer(path));
    }
}

impl Names<'_> {
    fn resolve_within(&self, module: &[String], path: &Written, fuel: usize) -> Vec<Reached> {
        let mut walk = Walk { names: self, asker: module, reached: BTreeSet::new() };
        walk.start(module, path, None, fuel);
        walk.reached.into_iter().collect()
    }
}

/// How many imports a path may lead through before the walk gives up, since imports can go in circles.
const FUEL: usize = 6;
