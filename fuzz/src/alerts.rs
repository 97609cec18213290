use std::sync::{Arc, LazyLock};

use ripost::alert::{self, Alert, FORMATS, Shape};
use ripost::model::mapping::{Levels, Mapped, Mapping};
use ripost::model::{Field, FieldMap, FieldPath, Level};

/// A line, a document or a record of the format of this name: there is an
/// answer, and what is an alert has a body on one line that says the same again.
/// Takes what has an alert in it.
pub fn alert(name: &str, bytes: &[u8]) -> bool {
    let shape = match alert::find(name) {
        Some(format) => Shape::One(format),
        None => Shape::Mapped(Arc::clone(&MAPPING)),
    };
    let answers = shape.read(bytes);
    assert!(!answers.is_empty(), "no answer");
    assert!(!Shape::Auto.read(bytes).is_empty(), "no answer");
    for alert in answers.iter().flatten() {
        says_the_same_again(alert, &shape);
    }
    answers.iter().any(Result::is_ok)
}

/// Of a record the body has the shape of Wazuh 4.
fn says_the_same_again(alert: &Alert<'_>, shape: &Shape) {
    let is_one_line = !alert.body.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    assert!(is_one_line, "{alert:?}");
    let shapes = FORMATS.iter().map(Shape::One).chain([shape.clone()]);
    let says = |shape: Shape| {
        let again = shape.read(&alert.body);
        again.iter().flatten().any(|again| again.rule == alert.rule)
    };
    assert!(shapes.into_iter().any(says), "{alert:?}");
}

static MAPPING: LazyLock<Arc<Mapping>> = LazyLock::new(|| {
    let paths = |texts: &[&str]| -> Vec<FieldPath> {
        let paths = texts.iter().map(|text| FieldPath::parse(text));
        paths.map(|path| path.expect("it is one")).collect()
    };
    let mut levels = Levels::default();
    for (word, number) in [("low", 3), ("medium", 8), ("high", 12)] {
        levels.add(word, Level::new(number).expect("it is one"));
    }
    let mut fields = FieldMap::default();
    for path in paths(&["client.forwarded.0", "client.address"]) {
        fields.push(Field::Srcip, path);
    }
    Arc::new(Mapping {
        rule_id: Mapped::At(paths(&["check.name", "name"])),
        level: Mapped::At(paths(&["check.severity", "severity"])),
        levels: Some(levels),
        groups: Vec::new(),
        more_groups: paths(&["tags", "check.kind"]),
        agent_id: paths(&["host.id"]),
        agent_name: paths(&["host.name"]),
        id: paths(&["uid"]),
        timestamp: paths(&["time"]),
        span: paths(&["ban.for"]),
        fields,
    })
});
