//! Configuration: text in, a typed value or all its problems out. Pure.
