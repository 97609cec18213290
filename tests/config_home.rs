//! Configurations of a home: what lies in its folders besides the two files.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test writes files, and a helper that panics fails its test"
)]

use std::fs::{self, File};
use std::path::Path;

use ripost::config::{
    AnyConfig, Checked, Context, ManagerConfig, load_agent, load_any, load_manager, manager, relist,
};
use ripost::model::bundled;

/// A home with these files below `etc`.
fn home(files: &[(&str, &str)]) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(home.path(), name, text);
    }
    home
}

fn write(home: &Path, name: &str, text: &str) {
    let path = home.join("etc").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn load(home: &Path) -> Checked<ManagerConfig> {
    let context = Context {
        home: Some(home.to_owned()),
    };
    load_manager(&home.join("etc/manager.conf"), &context)
}

/// The problems without those about executables, which these homes do not have.
fn messages<T>(checked: &Checked<T>) -> Vec<String> {
    let all = checked.diagnostics.iter();
    let kept = all.filter(|problem| !problem.message.contains("is not in "));
    let shown = kept.map(|problem| {
        let name = problem.file.file_name().unwrap().to_string_lossy();
        let line = problem.position.map_or(0, |at| at.line);
        format!("{name}:{line}: {}: {}", problem.severity, problem.message)
    });
    shown.collect()
}

fn networks(config: &ManagerConfig) -> Vec<String> {
    let all = config.white_list.all();
    all.networks.iter().map(ToString::to_string).collect()
}

const COMMAND: &str = "<ripost_config>
<command><name>drop</name><executable>firewall-drop</executable></command>
</ripost_config>";

fn response(level: u8) -> String {
    format!(
        "<ripost_config>\n<active-response><command>drop</command><location>local</location>\
         <level>{level}</level></active-response>\n</ripost_config>"
    )
}

#[test]
fn overlay_files_are_read_behind_the_main_one_in_the_order_of_their_names() {
    let home = home(&[
        ("manager.conf", COMMAND),
        ("manager.d/20-b.conf", &response(2)),
        ("manager.d/10-a.conf", &response(1)),
        ("manager.d/3.conf", &response(3)),
        // None of these is one.
        ("manager.d/.hidden.conf", "<broken"),
        ("manager.d/.#10-a.conf", "<broken"),
        ("manager.d/#10-a.conf#", "<broken"),
        ("manager.d/10-a.conf~", "<broken"),
        ("manager.d/10-a.conf.bak", "<broken"),
        ("manager.d/10-a.conf.swp", "<broken"),
        ("manager.d/10-a.conf.rpmsave", "<broken"),
        ("manager.d/README", "<broken"),
        ("manager.d/folder.conf/x.conf", "<broken"),
        ("manager.d/conf", "<broken"),
    ]);
    let checked = load(home.path());
    assert_eq!(messages(&checked), [""; 0]);
    let levels: Vec<u8> = checked
        .value
        .unwrap()
        .responses
        .iter()
        .map(|response| response.when.level.unwrap().number())
        .collect();
    assert_eq!(levels, [1, 2, 3]);

    // The same text anywhere is the same response, as ids of actions need.
    let alone = format!("{COMMAND}{}", response(2));
    let alone = manager(alone.as_bytes(), Path::new("m.conf"), &Context::default());
    let checked = load(home.path());
    assert_eq!(
        alone.value.unwrap().responses[0].text,
        checked.value.unwrap().responses[1].text
    );
}

#[test]
fn problems_of_overlay_files_carry_their_names_and_all_come_at_once() {
    let home = home(&[
        (
            "manager.conf",
            "<ripost_config>\n<command><name>drop</name></command>\n</ripost_config>",
        ),
        (
            "manager.d/a.conf",
            "<ripost_config>\n\n<active-response><comand>x</comand></active-response>",
        ),
        (
            "manager.d/b.conf",
            &format!("{}\n{}", response(3), response(3)),
        ),
        (
            "manager.d/c.conf",
            "<ripost_config><command>\n<name>drop</name><executable>x</executable></command>\
         <agents/></ripost_config>",
        ),
        (
            "manager.d/d.conf",
            "<ripost_config>\n<agents/></ripost_config>",
        ),
    ]);
    let broken = home.path().join("etc/manager.d/e.conf");
    std::os::unix::fs::symlink("nowhere", broken).unwrap();
    let checked = load(home.path());
    assert!(checked.value.is_none());
    let found = messages(&checked);
    for wanted in [
        "manager.conf:2: error: this <command> has no <executable>",
        "a.conf:1: error: <ripost_config> is not closed before the file ends in line 3",
        "a.conf:3: error: unknown element <comand> in <active-response>",
        "c.conf:2: error: the command drop is declared twice",
        "d.conf:2: error: a second <agents> section: a manager listens at one address",
        "e.conf:0: error: cannot be read: ",
    ] {
        assert!(
            found.iter().any(|one| one.starts_with(wanted)),
            "{wanted}: {found:#?}"
        );
    }
    let shown = checked.problems();
    let manager = home.path().join("etc/manager.conf");
    let other = home.path().join("etc/manager.d/c.conf");
    for wanted in [
        format!(
            "(keep one; the other is in line 2 of {})",
            manager.display()
        ),
        format!("the other is in line 2 of {}", other.display()),
        "  <active-response><comand>x</comand></active-response>".to_owned(),
    ] {
        assert!(shown.contains(&wanted), "{wanted}: {shown}");
    }
}

#[test]
fn only_the_home_s_own_file_has_overlays() {
    let home = home(&[
        ("manager.conf", COMMAND),
        ("other.conf", COMMAND),
        ("manager.d/a.conf", &response(3)),
    ]);
    let context = Context {
        home: Some(home.path().to_owned()),
    };
    let etc = home.path().join("etc");
    let responses = |path: &Path, context: &Context| {
        let checked = load_any(path, context);
        match checked.value {
            Some(AnyConfig::Manager(config)) => config.responses.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(responses(&etc.join("manager.conf"), &context), 1);
    assert_eq!(responses(&etc.join("../etc/manager.conf"), &context), 1);
    assert_eq!(responses(&etc.join("other.conf"), &context), 0);
    assert_eq!(responses(&etc.join("manager.conf"), &Context::default()), 0);
    // Alone it is a part: what it names may be declared elsewhere.
    assert_eq!(responses(&etc.join("manager.d/a.conf"), &context), 0);
}

const LISTED: &str = "<ripost_config><global><white_list>192.0.2.1</white_list>
<white_list list=\"etc/lists/offices\"/></global></ripost_config>";

#[test]
fn a_list_holds_an_entry_in_each_line() {
    let home = home(&[
        ("manager.conf", LISTED),
        (
            "lists/offices",
            "# offices\n\n198.51.100.0/24\t# Bern\r\n192.0.2.1\n2001:db8::/32\n\
             203.0.113.7:printer\n\"2001:db9::1\":router\n^localhost$\n",
        ),
    ]);
    let checked = load(home.path());
    assert_eq!(messages(&checked), [""; 0]);
    let config = checked.value.unwrap();
    assert_eq!(
        networks(&config),
        [
            "192.0.2.1/32",
            "198.51.100.0/24",
            "2001:db8::/32",
            "203.0.113.7/32",
            "2001:db9::1/128"
        ]
    );
    assert_eq!(config.white_list.all().names.len(), 1);
    // Without a home there is nothing to look at.
    let alone = manager(LISTED.as_bytes(), Path::new("m.conf"), &Context::default());
    assert_eq!(networks(&alone.value.unwrap()), ["192.0.2.1/32"]);

    write(home.path(), "agent.conf", LISTED);
    let context = Context {
        home: Some(home.path().to_owned()),
    };
    let agent = load_agent(&home.path().join("etc/agent.conf"), &context);
    assert_eq!(agent.value.unwrap().white_list.all().len(), 6);
}

#[test]
fn what_is_wrong_in_a_list_has_a_place_and_the_list_is_not_used() {
    let home = home(&[
        ("manager.conf", LISTED),
        ("lists/offices", "198.51.100.0/24\n"),
    ]);
    let config = load(home.path()).value.unwrap();
    for (text, wanted) in [
        (
            "198.51.100.0/24\n  300.0.0.1 # x\n",
            "offices:2: error: `300.0.0.1` is no address",
        ),
        (
            "198.51.100.0/240",
            "offices:1: error: `198.51.100.0/240`: what stands behind",
        ),
        (
            "\n\n10.0.\n",
            "offices:3: error: `10.0.` is a part of an address",
        ),
        (
            "192.0.2.1 192.0.2.2",
            "offices:1: error: `192.0.2.1 192.0.2.2` is more than one entry",
        ),
        ("a|", "offices:1: error: `a|` fits every text"),
    ] {
        write(home.path(), "lists/offices", text);
        for problems in [
            messages(&load(home.path())),
            messages(&relist(&config.white_list, home.path())),
        ] {
            assert!(problems[0].starts_with(wanted), "{wanted}: {problems:?}");
        }
        assert!(load(home.path()).value.is_none(), "{text}");
        assert!(
            relist(&config.white_list, home.path()).value.is_none(),
            "{text}"
        );
    }
    let list = home.path().join("etc/lists/offices");
    fs::remove_file(&list).unwrap();
    let outside = home.path().join("etc/outside");
    fs::write(&outside, "192.0.2.9\n").unwrap();
    let missing = messages(&relist(&config.white_list, home.path()));
    assert!(
        missing[0].starts_with("offices:0: error: cannot be read: "),
        "{missing:?}"
    );
    std::os::unix::fs::symlink(&outside, &list).unwrap();
    let led_out = messages(&relist(&config.white_list, home.path()));
    assert_eq!(led_out, ["offices:0: error: leads out of etc/lists"]);
    fs::remove_file(&list).unwrap();
    write(home.path(), "lists/offices", "192.0.2.77\n");
    let again = relist(&config.white_list, home.path()).value.unwrap();
    assert_eq!(again.own, config.white_list.own);
    assert_eq!(
        again.lists[0].entries.networks[0].to_string(),
        "192.0.2.77/32"
    );
}

#[test]
fn a_missing_executable_is_a_warning_where_a_home_is_given() {
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("active-response/bin");
    std::fs::create_dir_all(&bin).unwrap();
    File::create(bin.join("firewall-drop")).unwrap();
    let text = "<ripost_config>
        <command><name>a</name><executable>firewall-drop</executable></command>
        <command><name>b</name><executable>host-deny</executable></command>
    </ripost_config>";
    let context = Context {
        home: Some(home.path().to_owned()),
    };
    let checked = manager(text.as_bytes(), Path::new("m.conf"), &context);
    assert_eq!(checked.value.unwrap().commands.len(), 2);
    let found: Vec<_> = checked.diagnostics.iter().collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].message.starts_with("host-deny is not in "),
        "{found:?}"
    );
    assert_eq!(found[0].position.unwrap().line, 3);
}

#[test]
fn a_mistyped_executable_is_answered_with_the_one_that_is_there() {
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("active-response/bin");
    std::fs::create_dir_all(&bin).unwrap();
    for name in ["firewall-drop", "notify-us.sh", ".notify.sh"] {
        File::create(bin.join(name)).unwrap();
    }
    let context = Context {
        home: Some(home.path().to_owned()),
    };
    for (written, meant) in [
        ("firewal-drop", Some("firewall-drop")),
        ("notify_us.sh", Some("notify-us.sh")),
        ("isolate", None),
    ] {
        let text = format!(
            "<ripost_config><command><name>a</name><executable>{written}</executable></command></ripost_config>"
        );
        let checked = manager(text.as_bytes(), Path::new("m.conf"), &context);
        let found: Vec<_> = checked.diagnostics.iter().collect();
        assert_eq!(found.len(), 1, "{found:?}");
        let hint = found[0].hint.as_deref().unwrap();
        let wanted = meant.map_or("on this host".to_owned(), |meant| format!("write {meant},"));
        assert!(hint.starts_with(&wanted), "{written}: {hint}");
    }
}

/// The agent of this host runs it as a script; what lies on others is not known.
#[test]
fn a_script_under_a_bundled_name_is_not_held_to_options_that_are_not_its_own() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use ripost::sys::exe::Home;

    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("active-response/bin");
    fs::create_dir_all(&bin).unwrap();
    for folder in [home.path(), &home.path().join("active-response"), &bin] {
        fs::set_permissions(folder, Permissions::from_mode(0o750)).unwrap();
    }
    let text = "<ripost_config>
        <command><name>a</name><executable>host-deny</executable><extra_args>--channel x</extra_args></command>
    </ripost_config>";
    let context = Context {
        home: Some(home.path().to_owned()),
    };
    let check = || manager(text.as_bytes(), Path::new("m.conf"), &context);
    let file = bin.join("host-deny");
    let own = |mode| {
        fs::write(&file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    };
    // Missing here, or not fit to run: nothing speaks for a script.
    assert!(check().value.is_none());
    own(0o777);
    assert!(check().value.is_none());

    own(0o750);
    let checked = check();
    let config = checked.value.expect("it is a script");
    assert_eq!(config.commands[0].extra_args, ["--channel", "x"]);
    let found: Vec<_> = checked.diagnostics.iter().collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0]
            .message
            .starts_with("here host-deny is a file of your own"),
        "{found:?}"
    );

    // Now it is the bundled one, as far as this home knows.
    let queue = home.path().join("queue");
    fs::create_dir(&queue).unwrap();
    fs::set_permissions(&queue, Permissions::from_mode(0o700)).unwrap();
    let row = bundled::find("host-deny").unwrap();
    Home::open(home.path()).unwrap().record(&[row]).unwrap();
    assert!(check().value.is_none());
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("manager.conf");
    for path in [missing.as_path(), dir.path()] {
        let checked = load_manager(path, &Context::default());
        assert!(checked.value.is_none());
        assert_eq!(checked.diagnostics.errors(), 1);
        let shown = checked.problems();
        let start = format!("{}: error: cannot be read: ", path.display());
        assert!(shown.starts_with(&start), "{shown}");
    }
}
