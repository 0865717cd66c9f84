//! What an assurance is asked for.

use std::fs::File;
use std::io;
use std::path::Path;

use pawl_proto::local::ActionRequest;
use pawl_proto::{DeviceId, Digest};
use sha2::{Digest as _, Sha256};

use crate::approval::{Purpose, Wanted};
use crate::cli;
use crate::exit::{Exit, Failure};

/// The request that the command line describes.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn request(options: &cli::Action) -> Result<ActionRequest, Failure> {
    let digest = match (&options.digest, &options.file) {
        (Some(digest), _) => digest.clone(),
        (None, Some(path)) => digest_of(path)?,
        (None, None) => String::new(),
    };
    Ok(ActionRequest {
        action: options.action.clone().unwrap_or_default(),
        resource: options.resource.clone().unwrap_or_default(),
        digest,
        session: options.session.clone().unwrap_or_default(),
        reason: options.reason.clone(),
    })
}

fn digest_of(path: &Path) -> Result<String, Failure> {
    let mut hash = Sha256::new();
    File::open(path).and_then(|mut file| io::copy(&mut file, &mut hash)).map_err(|error| {
        let reason = format!("cannot read {}: {error}", path.display());
        Failure::new(Exit::Failed, "file", reason, "use a file that this user can read, or use --digest")
    })?;
    Ok(hex::encode(hash.finalize()))
}

/// What a key may sign for; with nothing asked for here, whatever the device asks for.
pub(super) fn wanted(device: DeviceId, request: Option<&ActionRequest>) -> Wanted {
    let subject =
        |digest: &str| hex::decode(digest).ok().and_then(|bytes| Digest::try_from(bytes.as_slice()).ok());
    Wanted {
        device,
        purpose: request.map_or(Purpose::AnyAction, |request| Purpose::Action(request.action.clone())),
        origin: None,
        reason: request.map(|request| request.reason.clone()),
        scopes: Some(Vec::new()),
        replaces: Some(None),
        resource: request.map(|request| Some(request.resource.clone())),
        subject: request.map(|request| subject(&request.digest)),
        context: request.map(|request| Some(request.session.clone())),
    }
}
