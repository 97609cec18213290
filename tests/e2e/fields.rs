//! A response that says where its alerts name what it acts upon.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::alert::Alert;
use crate::support::daemon::Pair;
use crate::support::home::{Home, command, response, text};
use crate::support::isolation::isolated;
use crate::support::net::Net;
use crate::support::wait_for;

const SOON: Duration = Duration::from_secs(10);

/// Of a logon over a gateway, which Windows writes without an address of its
/// own, of an event of a cloud, and where Wazuh has it.
const MAP: &str = "<field_map>data.win.eventdata.ipAddress, data.win.eventdata.clientAddress,
    data.aws.sourceIPAddress, data.srcip</field_map>";

fn mapped(command: &str, rule: &str, map: &str) -> String {
    let block = response(command, rule, "600");
    block.replace("</active-response>", &format!("{map}</active-response>"))
}

fn alert(rule: &str, data: Value) -> Alert {
    Alert {
        data,
        ..Alert::sshd("").rule(rule)
    }
}

fn windows(address: &str) -> Alert {
    alert(
        "60122",
        json!({"win": {"eventdata": {"ipAddress": "-", "clientAddress": address}}}),
    )
}

/// An event of a cloud, beside which a bystander is named.
fn cloud(rule: &str, address: &str) -> Alert {
    alert(
        rule,
        json!({"aws": {"sourceIPAddress": address}, "srcip": "203.0.113.77"}),
    )
}

#[test]
fn what_a_field_map_leads_to_is_blocked_spared_put_back_and_told() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let told = home.beside().join("told");
        home.script("words.sh", &format!("echo \"$1 $3\" >> {}", told.display()));
        let words = "<contract>argv</contract><timeout_allowed>yes</timeout_allowed>";
        home.configure_global(
            "<white_list>203.0.113.200</white_list>",
            &[
                &command("words.sh", words),
                &mapped("firewall-drop", "60122", MAP),
                &mapped("firewall-drop", "80203", MAP),
                &mapped("words.sh", "80204", MAP),
            ],
        );
        let agent = "<ripost_config><global><white_list>203.0.113.201</white_list></global></ripost_config>";
        fs::write(home.file("etc/agent.conf"), agent).unwrap();
        let pair = Pair::start(&net, &home);

        home.alert(&[windows("203.0.113.9"), cloud("80203", "2001:db8:bad:2::9")]);
        let blocked = ["203.0.113.9", "2001:db8:bad:2::9"];
        let all_blocked = || {
            for address in blocked {
                net.wait_blocked(address, SOON);
            }
        };
        for address in blocked {
            net.wait_blocked(address, SOON);
            home.wait_state(address, "applied");
        }
        // By the manager, and by the host alone.
        for spared in ["203.0.113.200", "203.0.113.201"] {
            home.alert(&[cloud("80203", spared)]);
            home.wait_record("it is refused by name", |record| {
                let detail = text(record, "detail");
                record["state"] == "refused" && detail.starts_with(&format!("{spared} is in the"))
            });
            assert!(net.arrives(spared));
        }
        // What is there and of no use is not passed over.
        home.alert(&[cloud("80203", "ec2.example.org")]);
        home.wait_record("a name is no address", |record| {
            let detail = text(record, "detail");
            record["state"] == "failed" && detail.contains("data.aws.sourceIPAddress")
        });
        home.alert(&[cloud("80204", "203.0.113.11")]);
        wait_for("the script is told", SOON, || {
            let told = fs::read_to_string(&told).ok()?;
            (told == "add 203.0.113.11\n").then_some(())
        });
        home.wait_state("203.0.113.11", "applied");
        assert!(net.arrives("203.0.113.77"), "nobody has meant this one");

        // A repeat is one of the same target.
        home.alert(&[windows("203.0.113.9")]);
        home.wait_state("203.0.113.9", "already");
        // Somebody takes all of it away, and then everything is killed.
        net.server("nft", &["flush", "ruleset"]);
        all_blocked();
        pair.kill();
        net.server("nft", &["flush", "ruleset"]);
        assert!(net.arrives("203.0.113.9"));
        let _pair = Pair::start(&net, &home);
        all_blocked();
        for address in blocked {
            let reverted = home.ctl(&["revert", "--target", address]);
            assert!(reverted.status.success(), "{reverted:?}");
            net.wait_open(address, SOON);
            home.wait_state(address, "reverted");
        }
    });
}

/// Neither the response nor the command says where it is.
#[test]
fn an_alert_of_another_pipeline_is_acted_upon_where_its_format_says() {
    const SURICATA: &str = include_str!("../data/alerts/suricata/typical.in.json");
    const CROWDSEC: &str = include_str!("../data/alerts/crowdsec/typical.in.json");
    let of = |line: &str, address: &str| {
        assert!(line.contains("203.0.113.9"));
        format!("{}\n", line.trim_end().replace("203.0.113.9", address))
    };
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let on_server = |rule: &str| {
            let block = response("firewall-drop", rule, "600");
            block.replace(">local<", ">server<")
        };
        home.configure_global(
            "<white_list>203.0.113.12</white_list>",
            &[&on_server("2034647"), &on_server("crowdsecurity/ssh-bf")],
        );
        let _pair = Pair::start(&net, &home);
        for (line, address) in [(SURICATA, "203.0.113.10"), (CROWDSEC, "203.0.113.11")] {
            home.append(of(line, address).as_bytes());
            net.wait_blocked(address, SOON);
            home.wait_state(address, "applied");
            home.append(of(line, "203.0.113.12").as_bytes());
        }
        wait_for("both are refused", SOON, || {
            let states = home.states("203.0.113.12");
            (states == ["refused", "refused"]).then_some(())
        });
        assert!(net.arrives("203.0.113.12"));
    });
}

/// A person names the target, wherever alerts name it.
#[test]
fn a_command_that_names_its_field_can_be_started_by_hand() {
    isolated(|| {
        let (net, home) = (Net::new(), Home::new());
        let args = r"<extra_args>--field Data.fd\.rip,data.srcip</extra_args>";
        let drop = format!(
            "<command><name>drop</name><executable>firewall-drop</executable>\
             <timeout_allowed>yes</timeout_allowed>{args}</command>"
        );
        home.configure(&[&drop, &response("drop", "5763", "600")]);
        let _pair = Pair::start(&net, &home);
        let falco = alert("5763", json!({"fd.rip": "203.0.113.9"}));
        home.alert(&[falco, Alert::sshd("203.0.113.10")]);
        net.wait_blocked("203.0.113.9", SOON);
        net.wait_blocked("203.0.113.10", SOON);
        let run = ["run", "drop", "--agent", "000", "--target", "203.0.113.11"];
        let ran = home.ctl(&run);
        assert!(ran.status.success(), "{ran:?}");
        net.wait_blocked("203.0.113.11", SOON);
        home.wait_state("203.0.113.11", "applied");
    });
}
