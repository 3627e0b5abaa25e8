//! What is asked of Elasticsearch, and what its answer means.
//!
//! Invariant: only an answer of exactly the known shape is a verdict. Anything else (a proxy's error page, another server, a
//! version that answers otherwise) says nothing of the key, and another host is asked.

use serde::Deserialize;

use super::super::privileges::Privileges;
use super::super::verifier::VerifyError;
use crate::config::Privilege;

/// The body of the request: which of APM Server's privileges does whoever asks hold?
pub(super) const QUESTION: &str = r#"{"application":[{"application":"apm","privileges":["config_agent:read","event:write","sourcemap:write"],"resources":["-"]}]}"#;

/// An answer that is larger is none.
pub(super) const LONGEST_ANSWER: u64 = 64 * 1024;

#[derive(Deserialize)]
struct Answer {
    application: Applications,
}

#[derive(Deserialize)]
struct Applications {
    apm: Resources,
}

#[derive(Deserialize)]
struct Resources {
    #[serde(rename = "-")]
    all: Held,
}

#[derive(Deserialize)]
struct Held {
    #[serde(rename = "config_agent:read")]
    config_agent_read: bool,
    #[serde(rename = "event:write")]
    event_write: bool,
    #[serde(rename = "sourcemap:write")]
    sourcemap_write: bool,
}

/// Reads an answer: the privileges, or why there are none. `Err(Unavailable)` asks for another host.
pub(super) fn read(status: u16, body: &[u8]) -> Result<Privileges, VerifyError> {
    match status {
        200 => privileges(body),
        401 | 403 => Err(VerifyError::Invalid),
        429 => Err(VerifyError::Unavailable("it is busy (429)".into())),
        other => Err(VerifyError::Unavailable(format!("it answered {other}"))),
    }
}

fn privileges(body: &[u8]) -> Result<Privileges, VerifyError> {
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        // The text of the error could quote the answer.
        let why = "it answered 200, but not as Elasticsearch does";
        return Err(VerifyError::Unavailable(why.into()));
    };
    let held = answer.application.apm.all;
    let privileges: Privileges = [
        (Privilege::ConfigAgentRead, held.config_agent_read),
        (Privilege::EventWrite, held.event_write),
        (Privilege::SourcemapWrite, held.sourcemap_write),
    ]
    .into_iter()
    .filter_map(|(privilege, held)| held.then_some(privilege))
    .collect();
    if privileges.is_empty() {
        return Err(VerifyError::Invalid);
    }
    Ok(privileges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(config: bool, event: bool, sourcemap: bool) -> String {
        format!(
            r#"{{"username":"u","has_all_requested":false,"cluster":{{}},"index":{{}},"application":{{"apm":{{"-":{{
            "config_agent:read":{config},"event:write":{event},"sourcemap:write":{sourcemap}}}}}}}}}"#
        )
    }

    #[test]
    fn each_privilege_is_read_for_itself() {
        for bits in 0..8u8 {
            let [config, event, sourcemap] = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
            let read = read(200, answer(config, event, sourcemap).as_bytes());
            if bits == 0 {
                assert_eq!(read, Err(VerifyError::Invalid));
                continue;
            }
            let privileges = read.unwrap();
            assert_eq!(privileges.contains(Privilege::ConfigAgentRead), config);
            assert_eq!(privileges.contains(Privilege::EventWrite), event);
            assert_eq!(privileges.contains(Privilege::SourcemapWrite), sourcemap);
        }
    }

    #[test]
    fn the_question_is_json_and_names_every_privilege() {
        let question: serde_json::Value = serde_json::from_str(QUESTION).unwrap();
        let names: Vec<&str> = Privilege::ALL.iter().map(|p| p.as_str()).collect();
        assert_eq!(
            question,
            serde_json::json!({"application": [{"application": "apm", "privileges": names, "resources": ["-"]}]})
        );
    }

    #[test]
    fn what_is_no_verdict_is_unavailable() {
        let missing = r#"{"application":{"apm":{"-":{"event:write":true}}}}"#;
        let other = r#"{"application":{"apm":{"-":{"config_agent:read":1,"event:write":1,"sourcemap:write":1}}}}"#;
        for (status, body) in [
            (200, ""),
            (200, "{}"),
            (200, "<html>"),
            (200, missing),
            (200, other),
            (204, ""),
            (301, ""),
            (400, ""),
            (404, ""),
            (429, ""),
            (500, ""),
            (503, ""),
        ] {
            let read = read(status, body.as_bytes());
            assert!(
                matches!(read, Err(VerifyError::Unavailable(_))),
                "{status} {body}"
            );
        }
        assert_eq!(read(401, b"whatever"), Err(VerifyError::Invalid));
        assert_eq!(read(403, b""), Err(VerifyError::Invalid));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(status in 100..600u16, body: Vec<u8>) {
            if read(status, &body).is_ok() {
                prop_assert_eq!(status, 200);
            }
        }
    }
}
