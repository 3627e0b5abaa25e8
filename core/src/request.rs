//! What comes in: a request, what its events are about, and what is asked about it.
//!
//! Invariant: all of it borrows from the server; nothing is copied on the way of a request.

use std::net::IpAddr;

use crate::client_ip::{CanonicalIp, Headers};
use crate::decision::Action;

/// What there is to know of a request before its body is read.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The value of the first `Authorization` header. `None`: it is looked up among `headers`.
    pub authorization: Option<&'a [u8]>,
    /// The address of the socket's peer.
    pub peer: IpAddr,
    /// The request's headers; those that name the client's address are read if the peer is a trusted proxy.
    pub headers: Headers<'a>,
}

impl<'a> Request<'a> {
    /// A request from this address, with no credential and no headers.
    #[must_use]
    pub fn from_peer(peer: IpAddr) -> Self {
        Self {
            authorization: None,
            peer,
            headers: &[],
        }
    }
}

/// A request in the form in which a binding holds it, so that nothing has to be made into a [`Request`] first. Headers are
/// walked only where the decision takes it.
#[doc(hidden)]
pub trait Incoming {
    /// As [`Request::peer`].
    fn peer(&self) -> CanonicalIp;

    /// As [`Request::authorization`].
    fn credential(&self) -> Option<&[u8]>;

    /// As [`Request::headers`].
    fn headers(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + Clone;

    /// Whether there are headers.
    fn has_headers(&self) -> bool;

    /// The credential, wherever it stands.
    #[inline]
    fn authorization(&self) -> Option<&[u8]> {
        match self.credential() {
            None if self.has_headers() => self.credential_among_headers(),
            credential => credential,
        }
    }

    /// The first `Authorization` header.
    // Apart: where there are no headers, not so much as a call should be made for them.
    #[inline(never)]
    fn credential_among_headers(&self) -> Option<&[u8]> {
        self.headers()
            .find(|(name, _)| name.eq_ignore_ascii_case(b"authorization"))
            .map(|(_, value)| value)
    }
}

impl Incoming for Request<'_> {
    #[inline]
    fn peer(&self) -> CanonicalIp {
        CanonicalIp::of(&self.peer)
    }

    #[inline]
    fn credential(&self) -> Option<&[u8]> {
        self.authorization
    }

    #[inline]
    fn headers(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + Clone {
        self.headers.iter().copied()
    }

    #[inline]
    fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }
}

impl<I: Incoming> Incoming for &I {
    #[inline]
    fn peer(&self) -> CanonicalIp {
        (**self).peer()
    }

    #[inline]
    fn credential(&self) -> Option<&[u8]> {
        (**self).credential()
    }

    #[inline]
    fn headers(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + Clone {
        (**self).headers()
    }

    #[inline]
    fn has_headers(&self) -> bool {
        (**self).has_headers()
    }
}

/// What the events are about, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resource<'a> {
    /// The agent's name, such as `rum-js`.
    pub agent: Option<&'a str>,
    /// The service's name.
    pub service: Option<&'a str>,
}

/// What is asked about a request, beside who it comes from. The default: may one event of an agent and service that are not
/// known be ingested now?
///
/// ```
/// use tollbar::{Question, Resource};
///
/// let shop = Resource { agent: Some("rum-js"), service: Some("shop") };
/// let three_events = Question { resource: shop, cost: 3, ..Question::default() };
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What the client wants to do.
    pub action: Action,
    /// On whose behalf.
    pub resource: Resource<'a>,
    /// Whether the route is a RUM route, which `apm-server.rum.enabled` opens.
    pub rum: bool,
    /// How many events an anonymous client is charged; 0 charges nothing.
    pub cost: u64,
}

/// A question in the form in which a binding holds it, as [`Incoming`] is a request: what of it is not needed is not looked at.
#[doc(hidden)]
pub trait Asked<'a> {
    /// As [`Question::action`].
    fn action(&self) -> Action;

    /// As [`Question::resource`].
    fn resource(&self) -> Resource<'a>;

    /// As [`Question::rum`].
    fn rum(&self) -> bool;

    /// As [`Question::cost`].
    fn cost(&self) -> u64;
}

impl<'a> Asked<'a> for Question<'a> {
    #[inline]
    fn action(&self) -> Action {
        self.action
    }

    #[inline]
    fn resource(&self) -> Resource<'a> {
        self.resource
    }

    #[inline]
    fn rum(&self) -> bool {
        self.rum
    }

    #[inline]
    fn cost(&self) -> u64 {
        self.cost
    }
}

impl Default for Question<'_> {
    fn default() -> Self {
        Self {
            action: Action::Ingest,
            resource: Resource::default(),
            rum: false,
            cost: 1,
        }
    }
}
