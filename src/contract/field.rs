//! What stands in a field of an alert. Whoever asks where an alert names
//! something (guards, words, messages, the bundled executables) asks here, so
//! that all see the same.

use std::borrow::Cow;

use super::json::Value;
use crate::model::{Field, FieldPath, Places};

/// What is written for a value that is not known: nothing, `-` as Windows and logs
/// in columns have it, `<NA>` as Falco has it.
const NOTHING: [&[u8]; 3] = [b"", b"-", b"<NA>"];

/// A text, and where it stands.
#[derive(Clone, Debug)]
pub struct Found<'a, 'b> {
    pub path: &'b FieldPath,
    pub text: Cow<'a, [u8]>,
    /// The object, or the list, in which it stands.
    pub around: &'a Value<'a>,
}

impl Found<'_, '_> {
    /// Whether it stands for a value that is not known.
    pub fn says_nothing(&self) -> bool {
        says_nothing(&self.text)
    }
}

/// What decides about `field` in `alert`, as [`Places`] has it; `None` if there
/// is no text in any of them.
pub fn find<'a, 'b>(
    alert: &'a Value<'a>,
    field: Field,
    places: &'b Places<'_>,
) -> Option<Found<'a, 'b>> {
    let mut found = places
        .paths()
        .iter()
        .filter_map(|path| at(alert, field, path));
    match places {
        Places::Usual(_) => found.next(),
        Places::Said(_) => {
            let first = found.next()?;
            if !first.says_nothing() {
                return Some(first);
            }
            // Nothing that says anything: what is shown then is what was found.
            found.find(|found| !found.says_nothing()).or(Some(first))
        }
    }
}

fn at<'a, 'b>(alert: &'a Value<'a>, field: Field, path: &'b FieldPath) -> Option<Found<'a, 'b>> {
    let (mut around, mut value) = (alert, alert);
    for name in path.names() {
        (around, value) = (value, value.step(&name)?);
    }
    let text = text(value, field)?;
    Some(Found { path, text, around })
}

/// A text; of a process also a whole number, as decoders write it.
fn text<'a>(value: &'a Value<'_>, field: Field) -> Option<Cow<'a, [u8]>> {
    match (value, field) {
        (Value::Number(number), Field::Pid) if number.fract() == 0.0 => {
            Some(number.to_string().into_bytes().into())
        }
        (value, _) => value.as_bytes().map(Cow::Borrowed),
    }
}

fn says_nothing(text: &[u8]) -> bool {
    NOTHING.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::find;
    use crate::contract::json::parse;
    use crate::model::{Field, FieldPath, Places};

    fn said(paths: &str) -> Places<'static> {
        Places::Said(FieldPath::parse_list(paths).unwrap().into())
    }

    /// What stands in the places, and in which.
    fn found(field: Field, places: &Places<'_>, alert: &str) -> Option<(String, String)> {
        let alert = parse(alert.as_bytes()).unwrap();
        let found = find(&alert, field, places)?;
        let text = String::from_utf8(found.text.to_vec()).unwrap();
        Some((found.path.to_string(), text))
    }

    #[test]
    fn a_path_leads_through_members_lists_and_names_with_dots() {
        for (paths, alert, wanted) in [
            ("a.b", r#"{"A":{"B":"1"}}"#, Some("1")),
            ("a.b", r#"{"a":{},"a":{"b":"1"}}"#, None),
            (
                r"o.fd\.rip",
                r#"{"o":{"fd":{"rip":"2"},"fd.rip":"1"}}"#,
                Some("1"),
            ),
            (r"a\\b", r#"{"a\\b":"1"}"#, Some("1")),
            (
                "d.0.value",
                r#"{"d":[{"value":"1"},{"value":"2"}]}"#,
                Some("1"),
            ),
            ("d.1", r#"{"d":["1","2"]}"#, Some("2")),
            ("d.2", r#"{"d":["1","2"]}"#, None),
            ("d.0", r#"{"d":{"0":"1"}}"#, Some("1")),
            // No number of an item, however it is written.
            ("d.00", r#"{"d":["1"]}"#, None),
            ("d.+0", r#"{"d":["1"]}"#, None),
            ("d.18446744073709551616", r#"{"d":["1"]}"#, None),
            // What is no text does not decide.
            ("a,b", r#"{"a":7,"b":"1"}"#, Some("1")),
            ("a,b", r#"{"a":null,"b":"1"}"#, Some("1")),
            ("a,b", r#"{"a":["2"],"b":"1"}"#, Some("1")),
            ("a.b", r#"{"a":"1"}"#, None),
        ] {
            let found = found(Field::Srcip, &said(paths), alert);
            assert_eq!(
                found.map(|(_, text)| text).as_deref(),
                wanted,
                "{paths} in {alert}"
            );
        }
    }

    #[test]
    fn a_list_that_somebody_has_made_goes_on_where_a_text_says_nothing() {
        for (alert, wanted) in [
            (r#"{"a":"-","b":"1"}"#, ("b", "1")),
            (r#"{"a":"","b":"-","c":"1"}"#, ("c", "1")),
            (r#"{"a":"\u0000x","b":"1"}"#, ("b", "1")),
            (r#"{"a":"<NA>","b":"1"}"#, ("b", "1")),
            // These name something, though nothing that is of use.
            (r#"{"a":"::1","b":"1"}"#, ("a", "::1")),
            (r#"{"a":"fe80::1%3","b":"1"}"#, ("a", "fe80::1%3")),
            (r#"{"a":" ","b":"1"}"#, ("a", " ")),
            (r#"{"a":"--","b":"1"}"#, ("a", "--")),
            // Where nothing else is found, it is what there is.
            (r#"{"b":"-","c":""}"#, ("b", "-")),
        ] {
            let found = found(Field::Srcip, &said("a,b,c"), alert).unwrap();
            assert_eq!((found.0.as_str(), found.1.as_str()), wanted, "{alert}");
        }
        static USUAL: [FieldPath; 2] = [FieldPath::known("a"), FieldPath::known("b")];
        let found = found(Field::Srcip, &Places::Usual(&USUAL), r#"{"a":"-","b":"1"}"#);
        assert_eq!(found, Some(("a".to_owned(), "-".to_owned())));
    }

    #[test]
    fn a_whole_number_names_a_process_and_nothing_else() {
        let alert = r#"{"a":4711,"b":4711.5,"c":"7"}"#;
        let number = |field, paths: &str| found(field, &said(paths), alert).map(|(_, text)| text);
        assert_eq!(number(Field::Pid, "a,c").as_deref(), Some("4711"));
        assert_eq!(number(Field::Pid, "b,c").as_deref(), Some("7"));
        assert_eq!(number(Field::Srcip, "a,c").as_deref(), Some("7"));
    }
}
