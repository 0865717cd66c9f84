use std::fmt;

/// The permitted uses of a TPM object (TPMA_OBJECT, TPM 2.0 Library, part 2, section 8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectAttributes(pub u32);

impl ObjectAttributes {
    /// The object cannot leave this TPM by duplication.
    pub const FIXED_TPM: Self = Self(1 << 1);
    /// The object becomes unusable at the next TPM reset.
    pub const ST_CLEAR: Self = Self(1 << 2);
    /// The parent of the object cannot be changed.
    pub const FIXED_PARENT: Self = Self(1 << 4);
    /// The TPM generated the secret part.
    pub const SENSITIVE_DATA_ORIGIN: Self = Self(1 << 5);
    /// The auth value, and not only the policy, permits use.
    pub const USER_WITH_AUTH: Self = Self(1 << 6);
    /// Only the policy permits administration.
    pub const ADMIN_WITH_POLICY: Self = Self(1 << 7);
    /// Failed authorizations do not count as a dictionary attack.
    pub const NO_DA: Self = Self(1 << 10);
    /// Duplication would be encrypted.
    pub const ENCRYPTED_DUPLICATION: Self = Self(1 << 11);
    /// The key works only on data that the TPM generated.
    pub const RESTRICTED: Self = Self(1 << 16);
    /// The key decrypts.
    pub const DECRYPT: Self = Self(1 << 17);
    /// The key signs.
    pub const SIGN: Self = Self(1 << 18);

    const NAMES: [(Self, &'static str); 11] = [
        (Self::FIXED_TPM, "fixedTPM"),
        (Self::ST_CLEAR, "stClear"),
        (Self::FIXED_PARENT, "fixedParent"),
        (Self::SENSITIVE_DATA_ORIGIN, "sensitiveDataOrigin"),
        (Self::USER_WITH_AUTH, "userWithAuth"),
        (Self::ADMIN_WITH_POLICY, "adminWithPolicy"),
        (Self::NO_DA, "noDA"),
        (Self::ENCRYPTED_DUPLICATION, "encryptedDuplication"),
        (Self::RESTRICTED, "restricted"),
        (Self::DECRYPT, "decrypt"),
        (Self::SIGN, "sign"),
    ];

    /// Returns the union of both sets.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether all of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether any of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for ObjectAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut unnamed = self.0;
        let mut separator = "";
        for (attribute, name) in Self::NAMES {
            if self.contains(attribute) {
                write!(f, "{separator}{name}")?;
                separator = "|";
                unnamed &= !attribute.0;
            }
        }
        match (unnamed, self.0) {
            (0, 0) => f.write_str("none"),
            (0, _) => Ok(()),
            _ => write!(f, "{separator}{unnamed:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_it_knows_and_numbers_the_rest() {
        let attributes = ObjectAttributes::FIXED_TPM.union(ObjectAttributes::SIGN);
        assert_eq!(attributes.to_string(), "fixedTPM|sign");
        assert_eq!(ObjectAttributes(1 << 31 | 2).to_string(), "fixedTPM|0x80000000");
        assert_eq!(ObjectAttributes(0).to_string(), "none");
    }
}
