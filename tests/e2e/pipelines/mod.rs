//! Programs that bring alerts, run for real and configured by what
//! docs/pipelines.md says.

mod page;
mod rsyslog;
