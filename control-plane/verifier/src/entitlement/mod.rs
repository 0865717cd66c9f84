//! What a device may have now: the operator's grant, as far as the pairing asked for it.

mod change;

pub use change::{AccessChange, AccessError, parse};

use pawl_proto::message::{Access, Audience, Entitlement, Scope, Standing};

use crate::pairing::Pairing;

/// Returns the operator's grant. Where no audience was ever granted, it has the control plane's own URL.
#[must_use]
pub fn with_own_audience(mut granted: Access, own_url: &str) -> Access {
    if granted.audiences.is_empty() {
        // A URL that is too long for an audience is none: then no token is issued.
        granted.audiences = Audience::new(own_url).into_iter().collect();
    }
    granted
}

/// Returns the entitlement of a device with this pairing: what the pairing asked for, or was granted since,
/// as far as the operator grants it now.
#[must_use]
pub fn entitlement(granted: Access, pairing: &Pairing, own_url: &str, standing: Standing) -> Entitlement {
    let granted = with_own_audience(granted, own_url);
    // Every pairing asks for the control plane itself: it is the audience of tokens that name none.
    let is_asked = |audience: &Audience| audience.as_str() == own_url || pairing.audiences.contains(audience);
    Entitlement {
        standing,
        scopes: scopes(&granted, pairing),
        audiences: granted.audiences.into_iter().filter(is_asked).collect(),
    }
}

/// Returns the scopes that a pairing asked for and the operator grants its device now.
#[must_use]
pub fn scopes(granted: &Access, pairing: &Pairing) -> Vec<Scope> {
    granted.scopes.iter().filter(|scope| pairing.scopes.contains(scope)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SoftTpm;

    const OWN: &str = "https://pawl.example";

    #[test]
    fn a_device_gets_what_it_asked_for_and_the_operator_grants() {
        let mut pairing = crate::receipt::tests::pairing(&SoftTpm::new());
        pairing.scopes = vec![Scope::lossy("telemetry"), Scope::lossy("door")];
        pairing.audiences = vec![Audience::lossy("https://api.example")];
        let granted = Access {
            scopes: vec![Scope::lossy("admin"), Scope::lossy("telemetry")],
            audiences: ["https://api.example", "https://other.example", OWN].map(Audience::lossy).into(),
        };
        let entitled = entitlement(granted, &pairing, OWN, Standing::Active);
        assert_eq!(entitled.scopes, [Scope::lossy("telemetry")]);
        assert_eq!(entitled.audiences, ["https://api.example", OWN].map(Audience::lossy));

        let nothing = entitlement(Access::default(), &pairing, OWN, Standing::Suspended);
        assert_eq!((nothing.scopes, nothing.audiences), (Vec::new(), vec![Audience::lossy(OWN)]));
    }
}
