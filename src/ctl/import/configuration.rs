//! The new configuration: the administrator's text without what is foreign to
//! us, held against the check that the daemons make. What does not pass is left
//! out and told; what passes with a warning is read otherwise, as that says.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::schema::Daemon;
use crate::config::{self, Context, Part};
use crate::ctl::check::count;
use crate::ctl::import::Error;
use crate::ctl::import::blocks::{self, Block, Blocks};
use crate::ctl::import::origin::{Origin, System};
use crate::ctl::import::remarks;
use crate::ctl::import::report::{Outcome, Row, What};
use crate::ctl::import::scripts::{Found, Scripts};
use crate::ctl::import::text::{Edit, Edited, in_comment};
use crate::diag::{Diagnostic, Diagnostics, Severity};

/// What is taken over of one file.
pub(super) struct Plan {
    pub(super) text: String,
    pub(super) rows: Vec<Row>,
    /// Executables of the commands that are taken over.
    pub(super) executables: BTreeSet<String>,
    pub(super) sections: usize,
    pub(super) settings: usize,
}

/// What else is known than the text.
pub(super) struct Known<'a> {
    pub(super) origin: &'a Origin,
    pub(super) scripts: &'a Scripts,
    /// What is added in a root of its own, a line each.
    pub(super) added: &'a [String],
}

/// Plans the configuration that takes the place of `source`, whose elements are
/// `roots`.
pub(super) fn plan(source: &str, roots: &[Part], known: &Known<'_>) -> Result<Plan, Error> {
    let daemon = known.origin.daemon;
    let mut blocks = blocks::sort(source, roots, daemon);
    remarks::add(&mut blocks.all, known);
    let (edited, found) = loop {
        let edited = edit(source, &blocks, known);
        let (found, problems) = check(&edited.text, daemon);
        // Each time round leaves something out, so this ends.
        if leave_out(&mut blocks, &edited, &found) {
            continue;
        }
        if found.errors() > 0 {
            return Err(Error::Unfit(problems));
        }
        break (edited, found);
    };
    let mut rows = warn(&mut blocks, &edited, &found);
    rows.extend(blocks.all.iter().map(row));
    rows.extend(blocks.servers.iter().map(server));
    let taken = |block: &&Block<'_>| block.what == What::Command && block.left_out.is_none();
    let commands = blocks.all.iter().filter(taken);
    let executables = commands.filter_map(|block| block.part.setting("executable"));
    Ok(Plan {
        executables: executables.map(str::to_owned).collect(),
        text: edited.text,
        rows,
        sections: blocks.sections,
        settings: blocks.settings,
    })
}

/// As the daemon will, without a look at any home.
fn check(text: &str, daemon: Daemon) -> (Diagnostics, String) {
    let (text, file) = (text.as_bytes(), Path::new(daemon.file()));
    let context = Context::default();
    match daemon {
        Daemon::Manager => {
            let checked = config::manager(text, file, &context);
            let problems = checked.problems();
            (checked.diagnostics, problems)
        }
        Daemon::Agent => {
            let checked = config::agent(text, file, &context);
            let problems = checked.problems();
            (checked.diagnostics, problems)
        }
    }
}

/// The text with all that is to be changed so far.
fn edit(source: &str, blocks: &Blocks<'_>, known: &Known<'_>) -> Edited {
    let mut edit = Edit::new(source);
    edit.replace(0..0, head(blocks, known.origin));
    blocks
        .foreign
        .iter()
        .for_each(|range| edit.cut(range.clone()));
    blocks
        .idle_roots
        .iter()
        .for_each(|root| edit.cut(root.at.clone()));
    for global in &blocks.globals {
        let inside = |block: &&Block<'_>| global.inside.contains(&block.part.at.start);
        let within = blocks.all.iter().filter(inside);
        if within.clone().all(|block| block.left_out.is_some()) {
            let comments: Vec<_> = within.map(farewell).collect();
            edit.replace(global.at.clone(), comments.join("\n  "));
        }
    }
    for block in &blocks.all {
        match &block.left_out {
            Some(_) => edit.replace(block.part.at.clone(), farewell(block)),
            None => adapt(&mut edit, block, known.scripts),
        }
    }
    if !known.added.is_empty() {
        let lines: String = known
            .added
            .iter()
            .map(|line| format!("  {line}\n"))
            .collect();
        let end = source.len();
        let text = format!("\n<ripost_config>\n{lines}</ripost_config>\n");
        edit.replace(end..end, text);
    }
    edit.finish()
}

fn head(blocks: &Blocks<'_>, origin: &Origin) -> String {
    let why = in_comment(&origin.system_why);
    let system = origin.system.name();
    let sections = count(blocks.sections, "section");
    let settings = count(blocks.settings, "setting");
    format!(
        "<!--\n  Made by `ripostctl import` from a configuration of {system}: {why}.\n  \
         Left out, since they are not about active response: {sections} and\n  \
         {settings}. What is about it and could not be taken over stands in\n  \
         comments that begin with `Not taken over`.\n\n  \
         Look through it, and check a change with   ripostctl check -c FILE\n-->\n\n"
    )
}

/// What stands in the place of a block that is left out.
fn farewell(block: &Block<'_>) -> String {
    let why = block.left_out.as_ref().map_or("", |(why, _)| why);
    let (what, name) = (block.what.label(), block.name());
    let line = block.part.line;
    let text = in_comment(&format!("the {what} {name} of line {line}: {why}"));
    format!("<!-- Not taken over: {text} -->")
}

/// Changes that a block needs which stays.
fn adapt(edit: &mut Edit<'_>, block: &Block<'_>, scripts: &Scripts) {
    if block.what != What::Command {
        return;
    }
    let Some(executable) = block.part.setting("executable") else {
        return;
    };
    match scripts.find(executable) {
        Found::Own(guess) if block.part.setting("contract").is_none() => {
            let why = in_comment(&guess.why);
            let lines = match guess.form {
                Some(form) => vec![
                    format!("<!-- A proposal: the script {why}. Look whether that is so. -->"),
                    format!("<contract>{}</contract>", form.word()),
                ],
                None => vec![format!(
                    "<!-- The script {why}: say with a contract element what it takes. -->"
                )],
            };
            edit.add_last(block.part.inside.end, &lines);
        }
        Found::Own(_) | Found::Bundled | Found::Nothing => {}
    }
}

/// Leaves the blocks out that have errors, and sections that nobody knows;
/// `false` if there are none.
fn leave_out(blocks: &mut Blocks<'_>, edited: &Edited, found: &Diagnostics) -> bool {
    let lost: Vec<String> = blocks
        .all
        .iter()
        .filter(|block| block.what == What::Command && block.left_out.is_some())
        .map(|block| block.name().to_owned())
        .collect();
    let mut any = false;
    for error in found.iter() {
        let Some(block) = at(&mut blocks.all, edited, error) else {
            continue;
        };
        let stays = error.severity == Severity::Warning && block.what != What::Section;
        if stays || block.left_out.is_some() {
            continue;
        }
        any = true;
        let (why, instead) = (error.message.clone(), hint(error));
        let name = block.name().to_owned();
        block.left_out = Some(match block.what == What::Response && lost.contains(&name) {
            true => (
                format!("its command {name} is not taken over"),
                "see there".to_owned(),
            ),
            false => (why, instead),
        });
    }
    any
}

/// Puts warnings to the blocks they are about; answers those about none.
fn warn(blocks: &mut Blocks<'_>, edited: &Edited, found: &Diagnostics) -> Vec<Row> {
    let mut rows = Vec::new();
    for warning in found.iter() {
        let text = match hint(warning) {
            hint if hint.is_empty() => warning.message.clone(),
            hint => format!("{} ({hint})", warning.message),
        };
        match at(&mut blocks.all, edited, warning) {
            Some(block) if !block.differs.contains(&text) => block.differs.push(text),
            Some(_) => {}
            None => rows.push(Row::differs(What::File, "configuration", text, "")),
        }
    }
    let more = found.warnings().saturating_sub(found.iter().count());
    if more > 0 {
        let why = format!("{more} more warnings; `ripostctl check` shows them one after the other");
        rows.push(Row::differs(What::File, "configuration", why, ""));
    }
    rows
}

/// On one line.
fn hint(diagnostic: &Diagnostic) -> String {
    let hint = diagnostic.hint.as_deref().unwrap_or_default();
    hint.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The block that a diagnostic is about.
fn at<'b, 'a>(
    blocks: &'b mut [Block<'a>],
    edited: &Edited,
    diagnostic: &Diagnostic,
) -> Option<&'b mut Block<'a>> {
    let place = edited.source_place(diagnostic.position?);
    blocks
        .iter_mut()
        .find(|block| block.part.at.contains(&place))
}

fn row(block: &Block<'_>) -> Row {
    let name = match block.name() {
        "" => "-",
        name => name,
    };
    let mut row = Row::taken(block.what, name);
    row.line = Some(block.part.line);
    if let Some((why, instead)) = &block.left_out {
        row.outcome = Outcome::NotPossible;
        row.why.clone_from(why);
        row.instead.clone_from(instead);
        return row;
    }
    if !block.differs.is_empty() {
        row.outcome = Outcome::Differs;
    }
    let said: Vec<_> = block.differs.iter().chain(&block.notes).cloned().collect();
    row.why = said.join("; ");
    row
}

fn server((name, line): &(String, usize)) -> Row {
    let why = "the manager of Ripost has a protocol, a port and certificates of its own";
    let instead = "ripost-agentd enroll --manager HOST:PORT --token -";
    let mut row = Row::not_possible(What::Server, name.as_str(), why, instead);
    row.line = Some(*line);
    row
}

/// What says whose logic counts.
pub(super) fn logic(origin: &Origin) -> Vec<String> {
    match (origin.system, origin.daemon) {
        (System::Ossec, Daemon::Manager) => vec![
            "<global>".to_owned(),
            "  <!-- As in OSSEC, level, rules_group and rules_id each select rules. -->".to_owned(),
            "  <logic>ossec</logic>".to_owned(),
            "</global>".to_owned(),
        ],
        (System::Wazuh, _) | (System::Ossec, Daemon::Agent) => Vec::new(),
    }
}
