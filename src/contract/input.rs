//! The lines an executable reads, as leniently as 4.x reads them.
