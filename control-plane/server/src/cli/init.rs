use std::path::PathBuf;

use serde::Serialize;

use super::{Failure, output};
use crate::config::Config;
use crate::keys::{BrokerFiles, Keys};

/// `init`
#[derive(Serialize)]
struct Initialised {
    state_dir: PathBuf,
    /// What devices pin.
    ca: PathBuf,
    broker: Broker,
    /// False when all was there already.
    created: bool,
}

#[derive(Serialize)]
struct Broker {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    /// The certificates that it must not accept any more.
    crl: PathBuf,
}

/// Makes keys and certificates, or finds them, and says where they are.
pub(super) fn init(config: &Config, json: bool) -> Result<(), Failure> {
    let keys = Keys::load_or_create(config)?;
    let files = BrokerFiles::within(&config.state_dir);
    let made = Initialised {
        state_dir: config.state_dir.clone(),
        ca: config.state_dir.join("ca.pem"),
        broker: Broker {
            ca: files.authority,
            certificate: files.server.certificate,
            key: files.server.key,
            crl: files.revocations,
        },
        created: keys.created,
    };
    if json {
        return Ok(output::json(&made)?);
    }
    let did = if made.created { "Made" } else { "Found" };
    Ok(output::text(&format!(
        "{did} keys and certificates in {}\n\n\
         Give to the devices (control_plane.ca)   {}\n\
         Give to the broker  (cafile)             {}\n\
         \x20                   (certfile)           {}\n\
         \x20                   (keyfile)            {}\n\
         \x20                   (crlfile)            {}, again whenever it changes\n\n\
         Back up the directory: devices trust these keys alone.\n",
        made.state_dir.display(),
        made.ca.display(),
        made.broker.ca.display(),
        made.broker.certificate.display(),
        made.broker.key.display(),
        made.broker.crl.display(),
    ))?)
}
