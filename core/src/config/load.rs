//! From a path or a text to a [`Loaded`] configuration.
//!
//! Invariant: no more than [`MAX_FILE_SIZE`] bytes of any file are read, whatever kind of file it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::{ConfigError, Problem, Warning};
use super::model::Config;
use super::parse::Origin;
use super::reader::{Reader, Source};
use crate::credential::api_key::ApiKeys;

/// The largest configuration or token file that is read, in bytes.
pub const MAX_FILE_SIZE: usize = 1 << 20;

/// A configuration, and all that is to be known about how it came to be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The configuration, validated.
    pub config: Config,
    /// What works but deserves a word, in the order of the file.
    pub warnings: Vec<Warning>,
    /// The files that were read, and those that taking the configuration will read (certificates): when one of them changes, the
    /// configuration is worth reading again.
    pub files: Vec<PathBuf>,
    /// For every key of [`keys`](super::keys), by its full name: where its value came from.
    pub origins: BTreeMap<&'static str, Origin>,
}

/// Where everything stood, to give problems that are found later their place.
#[derive(Clone, Default)]
pub(crate) struct Places {
    /// The files that the configuration is made of.
    pub(crate) files: Vec<PathBuf>,
    origins: BTreeMap<&'static str, Origin>,
}

impl Places {
    /// The same problems with file, line and column, where their keys have them; and the files that are worth watching.
    pub(crate) fn give(&self, mut error: ConfigError) -> ConfigError {
        for problem in &mut error.problems {
            let origin = problem.key.as_deref().and_then(|key| self.origins.get(key));
            if let (
                None,
                Some(Origin::File {
                    file, line, column, ..
                }),
            ) = (&problem.file, origin)
            {
                problem.file = Some(file.clone());
                problem.line = Some(*line);
                problem.column = Some(*column);
            }
        }
        error.files.clone_from(&self.files);
        error
    }
}

impl Loaded {
    pub(crate) fn places(&self) -> Places {
        Places {
            files: self.files.clone(),
            origins: self.origins.clone(),
        }
    }

    /// Reads the certificates and keys that the configuration names: what an engine does when it takes the configuration, and what
    /// may still be wrong with it.
    ///
    /// # Errors
    /// Every certificate or key that is of no use, with the place of its key in the file.
    pub fn check_certificates(&self) -> Result<(), ConfigError> {
        ApiKeys::check(&self.config.api_key).map_err(|error| self.places().give(error))
    }
}

impl Config {
    /// Reads a configuration file, and the token file that it names. Variables come from the process environment,
    /// relative paths begin at the file's folder.
    ///
    /// # Errors
    /// All problems of the file at once. Nothing else has happened then.
    pub fn load(path: impl AsRef<Path>) -> Result<Loaded, ConfigError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let env = |variable: &str| std::env::var(variable).ok();
        let mut reader = Reader::new(Source {
            name: &name,
            env: &env,
            base: path.parent(),
        });
        reader.files.push(path.to_owned());
        match read_file(path) {
            Ok(bytes) => read_bytes(&mut reader, &name, &bytes),
            Err(why) => reader
                .problems
                .push(unreadable(&name, format!("a file {why}"))),
        }
        finish(reader)
    }

    /// Reads a configuration from text. `source` is what problems call it. `env` gives the values of environment
    /// variables. Relative paths begin at `base_dir`, or at the working directory.
    ///
    /// # Errors
    /// All problems of the text at once. Nothing else has happened then.
    pub fn parse(
        yaml: &str,
        source: &str,
        env: &dyn Fn(&str) -> Option<String>,
        base_dir: Option<&Path>,
    ) -> Result<Loaded, ConfigError> {
        Self::parse_bytes(yaml.as_bytes(), source, env, base_dir)
    }

    /// As [`Config::parse`], from bytes that may or may not be UTF-8.
    ///
    /// # Errors
    /// All problems of the text at once. Nothing else has happened then.
    pub fn parse_bytes(
        yaml: &[u8],
        source: &str,
        env: &dyn Fn(&str) -> Option<String>,
        base_dir: Option<&Path>,
    ) -> Result<Loaded, ConfigError> {
        let mut reader = Reader::new(Source {
            name: source,
            env,
            base: base_dir,
        });
        read_bytes(&mut reader, source, yaml);
        finish(reader)
    }
}

fn read_bytes(reader: &mut Reader<'_>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => read_text(reader, name, text),
        Err(e) => {
            let before = String::from_utf8_lossy(&bytes[..e.valid_up_to()]);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
            reader.problems.push(Problem {
                line: u32::try_from(line).ok(),
                column: u32::try_from(column).ok(),
                ..unreadable(name, "bytes that are not UTF-8".into())
            });
        }
    }
}

fn read_text(reader: &mut Reader<'_>, name: &str, text: &str) {
    if text.len() > MAX_FILE_SIZE {
        reader
            .problems
            .push(unreadable(name, Unread::TooLarge.to_string()));
        return;
    }
    // A byte order mark takes no column.
    reader.read(text.strip_prefix('\u{feff}').unwrap_or(text));
}

fn unreadable(name: &str, found: String) -> Problem {
    Problem {
        file: Some(name.to_owned()),
        line: None,
        column: None,
        key: None,
        found,
        accepted: format!("a readable YAML file in UTF-8 of at most {MAX_FILE_SIZE} bytes"),
        hint: None,
    }
}

fn finish(reader: Reader<'_>) -> Result<Loaded, ConfigError> {
    let main = Some(reader.source.name);
    match ConfigError::new(reader.problems, main, reader.files.clone()) {
        Some(error) => Err(error),
        None => Ok(Loaded {
            config: reader.draft.config,
            warnings: reader.warnings,
            files: reader.files,
            origins: reader.origins,
        }),
    }
}

/// Why a file's content is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    #[error("which cannot be read ({0})")]
    Io(#[from] std::io::Error),
    #[error("which is larger than 1 MiB")]
    TooLarge,
}

/// The content of a file of any kind, if it is not too large. It is overwritten when dropped.
pub(crate) fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Unread> {
    let file = File::open(path)?;
    let most = MAX_FILE_SIZE + 1;
    // Allocated once: growing would leave copies of secrets behind.
    let mut content = Zeroizing::new(Vec::with_capacity(most));
    file.take(most as u64).read_to_end(&mut content)?;
    if content.len() > MAX_FILE_SIZE {
        return Err(Unread::TooLarge);
    }
    Ok(content)
}
