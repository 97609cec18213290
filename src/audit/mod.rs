//! What is written for people and machines to read later.
