use std::collections::BTreeMap;
use std::fmt;

/// The result of an appraisal, best first (the tiers of EAR, draft-ietf-rats-ear).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The device is in a state that was approved.
    Affirming,
    /// It is, but part of what ought to be known about it is not.
    Warning,
    /// It is not, or it cannot be told.
    Contraindicated,
}

/// What of the device a reason is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// The TPM.
    Hardware,
    /// What runs before the boot loader, with its configuration.
    Firmware,
    /// Boot loader, kernel, command line.
    Boot,
    /// What was run since.
    Runtime,
    /// Whether the evidence is of now.
    Freshness,
}

/// Why a rule judges as it does, in words for a technician.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What it is about.
    pub area: Area,
    /// How it weighs.
    pub verdict: Verdict,
    /// The rule. One that an operator can change is named as in the policy: section, point, key.
    pub rule: &'static str,
    /// The line of the boot event log that it is about.
    pub event: Option<usize>,
    /// One sentence, which names the PCR where there is one.
    pub text: String,
}

/// A judgement with all its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appraisal {
    /// The worst verdict of all reasons.
    pub result: Verdict,
    /// The reasons, worst first, and of equals in the order of their areas.
    pub reasons: Vec<Reason>,
}

impl Appraisal {
    /// Sums up reasons. None at all is contraindicated: nothing was looked at.
    pub fn new(mut reasons: Vec<Reason>) -> Self {
        reasons.sort_by_key(|reason| (std::cmp::Reverse(reason.verdict), reason.area));
        let result = reasons.first().map_or(Verdict::Contraindicated, |worst| worst.verdict);
        Self { result, reasons }
    }

    /// The verdict on one area; `None` when no rule had anything to say about it.
    pub fn area(&self, area: Area) -> Option<Verdict> {
        self.areas().get(&area).copied()
    }

    /// The verdict on each area about which a rule had something to say.
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

    /// It is about this line of the boot event log.
    pub(super) fn at(self, event: usize) -> Self {
        Self { event: Some(event), ..self }
    }
}

impl Area {
    /// What a PCR is about (TCG PC Client Platform Firmware Profile, section 3.3.4).
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
