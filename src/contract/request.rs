//! The lines a daemon writes to an executable.
