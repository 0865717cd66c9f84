use pawl_proto::message::{ShortText, Statement};
use serde::Deserialize;

/// The most persons that a policy may want.
const PERSONS: u8 = 2;
/// The longest that an assurance counts, seconds: it says what a device ran when it was made.
const LONGEST: u32 = 86_400;

/// `[[action]]`: a protected action, which devices of this control plane may be let.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionConfig {
    /// Its name, as workloads ask for it.
    pub name: ShortText,
    /// How many persons must approve it; with none, a device in good standing may.
    pub approvals: u8,
    /// Seconds for which the assurance counts.
    #[serde(default = "five_minutes")]
    pub seconds: u32,
}

fn five_minutes() -> u32 {
    300
}

pub(super) fn check(actions: &[ActionConfig]) -> Result<(), (&'static str, &'static str)> {
    for (place, action) in actions.iter().enumerate() {
        let name = action.name.as_str();
        if name.is_empty() || [Statement::PAIR, Statement::RE_PAIR].contains(&name) {
            return Err(("action.name", "give the action a name of its own, neither `pair` nor `re-pair`"));
        }
        if actions.iter().take(place).any(|earlier| earlier.name == action.name) {
            return Err(("action.name", "two actions have the same name; give each one policy"));
        }
        if action.approvals > PERSONS {
            return Err(("action.approvals", "give 0, 1 or 2: how many persons must approve"));
        }
        if !(1..=LONGEST).contains(&action.seconds) {
            return Err(("action.seconds", "give 1 to 86400 seconds"));
        }
    }
    Ok(())
}
