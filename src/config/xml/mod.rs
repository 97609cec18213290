//! The file as a tree of located elements.
//!
//! It is built from quick-xml's events: its serde layer reads only the first
//! root and keeps no positions. What is wrong with the markup is reported with
//! both places concerned, and reading goes on behind it, so that one broken
//! block does not hide what is wrong elsewhere.

mod scan;
mod tree;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use self::scan::Scanned;
use self::tree::Tree;
use crate::config::report::{Report, Span};

/// Wazuh looks up paths of at most 16 elements (os_xml/os_xml_access.c).
const MAX_DEPTH: usize = 64;
/// A configuration with more is none; each costs about 200 bytes.
const MAX_ELEMENTS: usize = 200_000;

/// One element.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) name_at: Span,
    /// Without blanks at its ends and without comments, entities resolved.
    pub(crate) text: String,
    /// Where the text stands; the name, if there is none.
    pub(crate) text_at: Span,
    /// Blanks stood around the text.
    pub(crate) padded: bool,
    /// Entities stood in it, which Wazuh would have kept as they are.
    pub(crate) entities: bool,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) children: Vec<Node>,
    /// Its end was not found where it belongs: it may lack some children.
    pub(crate) broken: bool,
}

#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) at: Span,
}

/// The elements at the top, and where text stands outside of them.
pub(crate) struct Document {
    pub(crate) roots: Vec<Node>,
}

/// Reads the whole text; never fails, says what is wrong to `report`.
pub(crate) fn parse(source: &str, report: &mut Report<'_>) -> Document {
    let scanned = scan::scan(source, report);
    let mut reader = Reader::from_str(&scanned.text);
    let config = reader.config_mut();
    config.allow_dangling_amp = true;
    config.allow_unmatched_ends = true;
    config.check_end_names = false;
    let mut tree = Tree::default();
    let mut elements = 0_usize;
    let mut start = 0;
    loop {
        let event = reader.read_event();
        let end = offset(reader.buffer_position());
        let at = Span::new(start, end);
        start = end;
        match event {
            Ok(Event::Start(tag)) => {
                elements += 1;
                if too_much(&tree, elements, at, report) {
                    break;
                }
                let node = node(&tag, at, report);
                tree.open(node);
            }
            Ok(Event::Empty(tag)) => {
                elements += 1;
                if too_much(&tree, elements, at, report) {
                    break;
                }
                let node = node(&tag, at, report);
                tree.add(node);
            }
            Ok(Event::End(tag)) => {
                let name_start = at.start + 2;
                let name = tag.name().as_ref().trim_end().to_owned();
                tree.close(
                    &name,
                    Span::new(name_start, name_start + name.len()),
                    report,
                );
            }
            Ok(Event::Text(_)) => tree.text(scanned.chars(at)),
            Ok(Event::CData(_)) => {
                let inside = Span::new(at.start + "<![CDATA[".len(), at.end - "]]>".len());
                tree.text(scanned.chars(inside));
            }
            Ok(Event::GeneralRef(_)) => reference(&mut tree, &scanned, source, at),
            // The scan has taken these out of the text.
            Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_)) => {}
            Ok(Event::Eof) => break,
            Err(error) => {
                let at = offset(reader.error_position()).min(source.len());
                let message = format!("this is no XML: {error}; nothing after it is read");
                report.error(Span::new(at, at), message, "");
                break;
            }
        }
    }
    tree.finish(Span::new(source.len(), source.len()), report)
}

fn offset(position: u64) -> usize {
    usize::try_from(position).expect("a position in memory")
}

fn too_much(tree: &Tree, elements: usize, at: Span, report: &mut Report<'_>) -> bool {
    let message = if tree.depth() >= MAX_DEPTH {
        format!("elements are nested more than {MAX_DEPTH} deep; nothing from here on is read")
    } else if elements > MAX_ELEMENTS {
        format!("more than {MAX_ELEMENTS} elements; nothing from here on is read")
    } else {
        return false;
    };
    report.error(
        at,
        message,
        "a configuration looks different: is this the right file?",
    );
    true
}

fn node(tag: &BytesStart<'_>, at: Span, report: &mut Report<'_>) -> Node {
    let name = tag.name().as_ref().to_owned();
    let name_at = Span::new(at.start + 1, at.start + 1 + name.len());
    let mut attributes = Vec::new();
    let raw = tag.attributes_raw();
    for attribute in tag.attributes() {
        match attribute {
            Ok(attribute) => {
                let name = attribute.key.as_ref().to_owned();
                // The key is a part of `raw`, so this is its place in it.
                let before =
                    name_at.end + (attribute.key.as_ref().as_ptr().addr() - raw.as_ptr().addr());
                attributes.push(Attribute {
                    at: Span::new(before, before + name.len()),
                    name,
                });
            }
            Err(error) => {
                let message = format!("the attributes of <{name}> are no XML: {error}");
                report.error(name_at, message, "write them as name=\"value\"");
                break;
            }
        }
    }
    Node {
        name,
        name_at,
        text_at: name_at,
        attributes,
        ..Node::default()
    }
}

/// The five entities of XML and character references stand for a character;
/// anything else between `&` and `;` is text, as all of it is for Wazuh.
fn reference(tree: &mut Tree, scanned: &Scanned<'_>, source: &str, at: Span) {
    let name = source[at.start..at.end]
        .trim_start_matches('&')
        .trim_end_matches(';');
    let character = match name.strip_prefix('#') {
        Some(number) => match number.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok().and_then(char::from_u32),
            None => number.parse().ok().and_then(char::from_u32),
        },
        None => {
            quick_xml::escape::resolve_predefined_entity(name).and_then(|text| text.chars().next())
        }
    };
    match character {
        Some(character) => tree.entity(at, character),
        None => tree.text(scanned.chars(at)),
    }
}
