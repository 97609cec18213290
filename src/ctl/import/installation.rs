//! An installation, or its configuration alone, and the home that takes its
//! place.

use std::path::{Path, PathBuf};

use crate::config::schema::Daemon;
use crate::config::{Part, outline};
use crate::ctl::check::count;
use crate::ctl::error::Error as CtlError;
use crate::ctl::import::configuration::{self, Known, Plan};
use crate::ctl::import::lists::{self, List};
use crate::ctl::import::origin::{self, Origin, System};
use crate::ctl::import::place::{File, Place};
use crate::ctl::import::report::{self, Row, What};
use crate::ctl::import::scripts::Scripts;
use crate::ctl::import::{Error, KEYS, MAX_BYTES, Wish, agents, file};
use crate::ctl::init::{AGENT_CONFIGURATION, Role};
use crate::ctl::options::Output;
use crate::ctl::{json, print, say};

/// Where OSSEC and Wazuh write their alerts: as records, which OSSEC always
/// does, and as JSON.
const RECORDS: &str = "logs/alerts/alerts.log";
const JSON: &str = "logs/alerts/alerts.json";

/// Whether a file could be a configuration: the first thing in it is markup.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.trim_ascii_start().starts_with(b"<")
}

/// Makes a new home from it, and prints what became of each thing.
pub(super) fn import(
    home: &Path,
    output: Output,
    wish: &Wish,
    (path, bytes): (&Path, Vec<u8>),
) -> Result<u8, CtlError> {
    let folder = wish.source.is_dir().then_some(wish.source.as_path());
    let to = wish.to.as_deref().unwrap_or(home);
    let place = match wish.is_dry {
        true => None,
        false => Some(Place::at(to, folder)?),
    };
    let (text, mut rows) = text(bytes);
    let read = outline(&text, path);
    let problems = read.problems();
    let roots = read.value.ok_or_else(|| Error::Markup {
        file: path.to_owned(),
        problems,
    })?;
    let origin = origin::of(folder, &roots, wish.from);
    let scripts = folder.map(|folder| Scripts::read(&folder.join("active-response/bin")));
    let scripts = scripts.unwrap_or_default();
    let mut added = configuration::logic(&origin);
    let written = Written::of(&origin, &roots);
    rows.extend(alerts(folder, &origin, &written, &mut added));
    if origin.daemon == Daemon::Agent {
        added.extend(log_layout(&origin));
    }
    let known = Known {
        origin: &origin,
        scripts: &scripts,
        added: &added,
    };
    let plan = configuration::plan(&text, &roots, &known)?;
    rows.extend(plan.rows.iter().cloned());
    rows.extend(scripts.rows(&plan.executables));
    let lists = folder.map(|folder| lists::read(&folder.join("etc"), &mut rows));
    let lists = lists.unwrap_or_default();
    rows.extend(folder.map_or_else(Vec::new, |folder| known_agents(folder, &origin)));
    if let Some(place) = &place {
        place.make(role(&origin), &files(&plan, &origin, &scripts, &lists))?;
    }
    match output {
        Output::Json => print(&json(&rows))?,
        Output::Table => print(&report::shown(&rows))?,
    };
    tell(&origin, &plan, &rows, place.as_ref().map(|_| to));
    Ok(crate::daemon::exit::DONE)
}

/// The text as the daemons take it: UTF-8, with the line ends of Unix.
fn text(bytes: Vec<u8>) -> (String, Vec<Row>) {
    let mut rows = Vec::new();
    let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => rest.to_vec(),
        None => bytes,
    };
    let text = String::from_utf8(bytes).unwrap_or_else(|error| {
        let why = "it is not UTF-8 and was taken for Latin-1";
        let instead = "look whether names and comments read as they should";
        rows.push(Row::differs(What::File, "configuration", why, instead));
        error
            .into_bytes()
            .iter()
            .map(|byte| char::from(*byte))
            .collect()
    });
    (text.replace("\r\n", "\n"), rows)
}

/// How an installation writes its alerts.
struct Written {
    by: &'static str,
    path: &'static str,
    format: &'static str,
}

impl Written {
    fn of(origin: &Origin, roots: &[Part]) -> Self {
        let (by, format) = match origin.system {
            System::Wazuh => ("Wazuh", "wazuh"),
            System::Ossec => ("OSSEC", "ossec"),
        };
        let path = match origin.system {
            System::Ossec if !writes_json(roots) => RECORDS,
            System::Ossec | System::Wazuh => JSON,
        };
        Self { by, path, format }
    }
}

/// Whether OSSEC is told to write JSON, too. A file that it wrote when it was
/// told so may still lie there.
fn writes_json(roots: &[Part]) -> bool {
    let settings = roots.iter().flat_map(|root| &root.parts);
    let global = settings.filter(|part| part.name == "global");
    let mut said = global.filter_map(|global| global.setting("jsonout_output"));
    said.next_back() == Some("yes")
}

/// Where the new manager reads alerts.
fn alerts(
    folder: Option<&Path>,
    origin: &Origin,
    written: &Written,
    added: &mut Vec<String>,
) -> Option<Row> {
    if origin.daemon == Daemon::Agent {
        return None;
    }
    let row = match folder.and_then(|folder| alert_file(folder, written.path)) {
        Some(path) => {
            let shown = path.replace('&', "&amp;").replace('<', "&lt;");
            added.extend([
                "<alert_source>".to_owned(),
                format!("  <!-- Where {} writes them. -->", written.by),
                format!("  <location>{shown}</location>"),
                format!("  <format>{}</format>", written.format),
                "</alert_source>".to_owned(),
            ]);
            Row::taken(What::Alerts, path).saying("they are read where they are written")
        }
        None => {
            let name = written.path.rsplit('/').next().unwrap_or(written.path);
            let why = "they are read from logs/alerts/alerts.json of the new home";
            let instead = "name the file of the old one in <alert_source>, if it is on this host";
            Row::differs(What::Alerts, name, why, instead)
        }
    };
    Some(row)
}

/// The file of an installation that runs here, if its name can stand in a
/// configuration.
fn alert_file(folder: &Path, name: &str) -> Option<String> {
    let path = folder.canonicalize().ok()?.join(name);
    let is_file = path.symlink_metadata().is_ok_and(|found| found.is_file());
    let path = path.into_os_string().into_string().ok()?;
    let is_plain = !path.chars().any(char::is_control) && path.trim() == path;
    (is_file && is_plain).then_some(path)
}

/// What keeps the readers of OSSEC's log going.
fn log_layout(origin: &Origin) -> Vec<String> {
    match origin.system {
        System::Wazuh => Vec::new(),
        System::Ossec => vec![
            "<global>".to_owned(),
            "  <!-- active-responses.log as OSSEC's decoder and rules 600 to 606 read it. -->"
                .to_owned(),
            "  <log_layout>ossec</log_layout>".to_owned(),
            "</global>".to_owned(),
        ],
    }
}

fn known_agents(folder: &Path, origin: &Origin) -> Vec<Row> {
    match file::read(&folder.join(KEYS), MAX_BYTES) {
        Ok(bytes) => agents::rows(&bytes, origin.daemon),
        Err(file::Unreadable::Missing) => Vec::new(),
        Err(why) => {
            let instead = "ripostctl import the file by itself";
            vec![Row::not_possible(
                What::Agent,
                "client.keys",
                why.to_string(),
                instead,
            )]
        }
    }
}

fn role(origin: &Origin) -> Role {
    match origin.daemon {
        Daemon::Manager => Role::Manager,
        Daemon::Agent => Role::Agent,
    }
}

/// What a new home gets besides what every one has.
fn files(plan: &Plan, origin: &Origin, scripts: &Scripts, lists: &[List]) -> Vec<File> {
    let mut files = vec![File {
        path: Path::new("etc").join(origin.daemon.file()),
        bytes: plan.text.clone().into_bytes(),
        mode: 0o640,
    }];
    let layout = log_layout(origin);
    if origin.daemon == Daemon::Manager && !layout.is_empty() {
        let lines: String = layout.iter().map(|line| format!("  {line}\n")).collect();
        let (name, text) = AGENT_CONFIGURATION;
        let text = format!("{text}\n<ripost_config>\n{lines}</ripost_config>\n");
        files.push(File {
            path: Path::new("etc").join(name),
            bytes: text.into_bytes(),
            mode: 0o640,
        });
    }
    files.extend(scripts.own().map(|(name, own)| File {
        path: Path::new("active-response/bin").join(name),
        bytes: own.bytes.clone(),
        mode: 0o750,
    }));
    files.extend(lists.iter().map(|list| File {
        path: Path::new("etc/lists").join(&list.path),
        bytes: list.bytes.clone(),
        mode: 0o600,
    }));
    files
}

/// What a person is to know besides the report.
fn tell(origin: &Origin, plan: &Plan, rows: &[Row], made: Option<&Path>) {
    let daemon = match origin.daemon {
        Daemon::Manager => "a manager",
        Daemon::Agent => "an agent",
    };
    say(&format!(
        "taken for {daemon} ({}) of {} ({})",
        origin.daemon_why,
        origin.system.name(),
        origin.system_why
    ));
    say(&format!(
        "{}; left out {} and {} that are not about active response",
        report::counted(rows),
        count(plan.sections, "section"),
        count(plan.settings, "setting")
    ));
    let Some(home) = made else {
        say("nothing was written");
        return;
    };
    let file: PathBuf = home.join("etc").join(origin.daemon.file());
    let home = home.display();
    say(&format!(
        "made {home}\nnext: look through {}, run `ripostctl --home {home} check`, switch active \
         response off in the old installation, then start {}",
        file.display(),
        match origin.daemon {
            Daemon::Manager =>
                format!("`ripost-manager --home {home}` and `ripost-agentd --home {home}`"),
            Daemon::Agent => format!(
                "`ripost-agentd --home {home}` once `ripost-agentd --home {home} enroll` has \
                 enrolled it"
            ),
        }
    ));
}
