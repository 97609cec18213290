//! `ripost-manager`: turns alerts into responses.

use std::process::ExitCode;

fn main() -> ExitCode {
    ripost::daemon::manager_main()
}
