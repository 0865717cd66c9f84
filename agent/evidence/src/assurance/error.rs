use thiserror::Error;

use super::signing_input::ASSURANCE_MAX_LEN;

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
