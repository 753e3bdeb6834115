//! Paths inside macros, whose bodies are tokens and no syntax tree.

use proc_macro2::{Delimiter, Literal, TokenStream, TokenTree};
use syn::visit::Visit;

use super::collect::{Collector, Kind, Written, name};

/// Finds paths, macros and method calls in the body of a macro.
pub(super) fn walk(stream: TokenStream, sink: &mut Collector) {
    let all: Vec<TokenTree> = without_dollars(stream);
    let mut at = 0;
    while at < all.len() {
        at = match &all[at] {
            TokenTree::Group(group) => {
                walk(group.stream(), sink);
                at + 1
            }
            TokenTree::Ident(ident) if ident == "use" => import(&all, at, sink),
            TokenTree::Ident(_) => chain(&all, at, sink),
            TokenTree::Punct(_) | TokenTree::Literal(_) => at + 1,
        };
    }
}

/// Every literal, at any depth.
pub(super) fn literals(stream: TokenStream) -> Vec<Literal> {
    let mut found = Vec::new();
    for token in stream {
        match token {
            TokenTree::Group(group) => found.extend(literals(group.stream())),
            TokenTree::Literal(literal) => found.push(literal),
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
    found
}

/// A whole `use` statement counts as one; a fragment of a macro's rules falls back to its paths.
fn import(all: &[TokenTree], at: usize, sink: &mut Collector) -> usize {
    let Some(length) = all[at..].iter().position(|token| punct(Some(token), ';')) else { return at + 1 };
    let after = at + length + 1;
    let statement: TokenStream = all[at..after].iter().cloned().collect();
    match syn::parse2::<syn::ItemUse>(statement) {
        Ok(item) => {
            sink.visit_item_use(&item);
            after
        }
        Err(_) => at + 1,
    }
}

/// Reads `a::b::c` from an identifier on, and says where it ends.
fn chain(all: &[TokenTree], start: usize, sink: &mut Collector) -> usize {
    let mut segments = Vec::new();
    let mut at = start;
    while let Some(TokenTree::Ident(ident)) = all.get(at) {
        segments.push(name(ident));
        at += 1;
        if !(colons(all, at) && matches!(all.get(at + 2), Some(TokenTree::Ident(_)))) {
            break;
        }
        at += 2;
    }
    let line = all[start].span().start().line;
    let global = start >= 2 && colons(all, start - 2);
    // In `Vec::<T>::new` what follows the bracket belongs to a type; in `call.name` and `'name` it is no path.
    let arrow = start >= 4 && (punct(all.get(start - 4), '=') || punct(all.get(start - 4), '-'));
    if global && start >= 3 && punct(all.get(start - 3), '>') && !arrow {
        return at;
    }
    let dot = start >= 1 && punct(all.get(start - 1), '.');
    if dot && !(start >= 2 && punct(all.get(start - 2), '.')) {
        if group(all.get(at), Some(Delimiter::Parenthesis)) || colons(all, at) {
            sink.mention(Kind::Method, Written { global: false, segments }, line);
        }
        return at;
    }
    if punct(all.get(at), '!') && group(all.get(at + 1), None) {
        sink.mention(Kind::Macro, Written { global, segments }, line);
    } else if segments.len() > 1 {
        sink.mention(Kind::Path, Written { global, segments }, line);
    }
    at
}

/// `$crate::x` means `crate::x` here.
fn without_dollars(stream: TokenStream) -> Vec<TokenTree> {
    let all: Vec<TokenTree> = stream.into_iter().collect();
    let before_crate = |at: usize| matches!(all.get(at + 1), Some(TokenTree::Ident(next)) if next == "crate");
    let keep = |at: &usize| !(punct(all.get(*at), '$') && before_crate(*at));
    (0..all.len()).filter(keep).map(|at| all[at].clone()).collect()
}

fn colons(all: &[TokenTree], at: usize) -> bool {
    punct(all.get(at), ':') && punct(all.get(at + 1), ':')
}

fn punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn group(token: Option<&TokenTree>, delimiter: Option<Delimiter>) -> bool {
    matches!(token, Some(TokenTree::Group(group)) if delimiter.is_none_or(|wanted| group.delimiter() == wanted))
}
