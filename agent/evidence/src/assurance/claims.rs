use serde::{Deserialize, Serialize};

use super::error::AssuranceError;
use super::hex;

/// The claims of an assurance (RFC 7519, with one private claim).
///
/// Claims read from a JWS are untrusted; only those of a verified [`Assurance`](super::Assurance) are true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The issuer: the control plane.
    pub iss: String,
    /// The device's id.
    pub sub: String,
    /// The id of the approval session. No two assurances have the same.
    pub jti: String,
    /// Start of validity, in seconds since 1970.
    pub iat: u64,
    /// End of validity, in seconds since 1970.
    pub exp: u64,
    /// The action.
    pub pawl: ActionClaims,
}

/// The permitted action, the device's state, and who approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionClaims {
    /// The id of the device's pairing.
    pub pairing: String,
    /// The epoch of the pairing.
    pub epoch: u64,
    /// The action's name in the control plane's policy.
    pub action: String,
    /// The target of the action.
    pub resource: String,
    /// SHA-256 of the action's input.
    #[serde(with = "hex")]
    pub digest: [u8; 32],
    /// The workload's own session id, or the receiver's challenge.
    pub session: String,
    /// Which workload requested the action, as the device's kernel and daemon reported it.
    pub origin: String,
    /// SHA-256 of the values of the lease's PCRs: what the device ran.
    #[serde(with = "hex")]
    pub boot: [u8; 32],
    /// SHA-256 of the evidence that was appraised last.
    #[serde(with = "hex")]
    pub evidence: [u8; 32],
    /// SHA-256 of the approved statement.
    #[serde(with = "hex")]
    pub statement: [u8; 32],
    /// Who approved.
    pub approved: Approved,
}

/// Who approved an action: `"policy"`, or an array of persons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Approved {
    /// The operator's policy, which requires no person.
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
    /// The time of the approval, in seconds since 1970 on the control plane's clock.
    pub time: u64,
}

/// The values that the receiver of an assurance expects.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The device id; `None` to accept any device of the CA.
    pub device: Option<&'a str>,
    /// The action's name.
    pub action: &'a str,
    /// The target of the action.
    pub resource: &'a str,
    /// SHA-256 of the action's input.
    pub digest: &'a [u8; 32],
    /// The session id or challenge for which the assurance was requested. Use a fresh one to detect reuse.
    pub session: &'a str,
}

impl Claims {
    /// Checks that the claims cover this action.
    ///
    /// # Errors
    /// The first difference: [`AssuranceError::Device`], [`AssuranceError::Action`],
    /// [`AssuranceError::Resource`], [`AssuranceError::Digest`] or [`AssuranceError::Session`].
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
            Written::Persons(persons) if persons.is_empty() => Err("no approver"),
            Written::Persons(persons) => Ok(Self::Persons(persons)),
        }
    }
}
