//! The blocks of a configuration that are to be taken over, and what of it is
//! left out because it is not about active response.

use std::ops::Range;

use crate::config::Part;
use crate::config::schema::{self, Daemon, Parent, Use};
use crate::ctl::import::report::What;
use crate::ctl::import::text;

/// One thing that is taken over or not, as a whole.
pub(super) struct Block<'a> {
    pub(super) what: What,
    pub(super) part: &'a Part,
    /// Why it is left out, and what to do.
    pub(super) left_out: Option<(String, String)>,
    /// What is read otherwise, each with what to do.
    pub(super) differs: Vec<String>,
    /// What else there is to know.
    pub(super) notes: Vec<String>,
}

/// A configuration, sorted.
#[derive(Default)]
pub(super) struct Blocks<'a> {
    /// In the order of the file.
    pub(super) all: Vec<Block<'a>>,
    /// What is cut, comments that belong to it included.
    pub(super) foreign: Vec<Range<usize>>,
    /// `<global>` sections, which hold some of the blocks.
    pub(super) globals: Vec<&'a Part>,
    /// Roots of which nothing stays.
    pub(super) idle_roots: Vec<&'a Part>,
    pub(super) sections: usize,
    pub(super) settings: usize,
    /// What an agent calls its manager, and in which line.
    pub(super) servers: Vec<(String, usize)>,
}

impl Block<'_> {
    /// How to tell it from others of its kind.
    pub(super) fn name(&self) -> &str {
        let name = match self.what {
            What::Command => self.part.setting("name"),
            What::Response => self.part.setting("command").or(Some("-")),
            What::WhiteList => Some(self.part.text.as_str()),
            What::File
            | What::Alerts
            | What::Section
            | What::Setting
            | What::Server
            | What::Script
            | What::List
            | What::SharedFile
            | What::Agent => Some(self.part.name.as_str()),
        };
        name.unwrap_or_default()
    }
}

/// Sorts what stands in a file.
pub(super) fn sort<'a>(source: &str, roots: &'a [Part], daemon: Daemon) -> Blocks<'a> {
    let mut sorter = Sorter {
        source,
        daemon,
        blocks: Blocks::default(),
    };
    let mut end = 0;
    for root in roots {
        match schema::find(Parent::Top, &root.name) {
            Some(_) => sorter.root(root),
            None => sorter.section(root, end),
        }
        end = root.at.end;
    }
    let mut blocks = sorter.blocks;
    // A file without any root would be none to go on with.
    if blocks.idle_roots.len() == roots.len() {
        blocks.idle_roots.clear();
    }
    blocks
}

struct Sorter<'a, 's> {
    source: &'s str,
    daemon: Daemon,
    blocks: Blocks<'a>,
}

impl<'a> Sorter<'a, '_> {
    fn root(&mut self, root: &'a Part) {
        let before = self.blocks.all.len() + self.blocks.globals.len();
        let mut end = root.inside.start;
        for part in &root.parts {
            self.section(part, end);
            end = part.at.end;
        }
        if self.blocks.all.len() + self.blocks.globals.len() == before {
            self.blocks.idle_roots.push(root);
        }
    }

    /// `end`: where what stands before it ends.
    fn section(&mut self, part: &'a Part, end: usize) {
        let used =
            schema::find(Parent::Root, &part.name).map(|element| element.used_by(self.daemon));
        match (part.name.as_str(), used) {
            ("client", Some(Use::Section)) => {
                self.servers(part);
                self.cut(part, end);
            }
            (_, Some(Use::Skipped)) => {
                self.blocks.sections += 1;
                self.cut(part, end);
            }
            ("global", Some(_)) => self.global(part, end),
            ("command", Some(_)) => self.block(What::Command, part),
            ("active-response", Some(_)) => self.block(What::Response, part),
            (_, Some(_) | None) => self.block(What::Section, part),
        }
    }

    fn global(&mut self, global: &'a Part, end: usize) {
        let before = self.blocks.all.len();
        let mut setting_end = global.inside.start;
        for part in &global.parts {
            let used =
                schema::find(Parent::Global, &part.name).map(|found| found.used_by(self.daemon));
            match (part.name.as_str(), used) {
                (_, Some(Use::Skipped)) => {
                    self.blocks.settings += 1;
                    self.cut(part, setting_end);
                }
                ("white_list" | "allow_list", Some(_)) => self.block(What::WhiteList, part),
                (_, Some(_) | None) => self.block(What::Setting, part),
            }
            setting_end = part.at.end;
        }
        match self.blocks.all.len() == before {
            true => self.cut(global, end),
            false => self.blocks.globals.push(global),
        }
    }

    fn block(&mut self, what: What, part: &'a Part) {
        self.blocks.all.push(Block {
            what,
            part,
            left_out: None,
            differs: Vec::new(),
            notes: Vec::new(),
        });
    }

    /// With the comment that belongs to it, unless that could be a response that
    /// somebody has switched off.
    fn cut(&mut self, part: &Part, end: usize) {
        let comment = text::comment_of(self.source, end, part.at.start);
        let is_of_ours = |start: usize| {
            let text = &self.source[start..part.at.start];
            ["<active-response", "<command", "<white_list"]
                .iter()
                .any(|tag| text.contains(tag))
        };
        let start = comment.filter(|start| !is_of_ours(*start));
        self.blocks
            .foreign
            .push(start.unwrap_or(part.at.start)..part.at.end);
    }

    fn servers(&mut self, client: &Part) {
        for part in &client.parts {
            let name = match part.name.as_str() {
                "server" => part.setting("address").unwrap_or_default(),
                "server-ip" | "server-hostname" => &part.text,
                _ => continue,
            };
            self.blocks.servers.push((name.to_owned(), part.line));
        }
    }
}
