//! What somebody with an old disk tries on its TPM, past the daemon.

use anyhow::{Context as _, Result};
use pawl_evidence::lease::LeaseTerms;
use pawl_evidence::tpm::{Name, PcrSelection};
use pawl_proto::message::{TpmStructure, Verdict};
use pawl_proto::signed::{self, OrderKey};
use pawl_proto::{Channel, DeviceId, Digest, Epoch, Topic, codec, limits};
use pawl_tpm::{Error, KeyBlob, LeaseGrant, Options, Tpm};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StateCopy;

/// The keys and the lease on a disk, as the daemon stored them.
pub struct OldKeys {
    epoch: Epoch,
    link: KeyBlob,
    device: KeyBlob,
    vault: KeyBlob,
    lease: LeaseGrant,
}

impl OldKeys {
    /// Reads them.
    ///
    /// # Errors
    /// When the disk holds no live pairing.
    pub fn read(disk: &StateCopy) -> Result<Self> {
        let pairing: Pairing = record(disk, "pairing/pairing.cbor")?;
        Ok(Self {
            epoch: pairing.epoch,
            link: record::<Key>(disk, "pairing/link.key")?.into(),
            device: record::<Key>(disk, "pairing/device.key")?.into(),
            vault: record::<Key>(disk, "pairing/vault.key")?.into(),
            lease: pairing.lease(&disk.read("pairing/lease.cose")?)?,
        })
    }

    /// Uses each of them on the TPM at `tcti`, to which nobody else may be connected; returns the TPM's answer to each.
    ///
    /// # Errors
    /// When the TPM cannot be reached.
    pub fn try_all(&self, tcti: &str) -> Result<Vec<(&'static str, Result<(), Error>)>> {
        let tpm = Tpm::start(Options::new(tcti.parse()?))?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let answers = runtime.block_on(async {
            let digest = [7; 32];
            vec![
                ("link_key", tpm.sign_with_link(&self.link, self.epoch.0, digest).await.map(drop)),
                ("device_key", tpm.sign_with_device(&self.device, &self.lease, digest).await.map(drop)),
                ("vault", tpm.unseal(&self.vault, &self.lease).await.map(drop)),
            ]
        });
        tpm.close();
        Ok(answers)
    }

    /// A signature by the device key; works while the lease runs.
    ///
    /// # Errors
    /// When the TPM cannot be reached or refuses.
    pub fn sign_with_device(&self, tcti: &str, digest: [u8; 32]) -> Result<[u8; 64]> {
        let tpm = Tpm::start(Options::new(tcti.parse()?))?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let signature = runtime.block_on(tpm.sign_with_device(&self.device, &self.lease, digest));
        tpm.close();
        Ok(signature?)
    }

    /// `TPMT_PUBLIC` of the device key.
    #[must_use]
    pub fn device_public(&self) -> &[u8] {
        &self.device.public
    }

    /// The key that the vault's file is encrypted with; works while the lease runs.
    ///
    /// # Errors
    /// When the TPM cannot be reached or refuses.
    pub fn unseal(&self, tcti: &str) -> Result<[u8; 32]> {
        let tpm = Tpm::start(Options::new(tcti.parse()?))?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let key = runtime.block_on(tpm.unseal(&self.vault, &self.lease));
        tpm.close();
        Ok(*key?)
    }
}

/// The part of the daemon's `pairing.cbor` that a use of the keys needs.
#[derive(Serialize, Deserialize)]
struct Pairing {
    device: DeviceId,
    epoch: Epoch,
    order_keys: Vec<OrderKey>,
    lease_key: TpmStructure,
    policy_ref: Digest,
    counter_name: TpmStructure,
}

impl Pairing {
    fn lease(self, message: &[u8]) -> Result<LeaseGrant> {
        let topic = Topic::new(self.device, Channel::Verdict);
        let verdict: Verdict = signed::verify(message, &topic, &self.order_keys)?;
        let lease = verdict.lease.context("a verdict without a lease")?;
        Ok(LeaseGrant {
            lease_public: self.lease_key.into_vec(),
            policy_ref: self.policy_ref.0,
            terms: LeaseTerms {
                selection: PcrSelection::new(lease.bank.to_string().parse()?, lease.pcrs)?,
                pcr_digest: lease.pcr_digest.0,
                counter_name: Name::from_bytes(self.counter_name.as_bytes())?,
                epoch: self.epoch.0,
                reset_count_max: lease.reset_count,
                clock_before: lease.clock,
            },
            signature: lease.signature.0,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Key {
    public: TpmStructure,
    private: TpmStructure,
}

impl From<Key> for KeyBlob {
    fn from(key: Key) -> Self {
        Self { public: key.public.into_vec(), private: key.private.into_vec() }
    }
}

fn record<T: Serialize + DeserializeOwned>(disk: &StateCopy, name: &str) -> Result<T> {
    codec::decode(&disk.read(name)?, limits::MESSAGE)
        .with_context(|| format!("decode {name} of the old disk"))
}
