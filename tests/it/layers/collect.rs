//! Every path that a file mentions outside its tests, and every name that it imports.

use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, ImplItem, Item, Lit, Meta, Stmt, TraitItem, UseTree};

use super::source::only_in_tests;
use super::tokens;

/// What one file says.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) mentions: Vec<Mention>,
    pub(crate) imports: Vec<Import>,
    /// The modules declared here, with or without a body, and the types by module.
    pub(crate) modules: Vec<Vec<String>>,
    pub(crate) types: Vec<(Vec<String>, String)>,
    /// Modules which exist in tests alone.
    pub(crate) tests: Vec<Vec<String>>,
    /// Lines that bring in code from a place which the checker does not read, or reads as another unit.
    pub(crate) hidden: Vec<(usize, &'static str)>,
}

/// A path as written, where it is written.
#[derive(Clone)]
pub(crate) struct Mention {
    pub(crate) module: Vec<String>,
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    pub(crate) path: Written,
    /// The name that a `use` gives to the path, which cannot be part of its own meaning.
    pub(crate) binds: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Glob,
    Macro,
    Method,
    Path,
    Use,
}

/// A path before it is resolved; `global` is a leading `::`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) global: bool,
    pub(crate) segments: Vec<String>,
}

/// A name that a `use` brings into a module; `None` is a glob. `block` says that it holds in one block only.
pub(crate) struct Import {
    pub(crate) module: Vec<String>,
    pub(crate) name: Option<String>,
    pub(crate) path: Written,
    pub(crate) public: bool,
    pub(crate) block: bool,
}

/// Reads a file that holds the module.
pub(crate) fn collect(module: Vec<String>, file: &syn::File) -> Facts {
    let mut collector = Collector { module, blocks: 0, public: false, facts: Facts::default() };
    if only_in_tests(&file.attrs) {
        collector.facts.tests.push(collector.module);
    } else {
        collector.visit_file(file);
    }
    collector.facts
}

/// The text of an identifier without `r#`.
pub(super) fn name(ident: &syn::Ident) -> String {
    ident.unraw().to_string()
}

pub(super) struct Collector {
    module: Vec<String>,
    blocks: usize,
    public: bool,
    facts: Facts,
}

impl Collector {
    pub(super) fn mention(&mut self, kind: Kind, path: Written, line: usize) {
        self.facts.mentions.push(Mention { module: self.module.clone(), line, kind, path, binds: None });
    }

    fn import(&mut self, kind: Kind, path: Written, bound: Option<String>, line: usize) {
        let module = self.module.clone();
        self.facts.mentions.push(Mention {
            module: module.clone(),
            line,
            kind,
            path: path.clone(),
            binds: bound.clone(),
        });
        // `use trait_of::It as _` binds no name, and a glob binds all.
        if kind == Kind::Glob || bound.is_some() {
            let (public, block) = (self.public, self.blocks > 0);
            self.facts.imports.push(Import { module, name: bound, path, public, block });
        }
    }

    fn tree(&mut self, tree: &UseTree, global: bool, before: &[String]) {
        let line = tree.span().start().line;
        let joined = |ident: &syn::Ident| {
            let mut segments = before.to_vec();
            // The `self` of `use a::{self}` is `a`; the one that begins a path stays.
            if ident != "self" || before.is_empty() {
                segments.push(name(ident));
            }
            Written { global, segments }
        };
        match tree {
            UseTree::Path(path) => self.tree(&path.tree, global, &joined(&path.ident).segments),
            UseTree::Name(leaf) => {
                let path = joined(&leaf.ident);
                let bound = path.segments.last().cloned();
                self.import(Kind::Use, path, bound, line);
            }
            UseTree::Rename(leaf) => {
                let bound = Some(name(&leaf.rename)).filter(|bound| bound != "_");
                self.import(Kind::Use, joined(&leaf.ident), bound, line);
            }
            UseTree::Glob(_) => {
                let path = Written { global, segments: before.to_vec() };
                self.import(Kind::Glob, path, None, line);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(tree, global, before)),
        }
    }

    /// `#[serde(with = "a::b")]` hides a path in a string.
    fn strings(&mut self, attribute: &Attribute) {
        let named = |name| attribute.path().is_ident(name);
        if let Meta::List(list) = &attribute.meta
            && (named("serde") || named("cfg_attr"))
        {
            for literal in tokens::literals(list.tokens.clone()) {
                let line = literal.span().start().line;
                if let Ok(Lit::Str(text)) = syn::parse_str::<Lit>(&literal.to_string())
                    && let Ok(path) = text.parse::<syn::Path>()
                    && path.segments.len() > 1
                {
                    self.mention(Kind::Path, written(&path), line);
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item(&mut self, item: &'ast Item) {
        if only_in_tests(attributes(item)) {
            if let Item::Mod(inner) = item {
                let mut module = self.module.clone();
                module.push(name(&inner.ident));
                self.facts.tests.push(module);
            }
            return;
        }
        if let Some(ident) = type_name(item)
            && self.blocks == 0
        {
            self.facts.types.push((self.module.clone(), name(ident)));
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let tests = match item {
            ImplItem::Const(inner) => only_in_tests(&inner.attrs),
            ImplItem::Fn(inner) => only_in_tests(&inner.attrs),
            ImplItem::Macro(inner) => only_in_tests(&inner.attrs),
            ImplItem::Type(inner) => only_in_tests(&inner.attrs),
            ImplItem::Verbatim(_) | _ => false,
        };
        if !tests {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if !matches!(item, TraitItem::Fn(inner) if only_in_tests(&inner.attrs)) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_stmt(&mut self, stmt: &'ast Stmt) {
        let tests = match stmt {
            Stmt::Local(local) => only_in_tests(&local.attrs),
            Stmt::Macro(call) => only_in_tests(&call.attrs),
            Stmt::Item(_) | Stmt::Expr(..) => false,
        };
        if !tests {
            visit::visit_stmt(self, stmt);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.blocks += 1;
        visit::visit_block(self, block);
        self.blocks -= 1;
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let line = item.ident.span().start().line;
        if let Some(path) = item.attrs.iter().find(|attribute| attribute.path().is_ident("path")) {
            let line = path.span().start().line;
            self.facts.hidden.push((line, "`#[path]` puts a module where its name does not say"));
        }
        if item.content.is_none() && self.module == ["main"] {
            self.facts.hidden.push((line, "`main` declares no modules: they would be compiled twice"));
        }
        self.module.push(name(&item.ident));
        self.facts.modules.push(self.module.clone());
        let blocks = std::mem::take(&mut self.blocks);
        visit::visit_item_mod(self, item);
        self.blocks = blocks;
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.public = !matches!(item.vis, syn::Visibility::Inherited);
        self.tree(&item.tree, item.leading_colon.is_some(), &[]);
        self.public = false;
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let own = item.ident == "self";
        let segments = vec![if own { "crate".to_owned() } else { name(&item.ident) }];
        let bound = item.rename.as_ref().map_or(&item.ident, |(_, rename)| rename);
        let line = item.ident.span().start().line;
        self.import(Kind::Use, Written { global: !own, segments }, Some(name(bound)), line);
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        // The rules of a `macro_rules!` are walked like any macro's body.
        self.visit_macro(&item.mac);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.mention(Kind::Macro, written(&call.path), call.path.span().start().line);
        tokens::walk(call.tokens.clone(), self);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.mention(Kind::Path, written(path), path.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let path = Written { global: false, segments: vec![name(&call.method)] };
        self.mention(Kind::Method, path, call.method.span().start().line);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if attribute.path().is_ident("doc") {
            return;
        }
        self.strings(attribute);
        self.visit_path(attribute.path());
        match &attribute.meta {
            Meta::List(list) => tokens::walk(list.tokens.clone(), self),
            Meta::NameValue(pair) if !is_text(&pair.value) => self.visit_expr(&pair.value),
            Meta::NameValue(_) | Meta::Path(_) => {}
        }
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(in crate::x)` gives and takes nothing.
    }
}

fn is_text(value: &Expr) -> bool {
    matches!(value, Expr::Lit(ExprLit { lit: Lit::Str(_), .. }))
}

fn written(path: &syn::Path) -> Written {
    let segments = path.segments.iter().map(|segment| name(&segment.ident)).collect();
    Written { global: path.leading_colon.is_some(), segments }
}

fn type_name(item: &Item) -> Option<&syn::Ident> {
    if let Item::Struct(syn::ItemStruct { ident, .. })
    | Item::Enum(syn::ItemEnum { ident, .. })
    | Item::Union(syn::ItemUnion { ident, .. })
    | Item::Type(syn::ItemType { ident, .. })
    | Item::Trait(syn::ItemTrait { ident, .. }) = item
    {
        return Some(ident);
    }
    None
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Verbatim(_) | _ => &[],
    }
}
