//! Tests the library with real boots, a TPM emulator and established tools.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod appraisal;
mod assurance;
mod attestation_key;
mod boot_images;
mod boots;
mod cases;
mod certified;
mod command_lines;
mod credential;
mod endorsement;
mod event_log;
mod facts;
mod facts_made_up;
mod hostile;
mod hostile_logs;
mod ima_hashes;
mod ima_rules;
mod ima_signatures;
mod ima_templates;
mod lease;
mod measure_log;
mod measure_log_policy;
mod nvpcr;
mod pcr_banks;
mod peers;
mod policy;
mod predict;
mod predict_databases;
mod predict_user_space;
mod quotes;
mod revocation;
mod support;
mod u_boot;
mod unlogged;
