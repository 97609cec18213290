//! Plays many agents against a real manager: `fleet_sim --help`.

#[expect(
    dead_code,
    reason = "shared with the tests, which play a fleet themselves"
)]
#[path = "fleet_sim/mod.rs"]
mod fleet_sim;

fn main() -> std::process::ExitCode {
    fleet_sim::main()
}
