//! A file that may be run as root: opened, checked, and only then named.
