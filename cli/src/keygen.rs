//! `tollbar keygen`: secrets that nobody can guess, and what of them belongs into the configuration.
//!
//! Invariant: what is secret comes from the system's random numbers, is printed once, and its buffers are overwritten.

use std::io::{self, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;
use tollbar::api_key::{GeneratedKey, generate, generate_with_id};
use tollbar::config::Privilege;
use zeroize::Zeroizing;

use crate::{Error, Format};

#[derive(Args)]
pub struct Keygen {
    /// Make a secret token, for `apm-server.auth.secret_token` and for the agents: 256 random bits in 43 characters
    #[arg(long, conflicts_with = "api_key")]
    token: bool,
    /// Make an API key: a credential for the client, and an entry for `apm-server.auth.api_key.keys`
    #[arg(long)]
    api_key: bool,
    /// The id of the API key; a random one if not given
    #[arg(long, requires = "api_key")]
    id: Option<String>,
    /// What the API key may do
    #[arg(
        long = "privilege",
        requires = "api_key",
        value_parser = privileges(),
        value_delimiter = ',',
        default_values = ["event:write", "config_agent:read"],
    )]
    privileges: Vec<String>,
    /// How to print the API key
    #[arg(long, requires = "api_key", value_enum, default_value_t = Format::Text)]
    format: Format,
}

fn privileges() -> PossibleValuesParser {
    PossibleValuesParser::new(Privilege::ALL.map(Privilege::as_str))
}

pub fn run(args: &Keygen) -> Result<(), Error> {
    let text = match args.api_key {
        true => api_key(args)?,
        false => token()?,
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// 256 random bits in base64url, which needs no quotes in YAML, shells and headers.
fn token() -> Result<Zeroizing<String>, Error> {
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(random.as_mut_slice())?;
    // Long enough from the start: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(44));
    BASE64_URL_SAFE_NO_PAD.encode_string(random.as_slice(), &mut text);
    text.push('\n');
    Ok(text)
}

/// An entry of `apm-server.auth.api_key.keys`.
#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    hash: &'a str,
    privileges: &'a [String],
}

#[derive(Serialize)]
struct Made<'a> {
    credential: &'a str,
    #[serde(flatten)]
    entry: Entry<'a>,
}

fn api_key(args: &Keygen) -> Result<Zeroizing<String>, Error> {
    let key: GeneratedKey = match &args.id {
        Some(id) => generate_with_id(id)?,
        None => generate()?,
    };
    let entry = Entry {
        id: &key.id,
        hash: &key.hash,
        privileges: &args.privileges,
    };
    let text = match args.format {
        Format::Json => {
            let credential = &key.credential;
            serde_json::to_string_pretty(&Made { credential, entry })? + "\n"
        }
        // JSON on one line is YAML as well.
        Format::Text => format!(
            "# For the client, which sends it as `Authorization: ApiKey <credential>`. It is kept nowhere.\n\
             credential: {}\n\
             # For the configuration, below apm-server.auth.api_key.\n\
             keys:\n  - {}\n",
            *key.credential,
            serde_json::to_string(&entry)?,
        ),
    };
    Ok(Zeroizing::new(text))
}
