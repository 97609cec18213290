//! `<global>` on a manager: what holds for all responses.

use crate::config::Context;
use crate::config::block::{Block, Unbuilt};
use crate::config::protected::Protected;
use crate::config::report::{Report, Span};
use crate::config::schema::{Daemon, Parent};
use crate::config::sections::Sections;
use crate::config::value;
use crate::config::white_list;
use crate::model::Logic;

/// What all `<global>` blocks of a file say together.
#[derive(Debug, Default)]
pub(crate) struct Globals {
    pub(crate) white_list: Protected,
    pub(crate) auto_reload: bool,
    /// `None` if no block says it.
    pub(crate) logic: Option<Logic>,
}

/// Reads all blocks; what is wrong in them has been reported.
pub(crate) fn read(sections: &Sections<'_>, context: &Context, report: &mut Report<'_>) -> Globals {
    let mut globals = Globals::default();
    let mut logic: Option<(Logic, Span)> = None;
    for node in sections.named("global") {
        let block = Block::read(
            node,
            Parent::Global,
            Daemon::Manager,
            Unbuilt::Refuse,
            report,
        );
        white_list::read(&block, context, &mut globals.white_list, report);
        globals.auto_reload |= value::switch(&block, "auto_reload", report);
        let Some(value) = block.value("logic", report) else {
            continue;
        };
        let at = value.node.text_at;
        let Some(stated) = value::word(value, &LOGICS, "wazuh or ossec", report) else {
            continue;
        };
        match logic {
            Some((earlier, place)) if earlier != stated => {
                let message = "<logic> says another thing than before";
                let hint = format!("keep one; the other is in {}", report.place(place, at));
                report.error(at, message, hint);
            }
            Some(_) | None => logic = Some((stated, at)),
        }
    }
    globals.logic = logic.map(|(stated, _)| stated);
    globals
}

const LOGICS: [(&str, Logic); 2] = [("wazuh", Logic::Wazuh), ("ossec", Logic::Ossec)];
