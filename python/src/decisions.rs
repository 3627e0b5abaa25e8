//! `tollbar.Decisions`: what `check_batch` answers, as a sequence of decisions and as columns that other libraries read in place.
//!
//! Invariant: immutable. A column lives as long as anybody reads it.

use std::ffi::{CStr, c_int, c_void};

use pyo3::exceptions::{PyBufferError, PyIndexError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use tollbar::{GrpcStatus, Resource};

use crate::decision::Decision;

/// Many decisions: a sequence of them, and columns as `memoryview`s.
#[pyclass(frozen, sequence, module = "tollbar")]
pub(crate) struct Decisions {
    decisions: Vec<tollbar::Decision>,
    /// What those that were forbidden were about, by their index: their messages name it.
    forbidden: Vec<(usize, tollbar::Message)>,
}

impl Decisions {
    pub(crate) fn new<'a>(
        decisions: Vec<tollbar::Decision>,
        resource: impl Fn(usize) -> Resource<'a>,
    ) -> Self {
        let forbidden = decisions
            .iter()
            .enumerate()
            .filter(|(_, decision)| decision.grpc_status() == GrpcStatus::PermissionDenied)
            .map(|(index, decision)| (index, decision.message(resource(index))))
            .collect();
        Self {
            decisions,
            forbidden,
        }
    }

    fn column<T>(
        &self,
        py: Python<'_>,
        format: &'static CStr,
        value: impl Fn(&tollbar::Decision) -> T,
    ) -> PyResult<Py<PyAny>>
    where
        Vec<T>: Into<Values>,
    {
        let values: Vec<T> = self.decisions.iter().map(value).collect();
        let column = Column {
            shape: [values.len() as ffi::Py_ssize_t],
            stride: [size_of::<T>() as ffi::Py_ssize_t],
            format,
            values: values.into(),
        };
        Ok(PyMemoryView::from(&Bound::new(py, column)?.into_any())?
            .into_any()
            .unbind())
    }
}

#[pymethods]
impl Decisions {
    fn __len__(&self) -> usize {
        self.decisions.len()
    }

    fn __getitem__(&self, index: isize) -> PyResult<Decision> {
        let len = self.decisions.len();
        let positive = if index < 0 {
            index.checked_add_unsigned(len)
        } else {
            Some(index)
        };
        let found = positive.and_then(|index| {
            let index = usize::try_from(index).ok()?;
            Some((index, *self.decisions.get(index)?))
        });
        let Some((index, decision)) = found else {
            return Err(PyIndexError::new_err(format!(
                "found the index {index}; there are {len} decisions"
            )));
        };
        let message = self
            .forbidden
            .binary_search_by_key(&index, |(index, _)| *index);
        Ok(match message.ok().and_then(|at| self.forbidden.get(at)) {
            Some((_, message)) => Decision::with_message(decision, *message),
            None => decision.into(),
        })
    }

    fn __iter__<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        // Python's own for sequences: it asks for one after the other.
        let py = this.py();
        // SAFETY: `PySeqIter_New` takes any sequence, and returns a new reference or raises.
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PySeqIter_New(this.as_ptr())) }
    }

    /// Whether each request may go on: format `?`.
    #[getter]
    fn allowed(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.column(py, c"?", |decision| u8::from(decision.allowed()))
    }

    /// The HTTP status of each: format `H`.
    #[getter]
    fn status(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.column(py, c"H", tollbar::Decision::http_status)
    }

    /// How many events would still fit: format `q`, -1 where no counter was consulted.
    #[getter]
    fn remaining(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.column(py, c"q", |decision| {
            decision.rate.map_or(-1, |rate| {
                i64::try_from(rate.remaining()).unwrap_or(i64::MAX)
            })
        })
    }

    /// Seconds until each refused batch would fit: format `d`, not a number where `Decision.retry_after` is None.
    #[getter]
    fn retry_after(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.column(py, c"d", |decision| {
            Decision::from(*decision).retry_after().unwrap_or(f64::NAN)
        })
    }

    /// Why, for each.
    #[getter]
    fn reason(&self) -> Vec<&'static str> {
        self.decisions
            .iter()
            .map(|decision| decision.reason.as_str())
            .collect()
    }

    fn __repr__(&self) -> String {
        let allowed = self
            .decisions
            .iter()
            .filter(|decision| decision.allowed())
            .count();
        format!(
            "<tollbar.Decisions {allowed} of {} allowed>",
            self.decisions.len()
        )
    }
}

/// The values of a column.
enum Values {
    U8(Vec<u8>),
    U16(Vec<u16>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

macro_rules! values {
    ($($variant:ident($type:ty)),*) => {$(
        impl From<Vec<$type>> for Values {
            fn from(values: Vec<$type>) -> Self {
                Self::$variant(values)
            }
        }
    )*};
}
values!(U8(u8), U16(u16), I64(i64), F64(f64));

impl Values {
    fn bytes(&self) -> (*const c_void, usize) {
        match self {
            Self::U8(values) => (values.as_ptr().cast(), size_of_val(values.as_slice())),
            Self::U16(values) => (values.as_ptr().cast(), size_of_val(values.as_slice())),
            Self::I64(values) => (values.as_ptr().cast(), size_of_val(values.as_slice())),
            Self::F64(values) => (values.as_ptr().cast(), size_of_val(values.as_slice())),
        }
    }
}

/// What owns the memory of a column.
#[pyclass(frozen, module = "tollbar")]
struct Column {
    values: Values,
    format: &'static CStr,
    shape: [ffi::Py_ssize_t; 1],
    stride: [ffi::Py_ssize_t; 1],
}

#[pymethods]
impl Column {
    unsafe fn __getbuffer__(
        this: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
            return Err(PyBufferError::new_err("decisions can't be written to"));
        }
        let column = this.get();
        let (data, len) = column.values.bytes();
        let asked = |flag: c_int| flags & flag == flag;
        let only_if = |flag: c_int, pointer: *mut ffi::Py_ssize_t| {
            if asked(flag) {
                pointer
            } else {
                std::ptr::null_mut()
            }
        };
        // SAFETY: Python passes a view to be filled. All that it points to belongs to this object, which never changes and which
        // the view holds a reference to.
        unsafe {
            (*view).buf = data.cast_mut();
            (*view).len = len as ffi::Py_ssize_t;
            (*view).readonly = 1;
            (*view).itemsize = column.stride[0];
            (*view).format = if asked(ffi::PyBUF_FORMAT) {
                column.format.as_ptr().cast_mut()
            } else {
                std::ptr::null_mut()
            };
            (*view).ndim = 1;
            (*view).shape = only_if(ffi::PyBUF_ND, column.shape.as_ptr().cast_mut());
            (*view).strides = only_if(ffi::PyBUF_STRIDES, column.stride.as_ptr().cast_mut());
            (*view).suboffsets = std::ptr::null_mut();
            (*view).internal = std::ptr::null_mut();
            (*view).obj = this.into_ptr();
        }
        Ok(())
    }
}
