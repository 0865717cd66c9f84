use pawl_proto::message::{Area, TrustTier};

use crate::appraise::boot::Boot;
use crate::appraise::boot_log::CUT;
use crate::appraise::evidence::{AppraisedEvidence, NvPcrs};
use crate::appraise::policy::{NvIndex, NvPcrSection, Policy};
use crate::appraise::reason::Reason;
use crate::attest::VerifiedNvPcr;
use crate::eventlog::{EventFact, Fact, NVPCR_SEPARATOR, Stage, Tie, UserSpaceEvent};
use crate::measure_log::{MeasureLog, NVPCR_INIT_PCR, NvPcrInit, Record};
use crate::tpm::Name;

const CERTIFIED: &str = "nvpcr.certified";
const INDEX: &str = "nvpcr.index";
const INDEX_NAMES: &str = "nvpcr.index-names";
const REPLAY: &str = "nvpcr.replay";
const UNEXPLAINED: &str = "nvpcr.unexplained";

/// Appraises the NvPCRs that the policy names. The logs must explain their PCRs.
pub(super) fn are_allowed(policy: &Policy, boot: &Boot<'_>, evidence: &AppraisedEvidence<'_>) -> Vec<Reason> {
    let NvPcrs::Certified(certified) = evidence.nvpcrs else {
        return policy.nvpcr.keys().map(|index| not_asked(*index)).collect();
    };
    let log = evidence.measure_log.and_then(|log| MeasureLog::parse(log).ok()).unwrap_or_default();
    let inits = made_nvpcrs(boot);
    let judge = |(index, section): (&NvIndex, &NvPcrSection)| {
        let of_index: Vec<&NvPcrInit<'_>> = inits.iter().filter(|init| init.index == index.get()).collect();
        let judged = NamedNvPcr {
            index: *index,
            section,
            inits: of_index,
            log: &log,
            is_cut: evidence.measure_log_cut,
            policy,
        };
        let found = certified.iter().find(|nvpcr| nvpcr.public().index() == index.get());
        judged.reasons(found).unwrap_or_else(|refusal| vec![refusal.into()])
    };
    policy.nvpcr.iter().flat_map(judge).collect()
}

fn not_asked(index: NvIndex) -> Reason {
    let text = format!("the TPM has not certified NvPCR {index} yet: the device's next report includes it");
    Reason::new(CERTIFIED, Area::Boot, TrustTier::Warning, text)
}

/// Returns the NvPCRs that systemd created before it measured `nvpcr-separator` at the end of the initrd.
/// Records after the separator do not count: root can remove an index, define it again, and measure any record
/// for it.
pub(in crate::appraise) fn made_nvpcrs<'b>(boot: &'b Boot<'_>) -> Vec<NvPcrInit<'b>> {
    let separator = boot.bank().digest(&[NVPCR_SEPARATOR.as_bytes()]);
    let of_pcr = || boot.events().iter().filter(|event| event.pcr == NVPCR_INIT_PCR);
    // Found by its digest, so that a log cannot hide the separator by giving it another type.
    if !boot.accounts_for(NVPCR_INIT_PCR) || !of_pcr().any(|event| event.digest == Some(separator)) {
        return Vec::new();
    }
    let before = of_pcr().take_while(|event| event.digest != Some(separator));
    before.filter_map(init).collect()
}

fn init<'b>(event: &'b EventFact<'_>) -> Option<NvPcrInit<'b>> {
    match &event.fact {
        Fact::UserSpace(UserSpaceEvent::NvPcr(text))
            if event.tie == Tie::Digest && event.stage == Stage::UserSpace =>
        {
            NvPcrInit::parse(text)
        }
        _ => None,
    }
}

/// An NvPCR that the policy names.
struct NamedNvPcr<'a> {
    index: NvIndex,
    section: &'a NvPcrSection,
    /// The records of its creation.
    inits: Vec<&'a NvPcrInit<'a>>,
    log: &'a MeasureLog,
    /// Whether the control plane stored only the beginning of the log.
    is_cut: bool,
    policy: &'a Policy,
}

impl NamedNvPcr<'_> {
    /// Returns the reasons that its records give.
    ///
    /// # Errors
    /// [`Refusal`] if its records cannot be appraised.
    fn reasons(&self, found: Option<&VerifiedNvPcr>) -> Result<Vec<Reason>, Refusal> {
        let found = found.ok_or_else(|| {
            self.refused(
                CERTIFIED,
                "does not exist, or was not written since the boot: the TPM certified nothing",
            )
        })?;
        let public = found.public();
        if let Err(error) = public.check_nvpcr() {
            return Err(self.refused(INDEX, format_args!("is not an NvPCR of systemd: {error}")));
        }
        self.check_made(&public.name())?;
        self.check_replay(found)?;
        let mut reasons = self.weigh_records(found);
        if reasons.is_empty() {
            let text = format!("{self} matches the policy, and systemd's log gives its value");
            reasons.push(Reason::new(UNEXPLAINED, Area::Boot, TrustTier::Affirming, text));
        }
        Ok(reasons)
    }

    /// Checks that systemd created the index in this boot and that its name is allowed.
    fn check_made(&self, name: &Name) -> Result<(), Refusal> {
        if self.inits.is_empty() {
            let text = "is not among the NvPCRs whose creation systemd measured into PCR 9 in the initrd of this boot";
            return Err(self.refused(INDEX, text));
        }
        if self.inits.iter().all(|init| init.tpm_name.is_none()) {
            let text = "was created by systemd 259 to 261, which does not measure the name of the index: root could \
                        have deleted the index and defined it again";
            return Err(self.refused(INDEX, text));
        }
        if !self.inits.iter().any(|init| init.tpm_name.as_ref() == Some(name)) {
            let text = format_args!(
                "has the name {name}, but systemd measured another one into PCR 9: the index was deleted and defined \
                 again"
            );
            return Err(self.refused(INDEX, text));
        }
        if !self.section.index_names.is_empty() && !self.section.index_names.contains(name) {
            let text = format_args!("has the name {name}, which is not in the list");
            return Err(self.refused(INDEX_NAMES, text));
        }
        Ok(())
    }

    /// Checks that all records in systemd's log together give the value. The device reads the log while systemd does
    /// not extend the index.
    fn check_replay(&self, found: &VerifiedNvPcr) -> Result<(), Refusal> {
        let (value, records) = (found.value(), self.log.of_nv_index(self.index.get()).count());
        let text = match self.log.leads_nv(self.index.get(), value) {
            // This suffices for a cut log too: if systemd had extended a missing record before the certification, the
            // stored records would not give the value.
            Some(count) if count == records => return Ok(()),
            _ if self.is_cut => format!("has the value {value}, which {CUT}"),
            Some(count) => format!(
                "has the value {value} of the first {count} records, but systemd's log has {records}: it was set back"
            ),
            None => format!(
                "has the value {value}, which the {records} records in systemd's log do not give: records are missing, \
                 or something else extended it"
            ),
        };
        Err(self.refused(REPLAY, text))
    }

    fn weigh_records(&self, found: &VerifiedNvPcr) -> Vec<Reason> {
        let Some(tier) = self.section.unexplained.tier() else { return Vec::new() };
        if self.section.values.contains(found.value()) {
            return Vec::new();
        }
        let algorithm = found.value().algorithm();
        let is_explained = |record: &&Record| {
            let listed = record.digest(algorithm).is_some_and(|digest| self.section.digests.allows(digest));
            let measured = || record.measured(algorithm);
            let is_identity = || measured().is_some_and(|text| text.starts_with(MACHINE_IDENTITY));
            listed || (self.policy.boot.accept_machine_identity && is_identity())
        };
        let unexplained = self.log.of_nv_index(self.index.get()).filter(|record| !is_explained(record));
        unexplained
            .map(|record| {
                let digest = record.digest(algorithm).map(ToString::to_string).unwrap_or_default();
                let text = record.text.as_deref().unwrap_or_default().escape_debug();
                let text = format!(
                    "no rule explains this in {self}: {algorithm} {digest}, \"{text}\" (record {} of systemd's log)",
                    record.number
                );
                Reason::new(UNEXPLAINED, Area::Boot, tier, text)
            })
            .collect()
    }

    fn refused(&self, rule: &'static str, text: impl std::fmt::Display) -> Refusal {
        Refusal { rule, text: format!("{self} {text}") }
    }
}

/// The only reason about an NvPCR whose records cannot be appraised.
struct Refusal {
    rule: &'static str,
    text: String,
}

impl From<Refusal> for Reason {
    fn from(Refusal { rule, text }: Refusal) -> Self {
        Self::new(rule, Area::Boot, TrustTier::Contraindicated, text)
    }
}

/// The start of the text with which systemd measures the machine's identity into the NvPCR `hardware`.
const MACHINE_IDENTITY: &[u8] = b"product-id:";

impl std::fmt::Display for NamedNvPcr<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.inits.first() {
            Some(init) => write!(f, "NvPCR {} ({})", self.index, init.name),
            None => write!(f, "NvPCR {}", self.index),
        }
    }
}
