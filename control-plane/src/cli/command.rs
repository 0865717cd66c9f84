use pawl_proto::DeviceId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::args::Verb;
use super::{Failure, output, text};
use crate::admin::view::{Accepted, DeviceLine, DeviceView, Enrolled, OrderView, RecordView, StandingView};
use crate::admin::{Client, EnrolRequest, ReasonRequest};
use crate::config::Config;

/// Carries out a command of an operator through the running server.
pub(super) async fn run(verb: Verb, config: &Config, json: bool) -> Result<(), Failure> {
    let server = Server { client: Client::new(&config.admin_socket()), json };
    match verb {
        Verb::Enrol { ek_sha256, label } => {
            let enrolled: Vec<Enrolled> =
                server.client.post("/v1/devices", &EnrolRequest { ek_sha256, label }).await?;
            server.print(&enrolled, text::enrolled)
        }
        Verb::Devices => {
            let devices: Vec<DeviceLine> = server.client.get("/v1/devices").await?;
            server.print(&devices, text::devices)
        }
        Verb::Show { device } => {
            let view: DeviceView = server.client.get(&path(&device, "")?).await?;
            server.print(&view, text::device)
        }
        Verb::Records { device } => {
            let records: Vec<RecordView> = server.client.get(&path(&device, "/records")?).await?;
            server.print(&records, text::records)
        }
        Verb::Revoke { device, reason } => server.order(&device, "/revoke", reason).await,
        Verb::Repair { device, reason } => server.order(&device, "/repair", reason).await,
        Verb::Refresh { device } => server.order(&device, "/refresh", String::new()).await,
        Verb::Suspend { device, reason } => server.standing(&device, "/suspend", reason).await,
        Verb::Resume { device } => server.standing(&device, "/resume", String::new()).await,
        Verb::Accept { device } => {
            let accepted: Accepted = server.client.post(&path(&device, "/accept")?, &()).await?;
            server.print(&accepted, text::accepted)
        }
        // They need no server, and are dealt with before.
        Verb::Serve { .. } | Verb::Init => Ok(()),
    }
}

struct Server {
    client: Client,
    json: bool,
}

impl Server {
    async fn order(&self, device: &str, verb: &str, reason: String) -> Result<(), Failure> {
        let order: OrderView = self.post(device, verb, reason).await?;
        self.print(&order, text::order)
    }

    async fn standing(&self, device: &str, verb: &str, reason: String) -> Result<(), Failure> {
        let standing: StandingView = self.post(device, verb, reason).await?;
        self.print(&standing, text::standing)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        device: &str,
        verb: &str,
        reason: String,
    ) -> Result<T, Failure> {
        Ok(self.client.post(&path(device, verb)?, &ReasonRequest { reason }).await?)
    }

    fn print<T: Serialize>(&self, value: &T, text: impl Fn(&T) -> String) -> Result<(), Failure> {
        if self.json { Ok(output::json(value)?) } else { Ok(output::text(&text(value))?) }
    }
}

/// The path of a device's resource.
fn path(device: &str, rest: &str) -> Result<String, Failure> {
    let device: DeviceId = device.parse().map_err(|_| Failure::Device(device.to_owned()))?;
    Ok(format!("/v1/devices/{device}{rest}"))
}
