//! Posture: receives reports and answers them with verdicts.

mod receive;

pub(crate) use receive::{receive, record_verdict, take_records};

#[cfg(test)]
mod lease_pcrs_tests;
#[cfg(test)]
mod tests;
