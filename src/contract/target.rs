//! Which field of an alert names the target.
