//! What stands in the alert.

use super::{
    Input, NEVER, NO_SHORT_FORMS, NO_SRCIP, ONE_SPELLING, Row, differs, ended, row, stopped,
};

pub(super) const ROWS: &[Row] = &[
    row(
        "IPv4",
        Input::Data(r#"{"srcip":"192.0.2.10"}"#),
        ended("192.0.2.10"),
    ),
    row(
        "IPv6",
        Input::Data(r#"{"srcip":"2001:db8::10"}"#),
        ended("2001:db8::10"),
    ),
    differs(
        row(
            "IPv6 in capitals, with zeros",
            Input::Data(r#"{"srcip":"2001:0DB8:0:0:0:0:0:0011"}"#),
            ended("2001:0DB8:0:0:0:0:0:0011"),
        ),
        ended("2001:db8::11"),
        ONE_SPELLING,
    ),
    differs(
        row(
            "mapped IPv4",
            Input::Data(r#"{"srcip":"::ffff:192.0.2.11"}"#),
            ended("::ffff:192.0.2.11"),
        ),
        ended("192.0.2.11"),
        ONE_SPELLING,
    ),
    differs(
        row(
            "scoped",
            Input::Data(r#"{"srcip":"fe80::1%lo"}"#),
            ended("fe80::1%lo"),
        ),
        NO_SRCIP,
        NO_SHORT_FORMS,
    ),
    differs(
        row("short", Input::Data(r#"{"srcip":"127.1"}"#), ended("127.1")),
        NO_SRCIP,
        NO_SHORT_FORMS,
    ),
    differs(
        row(
            "decimal",
            Input::Data(r#"{"srcip":"3221226012"}"#),
            ended("3221226012"),
        ),
        NO_SRCIP,
        NO_SHORT_FORMS,
    ),
    differs(
        row(
            "hexadecimal",
            Input::Data(r#"{"srcip":"0xc0000214"}"#),
            ended("0xc0000214"),
        ),
        NO_SRCIP,
        NO_SHORT_FORMS,
    ),
    differs(
        row(
            "octal",
            Input::Data(r#"{"srcip":"0300.0.2.21"}"#),
            ended("0300.0.2.21"),
        ),
        NO_SRCIP,
        NO_SHORT_FORMS,
    ),
    differs(
        row(
            "0.0.0.0",
            Input::Data(r#"{"srcip":"0.0.0.0"}"#),
            ended("0.0.0.0"),
        ),
        stopped("0.0.0.0", "refused 0.0.0.0"),
        NEVER,
    ),
    differs(
        row("::", Input::Data(r#"{"srcip":"::"}"#), ended("::")),
        stopped("::", "refused ::"),
        NEVER,
    ),
    differs(
        row(
            "127.0.0.1",
            Input::Data(r#"{"srcip":"127.0.0.1"}"#),
            ended("127.0.0.1"),
        ),
        stopped("127.0.0.1", "refused 127.0.0.1"),
        NEVER,
    ),
    row(
        "wrong numbers",
        Input::Data(r#"{"srcip":"999.1.1.1"}"#),
        NO_SRCIP,
    ),
    row(
        "a host name",
        Input::Data(r#"{"srcip":"evil.example"}"#),
        NO_SRCIP,
    ),
    row("nothing", Input::Data(r#"{"srcip":""}"#), NO_SRCIP),
    row(
        "a blank before",
        Input::Data(r#"{"srcip":" 192.0.2.12"}"#),
        NO_SRCIP,
    ),
    row(
        "a blank behind",
        Input::Data(r#"{"srcip":"192.0.2.12 "}"#),
        NO_SRCIP,
    ),
    row(
        "a newline behind",
        Input::Data(r#"{"srcip":"192.0.2.12\n"}"#),
        NO_SRCIP,
    ),
    row(
        "words for a shell",
        Input::Data(r#"{"srcip":"192.0.2.1;id"}"#),
        NO_SRCIP,
    ),
    row("an option", Input::Data(r#"{"srcip":"-h"}"#), NO_SRCIP),
    row("a number", Input::Data(r#"{"srcip":3221225994}"#), NO_SRCIP),
    row("null", Input::Data(r#"{"srcip":null}"#), NO_SRCIP),
    row(
        "an array",
        Input::Data(r#"{"srcip":["192.0.2.13"]}"#),
        NO_SRCIP,
    ),
    row("none", Input::Data("{}"), NO_SRCIP),
    row(
        "no data",
        Input::Parameters(r#"{"extra_args":[],"alert":{}}"#),
        NO_SRCIP,
    ),
    row(
        "no alert",
        Input::Parameters(r#"{"extra_args":[]}"#),
        NO_SRCIP,
    ),
    row(
        "an alert that is text",
        Input::Parameters(r#"{"extra_args":[],"alert":"192.0.2.13"}"#),
        NO_SRCIP,
    ),
    row(
        "names in capitals",
        Input::Parameters(r#"{"extra_args":[],"alert":{"DATA":{"SRCIP":"192.0.2.14"}}}"#),
        ended("192.0.2.14"),
    ),
    row(
        "two of them",
        Input::Data(r#"{"srcip":"192.0.2.15","srcip":"192.0.2.16"}"#),
        ended("192.0.2.15"),
    ),
    row(
        "ipAddress of Windows",
        Input::Data(r#"{"win":{"eventdata":{"ipAddress":"192.0.2.17"}}}"#),
        ended("192.0.2.17"),
    ),
    row(
        "destinationIp of Windows",
        Input::Data(r#"{"win":{"eventdata":{"destinationIp":"192.0.2.18"}}}"#),
        ended("192.0.2.18"),
    ),
    row(
        "a bad one of Windows and a good one",
        Input::Data(r#"{"win":{"eventdata":{"ipAddress":"-"}},"srcip":"192.0.2.19"}"#),
        NO_SRCIP,
    ),
    row(
        "names that resemble it",
        Input::Data(r#"{"src_ip":"192.0.2.19","srcport":"22"}"#),
        NO_SRCIP,
    ),
];
