use pawl_approval::{Refusal as SignerRefusal, SignatureError};
use pawl_proto::message::Statement;
use serde::{Deserialize, Serialize};

/// What an approval is bound to. One that does not count names the first that failed.
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
    /// What the device runs.
    Boot,
    /// When the session was opened and when it is over.
    Time,
    /// The session's time is over.
    Expired,
    /// The session was used.
    Used,
    /// The namespace of the signature, or of the approver's line.
    Namespace,
    /// The approver's key is on no list.
    Key,
    /// It is on the list for other dates.
    Dates,
    /// The signature does not hold.
    Signature,
    /// Somebody approved twice.
    Person,
    /// The code that the device shows.
    Code,
    /// The confirmation that the approver was shown.
    Confirmation,
}

/// Something that was to approve a session and did not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// When, Unix seconds.
    pub time: u64,
    /// Which binding failed.
    pub binding: Binding,
    /// In words.
    pub detail: String,
    /// The fingerprint of the key that signed, once the signature was verified.
    pub key: Option<String>,
}

impl Binding {
    /// The first field in which an approved statement is not the session's own.
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

/// As it stands in JSON.
impl std::fmt::Display for Binding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}
