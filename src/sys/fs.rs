//! Files that are replaced, appended to and locked.
