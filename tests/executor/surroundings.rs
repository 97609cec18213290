//! What a script finds around it.

use std::fs;

use ripost::executor::{End, Mode};

use crate::place::{CONTINUE, Place, carry_out};

/// Runs `body` and returns what it printed, as lines.
async fn told(place: &Place, body: &str) -> Vec<String> {
    place.install("x.sh", &format!("#!/bin/sh\n{{ {body}\n}} > logs/told\n"));
    let (outcome, _) = carry_out(place.run("x.sh", Mode::Delete), CONTINUE).await;
    assert_eq!((outcome.end, outcome.stderr.as_str()), (End::Exited(0), ""));
    place.read("logs/told").lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_environment_is_exactly_what_the_contract_lists() {
    let place = Place::new();
    let mut told = told(&place, "tr '\\0' '\\n' < /proc/$$/environ").await;
    told.sort();
    let mut wanted = vec![
        "HOME=/root".to_owned(),
        "LANG=C.UTF-8".to_owned(),
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        format!("RIPOST_HOME={}", place.path().display()),
    ];
    if let Ok(zone) = std::env::var("TZ") {
        wanted.push(format!("TZ={zone}"));
    }
    assert_eq!(told, wanted);
}

#[tokio::test]
async fn it_runs_in_the_home_under_the_name_of_4_x_with_no_arguments() {
    // As the daemons do for themselves, and thus for what they start.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o027));
    let place = Place::new();
    let told = told(
        &place,
        "pwd -P; echo \"$0\"; echo $#; (cd \"$(dirname \"$0\")\"/.. && pwd -P); umask",
    )
    .await;
    let home = place.path().display().to_string();
    assert_eq!(
        told,
        [
            &home,
            "active-response/bin/x.sh",
            "0",
            &format!("{home}/active-response"),
            "0027"
        ]
    );
}

#[tokio::test]
async fn it_leads_a_session_and_a_group_of_its_own() {
    let place = Place::new();
    let told = told(&place, "echo $$; cut -d' ' -f5,6 /proc/$$/stat").await;
    assert_eq!(told[1], format!("{0} {0}", told[0]));
}

#[tokio::test]
async fn it_inherits_three_pipes_and_nothing_else() {
    let place = Place::new();
    let leaked = place.path().join("leaked");
    let file = fs::File::create(&leaked).unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let told = told(
        &place,
        "for fd in /proc/$$/fd/*; do echo \"${fd##*/} $(readlink \"$fd\")\"; done",
    )
    .await;
    drop(file);
    assert!(!told.iter().any(|fd| fd.contains("leaked")), "{told:?}");
    assert!(told[0].starts_with("0 pipe:"), "{told:?}");
    assert!(told.iter().any(|fd| fd.starts_with("2 pipe:")), "{told:?}");
}

#[tokio::test]
async fn signals_have_their_default_action() {
    #[expect(unsafe_code, reason = "there is no safe way to ignore a signal")]
    // SAFETY: no handler is installed, and nothing here waits for SIGUSR2.
    unsafe {
        libc::signal(libc::SIGUSR2, libc::SIG_IGN);
    }
    let place = Place::new();
    // With builtins alone: a shell blocks signals while it waits for a child.
    let body = "while read -r name set; do
        case $name in SigBlk: | SigIgn:) echo $set ;; esac
    done < /proc/$$/status";
    let told = told(&place, body).await;
    // 32 and 33 belong to the C library, which lets nobody change them.
    const OF_THE_LIBRARY: u64 = 0b11 << 31;
    for set in &told {
        let set = u64::from_str_radix(set, 16).unwrap();
        assert_eq!(set & !OF_THE_LIBRARY, 0, "{told:?}");
    }
    assert_eq!(told.len(), 2);
}
