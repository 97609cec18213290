//! `ripostctl`: looks at the responses of a home, and steers them.

use std::process::ExitCode;

fn main() -> ExitCode {
    ripost::ctl::main()
}
