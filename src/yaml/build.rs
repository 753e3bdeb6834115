//! From events to the tree, without recursion: depth and weight are counted before anything is kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use saphyr_parser::{Event, ScalarStyle, Span};

use super::lines::Lines;
use super::{Error, Limits, Node, Scalar, Style, Value};

/// A scalar weighs one node more for each of these, so that repeating a long one by aliases is not free for whoever
/// copies it into a plan or an error.
const BYTES_PER_NODE: usize = 256;

/// A tree in the making.
pub(super) struct Tree<'a> {
    limits: Limits,
    /// As Go reads it.
    go: bool,
    lines: &'a Lines<'a>,
    open: Vec<Frame>,
    root: Option<Node>,
    anchored: BTreeMap<usize, Anchored>,
    /// Nodes so far, aliases at full weight.
    nodes: usize,
}

/// A list or mapping whose end has not come yet.
struct Frame {
    at: (u32, u32),
    anchor: usize,
    brackets: bool,
    /// Nodes that came before it.
    before: usize,
    /// Levels below it so far.
    height: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { pairs: Vec<(Node, Node)>, key: Option<Node>, seen: BTreeMap<Arc<str>, (u32, u32)> },
}

/// What an anchor stands for, and what each alias to it costs.
struct Anchored {
    value: Value,
    weight: usize,
    height: usize,
}

impl<'a> Tree<'a> {
    pub(super) fn new(limits: Limits, go: bool, lines: &'a Lines<'a>) -> Self {
        Self { limits, go, lines, open: Vec::new(), root: None, anchored: BTreeMap::new(), nodes: 0 }
    }

    /// The document, now that its end has come. Anchors end with it, although the parser remembers them.
    pub(super) fn finish(&mut self) -> Option<Node> {
        self.anchored.clear();
        self.root.take()
    }

    /// Takes the next event in.
    pub(super) fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Error> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                // An omitted value stands wherever the next thing does.
                if !text.is_empty() || span.start != span.end {
                    self.indented(span)?;
                }
                if self.go && style == ScalarStyle::Plain && self.in_brackets() && text.contains('?') {
                    let what =
                        "a `?` ends a text in brackets or braces that is not in quotes: put it in quotes";
                    return self.refuse(span, what);
                }
                let mut text = text;
                if self.go {
                    self.like_go(&mut text, style, span)?;
                }
                let weight = 1 + text.len() / BYTES_PER_NODE;
                self.weigh(weight, span)?;
                let tag = tag.map(|tag| format!("{}{}", tag.handle, tag.suffix).into());
                let value = Value::Scalar(Scalar { text: text.into(), style: style.into(), tag });
                if anchor > 0 {
                    self.anchored.insert(anchor, Anchored { value: value.clone(), weight, height: 0 });
                }
                self.place(Node { at: self.lines.quick(span.start), value }, 0)
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::SequenceStart(anchor, _) => self.enter(anchor, span, Content::Sequence(Vec::new())),
            Event::MappingStart(anchor, _) => {
                let content = Content::Mapping { pairs: Vec::new(), key: None, seen: BTreeMap::new() };
                self.enter(anchor, span, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn refuse<T>(&self, span: Span, what: impl Into<String>) -> Result<T, Error> {
        Err(Error { at: self.lines.exact(span.start), what: what.into() })
    }

    /// What Go's parser reads otherwise: one escape is unknown to it, and it adds no line break to a block that the text
    /// ends in.
    fn like_go(&self, text: &mut Cow<'_, str>, style: ScalarStyle, span: Span) -> Result<(), Error> {
        let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        if block && text.ends_with('\n') && self.lines.ends_open() && self.lines.is_end(span.end) {
            text.to_mut().pop();
        }
        let raw = if style == ScalarStyle::DoubleQuoted { self.lines.quoted(span.start) } else { None };
        let mut escape = false;
        let unknown = raw.unwrap_or_default().bytes().any(|byte| {
            let slash = escape && byte == b'/';
            escape = byte == b'\\' && !escape;
            slash
        });
        if unknown {
            return self
                .refuse(span, "a text in quotes has the escape `\\/`, which is not known: write `/` alone");
        }
        Ok(())
    }

    fn in_brackets(&self) -> bool {
        self.open.last().is_some_and(|frame| frame.brackets)
    }

    fn indented(&self, span: Span) -> Result<(), Error> {
        if self.in_brackets() { Ok(()) } else { self.lines.indentation(span.start) }
    }

    fn weigh(&mut self, weight: usize, span: Span) -> Result<(), Error> {
        self.nodes = self.nodes.saturating_add(weight);
        if self.nodes > self.limits.nodes {
            let what =
                format!("more than {} nodes, each alias counted with all it repeats", self.limits.nodes);
            return self.refuse(span, what);
        }
        Ok(())
    }

    fn deep<T>(&self, span: Span) -> Result<T, Error> {
        self.refuse(span, format!("nested deeper than {} levels", self.limits.depth))
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Frame { content: Content::Mapping { key: None, .. }, .. }))
    }

    fn enter(&mut self, anchor: usize, span: Span, content: Content) -> Result<(), Error> {
        if self.awaits_key() {
            return self.refuse(span, KEY);
        }
        self.indented(span)?;
        if self.open.len() >= self.limits.depth {
            return self.deep(span);
        }
        let before = self.nodes;
        self.weigh(1, span)?;
        let brackets = self.in_brackets() || self.lines.in_brackets(span.start);
        let at = self.lines.quick(span.start);
        self.open.push(Frame { at, anchor, brackets, before, height: 0, content });
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Error> {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        let value = match frame.content {
            Content::Sequence(nodes) => Value::Sequence(nodes.into()),
            Content::Mapping { pairs, .. } => Value::Mapping(pairs.into()),
        };
        let height = frame.height + 1;
        if frame.anchor > 0 {
            let weight = self.nodes - frame.before;
            self.anchored.insert(frame.anchor, Anchored { value: value.clone(), weight, height });
        }
        self.place(Node { at: frame.at, value }, height)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Error> {
        self.indented(span)?;
        let Some(Anchored { value, weight, height }) = self.anchored.get(&anchor) else {
            let what = if self.open.iter().any(|frame| frame.anchor == anchor) {
                "the alias repeats what it is itself a part of"
            } else {
                "the alias has no anchor in this document"
            };
            return self.refuse(span, what);
        };
        let (value, weight, height) = (value.clone(), *weight, *height);
        if height > 0 && self.awaits_key() {
            return self.refuse(span, KEY);
        }
        if self.open.len() + height > self.limits.depth {
            return self.deep(span);
        }
        self.weigh(weight, span)?;
        self.place(Node { at: self.lines.quick(span.start), value }, height)
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node, height: usize) -> Result<(), Error> {
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.height = frame.height.max(height);
        match &mut frame.content {
            Content::Sequence(nodes) => nodes.push(node),
            Content::Mapping { pairs, key, seen } => match key.take() {
                Some(key) => pairs.push((key, node)),
                None => {
                    if let Value::Scalar(scalar) = &node.value
                        && let Some((line, column)) = seen.insert(scalar.text.clone(), node.at)
                    {
                        let what = format!(
                            "the key stands here a second time, first at line {line}, column {column}"
                        );
                        return Err(Error { at: node.at, what });
                    }
                    *key = Some(node);
                }
            },
        }
        Ok(())
    }
}

const KEY: &str = "the key of a mapping is itself a list or a mapping";

impl From<ScalarStyle> for Style {
    fn from(style: ScalarStyle) -> Self {
        match style {
            ScalarStyle::Plain => Self::Plain,
            ScalarStyle::SingleQuoted => Self::Single,
            ScalarStyle::DoubleQuoted => Self::Double,
            ScalarStyle::Literal => Self::Literal,
            ScalarStyle::Folded => Self::Folded,
        }
    }
}
