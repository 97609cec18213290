//! The namespaces in which a bench runs. Its root has `isolation` in scope.

use crate::isolation;

/// Runs `measure` in namespaces of its own, where `cargo bench` starts the
/// program; `cargo test --benches` starts it as well, and then it does nothing.
pub fn isolated(measure: fn()) {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    if isolation::is_inside() {
        isolation::prepare();
        return measure();
    }
    again(&[]);
}

/// Runs this program again in namespaces of its own, with more in its
/// environment.
pub fn again(environment: &[(&str, &str)]) {
    let (mut again, _folder) =
        isolation::own_program().expect("namespaces are not allowed here; try as root");
    let status = again
        .args(std::env::args_os().skip(1))
        .envs(environment.iter().copied())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}
