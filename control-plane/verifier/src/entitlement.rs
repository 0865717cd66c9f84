//! Computes the entitlement of a device: the part of the operator's grant that the pairing requested.

use pawl_proto::limits;
use pawl_proto::message::{Access, Audience, Entitlement, Scope, Standing};

use crate::pairing::Pairing;

/// Returns the operator's grant. A grant without audiences gets the control plane's own URL as its audience.
#[must_use]
pub fn with_own_audience(mut granted: Access, own_url: &str) -> Access {
    if granted.audiences.is_empty() {
        // If the URL is too long for an audience, there is none, and no token can be issued.
        granted.audiences = Audience::new(own_url).into_iter().collect();
    }
    granted
}

/// Returns the entitlement of a device with this pairing: the scopes and audiences that the pairing has requested or got
/// since, and that the operator grants now.
#[must_use]
pub fn entitlement(granted: Access, pairing: &Pairing, own_url: &str, standing: Standing) -> Entitlement {
    let granted = with_own_audience(granted, own_url);
    // Every pairing requests the control plane itself: its URL is the audience of tokens that name none.
    let is_asked = |audience: &Audience| audience.as_str() == own_url || pairing.audiences.contains(audience);
    Entitlement {
        standing,
        scopes: scopes(&granted, pairing),
        audiences: granted.audiences.into_iter().filter(is_asked).collect(),
    }
}

/// Returns the scopes that a pairing requested and that the operator grants its device now.
#[must_use]
pub fn scopes(granted: &Access, pairing: &Pairing) -> Vec<Scope> {
    granted.scopes.iter().filter(|scope| pairing.scopes.contains(scope)).cloned().collect()
}

/// Parses the scopes and audiences of an operator's command.
///
/// # Errors
/// [`AccessError`] names the text that is not a scope or not an audience.
pub fn parse(scopes: &[String], audiences: &[String]) -> Result<Access, AccessError> {
    Ok(Access { scopes: parse_scopes(scopes)?, audiences: parse_audiences(audiences)? })
}

/// A change of the operator's grant to a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessChange {
    /// The scopes and audiences to add.
    pub add: Access,
    /// The scopes and audiences to remove.
    pub remove: Access,
    /// Whether to remove everything that `add` does not name.
    pub exactly: bool,
}

impl AccessChange {
    /// Returns the grant after the change, sorted.
    ///
    /// # Errors
    /// [`AccessError`] if it would have more scopes or audiences than a verdict can contain.
    pub fn apply(&self, before: &Access) -> Result<Access, AccessError> {
        let base = if self.exactly { Access::default() } else { before.clone() };
        let scopes = changed(base.scopes, &self.add.scopes, &self.remove.scopes);
        let audiences = changed(base.audiences, &self.add.audiences, &self.remove.audiences);
        if scopes.len() > limits::SCOPES {
            return Err(AccessError::TooManyScopes);
        }
        if audiences.len() > limits::AUDIENCES {
            return Err(AccessError::TooManyAudiences);
        }
        Ok(Access { scopes, audiences })
    }
}

fn changed<T: Clone + Ord>(mut values: Vec<T>, add: &[T], remove: &[T]) -> Vec<T> {
    values.extend_from_slice(add);
    values.retain(|value| !remove.contains(value));
    values.sort_unstable();
    values.dedup();
    values
}

fn parse_scopes(texts: &[String]) -> Result<Vec<Scope>, AccessError> {
    texts.iter().map(|text| parse_scope(text).ok_or_else(|| AccessError::Scope(text.clone()))).collect()
}

fn parse_audiences(texts: &[String]) -> Result<Vec<Audience>, AccessError> {
    texts.iter().map(|text| parse_audience(text).ok_or_else(|| AccessError::Audience(text.clone()))).collect()
}

/// Parses a scope (RFC 6749, section 3.3).
fn parse_scope(text: &str) -> Option<Scope> {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    (!text.is_empty() && text.bytes().all(is_allowed)).then(|| Scope::new(text).ok()).flatten()
}

/// Parses an audience: an absolute URI without a fragment (RFC 8707, section 2).
fn parse_audience(text: &str) -> Option<Audience> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let is_rest = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    (is_scheme && is_rest).then(|| Audience::new(text).ok()).flatten()
}

/// Why a grant is not possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// Not a scope.
    #[error("{0:?} is not a scope: use 1 to 64 printable ASCII characters without space, quote or backslash")]
    Scope(String),
    /// Not an audience.
    #[error(
        "{0:?} is not an audience: use an absolute URI without a fragment, of at most {max} bytes, such as \
         https://api.example",
        max = limits::AUDIENCE
    )]
    Audience(String),
    /// More scopes than a verdict can contain.
    #[error("a device can have at most {max} scopes: remove others with --remove-scope", max = limits::SCOPES)]
    TooManyScopes,
    /// More audiences than a verdict can contain.
    #[error(
        "a device can have at most {max} audiences: remove others with --remove-audience",
        max = limits::AUDIENCES
    )]
    TooManyAudiences,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SoftTpm;

    const OWN: &str = "https://pawl.example";

    #[test]
    fn a_device_gets_what_it_requested_and_the_operator_grants() {
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

    fn access(scopes: &[&str], audiences: &[&str]) -> Access {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        parse(&owned(scopes), &owned(audiences)).unwrap()
    }

    #[test]
    fn a_change_adds_removes_and_leaves_the_rest() {
        let before = access(&["telemetry", "door"], &["https://api.example"]);
        let change = AccessChange { add: access(&["update", "door"], &[]), ..AccessChange::default() };
        assert_eq!(
            change.apply(&before).unwrap(),
            access(&["door", "telemetry", "update"], &["https://api.example"])
        );
        let change =
            AccessChange { remove: access(&["door"], &["https://api.example"]), ..AccessChange::default() };
        assert_eq!(change.apply(&before).unwrap(), access(&["telemetry"], &[]));
        let change = AccessChange { add: access(&["update"], &[]), exactly: true, ..AccessChange::default() };
        assert_eq!(change.apply(&before).unwrap(), access(&["update"], &[]));
    }

    #[test]
    fn a_grant_fits_into_a_verdict() {
        let add = |scopes, audiences| {
            let add = Access {
                scopes: (0..scopes).map(|number| Scope::lossy(&format!("s{number}"))).collect(),
                audiences: (0..audiences)
                    .map(|number| Audience::lossy(&format!("https://{number}")))
                    .collect(),
            };
            AccessChange { add, ..AccessChange::default() }.apply(&Access::default())
        };
        assert!(add(limits::SCOPES, limits::AUDIENCES).is_ok());
        assert_eq!(add(limits::SCOPES + 1, 0), Err(AccessError::TooManyScopes));
        assert_eq!(add(0, limits::AUDIENCES + 1), Err(AccessError::TooManyAudiences));
    }

    #[test]
    fn an_invalid_scope_or_audience_is_named() {
        for wrong in ["", "two words", "quo\"te", "back\\slash", "t\u{fc}r", &"s".repeat(65)] {
            assert_eq!(parse(&[wrong.to_owned()], &[]), Err(AccessError::Scope(wrong.to_owned())));
        }
        for wrong in ["", "api.example", "https:", "1s:x", "https://a#b", "https://a b", ":x"] {
            assert_eq!(parse(&[], &[wrong.to_owned()]), Err(AccessError::Audience(wrong.to_owned())));
        }
        assert!(parse(&[], &["urn:example:api".to_owned()]).is_ok());
    }
}
