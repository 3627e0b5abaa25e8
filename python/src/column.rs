//! Columns: many values of one argument of `check_batch`, read where they are. A sequence of Python's, a buffer (NumPy's arrays,
//! `array.array`, `memoryview`), or an Arrow array.
//!
//! Invariants: numbers and addresses are copied while Python stands still: whoever writes to a buffer meanwhile gets decisions on whatever is
//! read. Texts are read where they are: Python's never change, and neither does an Arrow array, by Arrow's own rules. What a column can't be
//! read as is refused with an error that names the argument, the item, and what is accepted.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pyo3::buffer::{ElementType, PyUntypedBuffer};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::arrow::{Array, Strings, Validity};
use crate::convert::{self, Text};

/// Values of fixed width at equal distances.
pub(crate) struct Cells {
    base: *const u8,
    stride: isize,
    len: usize,
}

impl Cells {
    /// # Safety
    /// There must be `len` values at `base`, `stride` bytes apart, of the width that they are read with, for as long as this lives.
    pub(crate) unsafe fn new(base: *const u8, stride: isize, len: usize) -> Self {
        Self { base, stride, len }
    }

    /// The bytes of a value; zeros beyond the end.
    pub(crate) fn read<const N: usize>(&self, index: usize) -> [u8; N] {
        if index >= self.len {
            return [0; N];
        }
        // SAFETY: whoever made this says that there are `len` values. They may be anywhere, aligned or not.
        unsafe {
            self.base
                .offset(index as isize * self.stride)
                .cast::<[u8; N]>()
                .read_unaligned()
        }
    }
}

/// Where the values of a column are.
pub(crate) enum Source<'py> {
    Sequence(Bound<'py, PyTuple>),
    Arrow(Array<'py>),
    Buffer(PyUntypedBuffer),
}

impl<'py> Source<'py> {
    pub(crate) fn of(argument: &str, value: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(tuple) = value.cast::<PyTuple>() {
            return Ok(Self::Sequence(tuple.clone()));
        }
        // Another thread may change the list.
        if let Ok(list) = value.cast::<PyList>() {
            return Ok(Self::Sequence(list.to_tuple()));
        }
        if let Some(array) = Array::of(value)? {
            return Ok(Self::Arrow(array));
        }
        if let Ok(buffer) = PyUntypedBuffer::get(value)
            && (buffer.dimensions() != 1 || element(&buffer).is_some())
        {
            return Ok(Self::Buffer(buffer));
        }
        let single = value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>();
        let items = if single { None } else { value.try_iter().ok() };
        let Some(items) = items else {
            return Err(PyTypeError::new_err(format!(
                "{argument}: found a {}; accepted are a sequence, a buffer such as NumPy's, and an Arrow array",
                convert::kind(value)
            )));
        };
        let items = items.collect::<PyResult<Vec<_>>>()?;
        Ok(Self::Sequence(PyTuple::new(value.py(), items)?))
    }

    pub(crate) fn len(&self) -> PyResult<usize> {
        match self {
            Self::Sequence(items) => Ok(items.len()),
            Self::Arrow(array) => array.len(),
            Self::Buffer(buffer) => Ok(buffer.shape().first().copied().unwrap_or_default()),
        }
    }

    /// What stands in the way of reading it, for messages.
    fn kind(&self) -> String {
        match self {
            Self::Sequence(_) => "sequence".into(),
            Self::Arrow(array) => {
                let format = array.format().unwrap_or_default();
                format!(
                    "Arrow array of the format {:?}",
                    String::from_utf8_lossy(format)
                )
            }
            Self::Buffer(buffer) => {
                let (format, shape) = (buffer.format().to_string_lossy(), buffer.shape());
                format!("buffer of the format {format:?} and the shape {shape:?}")
            }
        }
    }
}

/// A width in bytes, and whether there is a sign.
type Integer = (usize, bool);

/// The integers that a buffer of one dimension holds.
fn element(buffer: &PyUntypedBuffer) -> Option<Integer> {
    match ElementType::from_format(buffer.format()) {
        ElementType::SignedInteger { bytes } => Some((bytes, true)),
        ElementType::UnsignedInteger { bytes } => Some((bytes, false)),
        _ => None,
    }
}

fn arrow_integer(format: &[u8]) -> Option<Integer> {
    Some(match format {
        b"c" => (1, true),
        b"C" => (1, false),
        b"s" => (2, true),
        b"S" => (2, false),
        b"i" => (4, true),
        b"I" => (4, false),
        b"l" => (8, true),
        b"L" => (8, false),
        _ => return None,
    })
}

/// A column of integers.
pub(crate) struct Integers {
    cells: Cells,
    integer: Integer,
    swapped: bool,
    validity: Option<Validity>,
}

impl Integers {
    /// `None`: the column holds something else.
    fn of(source: &Source<'_>) -> PyResult<Option<Self>> {
        match source {
            Source::Sequence(_) => Ok(None),
            Source::Arrow(array) => {
                let Some(integer) = arrow_integer(array.format()?) else {
                    return Ok(None);
                };
                Ok(Some(Self {
                    cells: array.cells(integer.0)?,
                    integer,
                    swapped: false,
                    validity: Some(array.validity()?),
                }))
            }
            Source::Buffer(buffer) => {
                let (Some(integer), &[len], &[stride]) =
                    (element(buffer), buffer.shape(), buffer.strides())
                else {
                    return Ok(None);
                };
                let foreign: &[u8] = if cfg!(target_endian = "little") {
                    b">!"
                } else {
                    b"<"
                };
                Ok(Some(Self {
                    // SAFETY: that is what the buffer says of itself, and it is held by `source`.
                    cells: unsafe { Cells::new(buffer.buf_ptr().cast(), stride, len) },
                    integer,
                    swapped: buffer
                        .format()
                        .to_bytes()
                        .first()
                        .is_some_and(|order| foreign.contains(order)),
                    validity: None,
                }))
            }
        }
    }

    /// `None`: it is null or negative.
    fn get(&self, index: usize) -> Option<u64> {
        if self
            .validity
            .as_ref()
            .is_some_and(|validity| !validity.is_valid(index))
        {
            return None;
        }
        macro_rules! read {
            ($unsigned:ty, $signed:ty) => {{
                let bits = <$unsigned>::from_ne_bytes(self.cells.read(index));
                let bits = if self.swapped {
                    bits.swap_bytes()
                } else {
                    bits
                };
                if self.integer.1 {
                    u64::try_from(bits as $signed).ok()
                } else {
                    Some(bits.into())
                }
            }};
        }
        match self.integer.0 {
            1 => read!(u8, i8),
            2 => read!(u16, i16),
            4 => read!(u32, i32),
            _ => read!(u64, i64),
        }
    }
}

/// The addresses of the sockets' peers.
pub(crate) fn peers(source: &Source<'_>) -> PyResult<Vec<IpAddr>> {
    let len = source.len()?;
    if let Source::Sequence(items) = source {
        return items
            .iter_borrowed()
            .map(|item| convert::peer(&Text::of_any(item)))
            .collect();
    }
    // Narrower ones are bytes, not addresses.
    if let Some(integers) = Integers::of(source)?.filter(|integers| integers.integer.0 >= 4) {
        let v4 = |index| {
            let bits = integers
                .get(index)
                .and_then(|bits| u32::try_from(bits).ok());
            let bits =
                bits.ok_or_else(|| at("peers", index, "an IPv4 address as a number of 32 bits"))?;
            Ok(IpAddr::V4(Ipv4Addr::from_bits(bits)))
        };
        return (0..len).map(v4).collect();
    }
    if let Some((cells, validity)) = packed(source)? {
        let v6 = |index| match &validity {
            Some(validity) if !validity.is_valid(index) => {
                Err(at("peers", index, "an IPv6 address as 16 bytes"))
            }
            _ => Ok(IpAddr::V6(Ipv6Addr::from(cells.read::<16>(index)))),
        };
        return (0..len).map(v6).collect();
    }
    if let Source::Arrow(array) = source
        && let Some(texts) = array.strings()?
    {
        let parse = |index| {
            let text = texts
                .get(index)
                .ok_or_else(|| at("peers", index, "an address"))?;
            convert::peer(&Text::borrowed(text))
        };
        return (0..len).map(parse).collect();
    }
    Err(PyTypeError::new_err(format!(
        "peers: found a {}; accepted are texts, integers (IPv4), and 16 bytes each (IPv6)",
        source.kind()
    )))
}

/// Addresses of 16 bytes: a buffer of the shape (n, 16), or of items of 16 bytes; an Arrow array of such.
fn packed(source: &Source<'_>) -> PyResult<Option<(Cells, Option<Validity>)>> {
    match source {
        Source::Arrow(array) if array.format()? == b"w:16" => {
            Ok(Some((array.cells(16)?, Some(array.validity()?))))
        }
        Source::Buffer(buffer) => {
            let (len, stride) = match (buffer.shape(), buffer.strides(), buffer.item_size()) {
                (&[len, 16], &[stride, 1], 1) => (len, stride),
                _ => return Ok(None),
            };
            // SAFETY: that is what the buffer says of itself, and it is held by `source`.
            Ok(Some((
                unsafe { Cells::new(buffer.buf_ptr().cast(), stride, len) },
                None,
            )))
        }
        _ => Ok(None),
    }
}

/// Numbers of events: one for all, or one each.
pub(crate) enum Counts {
    Same(u64),
    Each(Vec<u64>),
    Cells(Integers),
}

impl Counts {
    /// `source`: the column, if it is one.
    pub(crate) fn of(
        value: Option<&Bound<'_, PyAny>>,
        source: Option<&Source<'_>>,
    ) -> PyResult<Self> {
        match (value, source) {
            (None, _) => Ok(Self::Same(1)),
            (Some(value), None) => Ok(Self::Same(convert::count("cost", value)?)),
            (_, Some(Source::Sequence(items))) => Ok(Self::Each(
                items
                    .iter()
                    .map(|item| convert::count("cost", &item))
                    .collect::<PyResult<_>>()?,
            )),
            (_, Some(source)) => Integers::of(source)?.map(Self::Cells).ok_or_else(|| {
                PyTypeError::new_err(format!(
                    "cost: found a {}; accepted are integers",
                    source.kind()
                ))
            }),
        }
    }

    /// All of them, which may be read without the GIL.
    pub(crate) fn all(self, len: usize) -> PyResult<All<u64>> {
        match self {
            Self::Same(count) => Ok(All::Same(count)),
            Self::Each(counts) => Ok(All::Each(counts)),
            Self::Cells(integers) => (0..len)
                .map(|index| {
                    integers
                        .get(index)
                        .ok_or_else(|| at("cost", index, "a whole number of events, 0 or more"))
                })
                .collect::<PyResult<_>>()
                .map(All::Each),
        }
    }
}

/// A value for each request, or one for all.
pub(crate) enum All<T> {
    Same(T),
    Each(Vec<T>),
}

impl<T: Copy> All<T> {
    #[inline]
    pub(crate) fn get(&self, index: usize) -> T {
        match self {
            Self::Same(value) => *value,
            Self::Each(values) => values[index],
        }
    }
}

/// Names: one for all, or one each, or none.
pub(crate) enum Names<'a> {
    Same(Option<&'a str>),
    Each(Vec<Option<Cow<'a, str>>>),
    Cells(Strings<'a>),
}

impl<'a> Names<'a> {
    /// `source`: the column, if it is one.
    pub(crate) fn of(
        argument: &str,
        value: Option<&'a Text<'_>>,
        source: Option<&'a Source<'_>>,
    ) -> PyResult<Self> {
        match (value, source) {
            (None, None) => Ok(Self::Same(None)),
            (Some(text), None) => Ok(Self::Same(Some(text.named(argument)?))),
            (_, Some(Source::Sequence(items))) => {
                let mut names = Vec::with_capacity(items.len());
                for item in items.iter_borrowed() {
                    let text = if item.is_none() {
                        None
                    } else {
                        Some(Text::of_any(item).into_named(argument)?)
                    };
                    names.push(text);
                }
                Ok(Self::Each(names))
            }
            (_, Some(source)) => {
                if let Source::Arrow(array) = source
                    && let Some(strings) = array.strings()?
                {
                    return Ok(Self::Cells(strings));
                }
                let found = source.kind();
                Err(PyTypeError::new_err(format!(
                    "{argument}: found a {found}; accepted are texts"
                )))
            }
        }
    }

    /// All of them, which may be read without the GIL.
    pub(crate) fn all(&self, len: usize) -> All<Option<&str>> {
        match self {
            Self::Same(name) => All::Same(*name),
            Self::Each(names) => All::Each(names.iter().map(Option::as_deref).collect()),
            Self::Cells(strings) => All::Each((0..len).map(|index| strings.get(index)).collect()),
        }
    }
}

#[cold]
fn at(argument: &str, index: usize, accepted: &str) -> PyErr {
    PyValueError::new_err(format!("{argument}: item {index} is not {accepted}"))
}
