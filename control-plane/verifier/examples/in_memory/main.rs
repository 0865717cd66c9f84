//! A small, complete control plane in memory, without MQTT, HTTPS and a database. It pairs a device with a TPM (swtpm),
//! appraises it, signs its leases and revokes it.
//!
//! `cargo run -p pawl-verifier --example in_memory`

mod control_plane;
mod device;

use std::error::Error;

use pawl_proto::message::{Event, TrustTier, Verdict};
use pawl_proto::{Channel, Topic, signed};

use self::control_plane::ControlPlane;
use self::device::Device;

/// The time in this example, Unix seconds.
const NOW: u64 = 1_700_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut device = Device::start().await?;
    let mut plane = ControlPlane::new(&device.ek_public);
    let (keys, topic) = ([plane.order_key()], |channel| Topic::new(device.id(), channel));
    let (verdicts, events) = (topic(Channel::Verdict), topic(Channel::Event));

    // Pair.
    let request = device.request()?;
    let offer = plane.offer(&request, NOW)?;
    let proof = device.session_proof(&request, &offer).await?;
    let approved = plane.open(offer.session, &proof, NOW + 1)?;
    let (pairing_keys, proof) = device.pairing_proof(offer.session, &approved).await?;
    let message = plane.prove(offer.session, &proof, NOW + 2)?;
    let first: Verdict = signed::verify(&message, &verdicts, &keys)?;
    let lease = first.lease.clone().ok_or("the first verdict has no lease")?;
    device.unseal(&pairing_keys, &approved, &lease).await?;
    println!("paired in epoch {}: {:?}, and the TPM opens the vault", first.epoch, first.result);

    // Appraise an incremental report. Its verdict contains the next lease.
    let report = device.report(first.nonce, first.answers).await?;
    let message = plane.report(&pawl_proto::encode(&report)?, NOW + 302)?;
    let second: Verdict = signed::verify(&message, &verdicts, &keys)?;
    assert!(second.sequence > first.sequence && second.result < Some(TrustTier::Contraindicated));
    let lease = second.lease.ok_or("the second verdict has no lease")?;
    device.unseal(&pairing_keys, &approved, &lease).await?;
    println!("appraised: {:?}, and the next lease opens the vault", second.result);

    // Revoke.
    let (_, message) = plane.revoke("sold", NOW + 400)?;
    let event: Event = signed::verify(&message, &events, &keys)?;
    let receipt = device.wipe(&event).await?;
    plane.receipt(&receipt)?;
    let state = plane.pairing.as_ref().map(|pairing| pairing.state);
    println!("revoked: the pairing is {state:?}, and the TPM has certified it");
    let refused = device.unseal(&pairing_keys, &approved, &lease).await;
    println!("the TPM refuses the old lease: {}", refused.err().ok_or("the vault still opens")?);
    if plane.report(&pawl_proto::encode(&report)?, NOW + 401).is_ok() {
        return Err("a revoked device got a verdict".into());
    }
    println!("{} records were kept", plane.records.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn the_example_pairs_appraises_leases_and_revokes() {
        super::run().await.unwrap();
    }
}
