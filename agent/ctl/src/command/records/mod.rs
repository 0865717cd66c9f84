//! `pawlctl records`

mod chain;
mod fact;

use pawl_local_api::LocalRecord;
use serde::Serialize;

use crate::cli;
use crate::client::Client;
use crate::exit::{Answer, Exit, Failure};
use crate::output::{self, plain, utc};

use chain::Chain;

/// The result of the check, printed for programs.
#[derive(Serialize)]
struct Checked {
    chain: &'static str,
    first: Option<u64>,
    last: Option<u64>,
}

pub(super) async fn run(client: &Client, options: &cli::Records, json: bool) -> Result<Answer, Failure> {
    let mut chain = Chain::after(options.after);
    loop {
        let page = client.records(chain.last().unwrap_or(options.after)).await?;
        for record in &page.records {
            output::print(&if json { output::json(record)? } else { line(record) });
            chain.add(record).map_err(broken)?;
        }
        if !page.more || page.records.is_empty() {
            break;
        }
    }
    let checked = Checked { chain: "holds", first: chain.first(), last: chain.last() };
    Ok(Answer::done(if json { output::json(&checked)? } else { sentence(&checked, options.after) }))
}

/// Formats a record: time, number, kind and detail.
fn line(record: &LocalRecord) -> String {
    let (kind, detail) = fact::words(&record.record.fact);
    let record = &record.record;
    plain(format!("{}  {:>6}  {kind:<9}  {detail}", utc(record.time), record.sequence).trim_end()) + "\n"
}

fn sentence(checked: &Checked, after: u64) -> String {
    match (checked.first, checked.last) {
        (Some(first), Some(last)) if first > after + 1 => {
            format!("chain verified: records {first} to {last}; older records were dropped to save space\n")
        }
        (Some(first), Some(last)) => format!("chain verified: records {first} to {last}\n"),
        _ => "no records\n".to_owned(),
    }
}

fn broken(error: chain::Broken) -> Failure {
    Failure::new(
        Exit::Failed,
        "chain-broken",
        error,
        "the records were altered or damaged: keep this disk for an investigation, and call the operator",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(first: u64, last: u64) -> Checked {
        Checked { chain: "holds", first: Some(first), last: Some(last) }
    }

    #[test]
    fn dropped_records_are_mentioned() {
        assert_eq!(sentence(&checked(1, 57), 0), "chain verified: records 1 to 57\n");
        assert_eq!(sentence(&checked(8, 57), 7), "chain verified: records 8 to 57\n");
        assert!(sentence(&checked(12, 57), 0).contains("older records were dropped"));
        assert_eq!(sentence(&Checked { chain: "holds", first: None, last: None }, 0), "no records\n");
    }
}
