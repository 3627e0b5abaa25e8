//! What an API key may do, as a plain value of a few bits.

use std::fmt;

use crate::config::Privilege;

/// A set of [`Privilege`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Privileges(u8);

impl Privileges {
    /// No privilege: who holds none is not authenticated.
    pub const NONE: Self = Self(0);
    /// Every privilege: what a secret token has.
    pub const ALL: Self = Self(0b111);

    /// The set whose bits these are; unknown bits are dropped.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits as u8 & Self::ALL.0)
    }

    /// One bit for each privilege, the lowest three.
    pub(crate) const fn bits(self) -> u64 {
        self.0 as u64
    }

    /// Whether the set holds this privilege.
    #[must_use]
    pub const fn contains(self, privilege: Privilege) -> bool {
        self.0 & bit(privilege) != 0
    }

    /// Whether the set holds no privilege.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The privileges in the set.
    pub fn iter(self) -> impl Iterator<Item = Privilege> {
        Privilege::ALL
            .into_iter()
            .filter(move |privilege| self.contains(*privilege))
    }
}

const fn bit(privilege: Privilege) -> u8 {
    1 << privilege as u8
}

impl FromIterator<Privilege> for Privileges {
    fn from_iter<I: IntoIterator<Item = Privilege>>(privileges: I) -> Self {
        Self(privileges.into_iter().fold(0, |set, p| set | bit(p)))
    }
}

impl fmt::Debug for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Privilege::as_str))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_no_more() {
        for mask in 0..8u64 {
            let set = Privileges::from_bits(mask);
            let collected: Privileges = set.iter().collect();
            assert_eq!(collected, set);
            assert_eq!(set.iter().count() as u32, mask.count_ones());
            assert_eq!(set.is_empty(), mask == 0);
            assert_eq!(Privileges::from_bits(set.bits()), set);
        }
        assert_eq!(Privileges::ALL.iter().count(), Privilege::ALL.len());
        for privilege in Privilege::ALL {
            let twice: Privileges = [privilege, privilege].into_iter().collect();
            assert_eq!(twice.iter().collect::<Vec<_>>(), [privilege]);
        }
        assert_eq!(Privileges::from_bits(u64::MAX), Privileges::ALL);
    }
}
