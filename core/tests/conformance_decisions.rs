//! `conformance/decisions.json` and `conformance/gcra.json`, through the public API.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tollbar::client_ip::parse_peer;
use tollbar::{Action, Decision, Engine, Question, Request, Resource};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    config: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    authorization: Option<String>,
    peer: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default = "ingest")]
    action: String,
    agent: Option<String>,
    service: Option<String>,
    #[serde(default)]
    rum: bool,
    #[serde(default = "one")]
    cost: u64,
    now: Option<u64>,
    expect: Map<String, Value>,
}

fn ingest() -> String {
    "ingest".into()
}

fn one() -> u64 {
    1
}

impl Step {
    fn resource(&self) -> Resource<'_> {
        Resource {
            agent: self.agent.as_deref(),
            service: self.service.as_deref(),
        }
    }

    fn take(&self, engine: &Engine) -> Decision {
        let peer: IpAddr = parse_peer(self.peer.as_deref().unwrap_or("203.0.113.9")).unwrap();
        let headers: Vec<(&[u8], &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        let request = Request {
            authorization: self.authorization.as_deref().map(str::as_bytes),
            peer,
            headers: &headers,
        };
        let resource = self.resource();
        let action = Action::from_name(&self.action).unwrap();
        engine.check(
            &request,
            &Question {
                action,
                resource,
                rum: self.rum,
                cost: self.cost,
            },
            self.now,
        )
    }
}

fn answer(decision: &Decision, resource: Resource<'_>, field: &str) -> Value {
    match field {
        "message" => json!(decision.message(resource).to_string()),
        "status" => json!(decision.http_status()),
        "grpc_status" => json!(decision.grpc_status() as i32),
        "reason" => json!(decision.reason.as_str()),
        "method" => json!(decision.method.map(|method| method.as_str())),
        "remaining" => json!(decision.rate.map(|rate| rate.remaining())),
        "client" => json!(decision.client.to_string()),
        "retry_after_ns" => json!(decision.retry_after().map(|wait| wait.as_nanos() as u64)),
        "www_authenticate" => json!(decision.www_authenticate().is_some()),
        other => panic!("unknown field {other}"),
    }
}

fn run(file: &str) {
    let path = format!("{}/../conformance/{file}", env!("CARGO_MANIFEST_DIR"));
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut steps = 0;
    for case in &cases {
        let engine = Engine::from_yaml(&case.config)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        for (i, step) in case.steps.iter().enumerate() {
            let decision = step.take(&engine);
            for (field, expected) in &step.expect {
                let got = answer(&decision, step.resource(), field);
                assert_eq!(
                    &got,
                    expected,
                    "{file}: {}: step {}: {field}",
                    case.name,
                    i + 1
                );
            }
            steps += 1;
        }
    }
    assert!(steps >= 50, "{file} has {steps} steps");
}

#[test]
fn decisions() {
    run("decisions.json");
}

#[test]
fn gcra() {
    run("gcra.json");
}
