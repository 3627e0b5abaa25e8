//! Names of agents and services that are let in.

/// Names that are let in; an empty list lets all in, named or not.
#[derive(Clone)]
pub(crate) struct AllowList(Box<[Name]>);

/// A name, in the order in which names are looked up.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    ends: Ends,
    whole: Box<str>,
}

/// A name's length and both its ends as numbers: all there is to a name of up to 16 bytes, as nearly all are. To compare it takes a few
/// instructions, where to compare slices is a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ends {
    len: usize,
    front: u64,
    back: u64,
}

impl AllowList {
    /// Up to this many names are compared one by one.
    const FEW: usize = 8;

    pub(crate) fn new(names: &[String]) -> Self {
        let mut names: Vec<Name> = names
            .iter()
            .map(|name| Name {
                ends: Ends::of(name),
                whole: name.as_str().into(),
            })
            .collect();
        names.sort_unstable();
        Self(names.into())
    }

    #[inline]
    pub(crate) fn allows(&self, name: Option<&str>) -> bool {
        self.0.is_empty() || name.is_some_and(|name| self.lists(name))
    }

    #[inline]
    fn lists(&self, name: &str) -> bool {
        let ends = Ends::of(name);
        if self.0.len() <= Self::FEW {
            self.0
                .iter()
                .any(|known| known.ends == ends && (ends.are_all() || *known.whole == *name))
        } else {
            self.lists_among_many(ends, name)
        }
    }

    #[inline(never)]
    fn lists_among_many(&self, ends: Ends, name: &str) -> bool {
        self.0
            .binary_search_by(|known| (known.ends, &*known.whole).cmp(&(ends, name)))
            .is_ok()
    }
}

impl Ends {
    #[inline]
    fn of(name: &str) -> Self {
        let name = name.as_bytes();
        // Of short names both ends overlap.
        let (front, back) =
            if let (Some(front), Some(back)) = (name.first_chunk(), name.last_chunk()) {
                (u64::from_ne_bytes(*front), u64::from_ne_bytes(*back))
            } else if let (Some(front), Some(back)) = (name.first_chunk(), name.last_chunk()) {
                (
                    u32::from_ne_bytes(*front).into(),
                    u32::from_ne_bytes(*back).into(),
                )
            } else {
                let byte = |i| name.get(i).copied().map_or(0, u64::from);
                (byte(0), byte(1) << 8 | byte(2))
            };
        Self {
            len: name.len(),
            front,
            back,
        }
    }

    /// Whether there is nothing in between.
    #[inline]
    fn are_all(self) -> bool {
        self.len <= 2 * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_list_lets_all_in() {
        assert!(AllowList::new(&[]).allows(None));
        assert!(AllowList::new(&[]).allows(Some("")));
        assert!(AllowList::new(&[]).allows(Some("shop")));
    }

    #[test]
    fn who_has_no_name_is_on_no_list() {
        assert!(!AllowList::new(&["".into()]).allows(None));
        assert!(AllowList::new(&["".into()]).allows(Some("")));
    }

    #[test]
    fn every_byte_of_a_name_counts() {
        for len in 0..40 {
            let name = "x".repeat(len);
            // Once one by one, once searched for.
            for others in [0, 20] {
                let mut names: Vec<String> = (0..others).map(|i| format!("{i}{name}")).collect();
                names.push(name.clone());
                let list = AllowList::new(&names);
                assert!(list.allows(Some(&name)));
                assert!(!list.allows(Some(&format!("{name}x"))));
                for i in 0..len {
                    let mut other = name.clone().into_bytes();
                    other[i] = b'y';
                    let other = String::from_utf8(other).unwrap();
                    assert!(!list.allows(Some(&other)), "{other}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn who_is_on_the_list_is_let_in_and_nobody_else(
            names in prop::collection::vec("[ab\u{e4}\0]{0,4}|[ab]{15,18}", 1..20), name in "[ab\u{e4}\0]{0,4}|[ab]{15,18}"
        ) {
            prop_assert_eq!(AllowList::new(&names).allows(Some(&name)), names.contains(&name));
            for name in &names {
                prop_assert!(AllowList::new(&names).allows(Some(name)));
            }
        }
    }
}
