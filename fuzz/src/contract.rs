//! What a script prints, and what a bundled executable reads.

use ripost::contract::reply::{self, Reply};
use ripost::contract::{input, json, target, worker};
use ripost::model::ExeName;

/// A line that an executable prints, with the number that a worker puts before
/// it or without: what is taken reads the same when we write it.
pub fn script_reply(bytes: &[u8]) -> bool {
    let line = match worker::split(bytes) {
        Some((number, line)) => {
            let mut again = Vec::new();
            worker::push(&mut again, number, line);
            assert!(again.starts_with(bytes));
            line
        }
        None => bytes,
    };
    let Ok(taken) = reply::parse(line) else {
        return false;
    };
    let name = ExeName::parse("firewall-drop").expect("it is one");
    let written = match &taken {
        Reply::CheckKeys(keys) => reply::check_keys(&name, keys),
        Reply::Result(result) => reply::result(&name, result),
    };
    assert_eq!(reply::parse(written.as_bytes()).ok().as_ref(), Some(&taken));
    assert!(!written.contains('\n'), "{written:?} is several lines");
    true
}

/// A line that a bundled executable reads: whatever stands in it, what it would
/// act on is an address that it can write back and read as the same.
pub fn script_input(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let Ok(line) = input::read_line(&mut rest) else {
        assert!(bytes.is_empty());
        return false;
    };
    assert!(line.len() <= input::MAX_LINE && !line.contains(&b'\n'));
    if let Ok(value) = json::parse(&line) {
        value.lookup(&["parameters", "alert", "data", "srcip"]);
    }
    if let Ok(found) = target::address(&line) {
        let alert = format!("{{\"data\":{{\"srcip\":\"{found}\"}}}}");
        assert_eq!(target::address(alert.as_bytes()).ok(), Some(found));
    }
    let taken = input::request(&line).map(|request| request.extra_args());
    taken.is_ok() | input::answer(&line).is_ok()
}
