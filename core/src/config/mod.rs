//! The way of a configuration: file (YAML, keys, environment) -> model -> validated snapshot.
//!
//! | file | what it does |
//! |---|---|
//! | `model.rs`, `api_key.rs` | [`Config`] as plain data, its limits and defaults |
//! | `load.rs` | [`Config::load`] and [`Config::parse`]: the whole way, and [`Loaded`], its result |
//! | `yaml.rs` | text -> a tree of nodes with line and column |
//! | `keys.rs`, `table.rs` | the one table of all known keys: kind, default, documentation, setter |
//! | `flatten.rs` | tree -> flat list of key and value, however nested and dotted keys are mixed |
//! | `env.rs` | `${VAR}` and `${VAR:default}` |
//! | `parse.rs` | flat list -> [`Config`], driven by the table, collecting every problem |
//! | `consequences.rs` | what several keys come to together |
//! | `reader.rs` | what all readers of values share: expanded texts, problems with their place |
//! | `values.rs` | text -> number, duration, network, URL |
//! | `tokens.rs`, `local_keys.rs` | the two kinds of value that take more than a line of text |
//! | `validate.rs` | [`Config::validate`] for configurations that programs build |
//! | `changes.rs` | which keys two configurations differ in |
//! | `error.rs` | [`ConfigError`], [`Problem`], [`Warning`] |
//!
//! Invariants of the whole folder: no input panics or recurses without bound; every problem of a file is
//! reported at once; a secret never appears in a problem, a warning, an origin or a `Debug`.

mod api_key;
mod changes;
mod consequences;
mod env;
mod error;
mod flatten;
mod keys;
mod load;
mod local_keys;
mod model;
mod parse;
mod reader;
mod table;
mod tokens;
mod validate;
mod values;
mod yaml;

pub use api_key::{
    ApiKeyConfig, ElasticsearchConfig, KeyHash, LocalApiKey, Pem, Privilege, SslConfig,
    VerificationMode,
};
pub(crate) use changes::changed_keys;
pub use error::{ConfigError, Problem, Warning};
pub use keys::{Key, keys};
pub(crate) use load::Places;
#[cfg(feature = "elasticsearch")]
pub(crate) use load::read_file;
pub use load::{Loaded, MAX_FILE_SIZE};
pub use model::{
    AnonymousConfig, Config, MAX_BURST_MULTIPLIER, MAX_EVENT_LIMIT, MAX_IP_LIMIT,
    MAX_SECRET_TOKENS, MAX_TOKEN_LEN, SecretToken,
};
pub use parse::Origin;
