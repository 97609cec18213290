//! A problem in a file: where, what, and what to write instead.
