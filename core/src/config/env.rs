//! `${VAR}` and `${VAR:default}` in the values of known keys, as APM Server expands them.
//!
//! An empty variable counts as unset, a default may hold further expressions, `${VAR:?message}` asks for the
//! variable, and `$${` stands for `${` itself.
//!
//! Invariant: an error names variables, never their values, defaults or the text around them.

use zeroize::Zeroizing;

/// How deep defaults may be nested in defaults.
const MAX_DEPTH: usize = 8;

/// The text after expansion, and which variables it has from the environment.
pub(super) struct Expanded {
    pub text: Zeroizing<String>,
    /// The variables that were named, set or not; empty: there was nothing to expand.
    pub variables: Vec<String>,
}

/// Why a text cannot be expanded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EnvError {
    /// No value and no default.
    Unset(String),
    /// `${VAR:?message}`, and no value.
    Required(String, String),
    /// `${` without its `}`.
    Unclosed,
    /// What stands between `${` and `}` is not the name of a variable.
    BadName,
    /// Defaults within defaults within defaults.
    TooDeep,
}

/// Where variables come from: the process environment, or a test's table.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

pub(super) fn expand(text: &str, env: Lookup<'_>) -> Result<Expanded, EnvError> {
    let mut expanded = Expanded {
        text: Zeroizing::new(String::with_capacity(text.len())),
        variables: Vec::new(),
    };
    expand_into(text, env, 0, &mut expanded)?;
    Ok(expanded)
}

fn expand_into(
    text: &str,
    env: Lookup<'_>,
    depth: usize,
    out: &mut Expanded,
) -> Result<(), EnvError> {
    if depth > MAX_DEPTH {
        return Err(EnvError::TooDeep);
    }
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if let Some(before) = rest[..start].strip_suffix('$') {
            out.text.push_str(before);
            out.text.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        out.text.push_str(&rest[..start]);
        let inside = &rest[start + 2..];
        let end = closing_brace(inside).ok_or(EnvError::Unclosed)?;
        expression(&inside[..end], env, depth, out)?;
        rest = &inside[end + 1..];
    }
    out.text.push_str(rest);
    Ok(())
}

/// Where the `}` stands that ends the expression, past those of the expressions within.
fn closing_brace(inside: &str) -> Option<usize> {
    let mut open = 0_usize;
    let mut previous = '\0';
    for (i, c) in inside.char_indices() {
        match c {
            '{' if previous == '$' => open += 1,
            '}' if open == 0 => return Some(i),
            '}' => open -= 1,
            _ => {}
        }
        previous = c;
    }
    None
}

fn expression(
    inside: &str,
    env: Lookup<'_>,
    depth: usize,
    out: &mut Expanded,
) -> Result<(), EnvError> {
    let (name, default) = match inside.split_once(':') {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        return Err(EnvError::BadName);
    }
    out.variables.push(name.to_owned());
    // An embedder's lookup may return what it likes; what it returns may be a secret.
    let value = env(name).map(Zeroizing::new).filter(|v| !v.is_empty());
    match (value, default) {
        (Some(value), _) => {
            out.text.push_str(&value);
            Ok(())
        }
        (None, Some(default)) => match default.strip_prefix('?') {
            Some(message) => Err(EnvError::Required(name.to_owned(), message.to_owned())),
            None => expand_into(default, env, depth + 1, out),
        },
        (None, None) => Err(EnvError::Unset(name.to_owned())),
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    name.len() <= 256
        && name.chars().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

impl EnvError {
    /// What was found, for a problem.
    pub fn found(&self) -> String {
        match self {
            Self::Unset(name) | Self::Required(name, _) => {
                format!("${{{name}}}, but the environment variable {name} is not set")
            }
            Self::Unclosed => "a `${` without its `}`".into(),
            Self::BadName => "a `${…}` that names no environment variable".into(),
            Self::TooDeep => "a `${…}` with too many defaults inside defaults".into(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unset(name) => format!("set {name}, or give a default: ${{{name}:default}}"),
            Self::Required(name, message) if message.is_empty() => format!("set {name}"),
            Self::Required(name, message) => {
                format!("set {name}: {}", super::error::quoted(message))
            }
            Self::Unclosed | Self::BadName => "write `$${` for a literal `${`".into(),
            Self::TooDeep => "give one default".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("alpha".into()),
            "EMPTY" => Some(String::new()),
            "TRICKY" => Some("${A}".into()),
            _ => None,
        }
    }

    fn expanded(text: &str) -> Result<String, EnvError> {
        expand(text, &env).map(|e| e.text.to_string())
    }

    #[test]
    fn variables_and_defaults_are_expanded() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${A}", "alpha"),
            ("x${A}y${A}z", "xalphayalphaz"),
            ("${B:beta}", "beta"),
            ("${A:beta}", "alpha"),
            ("${B:}", ""),
            ("${EMPTY:beta}", "beta"),
            ("${B:http://h:1}", "http://h:1"),
            ("${B:${C:${A}}}!", "alpha!"),
            ("$${A}", "${A}"),
            ("a$b$", "a$b$"),
            ("${TRICKY}", "${A}"),
            ("${A:?needed}", "alpha"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_unset_variable_without_default_is_an_error() {
        assert_eq!(expanded("${B}"), Err(EnvError::Unset("B".into())));
        assert_eq!(expanded("${EMPTY}"), Err(EnvError::Unset("EMPTY".into())));
        assert_eq!(
            expanded("${B:?say why}"),
            Err(EnvError::Required("B".into(), "say why".into()))
        );
    }

    #[test]
    fn malformed_expressions_are_errors_that_show_nothing_of_the_text() {
        for text in [
            "hunter2${",
            "hunter2${A",
            "${}",
            "${:x}",
            "${hun ter2}",
            "${1A}",
            "${A:${B:}",
        ] {
            let error = expanded(text).unwrap_err();
            assert!(!error.found().contains("hun"), "{text}");
        }
        assert_eq!(
            expanded(&("${B:".repeat(20) + &"}".repeat(20))),
            Err(EnvError::TooDeep)
        );
    }

    #[test]
    fn the_variables_that_were_named_are_told() {
        assert_eq!(expand("${A}${B:x}", &env).unwrap().variables, ["A", "B"]);
    }
}
