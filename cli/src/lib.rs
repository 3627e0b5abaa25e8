//! The command line of Tollbar, as a function: `tollbar` is a program that calls it, `python -m tollbar` another one.
//!
//! Invariants: what the commands are asked for goes to standard output, everything else to standard error. No secret is ever printed
//! but those that `keygen` has just made.

mod check;
mod keygen;
mod reference;
mod replay;

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;

use clap::{
    Arg, ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
};

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

/// What came of a command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// It has been dealt with: the exit code.
    Exit(u8),
    /// It asks for this one of the caller's commands, with these arguments.
    Other(&'static str, Vec<OsString>),
}

/// Does what a command line asks for. `arguments` begins with the program's name. Output is flushed when this returns.
///
/// `others` are further commands and what they do, for the help: the caller runs them.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    others: &[(&'static str, &'static str)],
) -> Ended {
    let parsed = command(others)
        .try_get_matches_from(arguments)
        .and_then(|matches| {
            let other = matches.subcommand().and_then(|(name, matches)| {
                let (name, _) = others.iter().find(|(other, _)| *other == name)?;
                let arguments = matches.get_many("arguments").unwrap_or_default();
                Some(Ended::Other(name, arguments.cloned().collect()))
            });
            match other {
                Some(other) => Ok(Parsed::Other(other)),
                None => Cli::from_arg_matches(&matches).map(Parsed::Own),
            }
        });
    let code = match parsed {
        Ok(Parsed::Other(other)) => return other,
        Ok(Parsed::Own(cli)) => finish(run(cli.command)),
        Err(error) => {
            // Help and the version are errors to clap, with the exit code 0.
            let _ = error.print();
            u8::try_from(error.exit_code()).unwrap_or(2)
        }
    };
    Ended::Exit(code)
}

enum Parsed {
    Own(Cli),
    Other(Ended),
}

fn command(others: &[(&'static str, &'static str)]) -> clap::Command {
    others.iter().fold(Cli::command(), |cli, (name, about)| {
        let arguments = Arg::new("arguments")
            .action(ArgAction::Append)
            .num_args(0..)
            .trailing_var_arg(true)
            .allow_hyphen_values(true)
            .value_parser(clap::value_parser!(OsString));
        let other = clap::Command::new(*name)
            .about(*about)
            .disable_help_flag(true)
            .arg(arguments);
        cli.subcommand(other)
    })
}

fn finish(result: Result<u8, Error>) -> u8 {
    let result = result.and_then(|code| {
        io::stdout().flush()?;
        Ok(code)
    });
    match result {
        Ok(code) => code,
        // Whoever reads has read enough, as `head` does.
        Err(Error::Output(error)) if error.kind() == ErrorKind::BrokenPipe => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "tollbar: {error}");
            3
        }
    }
}

fn run(command: Command) -> Result<u8, Error> {
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
    Ok(0)
}
