use pawl_proto::{DeviceId, SessionId};
use serde::Serialize;

use super::args::{EntitleArgs, Verb};
use super::{Failure, approve, confirm, devices, output, policy, pre_approve, records, text};
use crate::admin::view::{
    Accepted, AccessView, DeletedView, DeviceView, Enrolled, OrderView, PendingView, RenamedView,
    RetiredView, SessionView, SettledView, StandingView,
};
use crate::admin::{
    Client, EnrolRequest, EntitleRequest, LookupRequest, ReasonRequest, RenameRequest, ResumeRequest,
    SessionCount, SettleRequest, StateRequest,
};
use crate::config::Config;
use crate::store::NamedDevice;

/// Runs a command through the server.
pub(super) async fn run(verb: Verb, config: &Config, json: bool) -> Result<(), Failure> {
    let server = Server { client: Client::new(&config.admin_socket()), json };
    match verb {
        Verb::Enrol { pending, ek_sha256, label, without_certificate, scopes, audiences } => {
            let request = EnrolRequest { ek_sha256, pending, label, without_certificate, scopes, audiences };
            let enrolled: Vec<Enrolled> = server.client.post("/v1/devices", &request).await?;
            server.print(&enrolled, text::enrolled)
        }
        Verb::Pending => {
            let pending: Vec<PendingView> = server.client.get("/v1/pending").await?;
            server.print(&pending, text::pending)
        }
        Verb::Entitle(EntitleArgs {
            device,
            scopes,
            audiences,
            remove_scopes,
            remove_audiences,
            exactly,
        }) => {
            let request = EntitleRequest { scopes, audiences, remove_scopes, remove_audiences, exactly };
            let changed: AccessView =
                server.client.post(&server.path(&device, "/entitle").await?, &request).await?;
            server.print(&changed, text::entitled)
        }
        Verb::Devices(args) => devices::run(&server, &args).await,
        Verb::Show { device } => {
            let view: DeviceView = server.client.get(&server.path(&device, "").await?).await?;
            server.print(&view, text::device)
        }
        Verb::Records(args) => records::run(&server, args).await,
        Verb::Rename { device, label, remove: _ } => {
            let path = server.path(&device, "/rename").await?;
            let renamed: RenamedView = server.client.post(&path, &RenameRequest { label }).await?;
            server.print(&renamed, text::renamed)
        }
        Verb::Retire { device, reason, yes } => {
            let device = server.confirmed(&device, confirm::RETIRES, yes).await?;
            let request = ReasonRequest { reason };
            let retired: RetiredView = server.client.post(&path(device, "/retire"), &request).await?;
            server.print(&retired, text::retired)
        }
        Verb::Delete { device, yes } => {
            let device = server.confirmed(&device, confirm::DELETES, yes).await?;
            let deleted: DeletedView = server.client.post(&path(device, "/delete"), &()).await?;
            server.print(&deleted, text::deleted)
        }
        Verb::Revoke { device, reason, yes } => server.end(&device, "/revoke", reason, yes).await,
        Verb::Repair { device, reason, yes } => server.end(&device, "/repair", reason, yes).await,
        Verb::Refresh { device } => {
            let device = server.device(&device).await?;
            server.order(device, "/refresh", String::new()).await
        }
        Verb::Suspend { device, reason } => {
            let request = ReasonRequest { reason };
            let standing: StandingView =
                server.client.post(&server.path(&device, "/suspend").await?, &request).await?;
            server.print(&standing, text::standing)
        }
        Verb::Resume { device, suspension } => {
            let request = ResumeRequest { suspension };
            let standing: StandingView =
                server.client.post(&server.path(&device, "/resume").await?, &request).await?;
            server.print(&standing, text::standing)
        }
        Verb::Accept { device, state } => {
            let request = StateRequest { state };
            let accepted: Accepted =
                server.client.post(&server.path(&device, "/accept").await?, &request).await?;
            server.print(&accepted, text::accepted)
        }
        Verb::Policy { verb } => policy::run(&server, verb).await,
        Verb::PreApprove(args) => pre_approve::run(&server, args).await,
        Verb::Settle { device, incidents, reason } => {
            let request = SettleRequest { incidents, reason };
            let settled: SettledView =
                server.client.post(&server.path(&device, "/settle").await?, &request).await?;
            server.print(&settled, text::settled)
        }
        Verb::Sessions { device } => {
            let query = match device {
                Some(device) => format!("?device={}", server.device(&device).await?),
                None => String::new(),
            };
            let sessions: Vec<SessionView> = server.client.get(&format!("/v1/sessions{query}")).await?;
            let kept: SessionCount = server.client.get(&format!("/v1/sessions/count{query}")).await?;
            server.print(&sessions, |sessions| text::sessions(sessions, kept.sessions))
        }
        Verb::Approve { code, sign_with, yes } => {
            let given = approve::approve(&server.client, code, &sign_with, yes).await?;
            server.print(&given, text::confirmation)
        }
        Verb::Decline { session, reason } => {
            let id: SessionId = session.parse().map_err(|_| Failure::Session(session))?;
            let path = format!("/v1/sessions/{id}/decline");
            let declined: SessionView = server.client.post(&path, &ReasonRequest { reason }).await?;
            server.print(&declined, text::declined)
        }
        // These commands need no server; `main` runs them.
        Verb::Serve { .. } | Verb::Init { .. } | Verb::VendorCas { .. } | Verb::VerifyBundle { .. } => Ok(()),
    }
}

pub(super) struct Server {
    pub(super) client: Client,
    pub(super) json: bool,
}

impl Server {
    /// Returns the id of the device that the operator named by its id, a prefix of its id, or its label. A command finds it
    /// once, and acts on the id: what the operator confirmed cannot become another device.
    ///
    /// # Errors
    /// If it is the name of no device or of several.
    pub(super) async fn device(&self, name: &str) -> Result<DeviceId, Failure> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        let request = LookupRequest { device: name.to_owned() };
        let found: NamedDevice = self.client.post("/v1/lookup", &request).await?;
        Ok(found.device)
    }

    /// Returns the path of a resource of the device that the operator named.
    pub(super) async fn path(&self, name: &str, rest: &str) -> Result<String, Failure> {
        Ok(path(self.device(name).await?, rest))
    }

    /// Orders the end of a pairing, once the operator has confirmed it.
    async fn end(&self, device: &str, verb: &str, reason: String, yes: bool) -> Result<(), Failure> {
        let device = self.confirmed(device, confirm::ENDS, yes).await?;
        self.order(device, verb, reason).await
    }

    /// Returns the device that the operator named, once they have confirmed what the command destroys.
    async fn confirmed(&self, device: &str, destroys: &str, yes: bool) -> Result<DeviceId, Failure> {
        if !yes {
            confirm::must_have_terminal()?;
        }
        let device = self.device(device).await?;
        if !yes {
            confirm::ask(destroys, &self.client.get(&path(device, "")).await?)?;
        }
        Ok(device)
    }

    async fn order(&self, device: DeviceId, verb: &str, reason: String) -> Result<(), Failure> {
        let order: OrderView = self.client.post(&path(device, verb), &ReasonRequest { reason }).await?;
        self.print(&order, text::order)
    }

    pub(super) fn print<T: Serialize>(&self, value: &T, text: impl Fn(&T) -> String) -> Result<(), Failure> {
        if self.json { Ok(output::json(value)?) } else { Ok(output::text(&text(value))?) }
    }
}

/// Returns the path of a device's resource.
fn path(device: DeviceId, rest: &str) -> String {
    format!("/v1/devices/{device}{rest}")
}
