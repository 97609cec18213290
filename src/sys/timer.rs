//! A timer on boot time, which keeps counting in suspend.
