//! Puts elements together, and makes sense of tags that do not match.

use super::{Document, Node};
use crate::config::report::{Report, Span};
use crate::config::schema::ELEMENTS;
use crate::diag::suggest;

#[derive(Default)]
pub(super) struct Tree {
    open: Vec<Open>,
    roots: Vec<Node>,
}

/// What to say of elements that are open at the end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum MissingEnds {
    Report,
    /// The rest of the file was not read, which has been reported.
    Explained,
}

/// An element whose end has not come yet.
struct Open {
    node: Node,
    /// Untrimmed.
    text: String,
    /// Places of the first and behind the last character that is no blank.
    solid: Option<Span>,
    /// It had text before its first child: it was meant to have none.
    text_first: bool,
}

impl Tree {
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    pub(super) fn open(&mut self, node: Node) {
        if let Some(parent) = self.open.last_mut() {
            parent.text_first |= parent.node.children.is_empty() && parent.solid.is_some();
        }
        self.open.push(Open {
            node,
            text: String::new(),
            solid: None,
            text_first: false,
        });
    }

    pub(super) fn add(&mut self, node: Node) {
        self.open(node);
        self.pop();
    }

    /// Text outside of all elements is ignored, as Wazuh does: files are
    /// pasted with the fences of the page they come from.
    pub(super) fn text(&mut self, chars: impl Iterator<Item = (usize, char)>) {
        let Some(open) = self.open.last_mut() else {
            return;
        };
        for (at, c) in chars {
            open.push(at, at + c.len_utf8(), c);
        }
    }

    pub(super) fn entity(&mut self, at: Span, c: char) {
        if let Some(open) = self.open.last_mut() {
            open.push(at.start, at.end, c);
            open.node.entities = true;
        }
    }

    /// `at` is where the name in the closing tag stands, `tag` the whole of it.
    pub(super) fn close(&mut self, name: &str, (at, tag): (Span, Span), report: &mut Report<'_>) {
        let same = |open: &Open| open.node.name == name;
        if let Some(index) = self.open.iter().rposition(same) {
            while self.open.len() > index + 1 {
                let line = report.line(at);
                self.pop_unclosed(&format!("before </{name}> in line {line}"), report);
            }
            if let Some(open) = self.open.last_mut() {
                open.node.end_at = tag;
            }
            self.pop();
            return;
        }
        // One that was written wrong closes what it resembles.
        let names: Vec<&str> = self
            .open
            .iter()
            .rev()
            .map(|o| o.node.name.as_str())
            .collect();
        let meant = suggest(name, names.into_iter().take(1)).map(str::to_owned);
        match (meant, self.open.last_mut()) {
            (Some(meant), Some(open)) => {
                let line = report.line(open.node.name_at);
                let message = format!("</{name}> does not close <{meant}> of line {line}");
                // Whichever of the two is an element that there is was meant.
                let hint = match is_known(name) && !is_known(&meant) {
                    true => format!("write <{name}> in line {line}"),
                    false => format!("write </{meant}>"),
                };
                report.error(at, message, hint);
                open.node.broken = true;
                self.pop();
            }
            (None, Some(open)) => {
                let line = report.line(open.node.name_at);
                let inside = &open.node.name;
                let message = format!("</{name}> closes nothing: <{name}> is not open");
                let hint = format!("remove it; it stands inside <{inside}> of line {line}");
                report.error(at, message, hint);
            }
            (_, None) => {
                let message = format!("</{name}> closes nothing: no element is open");
                report.error(
                    at,
                    message,
                    "remove it, or look for an earlier closing tag too many",
                );
            }
        }
    }

    pub(super) fn finish(
        mut self,
        end: Span,
        missing: MissingEnds,
        report: &mut Report<'_>,
    ) -> Document {
        let line = report.line(end);
        while let Some(open) = self.open.last_mut() {
            match missing {
                MissingEnds::Report => {
                    self.pop_unclosed(&format!("before the file ends in line {line}"), report);
                }
                MissingEnds::Explained => {
                    open.node.broken = true;
                    self.pop();
                }
            }
        }
        Document { roots: self.roots }
    }

    fn pop(&mut self) {
        if let Some(open) = self.open.pop() {
            let node = open.finish();
            match self.open.last_mut() {
                Some(parent) => parent.node.children.push(node),
                None => self.roots.push(node),
            }
        }
    }

    fn pop_unclosed(&mut self, before: &str, report: &mut Report<'_>) {
        let Some(mut open) = self.open.pop() else {
            return;
        };
        open.node.broken = true;
        let name = open.node.name.clone();
        match self.open.last_mut() {
            // <name>x<name>: the second was meant to close the first.
            Some(parent) if parent.node.name == name && parent.solid.is_some() => {
                let line = report.line(parent.node.name_at);
                let message =
                    format!("<{name}> is opened again; that of line {line} is still open");
                report.error(open.node.name_at, message, format!("write </{name}>"));
                let children = std::mem::take(&mut open.node.children);
                self.pop();
                self.give_back(children);
            }
            _ => {
                let message = format!("<{name}> is not closed {before}");
                report.error(
                    open.node.name_at,
                    message,
                    format!("write </{name}> at its end"),
                );
                let kept = open.own_children();
                let strangers = open.node.children.split_off(kept);
                self.open.push(open);
                self.pop();
                self.give_back(strangers);
            }
        }
    }

    fn give_back(&mut self, children: Vec<Node>) {
        match self.open.last_mut() {
            Some(parent) => parent.node.children.extend(children),
            None => self.roots.extend(children),
        }
    }
}

impl Open {
    fn push(&mut self, at: usize, end: usize, c: char) {
        self.text.push(c);
        if !c.is_whitespace() {
            let start = self.solid.map_or(at, |solid| solid.start);
            self.solid = Some(Span::new(start, end));
        }
    }

    /// How many of the children of an element that was never closed are its
    /// own. Those behind it were meant to be its neighbours: all, if it holds
    /// text; else from the first on that has its name or children itself.
    fn own_children(&self) -> usize {
        let children = &self.node.children;
        if self.text_first {
            return 0;
        }
        let stranger = |child: &Node| child.name == self.node.name || !child.children.is_empty();
        // A root holds blocks; only another root is a stranger to it.
        let is_root = children
            .iter()
            .take(1)
            .any(|child| !child.children.is_empty());
        children
            .iter()
            .position(|child| {
                if is_root {
                    child.name == self.node.name
                } else {
                    stranger(child)
                }
            })
            .unwrap_or(children.len())
    }

    fn finish(self) -> Node {
        let mut node = self.node;
        let trimmed = self.text.trim();
        node.padded = !trimmed.is_empty() && trimmed.len() != self.text.len();
        node.text_at = self.solid.unwrap_or(node.name_at);
        node.text = trimmed.to_owned();
        node
    }
}

/// Whether there is an element of this name anywhere.
fn is_known(name: &str) -> bool {
    ELEMENTS.iter().any(|element| element.name == name)
}
