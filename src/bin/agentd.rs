//! `ripost-agentd`: carries responses out on this host and takes them back.

use std::process::ExitCode;

fn main() -> ExitCode {
    ripost::daemon::agentd_main()
}
