//! Where everything in a file stands, for those who take parts of it over as
//! they are written.

use std::ops::Range;
use std::path::Path;

use crate::config::Checked;
use crate::config::report::Report;
use crate::config::xml::{self, Node};

/// One element. Places are bytes of the text that was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    pub name: String,
    /// Counts from 1.
    pub line: usize,
    /// From its opening tag to behind its closing tag.
    pub at: Range<usize>,
    /// What stands between the two; empty for `<x/>`.
    pub inside: Range<usize>,
    /// Without blanks at its ends and without comments.
    pub text: String,
    pub parts: Vec<Part>,
}

impl Part {
    /// The text of the last setting with this name, as Wazuh takes it.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let mut named = self.parts.iter().filter(|part| part.name == name);
        named.next_back().map(|part| part.text.as_str())
    }
}

/// The elements at the top of `text`. Without a value if the markup itself is
/// broken: nobody knows then what belongs to what. Whether the settings mean
/// anything is not looked at. `file` is how to name it in problems.
pub fn outline(text: &str, file: &Path) -> Checked<Vec<Part>> {
    let mut report = Report::new(file, text);
    let document = xml::parse(text, &mut report);
    let parts = document.roots.iter().map(|root| part(root, &report));
    let parts: Vec<_> = parts.collect();
    let value = Some(parts).filter(|_| !report.has_errors());
    let (diagnostics, sources) = report.finish();
    Checked {
        value,
        diagnostics,
        summary: String::new(),
        sources,
    }
}

fn part(node: &Node, report: &Report<'_>) -> Part {
    Part {
        name: node.name.clone(),
        line: report.line(node.tag_at),
        at: node.tag_at.start..node.end_at.end,
        inside: node.tag_at.end..node.end_at.start,
        text: node.text.clone(),
        parts: node
            .children
            .iter()
            .map(|child| part(child, report))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::outline;

    #[test]
    fn every_part_is_where_it_says() {
        let text = "<r>\n <a><b> ü <!-- </b> --></b></a>\n <c/></r>";
        let roots = outline(text, Path::new("x")).value.unwrap();
        let [a, c] = &roots[0].parts[..] else {
            panic!("{roots:?}");
        };
        let b = &a.parts[0];
        assert_eq!((roots[0].line, a.line, c.line), (1, 2, 3));
        assert_eq!(&text[a.at.clone()], "<a><b> ü <!-- </b> --></b></a>");
        assert_eq!(&text[b.inside.clone()], " ü <!-- </b> -->");
        assert_eq!(b.text, "ü");
        assert_eq!((&text[c.at.clone()], c.inside.len()), ("<c/>", 0));
        assert_eq!((a.setting("b"), a.setting("x")), (Some("ü"), None));
    }

    #[test]
    fn broken_markup_has_no_outline_but_wrong_settings_have() {
        let of = |text| outline(text, Path::new("x"));
        assert!(of("<r><a>x</r>").value.is_none());
        assert!(of("<r><a>x</r>").problems().contains("is not closed"));
        assert!(of("<r><command><nmae/></command></r>").value.is_some());
    }
}
