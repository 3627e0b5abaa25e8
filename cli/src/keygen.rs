//! `tollbar keygen`: secrets that nobody can guess.
//!
//! Invariant: every secret has 256 bits of the system's random numbers, and its buffers are overwritten.

use std::io::{self, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Args;
use zeroize::Zeroizing;

use crate::Error;

#[derive(Args)]
pub struct Keygen {
    /// Make a secret token, for `apm-server.auth.secret_token` and for the agents: 43 characters
    #[arg(long)]
    token: bool,
}

pub fn run(args: &Keygen) -> Result<(), Error> {
    // The one thing that is made so far, with or without being asked for by name.
    let Keygen { token: _ } = args;
    let mut line = secret()?;
    line.push('\n');
    io::stdout().write_all(line.as_bytes())?;
    Ok(())
}

/// 256 random bits in base64url, which needs no quotes in YAML, shells and headers.
fn secret() -> Result<Zeroizing<String>, Error> {
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(random.as_mut_slice())?;
    // Long enough from the start: growing would leave copies behind. One more for the end of the line.
    let mut text = Zeroizing::new(String::with_capacity(44));
    BASE64_URL_SAFE_NO_PAD.encode_string(random.as_slice(), &mut text);
    Ok(text)
}
