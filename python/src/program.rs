//! `python -m tollbar`: the command line, which is the program `tollbar` itself.

use std::ffi::OsString;

use pyo3::prelude::*;
use tollbar_cli::Ended;

/// The commands that Python brings.
const OTHERS: &[(&str, &str)] = &[(
    "intake",
    "Starts the reference ingestor (`pip install 'tollbar[intake]'`): `intake --help` lists its options",
)];

/// Does what a command line asks for. Returns the exit code, or a command of Python's and its arguments.
#[pyfunction]
pub(crate) fn main(
    py: Python<'_>,
    arguments: Vec<OsString>,
) -> (u8, Option<(&'static str, Vec<OsString>)>) {
    match py.detach(|| tollbar_cli::main(arguments, OTHERS)) {
        Ended::Exit(code) => (code, None),
        Ended::Other(name, arguments) => (0, Some((name, arguments))),
    }
}
