//! Enums and booleans as C may hand them in: any number. The header shows them under the names of what they stand for.
//!
//! Invariant: a number becomes an enum only by a match that knows what to do with all others.

/// `bool` in the header; any byte but 0 is true.
pub type raw_bool = u8;
/// `tollbar_action` in the header.
pub type raw_action = u8;
/// `tollbar_reason` in the header.
pub type raw_reason = u8;
/// `tollbar_method` in the header.
pub type raw_method = u8;
/// `tollbar_switch` in the header.
pub type raw_switch = u8;
/// `tollbar_tls_check` in the header.
pub type raw_tls_check = u8;
/// `tollbar_verdict` in the header.
pub type raw_verdict = u32;
/// `tollbar_status` in the header.
pub type raw_status = u32;
