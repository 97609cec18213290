//! How the executable of a command is spoken to.

use crate::config::block::Block;
use crate::config::report::{Report, Span};
use crate::config::value;
use crate::model::action::{Contract, Want, Wanted};
use crate::model::{ExeName, Logic, bundled};

#[derive(Clone, Copy, Eq, PartialEq)]
enum Written {
    Auto,
    Json,
    Argv,
    V5,
}

const CONTRACTS: [(&str, Written); 4] = [
    ("auto", Written::Auto),
    ("json", Written::Json),
    ("argv", Written::Argv),
    ("v5", Written::V5),
];

/// What `<expect>` can ask for (ossec-hids shared/ar_expect.c).
const EXPECTED: [(&str, Expected); 4] = [
    ("user", Expected::User),
    ("username", Expected::User),
    ("srcip", Expected::Srcip),
    ("filename", Expected::Filename),
];

#[derive(Clone, Copy)]
enum Expected {
    User,
    Srcip,
    Filename,
}

/// `None` if it is wrong, which is reported.
pub(crate) fn read(
    block: &Block<'_>,
    executable: Option<&ExeName>,
    logic: Logic,
    report: &mut Report<'_>,
) -> Option<Contract> {
    let written = block.setting("contract", report, |value, report| {
        let written = value::word(value, &CONTRACTS, "auto, json, argv or v5", report)?;
        Some((written, value.node.text_at))
    });
    let written = written.ok()?;
    let is_bundled = executable.is_some_and(|name| bundled::find(name.as_str()).is_some());
    if let (Some((Written::Argv | Written::V5, at)), Some(name), true) =
        (written, executable, is_bundled)
    {
        only_json(name, at, report);
    }
    // OSSEC requires <expect> and has no <extra_args>.
    let of_ossec = || {
        let has = |name| block.all(name).next().is_some();
        logic == Logic::Ossec || (has("expect") && !has("extra_args"))
    };
    match written.map_or(Written::Auto, |(written, _)| written) {
        Written::Auto if is_bundled || !of_ossec() => Some(Contract::Json),
        Written::Auto | Written::Argv => {
            let wanted = wanted(block, report);
            no_handshake(block, report);
            Some(Contract::Argv(wanted))
        }
        Written::Json => Some(Contract::Json),
        Written::V5 => Some(Contract::V5),
    }
}

fn only_json(name: &ExeName, at: Span, report: &mut Report<'_>) {
    let message = format!("{name} is bundled and is spoken to in json, whatever stands here");
    let hint = "remove it; it holds only where a script of your own bears that name";
    report.warning(at, message, hint);
}

fn no_handshake(block: &Block<'_>, report: &mut Report<'_>) {
    if let Some(node) = block.all("handshake_timeout").next() {
        let message = "a script that is given words reads nothing, so this has no effect";
        let hint = "remove it, or write <contract>json</contract>";
        report.warning(node.name_at, message, hint);
    }
}

/// What the script is given. OSSEC passes over words that it does not know.
fn wanted(block: &Block<'_>, report: &mut Report<'_>) -> Wanted {
    let Some(value) = block.value("expect", report) else {
        return Wanted::ANYTHING;
    };
    let mut wanted = Wanted::NOTHING;
    let words = value.text.split([',', ' ', '\t', '\r', '\n']);
    for word in words.filter(|word| !word.is_empty()) {
        let mut known = EXPECTED.iter();
        match known.find(|(name, _)| name.eq_ignore_ascii_case(word)) {
            Some((_, Expected::User)) => wanted.user = Want::Needed,
            Some((_, Expected::Srcip)) => wanted.srcip = Want::Needed,
            Some((_, Expected::Filename)) => wanted.filename = Want::Needed,
            None => {
                let message = format!("`{word}` is nothing that <expect> can ask for: ignored");
                let hint = "write user, srcip or filename";
                report.warning(value.place_of(word), message, hint);
            }
        }
    }
    wanted
}
