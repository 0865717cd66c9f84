//! The end-to-end tests, on swtpm and mosquitto: a file for each promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod actions;
mod actions_approved;
mod approvals;
mod broker_acl;
mod broker_client_ids;
mod broker_failures;
mod bus_secrecy;
mod clock;
mod clones;
mod command_line;
mod daemon;
mod entitlement;
mod full_disk;
mod hostile_events;
mod https_floods;
mod ima;
mod lease;
mod local_socket;
mod look_then_act;
mod measure_log;
mod nvpcr;
mod pairing;
mod pcr_banks;
mod policy;
mod power_cuts;
mod re_pair;
mod records;
mod records_cut;
mod recovery;
mod retirement;
mod revocation;
mod self_test;
mod ssh_keygen;
mod support;
mod transcripts;
mod u_boot;
mod updates;
mod updates_databases;
mod vendor_certificates;
