//! ASGI's connection scope -> a request, and a client -> the scope that the application gets.
//!
//! Invariant: the caller's scope stays as it is, but for what it shares with any copy of it: its `state`.

use std::net::Ipv4Addr;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use tollbar::Request;

use crate::convert::{self, Text};

/// Hands on the request that a scope describes; `None`: it is another kind of connection, or has a form that is rare, and nothing
/// was asked.
#[inline(always)]
pub(crate) fn with_request<R>(
    scope: &Bound<'_, PyDict>,
    local_peer: &Text<'_>,
    decide: impl FnOnce(&Request<'_>) -> PyResult<R>,
) -> PyResult<Option<R>> {
    let py = scope.py();
    let kind = scope.get_item(intern!(py, "type"))?;
    if !kind.is_some_and(|kind| convert::is_text(&kind, "http")) {
        return Ok(None);
    }
    let mut request = Request::from_peer(Ipv4Addr::UNSPECIFIED.into());
    let address = scope.get_item(intern!(py, "client"))?;
    let address = address.filter(|address| !address.is_none());
    let peer = match &address {
        Some(address) => {
            let Ok(address) = address.cast_exact::<PyTuple>() else {
                return Ok(None);
            };
            let Ok(host) = address.get_borrowed_item(0) else {
                return Ok(None);
            };
            convert::peer_to(&mut request.peer, &Text::of_any(host))
        }
        None => convert::peer_to(&mut request.peer, local_peer),
    };
    if peer.is_err() {
        return Ok(None);
    }
    let Some(headers) = scope.get_item(intern!(py, "headers"))? else {
        return Ok(None);
    };
    let Ok(headers) = headers.cast_exact::<PyList>() else {
        return Ok(None);
    };
    let headers = headers.to_tuple();
    let mut plain = convert::Plain::new();
    let Some(plain) = plain.read(&headers) else {
        return Ok(None);
    };
    request.headers = plain;
    decide(&request).map(Some)
}

/// A copy of the scope where the application finds its client: `scope["tollbar"]`, `scope["state"]["tollbar"]`.
#[inline]
pub(crate) fn with_client<'py>(
    scope: &Bound<'py, PyDict>,
    client: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = scope.py();
    let key = intern!(py, "tollbar");
    let scope = scope.copy()?;
    scope.set_item(key, client)?;
    let state = scope.get_item(intern!(py, "state"))?;
    match state.filter(|state| !state.is_none()) {
        Some(state) => state.set_item(key, client)?,
        None => {
            let state = PyDict::new(py);
            state.set_item(key, client)?;
            scope.set_item(intern!(py, "state"), state)?;
        }
    }
    Ok(scope)
}
