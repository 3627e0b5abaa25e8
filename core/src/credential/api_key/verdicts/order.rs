//! Which verdict is the oldest: a doubly linked list through the places of a store, in arrays that never grow.
//!
//! Invariant: a place is in the list if and only if a verdict lies there; each operation takes constant time.

const NONE: u32 = u32::MAX;

pub(super) struct Order {
    /// For each place, its neighbours; the last entry closes the ring: it follows the newest and precedes the oldest.
    links: Box<[Link]>,
    len: usize,
}

#[derive(Clone, Copy)]
struct Link {
    previous: u32,
    next: u32,
}

impl Order {
    /// An empty order of so many places (fewer than 2^32).
    pub(super) fn new(places: usize) -> Self {
        let unlinked = Link {
            previous: NONE,
            next: NONE,
        };
        let mut links = vec![unlinked; places + 1].into_boxed_slice();
        let ring = places as u32;
        links[places] = Link {
            previous: ring,
            next: ring,
        };
        Self { links, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The oldest.
    pub(super) fn front(&self) -> Option<usize> {
        let front = self.links[self.ring()].next as usize;
        (front != self.ring()).then_some(front)
    }

    /// Adds a place that is not in the list, as the newest.
    pub(super) fn push_back(&mut self, place: usize) {
        let (ring, last) = (self.ring(), self.links[self.ring()].previous);
        self.links[place] = Link {
            previous: last,
            next: ring as u32,
        };
        self.links[last as usize].next = place as u32;
        self.links[ring].previous = place as u32;
        self.len += 1;
    }

    /// Removes a place; one that is not in the list is left alone.
    pub(super) fn unlink(&mut self, place: usize) {
        let Link { previous, next } = self.links[place];
        if previous == NONE {
            return;
        }
        self.links[previous as usize].next = next;
        self.links[next as usize].previous = previous;
        self.links[place] = Link {
            previous: NONE,
            next: NONE,
        };
        self.len -= 1;
    }

    /// Makes a place the newest.
    pub(super) fn move_to_back(&mut self, place: usize) {
        self.unlink(place);
        self.push_back(place);
    }

    fn ring(&self) -> usize {
        self.links.len() - 1
    }
}
