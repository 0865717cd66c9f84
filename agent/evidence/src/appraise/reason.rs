use std::collections::BTreeMap;
use std::fmt;

use pawl_proto::message::{Area, TrustTier};

/// One finding of a rule, in a technician's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The area that it concerns.
    pub area: Area,
    /// The trust tier that it gives its area.
    pub tier: TrustTier,
    /// The rule. A rule that an operator can change has its name in the policy: section, dot, key.
    pub rule: &'static str,
    /// The line of the boot event log.
    pub event: Option<usize>,
    /// One sentence. It names the PCR, if there is one.
    pub text: String,
}

/// The attestation result (RATS, RFC 9334): the trust tier and all reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationResult {
    /// The worst tier of all reasons.
    pub tier: TrustTier,
    /// The reasons, worst first; reasons of the same tier in the order of their areas.
    pub reasons: Vec<Reason>,
}

impl AttestationResult {
    /// Combines reasons. Without any reason the tier is contraindicated, because nothing was appraised.
    pub fn new(mut reasons: Vec<Reason>) -> Self {
        reasons.sort_by_key(|reason| (std::cmp::Reverse(reason.tier), reason.area));
        let tier = reasons.first().map_or(TrustTier::Contraindicated, |worst| worst.tier);
        Self { tier, reasons }
    }

    /// Returns the tier of one area; `None` if no rule applied to it.
    pub fn area(&self, area: Area) -> Option<TrustTier> {
        self.areas().get(&area).copied()
    }

    /// Returns the tier of each area to which a rule applied.
    pub fn areas(&self) -> BTreeMap<Area, TrustTier> {
        let mut areas = BTreeMap::new();
        for reason in &self.reasons {
            let tier = areas.entry(reason.area).or_insert(reason.tier);
            *tier = reason.tier.max(*tier);
        }
        areas
    }
}

impl Reason {
    pub(super) fn new(rule: &'static str, area: Area, tier: TrustTier, text: impl Into<String>) -> Self {
        Self { area, tier, rule, event: None, text: text.into() }
    }

    /// Sets the line of the boot event log.
    pub(super) fn at(self, event: usize) -> Self {
        Self { event: Some(event), ..self }
    }
}

/// The result of applying the rules to one event.
pub(in crate::appraise) enum Ruling {
    /// A rule allows it.
    Explained,
    /// A rule covers it and does not allow it.
    Refused {
        /// The rule.
        rule: &'static str,
        /// The reason, for people.
        text: String,
    },
    /// No rule covers it.
    Unexplained,
}

impl Ruling {
    pub(in crate::appraise) fn refused(rule: &'static str, text: String) -> Self {
        Self::Refused { rule, text }
    }
}

/// Returns the area of a PCR (TCG PC Client Platform Firmware Profile, section 3.3.4).
pub(super) fn area_of_pcr(index: u8) -> Area {
    match index {
        0..=3 | 6 | 7 => Area::Firmware,
        _ => Area::Boot,
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}", self.tier, self.area, self.rule)?;
        if let Some(event) = self.event {
            write!(f, ", line {event}")?;
        }
        write!(f, "): {}", self.text)
    }
}
