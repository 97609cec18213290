//! An object of JSON, read by the names that the contract with
//! executables would find in it.

use std::borrow::Cow;

use crate::alert::lenient::{Members, Object, Scalar};
use crate::alert::{NotAnAlert, Origin};
use crate::model::AgentName;

/// A label longer than this is no label; it is left out.
const MAX_LABEL: usize = 256;

/// What is wanted of an object.
pub(super) fn members<'de, T: Members<'de>>(text: &'de str) -> Result<T, NotAnAlert> {
    let Object(object) =
        serde_json::from_str::<Object<T>>(text).map_err(|_| NotAnAlert::NotJson)?;
    object.ok_or(NotAnAlert::NotAnObject)
}

/// Whether a member has this name to an executable: in any case, and up to a
/// NUL (see `contract::json`). Where the choice of a path depends on a member it
/// must be the same one that the path leads to.
pub(super) fn is_named(name: &str, wanted: &str) -> bool {
    let end = name.find('\0').unwrap_or(name.len());
    name[..end].eq_ignore_ascii_case(wanted)
}

/// A short printable text, or nothing.
pub(super) fn label(scalar: Scalar<'_>) -> Option<String> {
    let text = scalar.into_text().filter(|text| {
        !text.is_empty() && text.len() <= MAX_LABEL && !text.chars().any(char::is_control)
    });
    text.map(Cow::into_owned)
}

/// Where a pipeline says an alert is from that has names for hosts and no ids.
pub(super) fn origin(host: Option<Scalar<'_>>) -> Origin {
    let name = match host {
        None | Some(Scalar::Null) => return Origin::Absent,
        Some(host) => host.into_text(),
    };
    match name.as_deref() {
        Some("") => Origin::Absent,
        Some(name) => AgentName::parse(name).map_or(Origin::Unreadable, Origin::Named),
        None => Origin::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_named, origin};
    use crate::alert::Origin;
    use crate::alert::lenient::Scalar;
    use crate::model::AgentName;

    #[test]
    fn a_name_is_what_an_executable_takes_it_for() {
        for (name, wanted) in [
            ("scope", true),
            ("Scope", true),
            ("scope\0x", true),
            ("scopes", false),
            ("\0scope", false),
            ("", false),
        ] {
            assert_eq!(is_named(name, "scope"), wanted, "{name:?}");
        }
    }

    #[test]
    fn a_host_is_an_agent_of_its_name_or_nobody() {
        let named = Origin::Named(AgentName::parse("web-7.example.org").unwrap());
        for (host, wanted) in [
            (r#""web-7.example.org""#, named),
            ("null", Origin::Absent),
            (r#""""#, Origin::Absent),
            (r#""000""#, Origin::Unreadable),
            ("7", Origin::Unreadable),
            (r#""web 7""#, Origin::Unreadable),
            (r#""all""#, Origin::Unreadable),
            (r#"{"name":"web-7"}"#, Origin::Unreadable),
        ] {
            let host: Scalar<'_> = serde_json::from_str(host).unwrap();
            let shown = format!("{host:?}");
            assert_eq!(origin(Some(host)), wanted, "{shown}");
        }
        assert_eq!(origin(None), Origin::Absent);
    }
}
