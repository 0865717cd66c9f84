//! Revocations, from the publishing of the event to the counter that has moved on.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use pawl_proto::Channel;
use pawl_proto::message::{DeviceState, EventKind};

use crate::amount::Amount;
use crate::broker::Client;
use crate::measure::Measure;
use crate::orders::Orders;
use crate::samples::Samples;
use crate::subject::Tapped;
use crate::tap::CommandCode;

/// Each needs a pairing of its own.
const RUNS: usize = 5;
const RAW_RUNS: usize = 20;
/// A TPM that just worked answers faster than an idle one, and a wipe meets an idle TPM.
const PAUSE: Duration = Duration::from_millis(100);

/// Revokes and pairs again. The tap's own delay, some ten microseconds, counts against us.
pub(crate) fn measure(client: &mut Client, orders: &mut Orders, tapped: &Tapped) -> Result<Measure> {
    let (mut revocations, mut hops) = (Samples::default(), Samples::default());
    let (mut on_device, mut on_bus) = (Samples::default(), Samples::default());
    for run in 0..RUNS {
        if run > 0 {
            tapped.subject.pair(client)?;
        }
        let order = orders.sign(&tapped.subject, EventKind::Revoke)?;
        client.wake()?;
        hops.add(client.hop(&order.payload)?);

        let ordered = client.publish(&order.topic, &order.payload)?;
        client.next(&tapped.subject.topic(Channel::Receipt))?;
        let increment = tapped.tap.first(CommandCode::NV_INCREMENT, ordered);
        let increment = increment.context("a receipt without TPM2_NV_Increment")?;
        revocations.add(increment.answered - ordered);
        on_bus.add(increment.answered - increment.sent);
        tapped.subject.device.wait_for(DeviceState::Revoked)?;
        on_device.add(time_on_device(tapped)?);
    }
    // Its keys are dead by now: the counter may run on.
    let mut raw = Samples::default();
    for _ in 0..RAW_RUNS {
        thread::sleep(PAUSE);
        client.wake()?;
        raw.add(tapped.tap.repeat(CommandCode::NV_INCREMENT)?);
    }
    let measure = Measure {
        name: "revocation over raw increment and a hop",
        figure: Amount::ratio(revocations.median(), raw.median() + hops.median()),
        aim: Some(Amount::Times(1.5)),
        parts: [
            revocations.parts("published to dead").as_slice(),
            &[
                ("received to dead, by the daemon's log", Amount::Time(on_device.median())),
                ("TPM2_NV_Increment on the bus", Amount::Time(on_bus.median())),
                ("hop of the event", Amount::Time(hops.median())),
                ("raw TPM2_NV_Increment", Amount::Time(raw.median())),
            ],
        ]
        .concat(),
    };
    Ok(measure.unless_disturbed(&[&raw, &hops]))
}

/// What the daemon measured itself and logged.
fn time_on_device(tapped: &Tapped) -> Result<Duration> {
    let log = tapped.subject.device.log()?;
    let (_, rest) = log.rsplit_once("to_dead_us=").context("the daemon logged no revocation")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Ok(Duration::from_micros(digits.parse()?))
}
