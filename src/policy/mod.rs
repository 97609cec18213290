//! May it? Pure.
