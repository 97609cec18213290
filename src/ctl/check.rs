//! `ripostctl check`: configuration files, read as the daemons read them.

use std::path::{Path, PathBuf};

use crate::config::{Checked, Context, load_agent, load_any, load_manager};
use crate::ctl::error::Error;
use crate::ctl::{print, say_rendered, table};
use crate::daemon::exit;

/// What is left of a check once its value is of no more use.
struct Report {
    file: PathBuf,
    problems: String,
    summary: String,
    errors: usize,
    warnings: usize,
}

impl Report {
    fn new<T>(file: &Path, checked: &Checked<T>) -> Self {
        Self {
            file: file.to_owned(),
            problems: checked.problems(),
            summary: checked.summary.clone(),
            errors: checked.diagnostics.errors(),
            warnings: checked.diagnostics.warnings(),
        }
    }

    fn line(&self) -> String {
        let file = table::escape(&self.file.to_string_lossy());
        let summary = table::escape(&self.summary);
        format!(
            "{file}: {summary}; {}, {}\n",
            count(self.errors, "error"),
            count(self.warnings, "warning")
        )
    }
}

/// Checks one file of either daemon. With a home, executables that it lacks
/// are warned of.
pub(super) fn file(file: &Path, home: Option<&Path>) -> Result<u8, Error> {
    let context = Context {
        home: home.map(Path::to_owned),
    };
    show(&[Report::new(file, &load_any(file, &context))])
}

/// Checks the files of a home, of which one may be missing.
pub(super) fn home(home: &Path) -> Result<u8, Error> {
    let context = Context {
        home: Some(home.to_owned()),
    };
    let mut reports = Vec::new();
    let manager = home.join("etc/manager.conf");
    if may_exist(&manager) {
        reports.push(Report::new(&manager, &load_manager(&manager, &context)));
    }
    let agent = home.join("etc/agent.conf");
    if may_exist(&agent) {
        reports.push(Report::new(&agent, &load_agent(&agent, &context)));
    }
    if reports.is_empty() {
        return Err(Error::NothingToCheck(home.join("etc")));
    }
    show(&reports)
}

/// A file that cannot even be looked for is left to the check, which says why.
fn may_exist(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

fn show(reports: &[Report]) -> Result<u8, Error> {
    for report in reports {
        say_rendered(&report.problems);
    }
    print(&reports.iter().map(Report::line).collect::<String>())?;
    let errors: usize = reports.iter().map(|report| report.errors).sum();
    Ok(if errors == 0 {
        exit::DONE
    } else {
        exit::FAILED
    })
}

/// `1 error`, `2 errors`.
pub(super) fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
