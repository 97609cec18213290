//! `<field_map>`: where in an alert that is named which a response acts upon.

use std::sync::Arc;

use crate::config::block::{Block, Reported, Value};
use crate::config::command::Command;
use crate::config::report::{Report, Span};
use crate::diag::suggest;
use crate::model::action::{Contract, Want};
use crate::model::bundled::{self, Bundled, FIELD, Options};
use crate::model::{Field, FieldMap, FieldPath, InvalidFieldList, InvalidFieldPath, MAX_PATHS};

/// The attribute that says what the paths lead to.
const OF: &str = "field";

/// One element.
pub(crate) struct List<'a> {
    value: Value<'a>,
    /// `None`: what the command acts upon.
    field: Option<Field>,
    paths: Vec<FieldPath>,
}

/// Reads all elements of a block.
pub(crate) fn read<'a>(
    block: &Block<'a>,
    report: &mut Report<'_>,
) -> Result<Vec<List<'a>>, Reported> {
    let nodes: Vec<_> = block.all("field_map").collect();
    let lists = nodes.into_iter().map(|node| {
        let value = block.text(node, report);
        // What is wrong with both is said at once.
        let field = match node.attributes.iter().find(|a| a.name == OF) {
            Some(attribute) => field(&attribute.value, attribute.at, report).map(Some),
            None => Some(None),
        };
        let paths = value.and_then(|value| paths(value, report));
        Some(List {
            value: value?,
            field: field?,
            paths: paths?,
        })
    });
    let lists: Vec<Option<List<'a>>> = lists.collect();
    lists.into_iter().collect::<Option<_>>().ok_or(Reported)
}

fn field(word: &str, at: Span, report: &mut Report<'_>) -> Option<Field> {
    let found = Field::find(word);
    if found.is_none() {
        let words = Field::ALL.map(Field::word);
        let hint = match suggest(word, words) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("write {}", words.join(" or ")),
        };
        let message = format!("`{word}` is nothing that an alert names for a response");
        report.error(at, message, hint);
    }
    found
}

/// Paths with commas between, at least one.
pub(crate) fn paths(value: Value<'_>, report: &mut Report<'_>) -> Option<Vec<FieldPath>> {
    let write = "write names with dots between, and commas between paths: data.aws.sourceIPAddress, data.srcip";
    if value.text.is_empty() {
        let hint = format!("{write}; or remove it");
        let message = format!("<{}> is empty", value.node.name);
        report.error(value.node.name_at, message, hint);
        return None;
    }
    let wrong = match FieldPath::parse_list(value.text) {
        Ok(paths) => return Some(paths),
        Err(wrong) => wrong,
    };
    // They have no place of their own to be told apart by.
    let is_missing =
        |why: &InvalidFieldList| matches!(why, InvalidFieldList::Path(InvalidFieldPath::Empty));
    let missing = wrong.iter().position(|(_, why)| is_missing(why));
    for (at, (part, why)) in wrong.into_iter().enumerate() {
        if is_missing(&why) && missing != Some(at) {
            continue;
        }
        let (message, hint) = match why {
            InvalidFieldList::Path(InvalidFieldPath::Empty) => (
                "a path is missing".to_owned(),
                "remove the comma, or write the path".to_owned(),
            ),
            InvalidFieldList::Path(InvalidFieldPath::Escape) => (
                format!("`{part}` is no path: it {why}"),
                r"write `\.` for a dot within a name, and `\\` for a `\`".to_owned(),
            ),
            InvalidFieldList::Path(_) => {
                (format!("`{part}` is no path: it {why}"), write.to_owned())
            }
            InvalidFieldList::Twice => (
                format!("`{part}` {why}: names have no case"),
                "remove it: the first one is asked before".to_owned(),
            ),
            InvalidFieldList::Expendable => (
                format!("`{part}` {why}"),
                "write a field that the decoder has made of it".to_owned(),
            ),
            InvalidFieldList::TooMany => (
                format!("`{part}` {why}"),
                format!("leave {MAX_PATHS} of them"),
            ),
        };
        report.error(value.place_of(part), message, hint);
    }
    None
}

/// What is looked for where, for a response that runs this command.
pub(crate) fn resolve(
    lists: &[List<'_>],
    command: &Command,
    report: &mut Report<'_>,
) -> Result<Option<Arc<FieldMap>>, Reported> {
    let heard = Heard::of(command);
    let mut map = FieldMap::default();
    let mut is_wrong = false;
    for List {
        value,
        field,
        paths,
    } in lists
    {
        let Some(field) = field.or_else(|| heard.first()) else {
            heard.nothing(command, value, report);
            continue;
        };
        if map.paths(field).is_some() {
            is_wrong = true;
            let message = format!("where `{}` is named is said twice", field.word());
            let hint = "write one list; its paths are asked in their order";
            report.error(value.node.name_at, message, hint);
            continue;
        }
        if !heard.has(field) {
            heard.nothing(command, value, report);
            continue;
        }
        is_wrong |= heard.is_said(field, command, value, report).is_err();
        for path in paths {
            map.push(field, path.clone());
        }
    }
    match (is_wrong, map.is_empty()) {
        (true, _) => Err(Reported),
        (false, true) => Ok(None),
        (false, false) => Ok(Some(Arc::new(map))),
    }
}

/// What of an alert a command is told of, or acts upon.
struct Heard {
    /// With its options, where it is a bundled one or one may stand in for it.
    bundled: Option<(&'static Bundled, Options)>,
    /// Of a script: what it is given, or judged by.
    script: Vec<Field>,
}

impl Heard {
    fn of(command: &Command) -> Self {
        let name = command.executable.as_str();
        let row = bundled::find_or_stand_in(name);
        // Options that are none of its own belong to a script of that name.
        let bundled =
            row.and_then(|row| Some((row, Options::parse(row.options, &command.extra_args).ok()?)));
        let is_script = bundled.is_none() || bundled::find(name).is_none();
        let script = match (is_script, command.contract) {
            (false, _) => Vec::new(),
            // It looks into the alert itself.
            (true, Contract::Json) => vec![Field::Srcip],
            (true, Contract::V5) => vec![Field::Srcip, Field::User, Field::File],
            (true, Contract::Argv(wanted)) => [
                (Field::Srcip, wanted.srcip),
                (Field::User, wanted.user),
                (Field::File, wanted.filename),
            ]
            .into_iter()
            .filter(|(_, want)| *want != Want::No)
            .map(|(field, _)| field)
            .collect(),
        };
        Self { bundled, script }
    }

    fn acted_upon(&self) -> Option<Field> {
        let (row, options) = self.bundled.as_ref()?;
        row.target.field(options)
    }

    /// What is meant where nothing is said.
    fn first(&self) -> Option<Field> {
        match &self.bundled {
            Some(_) => self.acted_upon(),
            None => self.script.first().copied(),
        }
    }

    fn has(&self, field: Field) -> bool {
        self.acted_upon() == Some(field) || self.script.contains(&field)
    }

    /// That its list has no effect.
    fn nothing(&self, command: &Command, value: &Value<'_>, report: &mut Report<'_>) {
        let name = &command.name;
        let known: Vec<_> = Field::ALL
            .into_iter()
            .filter(|field| self.has(*field))
            .collect();
        let known: Vec<_> = known.into_iter().map(Field::word).collect();
        let why = match &self.bundled {
            Some((row, _)) => format!("{name} acts on {}", row.target.label()),
            None => format!(
                "{name} is a script under {}, which is not told of it",
                command.contract.name()
            ),
        };
        let message = format!("<field_map> has no effect: {why}");
        let hint = match known.as_slice() {
            [] => "remove it".to_owned(),
            known => format!("write {OF}=\"{}\", or remove it", known.join("\" or \"")),
        };
        report.warning(value.node.name_at, message, hint);
    }

    /// `--field` of the command goes before, so the list would never be asked.
    fn is_said(
        &self,
        field: Field,
        command: &Command,
        value: &Value<'_>,
        report: &mut Report<'_>,
    ) -> Result<(), Reported> {
        let said = self
            .bundled
            .as_ref()
            .and_then(|(_, options)| options.get(FIELD));
        let Some(said) = said.filter(|_| self.acted_upon() == Some(field)) else {
            return Ok(());
        };
        let message = format!("the command {} says {FIELD} {said} already", command.name);
        let hint = format!(
            "remove this, or {FIELD} from the <extra_args> of the command: one place says it"
        );
        report.error(value.node.name_at, message, hint);
        Err(Reported)
    }
}
