//! Python values -> the core's borrowed arguments.
//!
//! Invariants: `bytes` and ASCII `str` are borrowed, never copied; what can't be taken is refused with
//! an error that names the argument, what was found and what is accepted. No secret enters an error:
//! of a credential, only its Python type is ever shown.
//!
//! What each call converts is inlined, with all that is rare in functions of its own: what comes back by way of memory
//! is waited for when it is read, and that took longer than the conversions.

use std::borrow::Cow;
use std::convert::Infallible;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::slice;
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMapping, PyString, PyTuple};
use tollbar::{Action, Question, Resource, client_ip};

/// An argument that has to be a `str`; what else it is, is said once its name is known. An unpaired surrogate, which no
/// UTF-8 has, is read as the replacement character: a name that a client made up is refused like any other.
pub(crate) struct Text<'a>(Result<&'a str, Box<Odd>>);

/// What is rare, and kept out of the way.
enum Odd {
    /// A `str` that had to be copied: of a subclass, or with something replaced.
    Copied(String),
    /// Another type: its name.
    NoText(String),
}

impl<'a> Text<'a> {
    /// A text that is one.
    pub(crate) fn borrowed(text: &'a str) -> Self {
        Self(Ok(text))
    }

    /// What Python passes.
    #[inline(always)]
    pub(crate) fn of_any(value: Borrowed<'a, '_, PyAny>) -> Self {
        Self(plain_text(value).ok_or_else(|| Odd::new(value)))
    }

    /// What was given as this argument.
    #[inline(always)]
    pub(crate) fn named(&self, argument: &str) -> PyResult<&str> {
        match &self.0 {
            Ok(text) => Ok(text),
            Err(odd) => odd.named(argument),
        }
    }

    /// What was given as this argument, for good.
    pub(crate) fn into_named(self, argument: &str) -> PyResult<Cow<'a, str>> {
        match self.0 {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(odd) => odd.named(argument).map(|text| Cow::Owned(text.to_owned())),
        }
    }
}

impl Odd {
    #[cold]
    fn new(value: Borrowed<'_, '_, PyAny>) -> Box<Self> {
        Box::new(match value.cast::<PyString>() {
            Ok(string) => Self::Copied(string.to_string_lossy().into_owned()),
            Err(_) => Self::NoText(kind(&value)),
        })
    }

    #[cold]
    fn named(&self, argument: &str) -> PyResult<&str> {
        match self {
            Self::Copied(text) => Ok(text),
            Self::NoText(found) => Err(PyTypeError::new_err(format!(
                "{argument}: found a {found}; accepted is a str"
            ))),
        }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Text<'a> {
    type Error = Infallible;

    #[inline(always)]
    fn extract(value: Borrowed<'a, 'py, PyAny>) -> Result<Self, Infallible> {
        Ok(Self::of_any(value))
    }
}

/// The text where it is, of a `str` that has one. (A subclass of `str` is odd, and read all the same.)
#[inline(always)]
fn plain_text<'a>(value: Borrowed<'a, '_, PyAny>) -> Option<&'a str> {
    // The type itself: to look for subclasses is a call.
    let string = value.cast_exact::<PyString>().ok()?;
    let text: &Bound<'_, PyString> = &string;
    // SAFETY: a `str` never changes, and keeps its UTF-8 for as long as it lives: for 'a, like whoever lent it.
    text.to_str()
        .ok()
        .map(|text| unsafe { &*std::ptr::from_ref(text) })
}

/// Whether this is this `str`.
#[inline]
pub(crate) fn is_text(value: &Bound<'_, PyAny>, text: &str) -> bool {
    plain_text(value.as_borrowed()) == Some(text)
}

/// `action`, which is not looked at if it was not given.
pub(crate) enum ActionName<'a> {
    Default,
    Given(Text<'a>),
}

impl<'a, 'py> FromPyObject<'a, 'py> for ActionName<'a> {
    type Error = Infallible;

    #[inline(always)]
    fn extract(value: Borrowed<'a, 'py, PyAny>) -> Result<Self, Infallible> {
        Ok(Self::Given(Text::of_any(value)))
    }
}

/// `agent` and `service`: a `str` or `None` each.
#[inline(always)]
pub(crate) fn resource<'a>(
    agent: Option<&'a Text<'_>>,
    service: Option<&'a Text<'_>>,
) -> PyResult<Resource<'a>> {
    Ok(Resource {
        agent: agent.map(|agent| agent.named("agent")).transpose()?,
        service: service
            .map(|service| service.named("service"))
            .transpose()?,
    })
}

/// What `check` asks, from Python's keyword arguments.
#[inline(always)]
pub(crate) fn question<'a>(
    action: &ActionName<'_>,
    agent: Option<&'a Text<'_>>,
    service: Option<&'a Text<'_>>,
    rum: bool,
    cost: Option<&Bound<'_, PyAny>>,
) -> PyResult<Question<'a>> {
    Ok(Question {
        action: self::action(action)?,
        resource: resource(agent, service)?,
        rum,
        cost: cost.map_or(Ok(1), |cost| count("cost", cost))?,
    })
}

/// `peer`: an address as a socket or a server reports it.
pub(crate) fn peer(text: &Text<'_>) -> PyResult<IpAddr> {
    let text = text.named("peer")?;
    client_ip::parse_peer(text).map_err(|error| PyValueError::new_err(format!("peer: {error}")))
}

/// The same, to where it is needed.
#[inline(always)]
pub(crate) fn peer_to(place: &mut IpAddr, text: &Text<'_>) -> PyResult<()> {
    match client_ip::parse_ipv4(text.named("peer")?) {
        Some(ip) => *place = IpAddr::V4(ip),
        None => *place = peer(text)?,
    }
    Ok(())
}

/// `action`: one of the core's names.
#[inline(always)]
pub(crate) fn action(name: &ActionName<'_>) -> PyResult<Action> {
    let ActionName::Given(name) = name else {
        return Ok(Action::default());
    };
    let name = name.named("action")?;
    Action::from_name(name).ok_or_else(|| refused_action(name))
}

#[cold]
fn refused_action(name: &str) -> PyErr {
    let found: String = name.chars().take(40).collect();
    PyValueError::new_err(format!(
        "action: found {found:?}; accepted are \"ingest\", \"agent_config\" and \"sourcemap\""
    ))
}

/// A batch size, or a number of events to charge.
#[inline(always)]
pub(crate) fn count(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    whole_number(argument, value, "a whole number of events")
}

/// `now`: nanoseconds of the caller's monotonic clock.
#[inline(always)]
pub(crate) fn now(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    value
        .map(|now| whole_number("now", now, "nanoseconds of a monotonic clock as an int"))
        .transpose()
}

/// A time-out or another span of time.
pub(crate) fn seconds(argument: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        PyValueError::new_err(format!(
            "{argument}: found {seconds}; accepted are seconds, finite and not negative"
        ))
    })
}

#[inline(always)]
fn whole_number(argument: &str, value: &Bound<'_, PyAny>, accepted: &str) -> PyResult<u64> {
    value
        .extract::<u64>()
        .map_err(|error| refused_number(argument, value, accepted, &error))
}

#[cold]
fn refused_number(
    argument: &str,
    value: &Bound<'_, PyAny>,
    accepted: &str,
    error: &PyErr,
) -> PyErr {
    let found = match value.repr() {
        Ok(repr) => repr.to_string_lossy().chars().take(40).collect(),
        Err(_) => kind(value),
    };
    let message = format!("{argument}: found {found}; accepted is {accepted}, 0 to 2**64 - 1");
    if error.is_instance_of::<PyTypeError>(value.py()) {
        PyTypeError::new_err(message)
    } else {
        PyValueError::new_err(message)
    }
}

/// `authorization`: `str`, `bytes` or `None`.
#[inline(always)]
pub(crate) fn authorization<'a>(
    value: Option<&'a Bound<'_, PyAny>>,
) -> PyResult<Option<Cow<'a, [u8]>>> {
    let Some(value) = value else { return Ok(None) };
    // As it nearly always is.
    if let Some(text) = plain_text(value.as_borrowed())
        && text.is_ascii()
    {
        return Ok(Some(Cow::Borrowed(text.as_bytes())));
    }
    header_bytes(value, || "authorization".to_owned()).map(Some)
}

/// `origin`: `str`, `bytes`, or `None`, which is no origin.
pub(crate) fn origin<'a>(value: Option<&'a Bound<'_, PyAny>>) -> PyResult<Cow<'a, [u8]>> {
    match value {
        Some(value) => header_bytes(value, || "origin".to_owned()),
        None => Ok(Cow::Borrowed(b"")),
    }
}

/// A header's name and value, borrowed from Python where that is possible.
type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The headers of one request. They own references to the Python objects, so that the core can
/// borrow from them while another thread does what it likes to the list they came from.
pub(crate) struct Headers<'py>(Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>);

impl<'py> Headers<'py> {
    /// From `None`, a mapping, or an iterable of pairs.
    pub(crate) fn collect(headers: Option<&Bound<'py, PyAny>>) -> PyResult<Self> {
        let Some(headers) = headers else {
            return Ok(Self(Vec::new()));
        };
        if let Ok(list) = headers.cast::<PyList>() {
            return Self::from_pairs(list.len(), list.iter().map(Ok));
        }
        if let Ok(dict) = headers.cast::<PyDict>() {
            return Ok(Self(dict.iter().collect()));
        }
        if headers.is_instance_of::<PyString>() || headers.is_instance_of::<PyBytes>() {
            return Err(refused(headers));
        }
        if let Ok(mapping) = headers.cast::<PyMapping>() {
            let items = mapping.items()?;
            return Self::from_pairs(items.len(), items.iter().map(Ok));
        }
        let pairs = headers.try_iter().map_err(|_| refused(headers))?;
        Self::from_pairs(0, pairs)
    }

    fn from_pairs(
        capacity: usize,
        pairs: impl Iterator<Item = PyResult<Bound<'py, PyAny>>>,
    ) -> PyResult<Self> {
        let mut collected = Vec::with_capacity(capacity);
        for (index, pair) in pairs.enumerate() {
            collected.push(name_and_value(index, &pair?)?);
        }
        Ok(Self(collected))
    }

    /// Names and values as bytes.
    pub(crate) fn bytes(&self) -> PyResult<Vec<Pair<'_>>> {
        self.0
            .iter()
            .map(|(name, value)| {
                let name = header_bytes(name, || "a header's name".to_owned())?;
                let value = header_bytes(value, || {
                    format!("the value of header {:?}", String::from_utf8_lossy(&name))
                })?;
                Ok((name, value))
            })
            .collect()
    }
}

/// So many headers fit on the stack.
const FEW: usize = 32;

/// The headers as ASGI has them: a few tuples of `bytes`, which are borrowed where they are.
pub(crate) struct Plain<'a> {
    /// Written up to `len`: to fill in all of it took longer than to read what most requests have.
    pairs: [MaybeUninit<(&'a [u8], &'a [u8])>; FEW],
    len: usize,
}

impl<'a> Plain<'a> {
    /// Room for headers.
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            pairs: [MaybeUninit::uninit(); FEW],
            len: 0,
        }
    }

    /// Reads headers; `None`: they have another form. The tuple keeps the pairs whatever becomes of the list they came from.
    #[inline]
    pub(crate) fn read(
        &mut self,
        headers: &'a Bound<'_, PyTuple>,
    ) -> Option<&[(&'a [u8], &'a [u8])]> {
        let len = headers.len();
        self.len = 0;
        for (index, slot) in self.pairs.get_mut(..len)?.iter_mut().enumerate() {
            let pair = headers.get_borrowed_item(index).ok()?;
            let pair = pair.cast_exact::<PyTuple>().ok()?;
            if pair.len() != 2 {
                return None;
            }
            slot.write((plain_bytes(pair, 0)?, plain_bytes(pair, 1)?));
            self.len = index + 1;
        }
        // SAFETY: as many were written, one after the other from the first on, and no others are looked at.
        Some(unsafe { slice::from_raw_parts(self.pairs.as_ptr().cast(), self.len) })
    }
}

#[inline(always)]
fn plain_bytes<'a>(pair: Borrowed<'a, '_, PyTuple>, index: usize) -> Option<&'a [u8]> {
    let item = pair.get_borrowed_item(index).ok()?;
    let bytes = item.cast_exact::<PyBytes>().ok()?;
    // SAFETY: neither `bytes` nor a tuple ever changes, so the bytes are there for as long as the pair: for 'a.
    Some(unsafe { &*std::ptr::from_ref(bytes.as_bytes()) })
}

/// Borrows the pairs in the form that the core takes.
pub(crate) fn borrow<'a>(pairs: &'a [Pair<'_>]) -> Vec<(&'a [u8], &'a [u8])> {
    pairs
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect()
}

fn name_and_value<'py>(
    index: usize,
    pair: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    if let Ok(tuple) = pair.cast::<PyTuple>() {
        if tuple.len() == 2 {
            return Ok((tuple.get_item(0)?, tuple.get_item(1)?));
        }
    } else if let Ok(list) = pair.cast::<PyList>()
        && list.len() == 2
    {
        return Ok((list.get_item(0)?, list.get_item(1)?));
    }
    Err(PyTypeError::new_err(format!(
        "headers: item {index} is a {}; accepted is a pair (name, value)",
        kind(pair)
    )))
}

fn refused(headers: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!(
        "headers: found a {}; accepted are a mapping of names to values, or an iterable of pairs (name, value), \
         each str or bytes",
        kind(headers)
    ))
}

/// `bytes` as they are. `str` as Latin-1, which is how WSGI servers and `http.client` decode headers, so
/// that the bytes of the wire come back; if it holds a character beyond Latin-1, as UTF-8.
fn header_bytes<'a>(
    value: &'a Bound<'_, PyAny>,
    what: impl Fn() -> String,
) -> PyResult<Cow<'a, [u8]>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Cow::Borrowed(bytes.as_bytes()));
    }
    let Ok(string) = value.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!(
            "{}: found a {}; accepted are str and bytes",
            what(),
            kind(value)
        )));
    };
    let text = string.to_str().map_err(|_| {
        PyValueError::new_err(format!(
            "{}: found a str with a lone surrogate; accepted are str that can be encoded, and bytes",
            what()
        ))
    })?;
    if text.is_ascii() {
        return Ok(Cow::Borrowed(text.as_bytes()));
    }
    let latin1: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    Ok(latin1.map_or(Cow::Borrowed(text.as_bytes()), Cow::Owned))
}

/// The name of a Python type, for messages.
pub(crate) fn kind(value: &Bound<'_, PyAny>) -> String {
    match value.get_type().name() {
        Ok(name) => name.to_string_lossy().into_owned(),
        Err(_) => "value of unknown type".to_owned(),
    }
}
