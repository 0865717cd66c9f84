use std::path::Path;

use pawl_approval::AllowedSigners;
use pawl_proto::message::RefusalCode;

use crate::control_plane::ControlPlane;
use pawl_verifier::Refusal;

/// Who may approve, read anew each time: whoever is taken from the list approves nothing more. A
/// short file of the host's own; it is read within the transaction that depends on it.
///
/// # Errors
/// A refusal that says what the operator has to configure.
pub(crate) fn signers(plane: &ControlPlane) -> Result<AllowedSigners, Refusal> {
    match &plane.config.approvals.allowed_signers {
        Some(path) => load(path),
        None => Err(none("the operator has to name a file of approvers, approvals.allowed_signers")),
    }
}

fn load(path: &Path) -> Result<AllowedSigners, Refusal> {
    let signers = AllowedSigners::load(path).map_err(|error| {
        tracing::error!(file = %path.display(), %error, "approvals.allowed_signers cannot be used: nobody can approve");
        none("the control plane cannot read its list of approvers; its log says why")
    })?;
    if signers.is_empty() {
        return Err(none("the operator's list of approvers, approvals.allowed_signers, names nobody"));
    }
    Ok(signers)
}

fn none(why: &str) -> Refusal {
    Refusal::new(RefusalCode::NoApprovers, format_args!("a person must approve, and nobody can: {why}"))
}
