//! What the bundled executables share.
