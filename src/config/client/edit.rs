//! Writes the manager of an agent into its file, and touches nothing else.

use std::path::Path;

use crate::config::client::{OLD_PORT, SERVERS};
use crate::config::report::{Report, Span};
use crate::config::schema::Daemon;
use crate::config::sections;
use crate::config::xml::{self, Document, Node};
use crate::config::{AgentConfig, Context, agent};
use crate::model::ServerAddress;

/// Why a file cannot be told its manager. It is never changed by halves.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SetServerError {
    /// What it says would not load, with or without the new manager.
    #[error("set the manager in agent.conf: it has errors\n{0}  (correct them, then try again)")]
    Errors(String),
    /// The file reads otherwise than it was written.
    #[error(
        "set the manager in agent.conf: {0} is not what it says afterwards\n  (write \
         <client><server><address>…</address></server></client> into it by hand)"
    )]
    Unexpected(ServerAddress),
}

/// The text of an `agent.conf` that names `server` among its managers. All
/// bytes stay if it does so already. Else it is the only one: what named others
/// is replaced, or a `<server>` is added to the first `<client>` section, or a
/// section to the last root, or a root; all other bytes stay, and the result
/// has been read again: it loads, with this one server.
pub fn set_server(text: &[u8], server: &ServerAddress) -> Result<Vec<u8>, SetServerError> {
    let name = Path::new("agent.conf");
    let (mark, bytes) = match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => (BYTE_ORDER_MARK, rest),
        None => (&b""[..], text),
    };
    let names_it = |config: &AgentConfig| config.servers.contains(server);
    let before = agent(text, name, &Context::default());
    if before.value.as_ref().is_some_and(names_it) {
        return Ok(text.to_vec());
    }
    let Ok(source) = std::str::from_utf8(bytes) else {
        return Err(SetServerError::Errors(before.problems()));
    };
    let mut report = Report::new(name, source);
    let document = xml::parse(source, &mut report);
    if report.has_errors() {
        return Err(SetServerError::Errors(before.problems()));
    }
    let mut edit = Edit::new(source);
    edit.set(&document, server, &mut report);
    let mut result = mark.to_vec();
    result.extend(edit.finish().into_bytes());
    let after = agent(&result, name, &Context::default());
    match &after.value {
        None => Err(SetServerError::Errors(after.problems())),
        Some(config) if config.servers.as_slice() == std::slice::from_ref(server) => Ok(result),
        Some(_) => Err(SetServerError::Unexpected(server.clone())),
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Replacements in a text, none of which overlap.
struct Edit<'a> {
    source: &'a str,
    line_end: &'static str,
    changes: Vec<(Span, String)>,
}

impl<'a> Edit<'a> {
    fn new(source: &'a str) -> Self {
        let first = source.find('\n').map(|at| &source[..at]);
        let line_end = match first {
            Some(line) if line.ends_with('\r') => "\r\n",
            Some(_) | None => "\n",
        };
        Self {
            source,
            line_end,
            changes: Vec::new(),
        }
    }

    fn finish(mut self) -> String {
        self.changes.sort_by_key(|(at, _)| at.start);
        let mut result = String::new();
        let mut from = 0;
        for (at, text) in &self.changes {
            result.push_str(&self.source[from..at.start]);
            result.push_str(text);
            from = at.end;
        }
        result.push_str(&self.source[from..]);
        result
    }

    fn set(&mut self, document: &Document, server: &ServerAddress, report: &mut Report<'_>) {
        let sections = sections::find(document, Daemon::Agent, report);
        let clients: Vec<&Node> = sections.named("client").collect();
        let names_one = |name: &str| SERVERS.contains(&name) || name == OLD_PORT;
        let children = clients.iter().flat_map(|client| &client.children);
        let mut entries = children.filter(|child| names_one(&child.name));
        if let Some(first) = entries.next() {
            let outer = Span::new(first.tag_at.start, first.end_at.end);
            let indent = self.indent(outer.start);
            self.changes.push((outer, self.entry(server, indent)));
            for other in entries {
                self.remove(other);
            }
        } else if let Some(client) = clients.first() {
            self.put_into(client, |edit, indent| edit.entry(server, indent));
        } else if let Some(root) = last_root(document) {
            self.put_into(root, |edit, indent| edit.section(server, indent));
        } else {
            self.append_root(server);
        }
    }

    /// A `<server>`, its first line without indentation.
    fn entry(&self, server: &ServerAddress, indent: &str) -> String {
        let (end, unit) = (self.line_end, unit(indent));
        let ServerAddress { host, port } = server;
        format!(
            "<server>{end}{indent}{unit}<address>{host}</address>{end}{indent}{unit}<port>{port}\
             </port>{end}{indent}</server>"
        )
    }

    fn section(&self, server: &ServerAddress, indent: &str) -> String {
        let end = self.line_end;
        let inner = format!("{indent}{}", unit(indent));
        let entry = self.entry(server, &inner);
        format!("<client>{end}{inner}{entry}{end}{indent}</client>")
    }

    /// Adds a last child to an element, on lines of its own.
    fn put_into(&mut self, node: &Node, child: impl FnOnce(&Self, &str) -> String) {
        let indent = self.indent(node.tag_at.start);
        let inner = format!("{indent}{}", unit(indent));
        let child = child(self, &inner);
        let end = self.line_end;
        if node.end_at.start == node.end_at.end {
            let tag = &self.source[node.tag_at.start..node.tag_at.end];
            let open = tag.trim_end_matches('>').trim_end_matches('/').trim_end();
            let name = &node.name;
            let text = format!("{open}>{end}{inner}{child}{end}{indent}</{name}>");
            self.changes.push((node.tag_at, text));
            return;
        }
        let at = node.end_at.start;
        let line = self.line_start(at);
        if line > node.tag_at.start && is_blank(&self.source[line..at]) {
            let text = format!("{inner}{child}{end}");
            self.changes.push((Span::new(line, line), text));
        } else {
            let text = format!("{end}{inner}{child}{end}{indent}");
            self.changes.push((Span::new(at, at), text));
        }
    }

    fn append_root(&mut self, server: &ServerAddress) {
        let (end, at) = (self.line_end, self.source.len());
        let before = match self.source {
            "" => "",
            text if text.ends_with('\n') => "",
            _ => end,
        };
        let section = self.section(server, UNIT);
        let text = format!("{before}<ripost_config>{end}{UNIT}{section}{end}</ripost_config>{end}");
        self.changes.push((Span::new(at, at), text));
    }

    /// Takes an element out, with its lines if nothing else stands in them.
    fn remove(&mut self, node: &Node) {
        let (start, end) = (node.tag_at.start, node.end_at.end);
        let line = self.line_start(start);
        let rest = &self.source[end..];
        let next = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let alone = is_blank(&self.source[line..start]) && is_blank(&rest[..next]);
        let span = if alone {
            Span::new(line, end + next)
        } else {
            Span::new(start, end)
        };
        self.changes.push((span, String::new()));
    }

    fn line_start(&self, at: usize) -> usize {
        self.source[..at].rfind('\n').map_or(0, |before| before + 1)
    }

    /// What stands before the first element of a line; nothing if `at` is not
    /// that.
    fn indent(&self, at: usize) -> &'a str {
        let before = &self.source[self.line_start(at)..at];
        if is_blank(before) { before } else { "" }
    }
}

const UNIT: &str = "  ";

/// One step further in than `indent`.
fn unit(indent: &str) -> &'static str {
    if indent.contains('\t') { "\t" } else { UNIT }
}

fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// The last root that concerns every agent.
fn last_root(document: &Document) -> Option<&Node> {
    let of_all =
        |root: &&Node| sections::is_root(root, Daemon::Agent) && root.attributes.is_empty();
    document.roots.iter().rev().find(of_all)
}

#[cfg(test)]
mod tests;
