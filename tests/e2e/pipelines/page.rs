//! What docs/pipelines.md shows.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The page, a heading at a time.
pub(super) struct Page(String);

impl Page {
    pub(super) fn new() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pipelines.md");
        Self(fs::read_to_string(path).unwrap())
    }

    /// The block in this language under this heading, up to the next heading.
    #[track_caller]
    pub(super) fn block(&self, heading: &str, language: &str) -> String {
        let start = format!("\n{heading}\n");
        let Some((_, section)) = self.0.split_once(&start) else {
            panic!("docs/pipelines.md has no heading {heading}");
        };
        let section = section.split("\n#").next().unwrap();
        let found = blocks(section).find(|(of, _)| *of == language);
        let Some((_, text)) = found else {
            panic!("{heading} shows nothing in {language}");
        };
        text.to_owned()
    }
}

/// The fenced blocks of a text: the language and what stands in it.
fn blocks(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once("```")?;
        let (language, after) = after.split_once('\n')?;
        let (block, after) = after.split_once("```")?;
        rest = after;
        Some((language, block))
    })
}

/// An `<alert_source>` that somebody copies must be taken as it stands.
#[test]
fn every_block_for_the_manager_passes_the_check() {
    let page = Page::new();
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for (language, block) in blocks(&page.0) {
        if language != "xml" {
            continue;
        }
        count += 1;
        let file = folder.path().join("manager.conf");
        let command = "<command><name>firewall-drop</name>\
             <executable>firewall-drop</executable>\
             <timeout_allowed>yes</timeout_allowed></command>";
        fs::write(
            &file,
            format!("<ossec_config>{command}{block}</ossec_config>"),
        )
        .unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_ripostctl"))
            .arg("check")
            .arg("-c")
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}\n{said}");
    }
    assert!(count > 10, "{count} blocks");
}
