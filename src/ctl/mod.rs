//! The command line of ripostctl.
