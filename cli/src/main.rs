//! `tollbar`: checks a configuration before it is put into force, makes secret tokens and API keys, and replays logs.

use std::process::ExitCode;

use tollbar_cli::Ended;

fn main() -> ExitCode {
    match tollbar_cli::main(std::env::args_os(), &[]) {
        Ended::Exit(code) => code.into(),
        // There are no others.
        Ended::Other(..) => ExitCode::FAILURE,
    }
}
