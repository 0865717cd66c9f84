use std::collections::BTreeMap;
use std::fmt;

/// A trust tier, best first (EAR, draft-ietf-rats-ear; AR4SI).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The device is in an approved state.
    Affirming,
    /// The device is in an approved state, but some required information about it is missing.
    Warning,
    /// The device is not in an approved state, or its state cannot be determined.
    Contraindicated,
}

/// The part of a device that a reason is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// The TPM.
    Hardware,
    /// The firmware and its configuration, before the boot loader.
    Firmware,
    /// Boot loader, kernel, command line.
    Boot,
    /// Whatever ran since boot.
    Runtime,
    /// The age of the evidence.
    Freshness,
}

/// One finding of a rule, in a technician's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The area it is about.
    pub area: Area,
    /// Its weight.
    pub verdict: Verdict,
    /// The rule. A rule that an operator can change has its name in the policy: section, dot, key.
    pub rule: &'static str,
    /// The line of the boot event log.
    pub event: Option<usize>,
    /// One sentence. It names the PCR, if there is one.
    pub text: String,
}

/// The attestation result: the trust tier and all reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appraisal {
    /// The worst tier of all reasons.
    pub result: Verdict,
    /// The reasons, worst first; reasons of the same tier in the order of their areas.
    pub reasons: Vec<Reason>,
}

impl Appraisal {
    /// Combines reasons. Without any reason the result is contraindicated, because nothing was appraised.
    pub fn new(mut reasons: Vec<Reason>) -> Self {
        reasons.sort_by_key(|reason| (std::cmp::Reverse(reason.verdict), reason.area));
        let result = reasons.first().map_or(Verdict::Contraindicated, |worst| worst.verdict);
        Self { result, reasons }
    }

    /// Returns the tier of one area; `None` if no rule applied to it.
    pub fn area(&self, area: Area) -> Option<Verdict> {
        self.areas().get(&area).copied()
    }

    /// Returns the tier of each area to which a rule applied.
    pub fn areas(&self) -> BTreeMap<Area, Verdict> {
        let mut areas = BTreeMap::new();
        for reason in &self.reasons {
            let verdict = areas.entry(reason.area).or_insert(reason.verdict);
            *verdict = reason.verdict.max(*verdict);
        }
        areas
    }
}

impl Reason {
    pub(super) fn new(rule: &'static str, area: Area, verdict: Verdict, text: impl Into<String>) -> Self {
        Self { area, verdict, rule, event: None, text: text.into() }
    }

    /// Sets the line of the boot event log.
    pub(super) fn at(self, event: usize) -> Self {
        Self { event: Some(event), ..self }
    }
}

impl Area {
    /// Returns the area of a PCR (TCG PC Client Platform Firmware Profile, section 3.3.4).
    pub(super) fn of_pcr(index: u8) -> Self {
        match index {
            0..=3 | 6 | 7 => Self::Firmware,
            _ => Self::Boot,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        })
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hardware => "hardware",
            Self::Firmware => "firmware",
            Self::Boot => "boot",
            Self::Runtime => "runtime",
            Self::Freshness => "freshness",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}", self.verdict, self.area, self.rule)?;
        if let Some(event) = self.event {
            write!(f, ", line {event}")?;
        }
        write!(f, "): {}", self.text)
    }
}
