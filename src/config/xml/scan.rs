//! What OSSEC's dialect has and XML has not, made digestible for an XML
//! reader without moving a byte: every position in the result is one in the
//! file. Facts: Wazuh 4.14 os_xml/os_xml.c.

use crate::config::report::{Report, Span};

/// Stands for a byte of a comment. Taken out of text, since the text around
/// a comment is joined.
const COMMENT: u8 = 0x02;
/// Stands for a `<` that is text.
const TEXT_LT: u8 = 0x01;

/// The byte order mark. Whoever reads the file takes one away; another one is
/// masked, because quick-xml drops it without counting its bytes.
const MARK: char = '\u{feff}';

/// The text as the XML reader sees it.
pub(super) struct Scanned<'a> {
    source: &'a str,
    pub(super) text: String,
    /// The rest of the file was left out, for a reason that is reported.
    pub(super) cut: bool,
}

impl Scanned<'_> {
    /// What stands in the file at these places, without comments, each
    /// character with its place.
    pub(super) fn chars(&self, at: Span) -> impl Iterator<Item = (usize, char)> {
        let masked = self.text.as_bytes();
        self.source[at.start..at.end]
            .char_indices()
            .map(move |(offset, c)| (at.start + offset, c))
            .filter(move |(offset, c)| masked[*offset] != COMMENT || *c == '\u{2}')
    }
}

pub(super) fn scan<'a>(source: &'a str, report: &mut Report<'_>) -> Scanned<'a> {
    let mut scanner = Scanner {
        source: source.as_bytes(),
        out: source.as_bytes().to_vec(),
        open: None,
        cut: false,
    };
    if source.starts_with(MARK) {
        scanner.mask(0, MARK.len_utf8());
    }
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'<', &scanner.source[at..]) {
        at = scanner.markup(at + found, report);
    }
    Scanned {
        source,
        cut: scanner.cut,
        text: String::from_utf8(scanner.out).expect("only whole characters were overwritten"),
    }
}

struct Scanner<'a> {
    source: &'a [u8],
    out: Vec<u8>,
    /// The name in the last tag, if that opened an element.
    open: Option<Span>,
    cut: bool,
}

impl Scanner<'_> {
    /// Looks at the `<` at `at`; answers where to go on.
    fn markup(&mut self, at: usize, report: &mut Report<'_>) -> usize {
        let rest = &self.source[at..];
        if at > 0 && self.source[at - 1] == b'\\' && !self.closes_open(at) {
            self.out[at] = TEXT_LT;
            at + 1
        } else if rest.starts_with(b"<![CDATA[") {
            self.end_of(at, b"]]>", "CDATA section", report)
        } else if rest.starts_with(b"<!DOCTYPE") {
            self.doctype(at, report)
        } else if rest.starts_with(b"<!") {
            self.comment(at, report)
        } else if rest.starts_with(b"<?") {
            let end = self.end_of(at, b"?>", "processing instruction", report);
            self.mask(at, end);
            end
        } else if rest.get(1).is_some_and(|&b| b == b'/' || is_name_start(b)) {
            self.tag(at, report)
        } else {
            report.error(
                Span::new(at, at + 1),
                "`<` starts no tag here",
                "write &lt;, or \\< as in OSSEC and Wazuh, for the character itself",
            );
            self.out[at] = TEXT_LT;
            at + 1
        }
    }

    /// Whether the closing tag at `at` is that of the element just opened.
    /// OSSEC takes the `<` of `C:\</directories>` for text and then misses the
    /// closing tag; XML does not.
    fn closes_open(&self, at: usize) -> bool {
        let Some(open) = self.open else { return false };
        let name = &self.source[open.start..open.end];
        self.source[at..]
            .strip_prefix(b"</")
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.first() == Some(&b'>'))
    }

    /// `<!-- -->` and `<! !>`; either end ends either start.
    fn comment(&mut self, at: usize, report: &mut Report<'_>) -> usize {
        let ends = |end: usize| self.source[at + 2..end].ends_with(b"-->") || self.ends_ossec(end);
        let mut closers = memchr::memchr_iter(b'>', &self.source[at + 2..]).map(|o| at + o + 3);
        let Some(end) = closers.find(|&end| ends(end)) else {
            return self.unclosed(at, "comment", "end it with -->", report);
        };
        if self.source[at..].starts_with(b"<!--") && self.ends_ossec(end) {
            self.warn_of_early_end(end, report);
        }
        self.mask(at, end);
        end
    }

    fn ends_ossec(&self, end: usize) -> bool {
        self.source[..end].ends_with(b"!>")
    }

    /// `!>` has ended what XML would go on with: say so if there is a `-->`
    /// before another comment starts.
    fn warn_of_early_end(&self, end: usize, report: &mut Report<'_>) {
        let rest = &self.source[end..];
        let next = memchr::memchr2_iter(b'<', b'>', rest)
            .find(|&at| rest[at..].starts_with(b"<!") || rest[..=at].ends_with(b"-->"));
        if next.is_some_and(|at| rest[at] == b'>') {
            report.warning(
                Span::new(end - 2, end),
                "`!>` ends this comment here, as in OSSEC and Wazuh; what follows is read",
                "write `! >` if the comment goes on",
            );
        }
    }

    fn doctype(&mut self, at: usize, report: &mut Report<'_>) -> usize {
        let mut inside = false;
        for (offset, byte) in self.source[at..].iter().enumerate() {
            match byte {
                b'[' => inside = true,
                b']' => inside = false,
                b'>' if !inside => {
                    self.mask(at, at + offset + 1);
                    return at + offset + 1;
                }
                _ => {}
            }
        }
        self.unclosed(at, "DOCTYPE", "end it with >", report)
    }

    fn end_of(&mut self, at: usize, end: &[u8], what: &str, report: &mut Report<'_>) -> usize {
        match memchr::memmem::find(&self.source[at..], end) {
            Some(found) => at + found + end.len(),
            None => {
                let hint = format!("end it with {}", String::from_utf8_lossy(end));
                self.unclosed(at, what, &hint, report)
            }
        }
    }

    fn unclosed(&mut self, at: usize, what: &str, hint: &str, report: &mut Report<'_>) -> usize {
        let message = format!("this {what} never ends, so nothing after it is read");
        report.error(Span::new(at, at + 2), message, hint);
        self.cut(at)
    }

    fn tag(&mut self, at: usize, report: &mut Report<'_>) -> usize {
        let closing = self.source[at + 1] == b'/';
        let start = at + 1 + usize::from(closing);
        let length = self.source[start..]
            .iter()
            .take_while(|b| is_name(**b))
            .count();
        let name = Span::new(start, start + length);
        let end = match tag_end(self.source, name.end) {
            TagEnd::At(end) => end,
            TagEnd::Quote(quote, end) => {
                report.error(
                    Span::new(quote, quote + 1),
                    "the value of this attribute has no closing quote",
                    "end it with the same quote it starts with",
                );
                self.out[name.end..end].fill(b' ');
                end
            }
            TagEnd::None(next) => return self.tag_without_end(at, name, next, report),
        };
        let empty = self.source[end - 1] == b'/';
        self.open = Some(name).filter(|_| !closing && !empty);
        end + 1
    }

    /// The tag runs into the next one, or into the end of the file.
    fn tag_without_end(
        &mut self,
        at: usize,
        name: Span,
        next: usize,
        report: &mut Report<'_>,
    ) -> usize {
        let shown = String::from_utf8_lossy(&self.source[at..name.end]).into_owned();
        let message = format!("the tag `{shown}` has no `>`");
        report.error(Span::new(at, name.end), message, format!("write {shown}>"));
        if next == self.source.len() {
            return self.cut(at);
        }
        if self.source[name.end..next]
            .first()
            .is_some_and(u8::is_ascii_whitespace)
        {
            self.out[name.end..next].fill(b' ');
            self.out[name.end] = b'>';
            self.open = Some(name).filter(|name| name.start == at + 1);
        } else {
            self.out[at] = TEXT_LT;
        }
        next
    }

    fn cut(&mut self, at: usize) -> usize {
        self.cut = true;
        self.mask(at, self.source.len());
        self.source.len()
    }

    fn mask(&mut self, start: usize, end: usize) {
        self.out[start..end].fill(COMMENT);
    }
}

enum TagEnd {
    /// Where its `>` is.
    At(usize),
    /// Where a quote starts that never ends, and where the `>` after it is.
    Quote(usize, usize),
    /// No `>` before this place, where the next tag or the end of the file is.
    None(usize),
}

/// Finds the `>` of a tag whose name ends at `from`. A `<` cannot stand in a
/// tag, not even quoted, so one means that something was left out before it.
fn tag_end(source: &[u8], from: usize) -> TagEnd {
    let mut quote: Option<usize> = None;
    let mut after_quote: Option<usize> = None;
    for at in from..source.len() {
        match (source[at], quote) {
            (b'<', None) => return TagEnd::None(at),
            (b'<', Some(quote)) => {
                return match after_quote {
                    Some(end) => TagEnd::Quote(quote, end),
                    None => TagEnd::None(at),
                };
            }
            (b'>', None) => return TagEnd::At(at),
            (b'>', Some(_)) => after_quote = after_quote.or(Some(at)),
            (b'"' | b'\'', None) if previous(source, at) == Some(b'=') => {
                quote = Some(at);
                after_quote = None;
            }
            (byte, Some(start)) if byte == source[start] => quote = None,
            _ => {}
        }
    }
    match (quote, after_quote) {
        (Some(quote), Some(end)) => TagEnd::Quote(quote, end),
        _ => TagEnd::None(source.len()),
    }
}

/// The last byte before `at` that is no blank.
fn previous(source: &[u8], at: usize) -> Option<u8> {
    source[..at]
        .iter()
        .rev()
        .copied()
        .find(|b| !b.is_ascii_whitespace())
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':') || !byte.is_ascii()
}

fn is_name(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
}
