//! What responses do to each other in Wazuh 4.x, and not here
//! (config/active-response.c, os_execd/config.c, os_execd/exec.c): said where it
//! matters.

use std::collections::HashMap;

use crate::config::report::{Report, Span};
use crate::config::response::Response;

/// The blocks of a file in their order: where each stands, and where it runs
/// unless it is switched off.
#[derive(Debug, Default)]
pub(crate) struct Order {
    blocks: Vec<(Span, Option<Kinds>)>,
    /// What agents of 4.x call a response, the first command of that name, and
    /// where it stands.
    names: HashMap<String, (String, Span)>,
    collisions: Vec<(Span, String)>,
}

/// To whom 4.x would send: its own execd, agents, or either. A block that is
/// switched off takes both from those before it, and later ones give back only
/// their own.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Kinds {
    own_host: bool,
    agents: bool,
}

impl Order {
    pub(crate) fn disabled(&mut self, at: Span) {
        self.blocks.push((at, None));
    }

    pub(crate) fn enabled(&mut self, at: Span, response: &Response) {
        let location = &response.location;
        let kinds = Kinds {
            own_host: location.local || location.server,
            agents: location.local || location.all || !location.agents.is_empty(),
        };
        self.blocks.push((at, Some(kinds)));
        let seconds = response.timeout.map_or(0, |timeout| timeout.as_secs());
        let command = response.command.name.as_str();
        let name = format!("{command}{seconds}");
        match self.names.get(&name) {
            Some((first, _)) if first != command => self.collisions.push((at, name)),
            Some(_) => {}
            None => {
                self.names.insert(name, (command.to_owned(), at));
            }
        }
    }

    /// Warns in files that Wazuh may read as well.
    pub(crate) fn report(&self, report: &mut Report<'_>) {
        self.report_those_above(report);
        self.report_own_host(report);
        self.report_names(report);
    }

    /// The name is made of command and timeout with nothing between.
    fn report_names(&self, report: &mut Report<'_>) {
        for (at, name) in &self.collisions {
            let (first, place) = &self.names[name];
            if report.is_of_others(*at) {
                let place = report.place(*place, *at);
                let message = format!(
                    "Wazuh 4.x and OSSEC call this response {name}, as that in {place}, and run {first}"
                );
                let hint = "if they still read this file, rename one of the commands";
                report.warning(*at, message, hint);
            }
        }
    }

    fn report_those_above(&self, report: &mut Report<'_>) {
        let Some(last) = self.blocks.iter().rposition(|(_, kinds)| kinds.is_none()) else {
            return;
        };
        let (above, below) = self.blocks.split_at(last);
        let (lost, given) = (together(above), together(below));
        let (at, _) = self.blocks[last];
        let what = match (
            lost.own_host && !given.own_host,
            lost.agents && !given.agents,
        ) {
            (false, false) => return,
            (true, true) => "the responses above it",
            (true, false) => "the responses above it on the manager's own host",
            (false, true) => "the responses above it on agents",
        };
        if report.is_of_others(at) {
            let message =
                format!("in Wazuh 4.x this block switches off {what} as well; here they stay on");
            let hint = "if Wazuh still reads this file, remove the block or move it above them";
            report.warning(at, message, hint);
        }
    }

    /// 4.x looks up one value for the execd of the manager's host: the first.
    fn report_own_host(&self, report: &mut Report<'_>) {
        let Some(((at, None), rest)) = self.blocks.split_first() else {
            return;
        };
        if together(rest).own_host && report.is_of_others(*at) {
            let message = "in Wazuh 4.x this first block switches off all that runs on the manager's \
                           own host; here it is off alone";
            let hint = "if Wazuh still reads this file, move the block below the others";
            report.warning(*at, message, hint);
        }
    }
}

fn together(blocks: &[(Span, Option<Kinds>)]) -> Kinds {
    let kinds = blocks.iter().filter_map(|(_, kinds)| *kinds);
    kinds.fold(Kinds::default(), |all, one| Kinds {
        own_host: all.own_host || one.own_host,
        agents: all.agents || one.agents,
    })
}
