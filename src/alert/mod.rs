//! The normalised alert over borrowed bytes, one file per format.
