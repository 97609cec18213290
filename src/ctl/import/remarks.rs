//! What the predecessors made of a block that they loaded without a word, where
//! that differs from what it says.

use crate::config::Part;
use crate::ctl::import::blocks::Block;
use crate::ctl::import::configuration::Known;
use crate::ctl::import::origin::System;
use crate::ctl::import::report::What;
use crate::ctl::import::scripts::{Found, Scripts};

/// Adds them to the blocks.
pub(super) fn add(blocks: &mut [Block<'_>], known: &Known<'_>) {
    let system = known.origin.system;
    for block in blocks {
        match block.what {
            What::Command => command(block, known.scripts),
            What::Response => place(block, system),
            What::File
            | What::Alerts
            | What::WhiteList
            | What::Section
            | What::Setting
            | What::Server
            | What::Script
            | What::List
            | What::SharedFile
            | What::Agent => {}
        }
    }
}

fn command(block: &mut Block<'_>, scripts: &Scripts) {
    let Some(executable) = block.part.setting("executable") else {
        return;
    };
    match scripts.find(executable) {
        // Where it has another name here, the check says so.
        Found::Bundled => {}
        Found::Own(guess) => block.notes.push(match guess.form {
            Some(form) => format!("{} proposed: its script {}", form.word(), guess.why),
            None => format!("its contract is unclear: its script {}", guess.why),
        }),
        Found::Nothing => {
            let whereabouts = match scripts.looked {
                true => "is not in active-response/bin there",
                false => "was not looked at",
            };
            block.notes.push(format!(
                "{executable} {whereabouts}: put it into the home of each host that is to run it"
            ));
        }
    }
}

/// Wazuh 4.14 alerts/exec.c OS_Exec; OSSEC likewise.
fn place(block: &mut Block<'_>, system: System) {
    let words: Vec<_> = words(block.part);
    let is = |word: &&str| words.iter().any(|w| w == word);
    let name = system.name();
    if ["all", "any"].iter().any(&is) {
        block.differs.push(format!(
            "{name} leaves the manager's own host out of `all`; here it is one of them (write \
             <exclude>000</exclude> to leave it out)"
        ));
    }
    let on_server = ["server", "as", "analysisd", "analysis-server"];
    if on_server.iter().any(is) && words.len() > 1 {
        block.differs.push(format!(
            "{name} acts on its own host alone where `server` is among the words; here on all of \
             them"
        ));
    }
}

fn words(part: &Part) -> Vec<String> {
    let text = part.setting("location").unwrap_or_default();
    text.split([',', ' ', '\t', '\n', '|'])
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect()
}
