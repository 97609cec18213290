//! How the lines look that stand around the alert.

use super::{
    BAD_COMMAND, BAD_FORMAT, Input, NO_INPUT, ORIGIN, Row, Seen, VERSION, add, changed, ended,
    object, of_address, order, padded, row, stopped,
};

pub(super) const ROWS: &[Row] = &[
    row(
        "abort",
        Input::Answer("192.0.2.20", || order("abort", "{}")),
        Seen {
            keys: Some("192.0.2.20"),
            status: 0,
            last: "Aborted",
        },
    ),
    row(
        "an answer that is none",
        Input::Answer("192.0.2.20", || b"garbage\n".to_vec()),
        stopped("192.0.2.20", "Invalid input format"),
    ),
    row(
        "no answer",
        Input::Answer("192.0.2.20", Vec::new),
        stopped("192.0.2.20", "Cannot read input from stdin"),
    ),
    row(
        "an unknown answer",
        Input::Answer("192.0.2.20", || order("maybe", "{}")),
        stopped("192.0.2.20", "Invalid value of 'command'"),
    ),
    row(
        "an answer without its name",
        Input::Answer("192.0.2.22", || {
            object(&[
                VERSION,
                r#""origin":{}"#,
                r#""command":"continue""#,
                r#""parameters":{}"#,
            ])
        }),
        ended("192.0.2.22"),
    ),
    row(
        "an answer without parameters",
        Input::Answer("192.0.2.23", || {
            object(&[VERSION, ORIGIN, r#""command":"continue""#])
        }),
        stopped("192.0.2.23", "Invalid input format"),
    ),
    row(
        "an answer without its end",
        Input::Answer("192.0.2.24", || {
            let mut answer = order("continue", "{}");
            answer.pop();
            answer
        }),
        ended("192.0.2.24"),
    ),
    row(
        "an answer of 100 kB",
        Input::Answer("192.0.2.25", || padded(order("continue", "{}"), 100_000)),
        stopped("192.0.2.25", "Invalid input format"),
    ),
    row(
        "an end of the input at once",
        Input::All(Vec::new),
        NO_INPUT,
    ),
    row(
        "a line without its end",
        Input::All(|| {
            let mut line = add("192.0.2.27");
            line.pop();
            line
        }),
        stopped("192.0.2.27", "Cannot read input from stdin"),
    ),
    row(
        "100 kB of one letter",
        Input::All(|| vec![b'A'; 100_000]),
        BAD_FORMAT,
    ),
    row("an empty line", Input::Line(|| b"\n".to_vec()), BAD_FORMAT),
    row(
        "broken JSON",
        Input::Line(|| b"{\"version\":1,\n".to_vec()),
        BAD_FORMAT,
    ),
    row(
        "an array of JSON",
        Input::Line(|| b"[1]\n".to_vec()),
        BAD_FORMAT,
    ),
    row(
        "more behind the JSON",
        Input::Line(|| {
            changed("192.0.2.26", |mut line| {
                line.splice(line.len() - 1.., b" and more\n".to_vec());
                line
            })
        }),
        ended("192.0.2.26"),
    ),
    row(
        "a byte order mark",
        Input::Line(|| {
            changed("192.0.2.28", |line| {
                [b"\xef\xbb\xbf".to_vec(), line].concat()
            })
        }),
        ended("192.0.2.28"),
    ),
    row(
        "blanks before the JSON",
        Input::Line(|| changed("192.0.2.29", |line| [b"  \t".to_vec(), line].concat())),
        ended("192.0.2.29"),
    ),
    row(
        "the line end of Windows",
        Input::Line(|| {
            changed("192.0.2.30", |mut line| {
                line.splice(line.len() - 1.., b"\r\n".to_vec());
                line
            })
        }),
        ended("192.0.2.30"),
    ),
    row(
        "a version that is text",
        Input::Line(|| {
            object(&[
                r#""version":"1""#,
                ORIGIN,
                r#""command":"add""#,
                r#""parameters":{}"#,
            ])
        }),
        BAD_FORMAT,
    ),
    row(
        "version 99",
        Input::Line(|| {
            let parameters = format!(r#""parameters":{}"#, of_address("192.0.2.32"));
            object(&[r#""version":99"#, ORIGIN, r#""command":"add""#, &parameters])
        }),
        ended("192.0.2.32"),
    ),
    row(
        "no version",
        Input::Line(|| object(&[ORIGIN, r#""command":"add""#, r#""parameters":{}"#])),
        BAD_FORMAT,
    ),
    row(
        "no origin",
        Input::Line(|| object(&[VERSION, r#""command":"add""#, r#""parameters":{}"#])),
        BAD_FORMAT,
    ),
    row(
        "an origin that is text",
        Input::Line(|| {
            object(&[
                VERSION,
                r#""origin":"x""#,
                r#""command":"add""#,
                r#""parameters":{}"#,
            ])
        }),
        BAD_FORMAT,
    ),
    row(
        "no parameters",
        Input::Line(|| object(&[VERSION, ORIGIN, r#""command":"add""#])),
        BAD_FORMAT,
    ),
    row(
        "no command",
        Input::Line(|| object(&[VERSION, ORIGIN, r#""parameters":{}"#])),
        BAD_FORMAT,
    ),
    row(
        "continue as the first",
        Input::Line(|| order("continue", &of_address("192.0.2.33"))),
        BAD_COMMAND,
    ),
    row(
        "ADD",
        Input::Line(|| order("ADD", &of_address("192.0.2.33"))),
        BAD_COMMAND,
    ),
    row(
        "a line of 60 kB",
        Input::Line(|| changed("192.0.2.35", |line| padded(line, 60_000))),
        ended("192.0.2.35"),
    ),
    row(
        "a line of 100 kB",
        Input::Line(|| changed("192.0.2.36", |line| padded(line, 100_000))),
        BAD_FORMAT,
    ),
    row(
        "a byte 0 behind the JSON",
        Input::Line(|| {
            changed("192.0.2.37", |mut line| {
                line.splice(line.len() - 1.., b"\0x\n".to_vec());
                line
            })
        }),
        ended("192.0.2.37"),
    ),
    row(
        "an escaped 0",
        Input::Data(r#"{"srcip":"192.0.2.38\u0000;id"}"#),
        ended("192.0.2.38"),
    ),
    row(
        "a log that is not UTF-8",
        Input::Line(|| {
            changed("192.0.2.39", |line| {
                let at = line
                    .windows(7)
                    .position(|part| part == b"\"alert\"")
                    .unwrap();
                let mut line = line;
                line.splice(at..at, b"\"x\":\"\xff\xfe\",".to_vec());
                line
            })
        }),
        ended("192.0.2.39"),
    ),
    row(
        "JSON 1,200 deep",
        Input::Line(|| {
            let deep = "[".repeat(1200) + &"]".repeat(1200);
            order(
                "add",
                &format!(
                    r#"{{"extra_args":[],"x":{deep},"alert":{{"data":{{"srcip":"192.0.2.40"}}}}}}"#
                ),
            )
        }),
        BAD_FORMAT,
    ),
];
