//! Ripost, an active-response engine. The modules stand in layers, drawn in
//! `ARCHITECTURE.md`; imports point down only, which `tests/layers.rs` checks.

pub mod agent;
pub mod alert;
pub mod ar;
pub mod audit;
pub mod clock;
pub mod config;
pub mod contract;
pub mod ctl;
pub mod daemon;
pub mod diag;
pub mod executor;
pub mod journal;
pub mod ledger;
pub mod manager;
pub mod matcher;
pub mod model;
pub mod policy;
pub mod roster;
pub mod service;
pub mod source;
pub mod sys;
pub mod transport;
pub mod wire;
