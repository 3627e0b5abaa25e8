//! Arrow arrays, read where they are, through the C data interface and its PyCapsules (`__arrow_c_array__`).
//!
//! Invariants: an array is only read, and only while its capsules are held, which keep its memory; nothing is taken out of them.
//! Producers promise that their pointers and lengths are what the interface says, and that nobody writes to an array any more.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::NonNull;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::column::Cells;

/// `struct ArrowSchema`, as far as it is read here.
#[repr(C)]
struct Schema {
    format: *const c_char,
}

/// `struct ArrowArray`, as far as it is read here.
#[repr(C)]
struct RawArray {
    length: i64,
    null_count: i64,
    offset: i64,
    buffer_count: i64,
    child_count: i64,
    buffers: *const *const c_void,
}

/// An array that some other library owns.
pub(crate) struct Array<'py> {
    /// They keep the memory.
    schema: Bound<'py, PyCapsule>,
    array: Bound<'py, PyCapsule>,
}

impl<'py> Array<'py> {
    /// What an object shows of itself as an Arrow array; `None`: it is none.
    pub(crate) fn of(value: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let Some(export) = value.getattr_opt("__arrow_c_array__")? else {
            return Ok(None);
        };
        let (schema, array) = export
            .call0()?
            .extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>()?;
        let (schema, array) = (
            schema.cast_into::<PyCapsule>()?,
            array.cast_into::<PyCapsule>()?,
        );
        let this = Self { schema, array };
        this.raw()?;
        Ok(Some(this))
    }

    fn raw(&self) -> PyResult<(&CStr, &RawArray)> {
        let schema: NonNull<Schema> = self.schema.pointer_checked(Some(c"arrow_schema"))?.cast();
        let array: NonNull<RawArray> = self.array.pointer_checked(Some(c"arrow_array"))?.cast();
        // SAFETY: by their names, the capsules hold these structures, and keep them for as long as they live. Their first
        // fields are those that are declared here.
        let (schema, array) = unsafe { (schema.as_ref(), array.as_ref()) };
        if schema.format.is_null() {
            return Err(PyValueError::new_err("an Arrow array was released already"));
        }
        // SAFETY: a format is a string that ends in a zero byte, and lives as long as its schema.
        Ok((unsafe { CStr::from_ptr(schema.format) }, array))
    }

    pub(crate) fn len(&self) -> PyResult<usize> {
        Ok(usize::try_from(self.raw()?.1.length)?)
    }

    /// The format, as the C data interface spells it.
    pub(crate) fn format(&self) -> PyResult<&[u8]> {
        Ok(self.raw()?.0.to_bytes())
    }

    /// The values of an array of fixed width, in bytes.
    pub(crate) fn cells(&self, width: usize) -> PyResult<Cells> {
        let (_, array) = self.raw()?;
        let (len, offset) = (
            usize::try_from(array.length)?,
            usize::try_from(array.offset)?,
        );
        let base = self.buffer::<u8>(1)?;
        // SAFETY: the buffer holds offset + length values.
        let base = unsafe { base.add(offset * width) };
        // SAFETY: as above.
        Ok(unsafe { Cells::new(base, width as isize, len) })
    }

    /// Which values are there.
    pub(crate) fn validity(&self) -> PyResult<Validity> {
        let (_, array) = self.raw()?;
        Ok(Validity {
            bits: match array.null_count {
                0 => std::ptr::null(),
                _ => self.buffer::<u8>(0)?,
            },
            offset: usize::try_from(array.offset)?,
            len: usize::try_from(array.length)?,
        })
    }

    /// The values of an array of strings; `None`: it is another one.
    pub(crate) fn strings(&self) -> PyResult<Option<Strings<'_>>> {
        let large = match self.format()? {
            b"u" => false,
            b"U" => true,
            _ => return Ok(None),
        };
        let validity = self.validity()?;
        let offset = validity.offset;
        let (ends, ends_len) = (self.buffer::<u8>(1)?, validity.len + 1);
        let width = if large { 8 } else { 4 };
        let ends = match validity.len {
            // Of an empty array there may be none.
            // SAFETY: no cell is ever read.
            0 => unsafe { Cells::new(ends, 0, 0) },
            // SAFETY: there are offset + length + 1 ends.
            _ => unsafe { Cells::new(ends.add(offset * width), width as isize, ends_len) },
        };
        Ok(Some(Strings {
            ends,
            large,
            data: self.buffer::<u8>(2)?,
            validity,
            array: std::marker::PhantomData,
        }))
    }

    fn buffer<T>(&self, index: usize) -> PyResult<*const T> {
        let (format, array) = self.raw()?;
        if index as i64 >= array.buffer_count || array.buffers.is_null() {
            let format = format.to_string_lossy();
            return Err(PyTypeError::new_err(format!(
                "an Arrow array of the format {format:?} has no buffer {index}"
            )));
        }
        // SAFETY: there are `buffer_count` pointers.
        Ok(unsafe { *array.buffers.add(index) }.cast())
    }
}

/// A bitmap of the values that are not null.
pub(crate) struct Validity {
    /// Null: all are.
    bits: *const u8,
    offset: usize,
    len: usize,
}

impl Validity {
    pub(crate) fn is_valid(&self, index: usize) -> bool {
        if self.bits.is_null() || index >= self.len {
            return index < self.len;
        }
        let bit = self.offset + index;
        // SAFETY: the bitmap has offset + length bits.
        let byte = unsafe { *self.bits.add(bit / 8) };
        byte >> (bit % 8) & 1 == 1
    }
}

/// The values of an array of strings.
pub(crate) struct Strings<'a> {
    /// Where each begins, and where the last one ends.
    ends: Cells,
    large: bool,
    data: *const u8,
    validity: Validity,
    array: std::marker::PhantomData<&'a ()>,
}

impl<'a> Strings<'a> {
    /// The value; `None`: it is null, or no UTF-8.
    pub(crate) fn get(&self, index: usize) -> Option<&'a str> {
        if !self.validity.is_valid(index) {
            return None;
        }
        let (from, to) = (self.end(index), self.end(index + 1));
        let len = to.checked_sub(from)?;
        if len == 0 {
            return Some("");
        }
        // SAFETY: the data reaches to the last end, and ends only grow, which was checked for this one.
        let bytes = unsafe { std::slice::from_raw_parts(self.data.add(from), len) };
        std::str::from_utf8(bytes).ok()
    }

    fn end(&self, index: usize) -> usize {
        if self.large {
            i64::from_ne_bytes(self.ends.read(index)) as usize
        } else {
            i32::from_ne_bytes(self.ends.read(index)) as usize
        }
    }
}
