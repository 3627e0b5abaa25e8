//! Runs `conformance/client_ip.json` through the public interface.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::Path;

use ipnet::IpNet;
use serde::Deserialize;
use tollbar::client_ip::{ClientKey, TrustedProxies, client_ip, parse_peer};

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    peer: String,
    trusted_proxies: Vec<String>,
    headers: Vec<(String, Value)>,
    ipv6_prefix: u8,
    client: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Hex { hex: String },
}

impl Value {
    fn to_vec(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.as_bytes().to_vec(),
            Self::Hex { hex } => (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect(),
        }
    }
}

fn client_of(vector: &Vector) -> String {
    let values: Vec<Vec<u8>> = vector
        .headers
        .iter()
        .map(|(_, value)| value.to_vec())
        .collect();
    let headers: Vec<(&[u8], &[u8])> = vector
        .headers
        .iter()
        .zip(&values)
        .map(|((name, _), value)| (name.as_bytes(), value.as_slice()))
        .collect();
    let nets: Vec<IpNet> = vector
        .trusted_proxies
        .iter()
        .map(|net| net.parse().unwrap())
        .collect();
    let peer = parse_peer(&vector.peer).unwrap();
    let ip = client_ip(peer, &headers, &TrustedProxies::new(&nets));
    ClientKey::new(ip, vector.ipv6_prefix).to_string()
}

#[test]
fn client_ips_are_found_as_the_vectors_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/client_ip.json");
    let file: File = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(file.vectors.len() >= 80, "vectors are missing");
    let wrong: Vec<String> = file
        .vectors
        .iter()
        .filter_map(|vector| {
            let found = client_of(vector);
            (found != vector.client)
                .then(|| format!("{}: expected {}, found {found}", vector.name, vector.client))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
