use serde::{Deserialize, Serialize};
use thiserror::Error;

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
    #[serde(with = "lower_hex")]
    pub digest: [u8; 32],
    /// The workload's own session id, or the receiver's challenge.
    pub session: String,
    /// Which workload requested the action, as the device's kernel and daemon reported it.
    pub origin: String,
    /// SHA-256 of the values of the lease's PCRs: what the device ran.
    #[serde(with = "lower_hex")]
    pub boot: [u8; 32],
    /// SHA-256 of the evidence that was appraised last.
    #[serde(with = "lower_hex")]
    pub evidence: [u8; 32],
    /// SHA-256 of the approved statement.
    #[serde(with = "lower_hex")]
    pub statement: [u8; 32],
    /// Who approved.
    pub approved: Approved,
}

/// Who approved an action: `"policy"`, or an array of persons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ApprovedJson", into = "ApprovedJson")]
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
enum ApprovedJson {
    Word(Word),
    Persons(Vec<Approver>),
}

#[derive(Serialize, Deserialize)]
enum Word {
    #[serde(rename = "policy")]
    Policy,
}

impl From<Approved> for ApprovedJson {
    fn from(approved: Approved) -> Self {
        match approved {
            Approved::Policy => Self::Word(Word::Policy),
            Approved::Persons(persons) => Self::Persons(persons),
        }
    }
}

impl TryFrom<ApprovedJson> for Approved {
    type Error = &'static str;

    fn try_from(written: ApprovedJson) -> Result<Self, Self::Error> {
        match written {
            ApprovedJson::Word(Word::Policy) => Ok(Self::Policy),
            ApprovedJson::Persons(persons) if persons.is_empty() => Err("no approver"),
            ApprovedJson::Persons(persons) => Ok(Self::Persons(persons)),
        }
    }
}

/// Serializes a digest as 64 lower-case hexadecimal digits. Only this form is accepted, so that equal digests
/// are equal texts.
mod lower_hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&::hex::encode(digest))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| de::Error::custom("not 64 lower-case hexadecimal digits"))
    }

    pub(super) fn parse(text: &str) -> Option<[u8; 32]> {
        crate::bytes::read_lower_hex(text.as_bytes())?.try_into().ok()
    }
}

/// The longest assurance, in bytes: two certificates of some 600 bytes, and texts of bounded length.
pub const ASSURANCE_MAX_LEN: usize = 16 * 1024;

/// Why an assurance is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AssuranceError {
    /// It is longer than [`ASSURANCE_MAX_LEN`].
    #[error("the assurance is longer than {ASSURANCE_MAX_LEN} bytes")]
    TooLong,
    /// It is not a compact JWS (RFC 7515, section 7.1).
    #[error("the assurance is not a compact JWS: three parts in base64url, of which the last is 64 bytes")]
    Form,
    /// The header is not JSON, lacks a member, or has an unknown member.
    #[error("the assurance's header is not a JSON object of alg, typ and x5c")]
    Header,
    /// The signature algorithm is not ES256.
    #[error("the assurance's algorithm is not ES256")]
    Algorithm,
    /// The JWS has another type than an assurance.
    #[error("the JWS is not of the type pawl-assurance+jwt")]
    Type,
    /// The certificate list is empty, too long, or not Base64.
    #[error("the assurance's x5c does not hold one to four certificates in Base64")]
    Certificates,
    /// The claims are not JSON, lack a member, or have a member of the wrong type.
    #[error("the assurance's claims are malformed")]
    Claims,
    /// The trusted CA certificate is malformed.
    #[error(
        "the trusted certificate is not a well-formed CA certificate: give the control plane's ca.pem, in DER"
    )]
    Authority,
    /// The action key's certificate is malformed.
    #[error("the action key's certificate is not a well-formed X.509 certificate")]
    Certificate,
    /// Another CA signed the action key's certificate.
    #[error("the trusted CA did not sign the action key's certificate")]
    Issuer,
    /// A certificate is not valid at this time.
    #[error("a certificate of the assurance is not valid at this time")]
    Validity,
    /// The certificate has another purpose: another key of the device, or another CA.
    #[error("the certificate is not for an action key: it lacks that key purpose")]
    Purpose,
    /// The certified key is of another kind.
    #[error("the action key is not on the curve P-256")]
    Key,
    /// The certified key did not sign these bytes.
    #[error("the assurance is not signed by the action key")]
    Signature,
    /// Certificate and claims name different devices.
    #[error("the assurance names another device than the action key's certificate")]
    Subject,
    /// It is not valid yet.
    #[error("the assurance is not valid yet")]
    NotYet,
    /// It has expired.
    #[error("the assurance has expired")]
    Expired,
    /// It is for another device.
    #[error("the assurance is for another device")]
    Device,
    /// It is for another action.
    #[error("the assurance is for another action")]
    Action,
    /// It is for another resource.
    #[error("the assurance is for another resource")]
    Resource,
    /// It is for other data.
    #[error("the assurance is for other data: the digests differ")]
    Digest,
    /// It is for another session of the workload.
    #[error("the assurance is for another session")]
    Session,
}

#[cfg(test)]
mod tests {
    use super::lower_hex::parse;

    #[test]
    fn only_64_lower_case_digits_are_a_digest() {
        let digits = "00ff".repeat(16);
        assert_eq!(parse(&digits), Some([0x00, 0xff].repeat(16).try_into().unwrap()));
        for bad in [digits.to_uppercase(), "00f".repeat(21), format!("{digits}00"), digits.replace('f', "g")]
        {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }
}
