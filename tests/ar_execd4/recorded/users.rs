//! Those whom `disable-account` is told of.

use super::{
    BAD_FORMAT, Input, NO_DSTUSER, NO_INPUT, Row, Seen, bytes, differs, ended, none, objection,
    order, row, show, with_data,
};
use crate::netns::reexec_in_namespace;
use crate::run::direct;
use crate::{fresh, home, read};

const NOBODY: &str = "an account that is not there is not locked, and 0 would say that it is";

/// There is no account of this name.
const fn nobody(key: &'static str) -> Seen {
    let (keys, status) = (Some(key), 66);
    let last = "failed to find the account";
    Seen { keys, status, last }
}

/// One input to `disable-account`.
const USERS: &[Row] = &[
    row(
        "a user",
        Input::Data(r#"{"dstuser":"alice"}"#),
        ended("alice"),
    ),
    differs(
        row(
            "nobody of this name",
            Input::Data(r#"{"dstuser":"nosuch"}"#),
            ended("nosuch"),
        ),
        nobody("nosuch"),
        NOBODY,
    ),
    row("root", Input::Data(r#"{"dstuser":"root"}"#), NO_DSTUSER),
    differs(
        row("Root", Input::Data(r#"{"dstuser":"Root"}"#), ended("Root")),
        nobody("Root"),
        NOBODY,
    ),
    row("nothing", Input::Data(r#"{"dstuser":""}"#), NO_DSTUSER),
    row("an option", Input::Data(r#"{"dstuser":"-u"}"#), NO_DSTUSER),
    row("a plus", Input::Data(r#"{"dstuser":"+x"}"#), NO_DSTUSER),
    row("a tilde", Input::Data(r#"{"dstuser":"~x"}"#), NO_DSTUSER),
    row("a blank", Input::Data(r#"{"dstuser":"a b"}"#), NO_DSTUSER),
    row("a tab", Input::Data(r#"{"dstuser":"a\tb"}"#), NO_DSTUSER),
    row(
        "a newline",
        Input::Data(r#"{"dstuser":"alice\nroot"}"#),
        NO_DSTUSER,
    ),
    row("a colon", Input::Data(r#"{"dstuser":"a:b"}"#), NO_DSTUSER),
    row("a comma", Input::Data(r#"{"dstuser":"a,b"}"#), NO_DSTUSER),
    row("a slash", Input::Data(r#"{"dstuser":"a/b"}"#), NO_DSTUSER),
    row(
        "a backslash",
        Input::Data(r#"{"dstuser":"a\\b"}"#),
        NO_DSTUSER,
    ),
    row("two dots", Input::Data(r#"{"dstuser":"a..b"}"#), NO_DSTUSER),
    differs(
        row(
            "words for a shell",
            Input::Data(r#"{"dstuser":";id"}"#),
            ended(";id"),
        ),
        nobody(";id"),
        NOBODY,
    ),
    differs(
        row(
            "a substitution",
            Input::Data(r#"{"dstuser":"$(id)"}"#),
            ended("$(id)"),
        ),
        nobody("$(id)"),
        NOBODY,
    ),
    differs(
        row(
            "backquotes",
            Input::Data(r#"{"dstuser":"`id`"}"#),
            ended("`id`"),
        ),
        nobody("`id`"),
        NOBODY,
    ),
    differs(
        row("a pipe", Input::Data(r#"{"dstuser":"a|b"}"#), ended("a|b")),
        nobody("a|b"),
        NOBODY,
    ),
    differs(
        row("a quote", Input::Data(r#"{"dstuser":"a'b"}"#), ended("a'b")),
        nobody("a'b"),
        NOBODY,
    ),
    differs(
        row(
            "a double quote",
            Input::Data(r#"{"dstuser":"a\"b"}"#),
            ended("a\"b"),
        ),
        nobody("a\"b"),
        NOBODY,
    ),
    differs(
        row("a star", Input::Data(r#"{"dstuser":"a*"}"#), ended("a*")),
        nobody("a*"),
        NOBODY,
    ),
    differs(
        row(
            "a control character",
            Input::Data(r#"{"dstuser":"\u0001ctl"}"#),
            ended("\u{1}ctl"),
        ),
        NO_DSTUSER,
        "no login name has one, and a terminal that shows it obeys",
    ),
    differs(
        row(
            "a letter beyond ASCII",
            Input::Data(r#"{"dstuser":"é"}"#),
            ended("é"),
        ),
        nobody("é"),
        NOBODY,
    ),
    row("a number", Input::Data(r#"{"dstuser":1001}"#), NO_DSTUSER),
    row(
        "another name of a user",
        Input::Data(r#"{"srcuser":"alice","user":"alice"}"#),
        NO_DSTUSER,
    ),
    row(
        "the user of Windows",
        Input::Data(r#"{"win":{"eventdata":{"targetUserName":"alice"}}}"#),
        NO_DSTUSER,
    ),
    row(
        "an escaped 0",
        Input::Data(r#"{"dstuser":"alice\u0000x"}"#),
        ended("alice"),
    ),
    row(
        "abort",
        Input::All(|| {
            let add = order("add", &with_data(r#"{"dstuser":"alice"}"#, &[]));
            [add, order("abort", "{}")].concat()
        }),
        Seen {
            keys: Some("alice"),
            status: 0,
            last: "Aborted",
        },
    ),
    row(
        "an end of the input at once",
        Input::All(Vec::new),
        NO_INPUT,
    ),
    row("broken JSON", Input::All(|| b"{\n".to_vec()), BAD_FORMAT),
];

#[test]
fn each_user_is_taken_as_by_4_x_or_differs_for_a_reason() {
    const NAME: &str = "disable-account";
    reexec_in_namespace(|| {
        let mut objections = Vec::new();
        for row in USERS {
            fresh();
            let home = home();
            let before = read("/etc/shadow");
            let wanted = row
                .differs
                .as_ref()
                .map_or(row.seen, |differs| differs.ours);
            let shown = show(&home, direct(&home, NAME), &bytes(row.input, &[]), NAME);
            assert!(row.is_sound(), "{}", row.name);
            objections.extend(objection(row.name, &shown, wanted));
            let has_changed = read("/etc/shadow") != before;
            if has_changed != (wanted.last == "Ended") {
                objections.push(format!("{}: changed {has_changed}", row.name));
            }
        }
        none(objections);
    });
}
