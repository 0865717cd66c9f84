use pawl_approval::{Refusal as SignerRefusal, SignatureError};
use pawl_proto::message::Statement;
use serde::{Deserialize, Serialize};

/// The conditions of an approval. The refusal of an approval names the first one that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "named as the statement's fields")]
#[non_exhaustive]
pub enum Binding {
    Session,
    Device,
    Nonce,
    Origin,
    Action,
    Resource,
    Subject,
    Context,
    Reason,
    Scopes,
    Audiences,
    Granted,
    Replaces,
    Epoch,
    Evidence,
    /// The device's boot state.
    Boot,
    /// When the session was opened and when it expires.
    Time,
    /// The session has expired.
    Expired,
    /// The session was already used.
    Used,
    /// The namespace of the signature, or of the approver's line in the list.
    Namespace,
    /// The approver's key is not in the list.
    Key,
    /// The list has the key for other dates.
    Dates,
    /// The signature is not valid.
    Signature,
    /// The same person has already approved.
    Person,
    /// The user code that the device shows.
    Code,
    /// The confirmation that the control plane showed to the approver.
    Confirmation,
}

/// A refused attempt to approve a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// When, Unix seconds.
    pub time: u64,
    /// The binding that failed.
    pub binding: Binding,
    /// The failure, for people.
    pub detail: String,
    /// The fingerprint of the key that signed, if the signature is valid.
    pub key: Option<String>,
}

impl Binding {
    /// Returns the first field in which the approved statement differs from the session's own.
    pub(crate) fn differing(own: &Statement, approved: &Statement) -> Option<Self> {
        let fields = [
            (Self::Session, own.session == approved.session),
            (Self::Device, own.device == approved.device),
            (Self::Nonce, own.nonce == approved.nonce),
            (Self::Action, own.action == approved.action),
            (Self::Resource, own.resource == approved.resource),
            (Self::Subject, own.subject == approved.subject),
            (Self::Context, own.context == approved.context),
            (Self::Origin, own.origin == approved.origin),
            (Self::Reason, own.reason == approved.reason),
            (Self::Scopes, own.scopes == approved.scopes),
            (Self::Audiences, own.audiences == approved.audiences),
            (Self::Granted, own.granted == approved.granted),
            (Self::Replaces, own.replaces == approved.replaces),
            (Self::Epoch, own.epoch == approved.epoch),
            (Self::Evidence, own.evidence == approved.evidence),
            (Self::Boot, own.boot == approved.boot),
            (Self::Time, (own.time, own.expires) == (approved.time, approved.expires)),
        ];
        fields.into_iter().find(|(_, same)| !same).map(|(binding, _)| binding)
    }

    pub(crate) fn of_signature(error: &SignatureError) -> Self {
        match error {
            SignatureError::Namespace { .. } => Self::Namespace,
            _ => Self::Signature,
        }
    }

    pub(crate) fn of_signer(refusal: &SignerRefusal) -> Self {
        match refusal {
            SignerRefusal::Namespace { .. } => Self::Namespace,
            SignerRefusal::NotYetValid { .. } | SignerRefusal::Expired { .. } => Self::Dates,
            _ => Self::Key,
        }
    }
}

/// Formats the binding as in JSON.
impl std::fmt::Display for Binding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}
