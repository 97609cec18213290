//! Who is never blocked, and text that is no target.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::support::alert::Alert;
use crate::support::daemon::Pair;
use crate::support::home::{Home, command, counter, has_key, response, text};
use crate::support::isolation::{isolated, mount};
use crate::support::net::{GATEWAY_V4, Net, SERVER_V4, SERVER_V6};
use crate::support::wait_for;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn the_white_list_holds_and_says_so() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure_global(
            "<white_list>203.0.113.0/28</white_list>
             <white_list>198.51.100.7</white_list>
             <white_list>2001:db8:bad:1::/64</white_list>",
            &[&response("firewall-drop", "5763", "600")],
        );
        let _pair = Pair::start(&net, &home);
        let spared = [
            ("203.0.113.9", "203.0.113.9"),
            ("198.51.100.7", "198.51.100.7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("2001:0db8:bad:1::0:9", "2001:db8:bad:1::9"),
        ];
        let blocked = ["203.0.113.16", "198.51.100.8", "2001:db8:bad:2::9"];
        home.alert(&spared.map(|(written, _)| Alert::sshd(written)));
        home.alert(&blocked.map(Alert::sshd));
        for address in blocked {
            net.wait_blocked(address, SOON);
        }
        let refused = wait_for("all four are refused", SOON, || {
            let records = home.responses();
            let refused: Vec<_> = records
                .into_iter()
                .filter(|record| record["state"] == "refused")
                .collect();
            (refused.len() == spared.len()).then_some(refused)
        });
        for record in refused {
            let detail = text(&record, "detail");
            assert!(detail.contains("white list"), "{record}");
        }
        for (_, address) in spared {
            assert!(net.arrives(address), "{address}");
        }
    });
}

#[test]
fn a_host_never_blocks_what_it_cannot_do_without() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let etc = home.beside().join("etc");
        fs::create_dir(&etc).unwrap();
        fs::write(etc.join("resolv.conf"), "nameserver 198.51.100.53\n").unwrap();
        mount(&["--bind", etc.to_str().unwrap(), "/etc"]);
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let _pair = Pair::start(&net, &home);

        let spared = [
            SERVER_V4.to_string(),
            SERVER_V6.to_string(),
            GATEWAY_V4.to_string(),
            "198.51.100.53".to_owned(),
            "127.0.0.1".to_owned(),
            "127.8.8.8".to_owned(),
            "::1".to_owned(),
            "0.0.0.0".to_owned(),
            "::".to_owned(),
            "224.0.0.1".to_owned(),
            "ff02::1".to_owned(),
            "255.255.255.255".to_owned(),
        ];
        let alerts: Vec<Alert> = spared.iter().map(|address| Alert::sshd(address)).collect();
        home.alert(&alerts);
        home.alert(&[Alert::sshd("203.0.113.9")]);
        net.wait_blocked("203.0.113.9", SOON);
        let refused = wait_for("all are refused", SOON, || {
            let records = home.responses();
            let refused: Vec<_> = records
                .into_iter()
                .filter(|record| record["state"] == "refused")
                .collect();
            (refused.len() == spared.len()).then_some(refused)
        });
        assert!(
            refused
                .iter()
                .all(|record| !text(record, "detail").is_empty())
        );
        let table = net.table();
        for address in &spared {
            assert!(!net.in_table(address), "{address} in {table}");
        }
        assert!(net.probe(&[GATEWAY_V4.into()])[0]);
    });
}

#[test]
fn text_that_is_no_address_is_never_acted_upon() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let mut pair = Pair::start(&net, &home);
        let marker = home.beside().join("marker");
        let injection = format!("1.2.3.4; touch {}", marker.display());
        let texts = [
            "1.2.3.4; rm -rf /",
            injection.as_str(),
            "-",
            "",
            "$(id)",
            "203.0.113.9\n203.0.113.10",
            "203.0.113.0/33",
            "attacker.example",
            "--help",
            "3405803785",
        ];
        home.alert(&texts.map(Alert::sshd));
        let mut without = Alert::sshd("203.0.113.1");
        without.data = json!({"dstuser": "admin"});
        let mut number = Alert::sshd("203.0.113.1");
        number.data = json!({"srcip": 3_405_803_785_u32});
        home.alert(&[without, number, Alert::sshd("203.0.113.99")]);
        net.wait_blocked("203.0.113.99", SOON);

        let told = wait_for("each of them is told", SOON, || {
            let mut told: Vec<_> = home
                .responses()
                .into_iter()
                .filter(|record| !has_key(record, "203.0.113.99"))
                .filter(|record| ["failed", "refused"].contains(&text(record, "state").as_str()))
                .collect();
            told.dedup_by_key(|record| text(record, "action"));
            (told.len() == texts.len() + 2).then_some(told)
        });
        for record in told {
            assert!(!text(&record, "detail").is_empty(), "{record}");
        }
        assert!(net.arrives("203.0.113.9") && net.arrives("203.0.113.1"));
        assert!(!marker.exists());
        assert!(pair.manager.is_running() && pair.agentd.is_running());
    });
}

#[test]
fn an_alert_reaches_a_script_as_it_was_written_and_no_shell() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let seen = home.beside().join("seen");
        home.script(
            "notify",
            &format!("cat > {}.$$ && mv {0}.$$ {0}", seen.display()),
        );
        home.configure(&[&command("notify", ""), &response("notify", "31151", "")]);
        let _pair = Pair::start(&net, &home);
        let alert = Alert::web("203.0.113.9");
        let line = alert.line();
        home.append(line.as_bytes());
        let message = wait_for("the script has read its message", SOON, || {
            fs::read_to_string(&seen).ok()
        });
        assert!(
            message.contains(&format!("\"alert\":{}", line.trim_end())),
            "the same bytes in {message}"
        );
        assert!(
            message.contains(r#""program":"active-response/bin/notify""#),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1);
    });
}

#[test]
fn lines_that_are_no_alerts_are_skipped_and_counted() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        home.configure(&[&response("firewall-drop", "5763", "600")]);
        let _pair = Pair::start(&net, &home);
        home.append(b"not json\n{\"rule\":\n[]\n{}\n\n\xff\xfe\n");
        let mut long = Alert::sshd("203.0.113.1").line().into_bytes();
        let end = long.len() - 2;
        long.splice(
            end..end,
            format!(",\"x\":\"{}\"", "x".repeat(2 << 20)).into_bytes(),
        );
        home.append(&long);
        let whole = Alert::sshd("203.0.113.2").line();
        let (first, second) = whole.split_at(whole.len() / 2);
        home.append(first.as_bytes());
        assert!(net.arrives("203.0.113.2"));
        home.append(second.as_bytes());
        net.wait_blocked("203.0.113.2", SOON);
        assert!(net.arrives("203.0.113.1"), "a line over 1 MiB is skipped");
        let status = home.ctl_json(&["status"]);
        assert!(counter(&status, "lines that are no alert") >= 4, "{status}");
        assert_eq!(counter(&status, "runs of bytes passed over"), 1, "{status}");
    });
}
