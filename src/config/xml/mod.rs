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
use self::tree::{MissingEnds, Tree};
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
    /// The opening tag, or the only one.
    pub(crate) tag_at: Span,
    /// The closing tag; nothing behind the only one. Of no use if the element
    /// is broken.
    pub(crate) end_at: Span,
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
    /// As it is written, entities and all.
    pub(crate) value: String,
}

/// The elements at the top.
#[derive(Default)]
pub(crate) struct Document {
    pub(crate) roots: Vec<Node>,
}

impl Document {
    /// Puts the elements of another text behind these; `base` is where it starts
    /// among all.
    pub(crate) fn append(&mut self, mut other: Self, base: usize) {
        for root in &mut other.roots {
            root.shift(base);
        }
        self.roots.append(&mut other.roots);
    }
}

impl Node {
    fn shift(&mut self, base: usize) {
        let own = [
            &mut self.name_at,
            &mut self.tag_at,
            &mut self.end_at,
            &mut self.text_at,
        ];
        let attributes = self
            .attributes
            .iter_mut()
            .map(|attribute| &mut attribute.at);
        for span in own.into_iter().chain(attributes) {
            *span = Span::new(span.start + base, span.end + base);
        }
        for child in &mut self.children {
            child.shift(base);
        }
    }
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
    let mut cut = scanned.cut;
    loop {
        let event = reader.read_event();
        let end = offset(reader.buffer_position());
        let at = Span::new(start, end);
        start = end;
        match event {
            Ok(Event::Start(tag)) => {
                elements += 1;
                if too_much(&tree, elements, at, report) {
                    cut = true;
                    break;
                }
                let node = node(&tag, at, report);
                tree.open(node);
            }
            Ok(Event::Empty(tag)) => {
                elements += 1;
                if too_much(&tree, elements, at, report) {
                    cut = true;
                    break;
                }
                let node = node(&tag, at, report);
                tree.add(node);
            }
            Ok(Event::End(tag)) => {
                let name_start = at.start + 2;
                let name = tag.name().as_ref().trim_end().to_owned();
                let name_at = Span::new(name_start, name_start + name.len());
                tree.close(&name, (name_at, at), report);
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
                report.error(
                    Span::new(at, at),
                    message,
                    "look for what is wrong just before",
                );
                cut = true;
                break;
            }
        }
    }
    let end = Span::new(source.len(), source.len());
    let missing_ends = if cut {
        MissingEnds::Explained
    } else {
        MissingEnds::Report
    };
    tree.finish(end, missing_ends, report)
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
                    value: attribute.value.to_string(),
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
        tag_at: at,
        end_at: Span::new(at.end, at.end),
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Node, parse};
    use crate::config::report::Report;

    fn read(text: &str) -> (Vec<Node>, usize) {
        let mut report = Report::new(Path::new("x"), text);
        let document = parse(text, &mut report);
        (document.roots, report.finish().0.errors())
    }

    #[test]
    fn a_byte_order_mark_moves_nothing() {
        for source in ["\u{feff}<a><é/></a>", "\u{feff}\u{feff}<a><é/></a>"] {
            let (roots, errors) = read(source);
            assert_eq!((roots.len(), errors), (1, 0), "{source:?}");
            let at = roots[0].children[0].name_at;
            assert_eq!(&source[at.start..at.end], "é");
        }
    }

    #[test]
    fn names_and_texts_are_where_they_say() {
        let source = "<é a='1'>\r\n <b>  x\ty </b><c/>\n</é>\n<d>ü&#x41;</d>";
        let (roots, errors) = read(source);
        assert_eq!((roots.len(), errors), (2, 0));
        let b = &roots[0].children[0];
        for node in [&roots[0], b, &roots[0].children[1], &roots[1]] {
            assert_eq!(&source[node.name_at.start..node.name_at.end], node.name);
        }
        assert_eq!(&source[b.text_at.start..b.text_at.end], "x\ty");
        assert_eq!((b.text.as_str(), b.padded), ("x\ty", true));
        let at = roots[0].attributes[0].at;
        assert_eq!(&source[at.start..at.end], "a");
        let tags = |node: &Node| {
            let (tag, end) = (node.tag_at, node.end_at);
            (
                source[tag.start..tag.end].to_owned(),
                source[end.start..end.end].to_owned(),
            )
        };
        assert_eq!(tags(&roots[0]), ("<é a='1'>".into(), "</é>".into()));
        assert_eq!(tags(b), ("<b>".into(), "</b>".into()));
        assert_eq!(tags(&roots[0].children[1]), ("<c/>".into(), String::new()));
        assert_eq!((roots[1].text.as_str(), roots[1].entities), ("üA", true));
        assert_eq!(
            &source[roots[1].text_at.start..roots[1].text_at.end],
            "ü&#x41;"
        );
    }

    #[test]
    fn text_is_what_wazuh_reads_or_what_xml_says() {
        for (source, text) in [
            ("<a>R&D</a>", "R&D"),
            ("<a>a & b; c</a>", "a & b; c"),
            ("<a>x &amp;&lt;&nope; y</a>", "x &<&nope; y"),
            ("<a>\\<b\\></a>", "\\<b\\>"),
            ("<a>C:\\</a>", "C:\\"),
            ("<a>a>b</a>", "a>b"),
            ("<a>fire<!-- c -->wall</a>", "firewall"),
            ("<a>fire<! </a> !>wall</a>", "firewall"),
            ("<a>x<!-- y !>z</a>", "xz"),
            ("<a><![CDATA[<b>&amp;]]></a>", "<b>&amp;"),
            ("<a>\u{1}\u{2}</a>", "\u{1}\u{2}"),
            ("<a>&#99999999;</a>", "&#99999999;"),
        ] {
            let (roots, errors) = read(source);
            assert_eq!(errors, 0, "{source}");
            assert_eq!(roots[0].text, text, "{source}");
        }
    }

    #[test]
    fn a_block_that_is_not_closed_does_not_swallow_the_next() {
        let (roots, errors) = read("<r><a><x>1</x><a><x>2</x></a><b><y>3</y></b></r>");
        let names: Vec<&str> = roots[0].children.iter().map(|c| c.name.as_str()).collect();
        assert_eq!((names, errors), (vec!["a", "a", "b"], 1));
        assert!(roots[0].children[0].broken);
        assert!(!roots[0].children[1].broken);
    }
}
