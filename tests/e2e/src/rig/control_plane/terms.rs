//! What a test chooses of a control plane's policy.

use std::path::Path;

/// How long things last, and who must approve what.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The name or address by which devices reach the control plane and the broker, and the control
    /// plane the broker. Both listen on the loopback interface.
    pub host: &'static str,
    /// The factory's authority is the one TPM vendor that is trusted; otherwise certificates are not asked for.
    pub vendor_cas: bool,
    /// A lease, seconds; a device reports three times as often.
    pub lease_seconds: u32,
    /// TPM resets that a lease survives.
    pub lease_resets: u32,
    /// The longest time between reports, seconds.
    pub report_interval: u32,
    /// Who must approve pairings.
    pub approvals: ApprovalTerms,
    /// The protected actions: their names, and how many persons must approve each.
    pub actions: Vec<(&'static str, u8)>,
}

/// How many persons must approve.
#[derive(Clone, Copy, Debug)]
pub struct ApprovalTerms {
    /// A first pairing.
    pub pair: u8,
    /// A later one.
    pub re_pair: u8,
    /// A later one that the operator ordered.
    pub after_repair: u8,
    /// How long a session waits for them.
    pub seconds: u32,
}

impl Default for Terms {
    /// Reports come when a test asks for them, and nobody has to approve anything.
    fn default() -> Self {
        Self {
            host: "127.0.0.1",
            vendor_cas: true,
            lease_seconds: 3600,
            lease_resets: 3,
            report_interval: 600,
            approvals: ApprovalTerms::nobody(),
            actions: Vec::new(),
        }
    }
}

impl ApprovalTerms {
    /// The policy approves by itself.
    #[must_use]
    pub fn nobody() -> Self {
        Self { pair: 0, re_pair: 0, after_repair: 0, seconds: 600 }
    }

    /// So many persons approve each later pairing.
    #[must_use]
    pub fn persons(persons: u8) -> Self {
        Self { re_pair: persons, after_repair: persons, ..Self::nobody() }
    }
}

impl Terms {
    /// Under which so many persons approve each later pairing.
    #[must_use]
    pub fn approved_by(persons: u8) -> Self {
        Self { approvals: ApprovalTerms::persons(persons), ..Self::default() }
    }

    pub(super) fn configuration(&self, allowed_signers: &Path) -> String {
        let ApprovalTerms { pair, re_pair, after_repair, seconds } = self.approvals;
        let actions: String = self
            .actions
            .iter()
            .map(|(name, approvals)| format!("[[action]]\nname = \"{name}\"\napprovals = {approvals}\n"))
            .collect();
        format!(
            r#"[lease]
seconds = {lease_seconds}
resets = {lease_resets}
[report]
interval = {report_interval}
[approvals]
allowed_signers = "{allowed_signers}"
pair = {pair}
re_pair = {re_pair}
after_repair = {after_repair}
seconds = {seconds}
{actions}"#,
            lease_seconds = self.lease_seconds,
            lease_resets = self.lease_resets,
            report_interval = self.report_interval,
            allowed_signers = allowed_signers.display(),
        )
    }
}
