//! The only place in the daemons that starts a process.
