//! The promises about sessions, approvals, the pairings that are granted on them, and tokens.

use std::collections::BTreeMap;

use pawl_evidence::lease::check_lease_key;
use pawl_local_api::Token;
use pawl_proto::message::{PairingApproved, PairingGrant, Verdict};
use pawl_proto::signed::{self, OrderKey};
use pawl_proto::{Channel, Digest, PairingId, PcrValue, SessionId, Topic};
use pawl_verifier::pairing::PairingState;
use pawl_verifier::{BootState, boot_digest};

use super::Promise;
use crate::ledger::GrantedPairing;
use crate::publisher::verdict_of;
use crate::seen::Sight;
use crate::world::World;

impl World {
    /// The control plane has opened a session, or says again how it stands.
    pub fn session_opened(&mut self, id: SessionId) {
        let Ok(found) = self.plane.look(move |tx| {
            let Some(session) = tx.session(id)? else { return Ok(None) };
            let newest = tx.newest_pairing(session.device)?;
            Ok(Some((session, newest)))
        }) else {
            return;
        };
        let Some((session, newest)) = found else { return };
        let index = self.devices.iter().position(|device| device.tpm.device() == session.device);
        let wanted = match &newest {
            // The session's own pairing may be there already.
            Some(newest) if newest.id == PairingId::from(id) => return,
            None => self.approvals.pair,
            Some(newest) => {
                let is_repair =
                    index.is_some_and(|index| self.ledger.repairs.contains(&(index, newest.epoch.0)));
                let least = if is_repair {
                    self.approvals.after_repair.min(self.approvals.re_pair)
                } else {
                    self.approvals.re_pair
                };
                if session.needed >= least {
                    return;
                }
                least
            }
        };
        if session.needed < wanted {
            self.broken(
                Promise::AsManyAsThePolicyWants,
                format!("session {id} needs {} persons instead of {wanted}", session.needed),
            );
        }
    }

    /// The control plane says that a session is approved.
    pub fn approved(&mut self, index: usize, approved: &PairingApproved) {
        let Ok(statement) = approved.statement.decode() else { return };
        let (session, device) = (statement.session, statement.device);
        self.check_persons(session);
        let pairing = PairingId::from(session);
        if self.ledger.granted.iter().any(|granted| granted.pairing == pairing) {
            return;
        }
        let Ok(live) = self.plane.look(move |tx| tx.live_pairing(device)) else { return };
        if let Some(live) = live {
            self.broken(
                Promise::StandsAlone,
                format!("device {index}: session {session} is approved and pairing {} lives", live.id),
            );
        }
        if check_lease_key_of(approved).is_none() {
            self.trace(|| "the lease key of an approval is malformed".to_owned());
        }
    }

    fn check_persons(&mut self, id: SessionId) {
        let Ok(Some(session)) = self.plane.look(move |tx| tx.session(id)) else { return };
        let signed = self.ledger.signed.get(&id).map_or(0, |persons| persons.len());
        if signed < usize::from(session.needed) {
            self.broken(
                Promise::OwnApproval,
                format!("session {id} needs {} persons, and {signed} signed for it", session.needed),
            );
        }
    }

    /// The control plane has granted a pairing.
    pub fn granted(&mut self, index: usize, grant: &PairingGrant) {
        let (pairing, epoch) = (grant.pairing, grant.epoch.0);
        let topic = Topic::new(grant.device, Channel::Verdict);
        let keys = [OrderKey::from(&self.plane.control.keys.signing.order)];
        if let Ok(verdict) = signed::verify::<Verdict>(grant.verdict.as_bytes(), &topic, &keys) {
            self.ledger.published.insert(Digest::of(grant.verdict.as_bytes()), verdict_of(&verdict));
        }
        if let Some(before) = self.ledger.granted.iter().find(|granted| granted.pairing == pairing) {
            if before.epoch != epoch {
                self.broken(Promise::EpochsRise, format!("pairing {pairing} was granted twice"));
            }
            return;
        }
        let Some(owner) = self.devices.iter().position(|device| device.tpm.device() == grant.device) else {
            return;
        };
        let earlier: Vec<GrantedPairing> =
            self.ledger.granted.iter().filter(|granted| granted.device == owner).copied().collect();
        self.saw(if earlier.is_empty() { Sight::Paired } else { Sight::PairedAgain });
        if let Some(higher) = earlier.iter().find(|earlier| earlier.epoch >= epoch) {
            self.broken(
                Promise::EpochsRise,
                format!("pairing {pairing} in epoch {epoch} after one in epoch {}", higher.epoch),
            );
        }
        self.ledger.granted.push(GrantedPairing { device: owner, pairing, epoch });
        self.ledger.with(owner, |facts| facts.technician_wiped = false);
        self.check_persons(SessionId::from(pairing));
        self.check_pairings(&earlier, pairing);
        self.check_keys(index, owner, pairing, epoch);
    }

    fn check_pairings(&mut self, earlier: &[GrantedPairing], pairing: PairingId) {
        for before in earlier {
            let id = before.pairing;
            if let Ok(Some(old)) = self.plane.look(move |tx| tx.pairing(id))
                && old.state == PairingState::Live
            {
                self.broken(Promise::OneLivePairing, format!("{id} lives beside {pairing}"));
            }
        }
    }

    fn check_keys(&mut self, index: usize, owner: usize, pairing: PairingId, epoch: u64) {
        let now = self.now;
        let Ok(Some(granted)) = self.plane.look(move |tx| tx.pairing(pairing)) else { return };
        let session = SessionId::from(pairing);
        if let Ok(Some(session)) = self.plane.look(move |tx| tx.session(session))
            && let (Ok(statement), Some(base)) = (session.statement.decode(), &granted.base)
            && boot_digest(&lease_pcrs(&base.pcrs)) != statement.boot
        {
            self.broken(Promise::RunsWhatWasApproved, format!("pairing {pairing} runs another image"));
        }
        let Some(device) = self.devices.get_mut(owner) else { return };
        let attestation = pawl_evidence::tpm::Public::unmarshal(&granted.attestation_key)
            .map(|public| public.name().as_bytes().to_vec())
            .unwrap_or_default();
        let mut problem = None;
        if attestation != device.tpm.attestation_name() {
            problem = Some((Promise::KeysInTheApprovedTpm, format!("pairing {pairing} is another TPM's")));
        }
        let root_moved = device.tpm.epoch() != Some(epoch);
        for keys in self.ledger.keys.iter().filter(|keys| keys.device == owner) {
            // Keys of another approval that was refused cannot be used: no certificate and no lease names them.
            let is_refused = keys.epoch == epoch && keys.policy_ref != granted.policy_ref.0;
            if keys.device_key.public == granted.device_key || root_moved || is_refused {
                continue;
            }
            let promise =
                if keys.epoch == epoch { Promise::OneSetOfKeys } else { Promise::EarlierKeysAreDead };
            let is_linked = device.tpm.use_link(&keys.link, epoch).is_ok();
            let is_leased = keys.lease.as_ref().is_some_and(|lease| {
                device.tpm.accepts(now, &keys.device_key, lease)
                    || device.tpm.accepts(now, &keys.vault, lease)
            });
            if is_linked || is_leased {
                problem =
                    Some((promise, format!("device {index}: keys of epoch {} work in {epoch}", keys.epoch)));
            }
        }
        if let Some((promise, detail)) = problem {
            self.broken(promise, detail);
        }
    }

    /// The control plane has issued a token.
    pub fn token_issued(&mut self, index: usize, token: &Token) {
        let Some(device) = self.devices.get(index) else { return };
        let id = device.tpm.device();
        let Ok(granted) = self.plane.look(move |tx| tx.granted(id)) else { return };
        let is_granted = |scope: &str| granted.scopes.iter().any(|granted| granted.as_str() == scope);
        if !token.scope.split_ascii_whitespace().all(is_granted) {
            self.broken(Promise::TokensAreIssuedAsGranted, format!("device {index} got {:?}", token.scope));
        }
    }
}

fn lease_pcrs(all: &BTreeMap<u8, PcrValue>) -> BootState {
    const LEASE: [u8; 8] = [0, 2, 4, 7, 8, 9, 12, 14];
    all.iter().filter(|(index, _)| LEASE.contains(index)).map(|(index, value)| (*index, *value)).collect()
}

fn check_lease_key_of(approved: &PairingApproved) -> Option<()> {
    let public = pawl_evidence::tpm::Public::unmarshal(approved.lease_key.as_bytes()).ok()?;
    check_lease_key(&public).ok()
}
