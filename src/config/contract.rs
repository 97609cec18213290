//! How the executable of a command is spoken to.

use crate::config::block::{Block, Value};
use crate::config::report::{Report, Span};
use crate::config::value;
use crate::model::action::Contract;
use crate::model::{ExeName, bundled};

#[derive(Clone, Copy, Eq, PartialEq)]
enum Wanted {
    Auto,
    Json,
    Argv,
    V5,
}

const CONTRACTS: [(&str, Wanted); 4] = [
    ("auto", Wanted::Auto),
    ("json", Wanted::Json),
    ("argv", Wanted::Argv),
    ("v5", Wanted::V5),
];

/// `None` if it is wrong, or one that is not built; both are reported.
pub(crate) fn read(
    block: &Block<'_>,
    executable: Option<&ExeName>,
    extra_args: Option<Value<'_>>,
    report: &mut Report<'_>,
) -> Option<Contract> {
    let wanted = block.setting("contract", report, |value, report| {
        let wanted = value::word(value, &CONTRACTS, "auto or json", report)?;
        Some((wanted, value.node.text_at))
    });
    let (wanted, at) = wanted.ok()?.unwrap_or((Wanted::Auto, block.node.name_at));
    let expect = block.one("expect", report);
    match wanted {
        Wanted::Json => Some(Contract::Json),
        Wanted::Argv | Wanted::V5 => {
            let message = "this contract is not in this version";
            let hint =
                "write json if the script reads one line of JSON, as for Wazuh 4.2 and later";
            report.error(at, message, hint);
            None
        }
        Wanted::Auto => match (expect, executable) {
            // OSSEC requires <expect> and has no <extra_args>.
            (Some(expect), Some(executable))
                if extra_args.is_none() && bundled::find(executable.as_str()).is_none() =>
            {
                old_script(expect.name_at, executable, report);
                None
            }
            _ => Some(Contract::Json),
        },
    }
}

fn old_script(at: Span, executable: &ExeName, report: &mut Report<'_>) {
    let message = format!(
        "with <expect>, {executable} is an OSSEC script that takes arguments: not in this version"
    );
    let stem = executable.as_str().split('.').next().unwrap_or_default();
    let hint = match bundled::find(stem) {
        Some(row) => format!(
            "write <executable>{0}</executable>: {0} is bundled",
            row.name
        ),
        None => "if it reads one line of JSON, as for Wazuh 4.2 and later, remove <expect> or \
                 write <contract>json</contract>; if not, remove this command"
            .to_owned(),
    };
    report.error(at, message, hint);
}
