//! The clients of whom most was refused, in bounded memory.
//!
//! When there are too many, the half with the least refused is forgotten; how much the largest of these had is kept as the
//! error: no client that is told has had more than so much refused in addition, and none that had more is missing.

use std::collections::HashMap;

use tollbar::client_ip::ClientKey;

/// How many clients are remembered at most.
const REMEMBERED: usize = 1 << 16;

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    pub refused: u64,
    pub admitted: u64,
}

#[derive(Default)]
pub struct Clients {
    sent: HashMap<ClientKey, Sent>,
    /// How many refused events of any client may be missing.
    pub error: u64,
}

impl Clients {
    pub fn add(&mut self, client: ClientKey, admitted: u64, refused: u64) {
        if self.sent.len() >= REMEMBERED && !self.sent.contains_key(&client) {
            self.forget_half();
        }
        let sent = self.sent.entry(client).or_default();
        sent.admitted += admitted;
        sent.refused += refused;
    }

    fn forget_half(&mut self) {
        let mut all: Vec<Sent> = self.sent.values().copied().collect();
        let (_, &mut middle, _) = all.select_nth_unstable(REMEMBERED / 2);
        self.sent.retain(|_, sent| *sent > middle);
        self.error += middle.refused;
    }

    /// The `n` with most refused, the first one most; only those of whom something was.
    pub fn top(&self, n: usize) -> Vec<(ClientKey, Sent)> {
        let refused = self.sent.iter().filter(|(_, sent)| sent.refused > 0);
        let mut all: Vec<_> = refused.map(|(&client, &sent)| (client, sent)).collect();
        all.sort_unstable_by(|(a, x), (b, y)| y.cmp(x).then(a.bits().cmp(&b.bits())));
        all.truncate(n);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_stand_first_however_many_others_come() {
        let mut clients = Clients::default();
        let client = |n: u32| ClientKey::new(std::net::Ipv4Addr::from(n).into(), 64);
        for n in 0..500_000 {
            clients.add(client(n), 1, 0);
            if n % 1000 == 0 {
                clients.add(client(7), 0, 2);
                clients.add(client(8), 0, 1);
            }
        }
        let top = clients.top(10);
        assert_eq!(top.len(), 2);
        assert_eq!((top[0].0, top[0].1.refused), (client(7), 1000));
        assert_eq!((top[1].0, top[1].1.refused), (client(8), 500));
        assert_eq!(clients.error, 0);
        assert!(clients.sent.len() <= REMEMBERED);
    }
}
