//! Reports on request, beside what no report can do without: the quote, and the broker.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use pawl_proto::Channel;
use pawl_proto::message::EventKind;

use crate::amount::Amount;
use crate::broker::Client;
use crate::measure::Measure;
use crate::orders::Orders;
use crate::samples::Samples;
use crate::subject::{Subject, Tapped};
use crate::tap::CommandCode;

const RUNS: usize = 30;
/// The daemon sends no two reports within 250 ms, and has dealt with a verdict by then.
pub(crate) const PACE: Duration = Duration::from_millis(300);

/// Asks for one report and waits until it is judged.
pub(crate) fn on_request(client: &mut Client, orders: &mut Orders, subject: &Subject) -> Result<Vec<u8>> {
    thread::sleep(PACE);
    let refresh = orders.sign(subject, EventKind::Refresh)?;
    client.publish(&refresh.topic, &refresh.payload)?;
    let report = client.next(&subject.topic(Channel::Posture))?;
    client.next(&subject.topic(Channel::Verdict))?;
    Ok(report.payload)
}

/// Asks `subject` for reports. Before each, while all is quiet, it measures the quote (on the bus
/// of `tapped`, so that no tap stands in the way of the real report) and the hops.
pub(crate) fn measure(
    client: &mut Client,
    orders: &mut Orders,
    subject: &Subject,
    tapped: &Tapped,
    steady_report: &[u8],
) -> Result<[Measure; 2]> {
    let (posture, verdict) = (subject.topic(Channel::Posture), subject.topic(Channel::Verdict));
    let (mut reports, mut quotes) = (Samples::default(), Samples::default());
    let (mut hops_in, mut hops_out) = (Samples::default(), Samples::default());
    for _ in 0..RUNS {
        let refresh = orders.sign(subject, EventKind::Refresh)?;
        thread::sleep(PACE);
        client.wake()?;
        hops_in.add(client.hop(&refresh.payload)?);
        hops_out.add(client.hop(steady_report)?);
        quotes.add(tapped.tap.repeat(CommandCode::QUOTE)?);

        let asked = client.publish(&refresh.topic, &refresh.payload)?;
        reports.add(client.next(&posture)?.arrived - asked);
        client.next(&verdict)?;
    }

    let hops = hops_in.median() + hops_out.median();
    let quote = quotes.median();
    let over_floor = Measure {
        name: "report over raw quote and broker hops",
        figure: Amount::ratio(reports.median(), quote + hops),
        aim: Some(Amount::Times(1.5)),
        parts: [
            reports.parts("refresh published to report seen").as_slice(),
            &[
                ("hop of the request", Amount::Time(hops_in.median())),
                ("hop of the report", Amount::Time(hops_out.median())),
                ("raw TPM2_Quote", Amount::Time(quote)),
            ],
        ]
        .concat(),
    };
    let on_device = reports.median().saturating_sub(hops);
    let without_hops = Measure {
        name: "report without the hops over raw quote",
        figure: Amount::ratio(on_device, quote),
        aim: Some(Amount::Times(1.5)),
        parts: vec![("on the device", Amount::Time(on_device))],
    };
    let floors = [&quotes, &hops_in, &hops_out];
    Ok([over_floor, without_hops].map(|measure| measure.unless_disturbed(&floors)))
}
