//! The way of a configuration: file (YAML, keys, environment) -> model -> validated snapshot.

mod model;

pub use model::{
    AnonymousConfig, ApiKeyConfig, Config, MAX_BURST_MULTIPLIER, MAX_EVENT_LIMIT, MAX_IP_LIMIT,
    MAX_TOKEN_LEN, SecretToken,
};
