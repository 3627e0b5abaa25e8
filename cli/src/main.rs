//! `tollbar`: checks a configuration before it is put into force, makes secret tokens and API keys, and replays logs.
//!
//! Invariants: what the commands are asked for goes to standard output, everything else to standard error. No secret is ever printed
//! but those that `keygen` has just made.

mod check;
mod keygen;
mod reference;
mod replay;

use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

/// Checks Tollbar's configuration and makes its secrets.
#[derive(Parser)]
#[command(name = "tollbar", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks a configuration file and prints what it comes to: every key with its value and where that comes from
    ///
    /// Secrets are masked. Warnings go to standard error.
    ///
    /// Exit codes: 0 the configuration is valid; 1 it is, but there are warnings, with --strict; 2 it is not, and every problem is
    /// listed, one a line.
    CheckConfig(CheckConfig),
    /// Makes a secret token (the default) or an API key from random numbers
    Keygen(keygen::Keygen),
    /// Feeds an access log through the rate limit at the log's own times, and shows what would have been refused
    ///
    /// Every request is taken as an anonymous one of an allowed agent and service. It is charged one event, then its events in batches
    /// of ten, and is cut off at the first batch that does not fit, as intake servers do.
    ///
    /// Exit codes: 0 the log was replayed; 2 the configuration is not valid; 3 the log can't be read.
    Replay(replay::Replay),
    /// Prints the completions of a shell: source them in its start-up file
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints the reference of all keys, as it stands in the documentation
    #[command(hide = true)]
    ConfigReference,
}

#[derive(Args)]
struct CheckConfig {
    /// The file; `-` reads from standard input
    file: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Fail if there are warnings
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, and readable as YAML
    Text,
    /// One JSON object
    Json,
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    #[error("cannot write the output as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    #[error("there is nothing to replay: {0}")]
    NothingToReplay(String),
    #[error("cannot draw: {0}")]
    Plot(String),
    #[error("cannot write the report: {0}")]
    Template(#[from] minijinja::Error),
    #[error("cannot make the API key: {0}")]
    ApiKey(#[from] tollbar::api_key::KeygenError),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        // Whoever reads has read enough, as `head` does.
        Err(Error::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "tollbar: {error}");
            ExitCode::from(3)
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::CheckConfig(args) => return check::run(&args),
        Command::Keygen(args) => keygen::run(&args)?,
        Command::Replay(args) => return replay::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tollbar", &mut script);
            io::stdout().write_all(&script)?;
        }
        Command::ConfigReference => io::stdout().write_all(reference::reference().as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}
