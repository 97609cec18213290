//! Lines that went wrong, and lines that mean the same in another form.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use proptest::prelude::{
    ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, proptest,
};
use proptest::sample::Index;
use ripost::alert::{Alert, FORMATS, Format, Shape};
use ripost::model::Field;
use serde_json::{Value, json};

use crate::{fixtures, named, paths, read};

/// Writes `value` with its members in an order that `choices` decide, every
/// third name in escapes.
fn rewritten(value: &Value, choices: &mut impl Iterator<Item = Index>) -> String {
    match value {
        Value::Object(members) => {
            let mut parts: Vec<_> = members
                .iter()
                .map(|(name, value)| {
                    let escaped: String =
                        name.encode_utf16().fold(String::new(), |mut all, unit| {
                            write!(all, "\\u{unit:04X}").unwrap();
                            all
                        });
                    let name = if choices.next().unwrap().index(3) == 0 {
                        format!("\"{escaped}\"")
                    } else {
                        json!(name).to_string()
                    };
                    format!("{name} : {}", rewritten(value, choices))
                })
                .collect();
            for at in (1..parts.len()).rev() {
                parts.swap(at, choices.next().unwrap().index(at + 1));
            }
            format!("{{ {} }}", parts.join(" ,"))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| rewritten(item, choices)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// Replaces the value that `choices` lead to by `other`.
fn replace_somewhere(value: &mut Value, choices: &mut impl Iterator<Item = Index>, other: Value) {
    let stay = choices.next().unwrap().index(4) == 0;
    match value {
        Value::Object(members) if !members.is_empty() && !stay => {
            let at = choices.next().unwrap().index(members.len());
            replace_somewhere(members.iter_mut().nth(at).unwrap().1, choices, other);
        }
        Value::Array(items) if !items.is_empty() && !stay => {
            let at = choices.next().unwrap().index(items.len());
            replace_somewhere(&mut items[at], choices, other);
        }
        _ => *value = other,
    }
}

/// A fixture with its format.
fn any_piece() -> impl Strategy<Value = (&'static Format, Vec<u8>)> {
    let of = |format: &'static Format| {
        let pieces = fixtures(format).into_iter();
        pieces.map(move |path| (format, fs::read(path).unwrap()))
    };
    let pieces: Vec<_> = FORMATS.iter().flat_map(of).collect();
    prop::sample::select(pieces)
}

/// A fixture that is one alert in plain JSON without repeated names.
fn plain_line() -> impl Strategy<Value = (&'static Format, Value)> {
    let of = |format: &'static Format| {
        let paths = fixtures(format).into_iter();
        let paths = paths.filter(|path| !path.to_str().unwrap().contains("hostile"));
        paths.filter_map(move |path| {
            let value: Value = serde_json::from_slice(&fs::read(path).unwrap()).ok()?;
            let is_alert = Shape::One(format).read(value.to_string().as_bytes())[0].is_ok();
            // What is around an alert has its own tests.
            let is_bare = value.is_object() && value.get("_source").is_none();
            (is_bare && is_alert).then_some((format, value))
        })
    };
    let lines: Vec<_> = FORMATS.iter().flat_map(of).collect();
    assert!(lines.len() >= FORMATS.len());
    prop::sample::select(lines)
}

fn choices(seed: &[Index]) -> impl Iterator<Item = Index> + '_ {
    seed.iter().copied().cycle()
}

/// What `read` says, but for where the body stands and the order of groups.
fn decided(line: &[u8], shape: &Shape) -> Value {
    let mut found = read(line, shape);
    let answers = match &mut found {
        Value::Array(answers) => answers.iter_mut().collect(),
        one => vec![one],
    };
    for answer in answers.into_iter().filter_map(Value::as_object_mut) {
        answer.remove("body");
        // Where groups are made of members they have the order of those.
        if let Some(rule) = answer.get_mut("rule") {
            let text = rule["group_text"].as_str().unwrap();
            let groups: BTreeSet<_> = text.split(',').map(str::to_owned).collect();
            *rule = json!([rule["id"], rule["level"], groups]);
        }
    }
    found
}

/// Everything that `whole` has where this alert would look in it.
fn nameable(alert: &Alert<'_>, whole: &Value) -> BTreeSet<String> {
    let paths = Field::ALL.iter().flat_map(|field| paths(alert, *field));
    let texts = paths.filter_map(|path| {
        let value = path.names().try_fold(whole, |value, name| {
            let item = name.parse().ok().and_then(|at: usize| value.get(at));
            item.or_else(|| value.get(&*name))
        });
        value.map(text)
    });
    texts.collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or(value.to_string(), str::to_owned)
}

/// What each alert in a piece decides and names.
fn meanings(piece: &[u8], shape: &Shape) -> Vec<(String, String)> {
    let alerts = shape.read(piece).into_iter().flatten();
    alerts
        .map(|alert| {
            let decides = (&alert.rule, &alert.origin, &alert.id, alert.span);
            (format!("{decides:?}"), format!("{:?}", named(&alert)))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn order_blanks_and_escapes_do_not_change_what_is_read(
        (format, value) in plain_line(),
        seed in prop::collection::vec(any::<Index>(), 64),
    ) {
        let line = rewritten(&value, &mut choices(&seed));
        let wanted = decided(value.to_string().as_bytes(), &Shape::One(format));
        for shape in [Shape::Auto, Shape::One(format)] {
            prop_assert_eq!(&decided(line.as_bytes(), &shape), &wanted, "{}", line);
        }
    }

    /// One value is another: the line is read around it, or is no alert for it,
    /// and names only what it named before or what has been put there.
    #[test]
    fn a_wrong_type_anywhere_is_read_around_or_named(
        (format, mut value) in plain_line(),
        seed in prop::collection::vec(any::<Index>(), 16),
        other in prop::sample::select(vec![
            json!(null), json!(true), json!(-7), json!(1e300), json!("\u{0}"), json!([[]]),
            json!({"id": {"id": []}}), json!("x".repeat(5_000)),
        ]),
    ) {
        let before = value.to_string();
        let before: Vec<_> = Shape::One(format).read(before.as_bytes()).into_iter().flatten().collect();
        let bodies: Vec<Value> = before.iter().map(|alert| serde_json::from_slice(&alert.body).unwrap()).collect();
        let nameable = |alert: &Alert<'_>| -> BTreeSet<String> {
            bodies.iter().flat_map(|body| nameable(alert, body)).collect()
        };
        let mut allowed: BTreeSet<_> = before.iter().flat_map(nameable).collect();
        // A text ends at its first NUL for an executable.
        allowed.insert(text(&other).split('\u{0}').next().unwrap().to_owned());
        allowed.extend(other.as_f64().map(|number| number.to_string()));
        let rule = value["rule"].clone();
        replace_somewhere(&mut value, &mut choices(&seed), other);
        let after = value.to_string();
        for alert in Shape::One(format).read(after.as_bytes()).iter().flatten() {
            // Where it looks may depend on a member, as for Falco on the type of
            // the event.
            allowed.extend(nameable(alert));
            for text in named(alert).values() {
                prop_assert!(allowed.contains(text), "{} in {}", text, after);
            }
            if format.name == "wazuh" && value["rule"] == rule {
                prop_assert_eq!(&alert.rule, &before[0].rule, "{}", after);
            }
        }
    }

    /// What is cut off says nothing; what is there twice, or behind a part of
    /// another, says what it says alone.
    #[test]
    fn a_part_of_a_line_never_means_something_else(
        (format, piece) in any_piece(),
        (_, behind) in any_piece(),
        cut in any::<Index>(),
    ) {
        let torn = &piece[..cut.index(piece.len() + 1)];
        let mut allowed = meanings(&piece, &Shape::Auto);
        allowed.extend(meanings(&piece, &Shape::One(format)));
        let of_piece = allowed.clone();
        allowed.extend(meanings(&behind, &Shape::Auto));
        allowed.extend(meanings(&behind, &Shape::One(format)));
        for shape in [Shape::Auto, Shape::One(format)] {
            for part in meanings(torn, &shape) {
                // Of a record less of the log may be there, and then less is named.
                let is_less = of_piece.iter().any(|(decides, _)| *decides == part.0) && part.1 == "{}";
                prop_assert!(of_piece.contains(&part) || is_less, "{:?}", part);
            }
            let twice = [&piece[..], b"\n", &piece[..]].concat();
            for part in meanings(&twice, &shape) {
                prop_assert!(of_piece.contains(&part), "{:?}", part);
            }
            // Records and lines of JSON are not in one file.
            if piece.starts_with(b"**") != behind.starts_with(b"**") {
                continue;
            }
            let glued = [torn, &behind[..]].concat();
            for part in meanings(&glued, &shape) {
                let is_known = allowed.iter().any(|(decides, _)| *decides == part.0);
                prop_assert!(is_known, "{:?}", part);
                let names = allowed.iter().any(|(_, names)| *names == part.1) || part.1 == "{}";
                prop_assert!(names, "{:?}", part);
            }
        }
    }

    #[test]
    fn no_damage_makes_reading_panic_or_the_body_differ(
        (format, line) in any_piece(),
        cut in any::<Index>(),
        from in any::<Index>(),
        junk in prop::collection::vec(any::<u8>(), 0..8),
        depth in prop::sample::select(vec![0_usize, 100, 1_001, 20_000]),
    ) {
        let at = cut.index(line.len() + 1);
        let from = from.index(line.len() + 1);
        let deep = ["{\"rule\":".repeat(depth), "}".repeat(depth)].map(String::into_bytes);
        for damaged in [
            [&line[..at], &line[from..]].concat(),
            [&line[..at], &junk[..], &line[at..]].concat(),
            [&deep[0][..], &line[..], &deep[1][..]].concat(),
            [&line[..at], &b"[".repeat(depth)[..], &line[at..]].concat(),
        ] {
            for shape in [Shape::Auto, Shape::One(format)] {
                for alert in shape.read(&damaged).iter().flatten() {
                    check_body(alert, &damaged);
                }
            }
        }
    }
}

/// The body is a part of the piece, or was made from it; and it says the same.
fn check_body(alert: &Alert<'_>, piece: &[u8]) {
    assert!(!alert.body.contains(&b'\n'), "{alert:?}");
    let is_copy = piece.trim_ascii().iter().any(|byte| b"\r\n".contains(byte));
    let is_inside = piece.as_ptr_range().contains(&alert.body.as_ptr());
    assert!(is_copy || is_inside, "{alert:?}");
    let shapes = FORMATS.iter().map(Shape::One);
    let mut again = shapes.flat_map(|shape| shape.read(&alert.body).into_iter().flatten());
    assert!(again.any(|again| again.rule == alert.rule), "{alert:?}");
    let _ = named(alert);
}
