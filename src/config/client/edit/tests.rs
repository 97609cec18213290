use std::path::Path;

use proptest::prelude::*;

use super::{SetServerError, set_server};
use crate::config::{Context, agent};
use crate::model::ServerAddress;

fn server() -> ServerAddress {
    ServerAddress::parse("siem.example.org:1600").unwrap()
}

fn set(text: &str) -> String {
    String::from_utf8(set_server(text.as_bytes(), &server()).unwrap()).unwrap()
}

/// The new entry, indented by so much.
fn entry(indent: &str, unit: &str) -> String {
    format!(
        "<server>\n{indent}{unit}<address>siem.example.org</address>\n{indent}{unit}<port>1600\
         </port>\n{indent}</server>"
    )
}

#[test]
fn a_section_without_servers_gets_one() {
    let written = entry("    ", "  ");
    let text = "<ossec_config>\n  <client>\n    <notify_time>10</notify_time>\n  </client>\n";
    let rest = "</ossec_config>\n";
    assert_eq!(
        set(&format!("{text}{rest}")),
        format!(
            "<ossec_config>\n  <client>\n    <notify_time>10</notify_time>\n    {written}\n  \
             </client>\n{rest}"
        )
    );
    for empty in [
        "<client/>",
        "<client />",
        "<client></client>",
        "<client>\n  </client>",
    ] {
        assert_eq!(
            set(&format!("<ossec_config>\n  {empty}\n{rest}")),
            format!("<ossec_config>\n  <client>\n    {written}\n  </client>\n{rest}"),
            "{empty}"
        );
    }
}

#[test]
fn what_named_another_server_is_replaced_in_all_its_forms() {
    let before = "<ossec_config>\n\t<!-- first -->\n\t<client>\n";
    let kept = "\t\t<notify_time>10</notify_time> <!-- stays -->\n";
    let old = "\t\t<server>\n\t\t\t<address>MANAGER_IP</address>\n\t\t</server>\n";
    let older = "\t\t<server-ip>0.0.0.0</server-ip>\n\t\t<port>1514</port>\n";
    let between = "\t</client>\n</ossec_config>\ntext\n<ossec_config><client>";
    let last = "<server-hostname>x</server-hostname>";
    let after = "<auto_restart>no</auto_restart></client></ossec_config>";
    assert_eq!(
        set(&format!("{before}{old}{kept}{older}{between}{last}{after}")),
        format!(
            "{before}\t\t{}\n{kept}{between}{after}",
            entry("\t\t", "\t")
        )
    );
}

#[test]
fn a_file_without_a_section_gets_one_in_its_last_root() {
    let section = format!("  <client>\n    {}\n  </client>\n", entry("    ", "  "));
    let comment = "<!-- <client><server/></client> -->\n<! <client> !>\n";
    for (before, after) in [
        (
            "<ripost_config>\n  <!-- <client/> -->\n",
            "</ripost_config>\n",
        ),
        (
            "<ripost_config/>\n<ossec_config>\n",
            "</ossec_config>\n<!-- end -->",
        ),
        (
            "<ossec_config>\n",
            "</ossec_config>\n<agent_config os=\"x\"></agent_config>\n",
        ),
    ] {
        assert_eq!(
            set(&format!("{comment}{before}{after}")),
            format!("{comment}{before}{section}{after}")
        );
    }
    for (text, start) in [("", ""), (comment, comment), ("<!-- x -->", "<!-- x -->\n")] {
        let root = format!("{start}<ripost_config>\n{section}</ripost_config>\n");
        assert_eq!(set(text), root);
    }
    let inline = "<ripost_config><global></global></ripost_config>";
    let (head, tail) = inline.split_at(inline.len() - "</ripost_config>".len());
    assert_eq!(set(inline), format!("{head}\n{section}{tail}"));
}

#[test]
fn the_shipped_file_keeps_every_word() {
    let text = include_str!("../../../../etc/agent.conf");
    assert_eq!(replaced(text, &set(text)), "");
}

/// What of a text is gone after one change in one place.
fn replaced<'a>(text: &'a str, result: &str) -> &'a str {
    let same = |(one, other): &(u8, u8)| one == other;
    let (old, new) = (text.bytes(), result.bytes());
    let start = old.clone().zip(new.clone()).take_while(same).count();
    let end = old.rev().zip(new.rev()).take_while(same).count();
    &text[start..start.max(text.len() - end)]
}

#[test]
fn line_ends_and_the_mark_at_the_start_stay() {
    let text = "\u{feff}<ossec_config>\r\n  <client>\r\n  </client>\r\n</ossec_config>\r\n";
    let result = set(text);
    assert!(result.starts_with("\u{feff}<ossec_config>\r\n  <client>\r\n    <server>\r\n"));
    assert_eq!(result.matches('\n').count(), result.matches("\r\n").count());
}

#[test]
fn a_file_that_names_the_server_already_stays_as_it_is() {
    let odd = "<client><server><port>1600</port><protocol>tcp</protocol>\
               <address>siem.example.org</address></server></client>";
    let among = "<ripost_config><client><server><address>192.0.2.1</address></server>\
                 <server><address>siem.example.org</address><port>1600</port></server>\
                 <server><address>192.0.2.3</address></server></client></ripost_config>";
    for text in [odd, among, &set("<ossec_config/>"), &set("")] {
        assert_eq!(set(text), text);
    }
}

#[test]
fn an_address_of_either_family_is_written() {
    for text in ["192.0.2.1:9", "[2001:db8::1]:9", "siem"] {
        let server = ServerAddress::parse(text).unwrap();
        let result = set_server(b"<ripost_config/>", &server).unwrap();
        let read = agent(&result, Path::new("agent.conf"), &Context::default());
        assert_eq!(read.value.unwrap().servers, [server], "{text}");
    }
}

#[test]
fn a_file_with_errors_is_refused_with_all_of_them() {
    for (text, message) in [
        (
            &b"<ripost_config>\n  <client>\n"[..],
            "agent.conf:2:4: error: <client> is not closed",
        ),
        (b"<ripost_config><!-- ", "never ends"),
        (b"<ripost_config>\xff</ripost_config>", "is not UTF-8"),
        (
            b"<ripost_config><global><white_list>x/y</white_list></global></ripost_config>",
            "`x/y` is no address",
        ),
        (
            b"<ripost_config><client><sever>x</sever></client></ripost_config>",
            "unknown element <sever>",
        ),
    ] {
        let Err(SetServerError::Errors(problems)) = set_server(text, &server()) else {
            panic!("{message}");
        };
        assert!(problems.contains(message), "{problems}");
    }
}

#[test]
fn a_server_that_cannot_be_written_is_refused() {
    let odd = ServerAddress {
        host: "a</address>".to_owned(),
        port: 1517,
    };
    assert!(set_server(b"<ripost_config/>", &odd).is_err());
    let nowhere = ServerAddress::parse("0.0.0.0").unwrap();
    assert!(set_server(b"<ripost_config/>", &nowhere).is_err());
}

/// What may stand in a section that is kept, and what names servers there.
const KEPT: &[&str] = &[
    "<notify_time>10</notify_time>",
    "<!-- <server><address>old</address></server> -->",
    "<! <server-ip>192.0.2.1</server-ip> !>",
    "<!-- </client> -->",
    "<config-profile>a > b & c</config-profile>",
    "<auto_restart>C:\\</auto_restart>",
    "\n\t",
    "\r\n    ",
    " ",
    "",
];
const ENTRIES: &[&str] = &[
    "<server><address>192.0.2.1</address></server>",
    "<server>\n <address>MANAGER_IP</address><!-- </server> -->\n <port>1514</port></server>",
    "<server-ip>0.0.0.0</server-ip>",
    "<server-hostname>old</server-hostname>",
    "<port>1514</port>",
    "<port >\n1514\n</port >",
];
const OUTSIDE: &[&str] = &[
    "<!-- <ossec_config><client><server/></client></ossec_config> -->",
    "<! <client> !>\n",
    "<ossec_config>\n  <localfile><location>\\<client></location></localfile>\n</ossec_config>",
    "<ripost_config><syscheck a=\"client>\"/></ripost_config>\r\n",
    "<agent_config os=\"x\"><localfile/></agent_config>",
    "```xml\n",
    "text \\ at the top\n",
    "\n",
    "é",
];

/// Some of `from`, by number.
fn some(from: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(from), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn all_but_the_servers_stays_byte_for_byte(
        before in some(OUTSIDE, 4),
        children in prop::collection::vec((some(KEPT, 3), some(ENTRIES, 2)), 0..4),
        after in some(OUTSIDE, 4),
    ) {
        let (start, end) = (before.concat(), after.concat());
        let head = format!("{start}<ossec_config><client>");
        let tail = format!("</client></ossec_config>{end}");
        let inside: String = children
            .iter()
            .flat_map(|(keep, entries)| keep.iter().chain(entries).copied())
            .collect();
        let result = set(&format!("{head}{inside}{tail}"));
        loads(&result)?;
        let changed = result
            .strip_prefix(&head)
            .and_then(|rest| rest.strip_suffix(&tail));
        prop_assert!(changed.is_some(), "{result}");
        let kept = children.iter().flat_map(|(keep, _)| keep).copied();
        let new = [entry("", "  "), entry("", "  ").replace('\n', "\r\n")];
        // Blanks next to an entry go with its line.
        let rest = new.iter().fold(solid(changed.unwrap_or_default()), |text, entry| {
            text.replacen(&solid(entry), "", 1)
        });
        prop_assert_eq!(rest, solid(&kept.collect::<String>()));
        prop_assert_eq!(set(&result), result);
    }

    #[test]
    fn a_new_section_takes_nothing_away(
        before in some(OUTSIDE, 5),
        root in prop::sample::select(&["<ossec_config></ossec_config>", "<ripost_config/>", ""][..]),
        after in some(OUTSIDE, 5),
    ) {
        let text = format!("{}{root}{}", before.concat(), after.concat());
        let result = set(&text);
        loads(&result)?;
        // A root without an end tag gets one.
        let gone = replaced(&text, &result);
        let closed = root.ends_with("/>");
        prop_assert!(gone.is_empty() || (closed && gone == "/"), "{gone} of {text}: {result}");
        prop_assert_eq!(set(&result), result);
    }
}

fn loads(text: &str) -> Result<(), TestCaseError> {
    let checked = agent(
        text.as_bytes(),
        Path::new("agent.conf"),
        &Context::default(),
    );
    let servers = checked.value.map(|config| config.servers);
    prop_assert_eq!(servers, Some(vec![server()]), "{}", text);
    Ok(())
}

fn solid(text: &str) -> String {
    text.split_whitespace().collect()
}
