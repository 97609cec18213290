//! The parts of a JSON list or object as they stand in the bytes, so that each
//! can be handed on unchanged, whatever is in its texts.

/// The parts between the brackets of `whole`, without the blanks around them:
/// the items of a list, or the members of an object, each with its name.
///
/// `whole` has to be JSON, or JSON in which some texts are not UTF-8. Depth is
/// counted and costs no stack.
pub(super) fn parts(whole: &[u8]) -> impl Iterator<Item = &[u8]> {
    let inside = whole.get(1..whole.len().saturating_sub(1));
    let mut rest = inside.unwrap_or_default().trim_ascii();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = end_of_part(rest);
        let part = rest[..end].trim_ascii();
        rest = rest.get(end + 1..).unwrap_or_default().trim_ascii_start();
        Some(part)
    })
}

/// Where the first comma stands that is within no text and no brackets, else
/// the end.
fn end_of_part(bytes: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_text(bytes, at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Where the text ends that begins at the quote at `start`: at its other quote,
/// else at the end.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The value of the first member of `object` with this name.
pub(super) fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    parts(object).find_map(|part| {
        let end = end_of_text(part, 0);
        let written = String::from_utf8_lossy(part.get(..=end)?);
        let found: String = serde_json::from_str(&written).ok()?;
        let value = part.get(end + 1..)?.trim_ascii_start();
        let value = value.strip_prefix(b":")?.trim_ascii_start();
        (found == name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::{member, parts};

    fn texts(whole: &str) -> Vec<&str> {
        parts(whole.as_bytes())
            .map(|part| str::from_utf8(part).unwrap())
            .collect()
    }

    #[test]
    fn a_part_ends_at_a_comma_outside_of_texts_and_brackets() {
        for (whole, wanted) in [
            ("[]", vec![]),
            ("[ \n ]", vec![]),
            ("{}", vec![]),
            ("[1]", vec!["1"]),
            (
                r#"[ {"a":[1,2]} , "x,]\",{" ,3 ]"#,
                vec![r#"{"a":[1,2]}"#, r#""x,]\",{""#, "3"],
            ),
            (
                r#"["\\",["\\\"]",{}],"a"]"#,
                vec![r#""\\""#, r#"["\\\"]",{}]"#, r#""a""#],
            ),
            (
                r#"{"a,b":{"c":1},"d":2}"#,
                vec![r#""a,b":{"c":1}"#, r#""d":2"#],
            ),
        ] {
            assert_eq!(texts(whole), wanted, "{whole}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are() {
        let whole = b"[\"\xff,\xc3\",\"\xe2\x82\"]";
        let found: Vec<_> = parts(whole).collect();
        assert_eq!(found, [b"\"\xff,\xc3\"".as_slice(), b"\"\xe2\x82\""]);
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
        let whole = format!("[{deep},1]");
        assert_eq!(texts(&whole), [&*deep, "1"]);
    }

    #[test]
    fn a_member_is_found_by_its_name_however_that_is_written() {
        let object = br#"{ "x":{"a":0}, "\u0061" : [1, 2] , "a":3, "b":4 }"#;
        assert_eq!(member(object, "a"), Some(b"[1, 2]".as_slice()));
        assert_eq!(member(object, "b"), Some(b"4".as_slice()));
        assert_eq!(member(object, "c"), None);
        assert_eq!(member(b"", "a"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_loop(bytes in proptest::collection::vec(
            proptest::sample::select(b"{}[]\",:\\a1 \xff".to_vec()), 0..40)) {
            proptest::prop_assert!(parts(&bytes).count() <= bytes.len());
            let _ = member(&bytes, "a");
        }

        #[test]
        fn the_parts_of_a_list_are_its_items(items in proptest::collection::vec(
            proptest::sample::select(vec!["1", "[]", "{\"a\":[{}]}", "\"],[\\\"\"", "null"]), 0..9)) {
            let whole = format!("[{}]", items.join(" , "));
            proptest::prop_assert_eq!(texts(&whole), items);
        }
    }
}
