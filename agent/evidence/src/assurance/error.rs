use thiserror::Error;

use super::signing_input::ASSURANCE_MAX_LEN;

/// Why an assurance is not believed, or does not cover what it is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AssuranceError {
    /// It is longer than any assurance.
    #[error("the assurance is longer than {ASSURANCE_MAX_LEN} bytes")]
    TooLong,
    /// It is no compact JWS (RFC 7515, section 7.1).
    #[error("the assurance is not a compact JWS: three parts in base64url, of which the last is 64 bytes")]
    Form,
    /// The header is not JSON, lacks a member, or has one that is not known here.
    #[error("the assurance's header is not a JSON object of alg, typ and x5c")]
    Header,
    /// Another signature algorithm.
    #[error("the assurance's algorithm is not ES256")]
    Algorithm,
    /// A JWS that was made for something else.
    #[error("the JWS is not of the type pawl-assurance+jwt")]
    Type,
    /// There is no certificate to begin with, or too many, or one that is not Base64.
    #[error("the assurance's x5c does not hold one to four certificates in Base64")]
    Certificates,
    /// The claims are not JSON, lack a member, or have one of the wrong type.
    #[error("the assurance's claims are malformed")]
    Claims,
    /// The trusted certificate is none.
    #[error(
        "the trusted certificate is not a well-formed certificate of an authority: give the control plane's ca.pem, in DER"
    )]
    Authority,
    /// The key's certificate cannot be read.
    #[error("the action key's certificate is not a well-formed X.509 certificate")]
    Certificate,
    /// The key's certificate is another authority's.
    #[error("the action key's certificate is not signed by the trusted authority")]
    Issuer,
    /// A certificate is not valid at this time.
    #[error("a certificate of the assurance is not valid at this time")]
    Validity,
    /// The certificate is for something else: another key of the same device, or another authority.
    #[error("the certificate is not an action key's: its key purpose is another one")]
    Purpose,
    /// The certificate is for another kind of key.
    #[error("the action key is not on the curve P-256")]
    Key,
    /// The signature is not by the key in the certificate over these bytes.
    #[error("the assurance is not signed by the action key")]
    Signature,
    /// Certificate and claims name two devices.
    #[error("the assurance names another device than the action key's certificate")]
    Subject,
    /// It begins in the future.
    #[error("the assurance is not valid yet")]
    NotYet,
    /// It is over.
    #[error("the assurance has expired")]
    Expired,
    /// It is for another device.
    #[error("the assurance is another device's")]
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
