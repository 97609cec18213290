//! Alerts in the shape of Wazuh 4.x, with text of our own.

use std::cell::Cell;

use serde_json::{Value, json};

/// What of an alert matters to a test. The rest is as it would be.
#[derive(Clone, Debug)]
pub struct Alert {
    pub rule: String,
    pub level: u8,
    pub groups: Vec<&'static str>,
    pub agent: String,
    pub data: Value,
}

impl Alert {
    /// Rule 5763: many failed passwords over ssh.
    pub fn sshd(srcip: &str) -> Self {
        Self {
            rule: "5763".to_owned(),
            level: 10,
            groups: vec!["syslog", "sshd", "authentication_failures"],
            agent: "000".to_owned(),
            data: json!({"srcip": srcip, "srcport": "51234", "dstuser": "admin"}),
        }
    }

    /// Rule 31151: many 400 answers to one client of a web server.
    pub fn web(srcip: &str) -> Self {
        Self {
            rule: "31151".to_owned(),
            level: 10,
            groups: vec!["web", "accesslog", "web_scan", "recon"],
            agent: "000".to_owned(),
            data: json!({
                "protocol": "GET",
                "srcip": srcip,
                "id": "404",
                "url": "/wp-login.php?x=<script>alert(1)</script>",
            }),
        }
    }

    pub fn rule(mut self, id: &str) -> Self {
        id.clone_into(&mut self.rule);
        self
    }

    pub fn agent(mut self, id: &str) -> Self {
        id.clone_into(&mut self.agent);
        self
    }

    /// The line with its newline.
    pub fn line(&self) -> String {
        thread_local!(static SERIAL: Cell<u64> = const { Cell::new(41_000) });
        let serial = SERIAL.replace(SERIAL.get() + 131);
        let quoted = |text: &str| Value::from(text).to_string();
        let Self {
            level,
            groups,
            data,
            ..
        } = self;
        // Written by hand: the order of the keys is part of the shape.
        format!(
            concat!(
                r#"{{"timestamp":"2026-11-20T10:00:00.123+0000","rule":{{"level":{level},"#,
                r#""description":"Many requests that fail, from one address.","id":{rule},"#,
                r#""frequency":8,"firedtimes":1,"mail":false,"groups":{groups}}},"#,
                r#""agent":{{"id":{agent},"name":"server"}},"manager":{{"name":"server"}},"#,
                r#""id":"1795168800.{serial}","full_log":{full_log},"#,
                r#""predecoder":{{"program_name":"app","hostname":"server"}},"#,
                r#""decoder":{{"parent":"app","name":"app"}},"data":{data},"#,
                r#""location":"/var/log/app.log"}}"#,
                "\n",
            ),
            level = level,
            rule = quoted(&self.rule),
            groups = json!(groups),
            agent = quoted(&self.agent),
            serial = serial,
            full_log = quoted("Nov 20 10:00:00 server app[812]: \"x\" for 'y' $(id) `id`; é"),
            data = data,
        )
    }
}
