use serde::{Deserialize, Serialize};

use super::error::AssuranceError;
use super::hex;

/// What an assurance says (RFC 7519, with one claim of our own).
///
/// Read from a JWS they are no more than text: only those of a verified assurance are true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The control plane.
    pub iss: String,
    /// The device's id.
    pub sub: String,
    /// The control plane's session in which the action was let. No two assurances have the same.
    pub jti: String,
    /// From when it holds, seconds since 1970.
    pub iat: u64,
    /// When it is over, seconds since 1970.
    pub exp: u64,
    /// The action.
    pub pawl: ActionClaims,
}

/// What was let, for which state of the device, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionClaims {
    /// The id of the device's pairing.
    pub pairing: String,
    /// The epoch of the pairing.
    pub epoch: u64,
    /// The action's name in the control plane's policy.
    pub action: String,
    /// On what it acts.
    pub resource: String,
    /// SHA-256 of what it acts with.
    #[serde(with = "hex")]
    pub digest: [u8; 32],
    /// The workload's own session, or the receiver's challenge.
    pub session: String,
    /// Who asked on the device, as its kernel and its daemon told.
    pub origin: String,
    /// SHA-256 over the values of the PCRs that leases name: what the device ran.
    #[serde(with = "hex")]
    pub boot: [u8; 32],
    /// SHA-256 of the evidence that was judged last.
    #[serde(with = "hex")]
    pub evidence: [u8; 32],
    /// SHA-256 of the statement that was approved.
    #[serde(with = "hex")]
    pub statement: [u8; 32],
    /// Who let it.
    pub approved: Approved,
}

/// Who let an action: `"policy"`, or an array of persons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Approved {
    /// The operator's policy, which asks nobody.
    Policy,
    /// These persons, one or more.
    Persons(Vec<Approver>),
}

/// A person who approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    /// Their name in the control plane's list of signers.
    pub by: String,
    /// The fingerprint of their SSH key, `SHA256:…`.
    pub key: String,
    /// When, seconds since 1970 on the control plane's clock.
    pub time: u64,
}

/// What the receiver of an assurance knows by itself, and compares it with.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The device; `None` where any device of the authority will do.
    pub device: Option<&'a str>,
    /// The action's name.
    pub action: &'a str,
    /// On what it acts.
    pub resource: &'a str,
    /// SHA-256 of what it acts with.
    pub digest: &'a [u8; 32],
    /// The session that the assurance was asked for. It should be fresh: it tells one use from the next.
    pub session: &'a str,
}

impl Claims {
    /// Whether they cover this action.
    ///
    /// # Errors
    /// Says what they are for instead: [`AssuranceError::Device`], [`AssuranceError::Action`],
    /// [`AssuranceError::Resource`], [`AssuranceError::Digest`], [`AssuranceError::Session`].
    pub fn check(&self, expected: &Expected<'_>) -> Result<(), AssuranceError> {
        let equal = |same: bool, error| if same { Ok(()) } else { Err(error) };
        let pawl = &self.pawl;
        equal(expected.device.is_none_or(|device| device == self.sub), AssuranceError::Device)?;
        equal(expected.action == pawl.action, AssuranceError::Action)?;
        equal(expected.resource == pawl.resource, AssuranceError::Resource)?;
        equal(*expected.digest == pawl.digest, AssuranceError::Digest)?;
        equal(expected.session == pawl.session, AssuranceError::Session)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Word(Word),
    Persons(Vec<Approver>),
}

#[derive(Serialize, Deserialize)]
enum Word {
    #[serde(rename = "policy")]
    Policy,
}

impl From<Approved> for Written {
    fn from(approved: Approved) -> Self {
        match approved {
            Approved::Policy => Self::Word(Word::Policy),
            Approved::Persons(persons) => Self::Persons(persons),
        }
    }
}

impl TryFrom<Written> for Approved {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written::Word(Word::Policy) => Ok(Self::Policy),
            Written::Persons(persons) if persons.is_empty() => Err("approved by nobody"),
            Written::Persons(persons) => Ok(Self::Persons(persons)),
        }
    }
}
