//! Every element there is, once: what it is to a manager and to an agent.
//!
//! Sources of the foreign ones: Wazuh 3.13 to 4.14 and OSSEC src/config/*.c.

/// Which daemon a file is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Daemon {
    Manager,
    Agent,
}

impl Daemon {
    pub fn file(self) -> &'static str {
        match self {
            Self::Manager => "manager.conf",
            Self::Agent => "agent.conf",
        }
    }
}

/// What an element stands in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parent {
    /// Nothing: a root.
    Top,
    /// A root.
    Root,
    Command,
    ActiveResponse,
    Global,
    Client,
    /// A manager in `Client`.
    Server,
    Agents,
    AlertSource,
}

impl Parent {
    /// The name of the element, as it is written.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Top => "the file",
            Self::Root => "<ripost_config>",
            Self::Command => "<command>",
            Self::ActiveResponse => "<active-response>",
            Self::Global => "<global>",
            Self::Client => "<client>",
            Self::Server => "<server>",
            Self::Agents => "<agents>",
            Self::AlertSource => "<alert_source>",
        }
    }
}

/// What becomes of an element.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Use {
    /// It holds others.
    Section,
    /// Read. Blanks around it are trimmed, which changes nothing.
    Value,
    /// Read. Blanks around it are trimmed; Wazuh takes them for a part of it.
    Exact,
    /// OSSEC or Wazuh know it and we have no use for it: skipped and counted.
    Skipped,
    /// Known, and not built yet: refused. What can be done instead.
    Later(&'static str),
    /// Means something only in the other daemon's file: refused.
    Elsewhere,
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    pub parent: Parent,
    pub name: &'static str,
    pub manager: Use,
    pub agent: Use,
}

impl Element {
    pub fn used_by(&self, daemon: Daemon) -> Use {
        match daemon {
            Daemon::Manager => self.manager,
            Daemon::Agent => self.agent,
        }
    }
}

/// The row of an element.
pub fn find(parent: Parent, name: &str) -> Option<&'static Element> {
    ELEMENTS
        .iter()
        .find(|element| element.parent == parent && element.name == name)
}

/// What can stand in `parent`.
pub fn names(parent: Parent) -> impl Iterator<Item = &'static str> {
    ELEMENTS
        .iter()
        .filter(move |element| element.parent == parent)
        .map(|element| element.name)
}

const fn row(parent: Parent, name: &'static str, manager: Use, agent: Use) -> Element {
    Element {
        parent,
        name,
        manager,
        agent,
    }
}

const fn both(parent: Parent, name: &'static str, used: Use) -> Element {
    row(parent, name, used, used)
}

/// In a section that an agent does not look into.
const fn manager(parent: Parent, name: &'static str, used: Use) -> Element {
    row(parent, name, used, Use::Skipped)
}

const fn section(name: &'static str) -> Element {
    both(Parent::Root, name, Use::Skipped)
}

const fn global(name: &'static str) -> Element {
    both(Parent::Global, name, Use::Skipped)
}

/// A manager skips the whole section of an agent.
const fn client(name: &'static str, agent: Use) -> Element {
    row(Parent::Client, name, Use::Skipped, agent)
}

const fn server(name: &'static str, agent: Use) -> Element {
    row(Parent::Server, name, Use::Skipped, agent)
}

/// All of them.
pub const ELEMENTS: &[Element] = &[
    both(Parent::Top, "ripost_config", Use::Section),
    both(Parent::Top, "ossec_config", Use::Section),
    both(Parent::Top, "wazuh_config", Use::Section),
    row(Parent::Top, "agent_config", Use::Elsewhere, Use::Section),
    row(Parent::Root, "command", Use::Section, Use::Skipped),
    both(Parent::Root, "active-response", Use::Section),
    both(Parent::Root, "global", Use::Section),
    row(Parent::Root, "alert_source", Use::Section, Use::Elsewhere),
    row(Parent::Root, "client", Use::Skipped, Use::Section),
    row(Parent::Root, "agents", Use::Section, Use::Elsewhere),
    section("agent-key-polling"),
    section("agent-upgrade"),
    section("agentless"),
    section("alerts"),
    section("analysis"),
    section("anti_tampering"),
    section("auth"),
    section("client_buffer"),
    section("cluster"),
    section("database_output"),
    section("email_alerts"),
    section("eventchannel"),
    section("fluent-forward"),
    section("gcp-bucket"),
    section("gcp-pubsub"),
    section("github"),
    section("indexer"),
    section("integration"),
    section("labels"),
    section("localfile"),
    section("logging"),
    section("ms-graph"),
    section("office365"),
    section("remote"),
    section("reports"),
    section("rootcheck"),
    section("rule_test"),
    section("rules"),
    section("ruleset"),
    section("sca"),
    section("socket"),
    section("syscheck"),
    section("syslog_output"),
    section("task-manager"),
    section("vulnerability-detection"),
    section("vulnerability-detector"),
    section("wdb"),
    section("wodle"),
    manager(Parent::Command, "name", Use::Exact),
    manager(Parent::Command, "executable", Use::Exact),
    manager(Parent::Command, "timeout_allowed", Use::Exact),
    manager(Parent::Command, "extra_args", Use::Value),
    manager(Parent::Command, "expect", Use::Value),
    manager(Parent::Command, "execution_timeout", Use::Value),
    manager(Parent::Command, "handshake_timeout", Use::Value),
    manager(Parent::Command, "contract", Use::Value),
    manager(Parent::Command, "revert", Use::Value),
    both(Parent::ActiveResponse, "disabled", Use::Exact),
    row(Parent::ActiveResponse, "command", Use::Exact, Use::Skipped),
    row(Parent::ActiveResponse, "location", Use::Value, Use::Skipped),
    row(Parent::ActiveResponse, "level", Use::Exact, Use::Skipped),
    row(
        Parent::ActiveResponse,
        "rules_group",
        Use::Exact,
        Use::Skipped,
    ),
    row(Parent::ActiveResponse, "rules_id", Use::Value, Use::Skipped),
    row(Parent::ActiveResponse, "timeout", Use::Value, Use::Skipped),
    row(Parent::ActiveResponse, "agent_id", Use::Value, Use::Skipped),
    row(
        Parent::ActiveResponse,
        "agent_group",
        Use::Value,
        Use::Skipped,
    ),
    row(Parent::ActiveResponse, "exclude", Use::Value, Use::Skipped),
    row(
        Parent::ActiveResponse,
        "field_map",
        Use::Value,
        Use::Skipped,
    ),
    both(Parent::ActiveResponse, "repeated_offenders", Use::Value),
    both(Parent::ActiveResponse, "ca_store", Use::Skipped),
    both(Parent::ActiveResponse, "ca_verification", Use::Skipped),
    both(Parent::Global, "white_list", Use::Exact),
    both(Parent::Global, "allow_list", Use::Exact),
    row(Parent::Global, "logic", Use::Value, Use::Elsewhere),
    row(Parent::Global, "on_stop", Use::Elsewhere, Use::Value),
    both(Parent::Global, "auto_reload", Use::Value),
    row(Parent::Global, "log_layout", Use::Elsewhere, Use::Value),
    global("agents_disconnection_alert_time"),
    global("agents_disconnection_time"),
    global("alerts_log"),
    global("auth_smtp"),
    global("compress_alerts"),
    global("cti-url"),
    global("custom_alert_output"),
    global("database_type"),
    global("email_from"),
    global("email_idsname"),
    global("email_log_source"),
    global("email_maxperhour"),
    global("email_notification"),
    global("email_reply_to"),
    global("email_to"),
    global("eps"),
    global("forward_to"),
    global("geoip6_db_path"),
    global("geoip_db_path"),
    global("geoip_jsonout"),
    global("geoipdb"),
    global("helo_server"),
    global("host_information"),
    global("integrity_checking"),
    global("jsonout_output"),
    global("limits"),
    global("logall"),
    global("logall_json"),
    global("max_output_size"),
    global("md5_allowlist"),
    global("md5_whitelist"),
    global("memory_size"),
    global("prelude_log_level"),
    global("prelude_output"),
    global("prelude_profile"),
    global("queue_size"),
    global("rootkit_detection"),
    global("rotate_interval"),
    global("secure_smtp"),
    global("smtp_password"),
    global("smtp_port"),
    global("smtp_server"),
    global("smtp_tls_verify"),
    global("smtp_user"),
    global("stats"),
    global("update_check"),
    global("zeromq_client_cert"),
    global("zeromq_output"),
    global("zeromq_server_cert"),
    global("zeromq_uri"),
    client("server", Use::Section),
    client("server-ip", Use::Exact),
    client("server-hostname", Use::Exact),
    client("port", Use::Exact),
    client("disable-active-response", Use::Exact),
    client("auto_restart", Use::Skipped),
    client("config-profile", Use::Skipped),
    client("crypto_method", Use::Skipped),
    client("enrollment", Use::Skipped),
    client("force_reconnect_interval", Use::Skipped),
    client("ip_update_interval", Use::Skipped),
    client("local_ip", Use::Skipped),
    client("notify_time", Use::Skipped),
    client("protocol", Use::Skipped),
    client("state_interval", Use::Skipped),
    client("time-reconnect", Use::Skipped),
    server("address", Use::Exact),
    server("port", Use::Exact),
    server("interface_index", Use::Skipped),
    server("max_retries", Use::Skipped),
    server("protocol", Use::Skipped),
    server("retry_interval", Use::Skipped),
    manager(Parent::Agents, "listen", Use::Value),
    manager(Parent::Agents, "certificate_lifetime", Use::Value),
    manager(Parent::AlertSource, "location", Use::Value),
    manager(Parent::AlertSource, "format", Use::Value),
    manager(Parent::AlertSource, "start_at", Use::Value),
    manager(Parent::AlertSource, "max_age", Use::Value),
    manager(Parent::AlertSource, "agent_id", Use::Value),
    manager(Parent::AlertSource, "map", Use::Value),
    manager(Parent::AlertSource, "socket_mode", Use::Value),
    manager(Parent::AlertSource, "socket_group", Use::Value),
    manager(Parent::AlertSource, "allowed-ips", Use::Value),
    manager(Parent::AlertSource, "max_body", Use::Value),
    manager(Parent::AlertSource, "token_file", Use::Value),
];
