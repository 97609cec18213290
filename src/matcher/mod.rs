//! Alert to responses. Pure.
