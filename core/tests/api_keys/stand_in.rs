//! A stand-in for Elasticsearch: checks each request's exact shape, and answers as the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What to answer.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub body: String,
    pub delay: Duration,
    /// The connection is closed after the answer, without a word of it.
    pub hang_up: bool,
    /// How many requests of a connection are answered; at the next one it breaks.
    pub answers: u64,
    /// The connection ends before the answer does.
    pub breaks_off: bool,
    /// The answer comes in two pieces.
    pub halved: bool,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self {
            status,
            body: r#"{"error":{"type":"security_exception"}}"#.into(),
            delay: Duration::ZERO,
            hang_up: false,
            answers: u64::MAX,
            breaks_off: false,
            halved: false,
        }
    }

    /// 200, with these of `config_agent:read`, `event:write` and `sourcemap:write`.
    pub fn privileges(config_agent: bool, event: bool, sourcemap: bool) -> Self {
        let all = config_agent && event && sourcemap;
        let body = serde_json::json!({
            "username": "someone", "has_all_requested": all, "cluster": {}, "index": {},
            "application": {"apm": {"-": {
                "config_agent:read": config_agent, "event:write": event, "sourcemap:write": sourcemap,
            }}},
        });
        Self {
            body: body.to_string(),
            ..Self::status(200)
        }
    }

    pub fn body(self, body: &str) -> Self {
        Self {
            body: body.into(),
            ..self
        }
    }

    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    pub fn hanging_up(self) -> Self {
        Self {
            hang_up: true,
            ..self
        }
    }
}

impl Reply {
    pub fn once_per_connection(self) -> Self {
        Self { answers: 1, ..self }
    }

    pub fn never(self) -> Self {
        Self { answers: 0, ..self }
    }

    pub fn halved(self) -> Self {
        Self {
            halved: true,
            ..self
        }
    }

    pub fn breaking_off(self) -> Self {
        Self {
            breaks_off: true,
            ..self
        }
    }
}

type Answer = Arc<dyn Fn(&str) -> Reply + Send + Sync>;

/// A server on a port of its own. It ends when it is dropped.
pub struct StandIn(Arc<Shared>);

struct Shared {
    port: u16,
    tls: Option<Arc<ServerConfig>>,
    answer: Mutex<Answer>,
    streams: Mutex<Vec<TcpStream>>,
    requests: AtomicU64,
    connections: AtomicU64,
    /// What was wrong with requests.
    complaints: Mutex<Vec<String>>,
    closed: AtomicBool,
}

impl StandIn {
    /// Answers each credential (`id:key`) as `answer` says.
    pub fn new(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_tls(None, answer)
    }

    pub fn with_tls(
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::new(Shared {
            port: listener.local_addr().unwrap().port(),
            tls,
            answer: Mutex::new(Arc::new(answer)),
            streams: Mutex::new(Vec::new()),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            complaints: Mutex::new(Vec::new()),
            closed: AtomicBool::new(false),
        });
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if server.closed.load(Ordering::SeqCst) {
                    return;
                }
                let (server, stream) = (Arc::clone(&server), stream.unwrap());
                let kept = stream.try_clone().unwrap();
                server.streams.lock().unwrap().push(kept);
                server.connections.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || server.accept(stream));
            }
        });
        Self(shared)
    }

    pub fn answers(&self, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) {
        *self.0.answer.lock().unwrap() = Arc::new(answer);
    }

    /// Ends all connections.
    pub fn disconnects(&self) {
        for stream in self.0.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn url(&self) -> String {
        let scheme = if self.0.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://127.0.0.1:{}", self.0.port)
    }

    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> u64 {
        self.0.connections.load(Ordering::SeqCst)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.0.port));
        if !std::thread::panicking() {
            assert_eq!(*self.0.complaints.lock().unwrap(), Vec::<String>::new());
        }
    }
}

impl Shared {
    fn accept(&self, stream: TcpStream) {
        let _ = match &self.tls {
            None => self.serve(&stream),
            Some(config) => {
                let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                let mut stream = StreamOwned::new(connection, &stream);
                let served = self.serve(&mut stream);
                stream.conn.send_close_notify();
                served.and(stream.flush())
            }
        };
        // `streams` holds it too.
        let _ = stream.shutdown(Shutdown::Both);
    }

    /// Serves requests until the client goes.
    fn serve(&self, stream: impl Read + Write) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        for number in 0.. {
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                if line == "\r\n" {
                    break;
                }
                head.push(line.trim_end().to_owned());
            }
            let header = |name: &str| {
                let found = head.iter().filter_map(|line| line.split_once(": "));
                let values: Vec<&str> = found
                    .filter(|h| h.0.eq_ignore_ascii_case(name))
                    .map(|h| h.1)
                    .collect();
                if values.len() == 1 {
                    values[0].to_owned()
                } else {
                    format!("{values:?}")
                }
            };
            let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
            stream.read_exact(&mut body)?;
            self.requests.fetch_add(1, Ordering::SeqCst);
            let key = self.check(&head[0], header, &body);
            // Not under the lock: an answer may wait for another one.
            let answer = Arc::clone(&self.answer.lock().unwrap());
            let reply = answer(&key);
            if number >= reply.answers {
                return Ok(());
            }
            std::thread::sleep(reply.delay);
            let Reply { status, body, .. } = &reply;
            let location = if (300..400).contains(status) {
                format!("location: http://127.0.0.1:{}/elsewhere\r\n", self.port)
            } else {
                String::new()
            };
            let length = body.len() + usize::from(reply.breaks_off);
            let answer = format!(
                "HTTP/1.1 {status} Some\r\ncontent-type: application/json\r\n{location}content-length: {length}\r\n\r\n{body}"
            );
            let stream = stream.get_mut();
            let (first, second) = answer.split_at(if reply.halved { 20 } else { 0 });
            if reply.halved {
                stream.write_all(first.as_bytes())?;
                stream.flush()?;
                // So that they aren't read as one.
                std::thread::sleep(Duration::from_millis(20));
            }
            stream.write_all(second.as_bytes())?;
            stream.flush()?;
            if reply.hang_up || reply.breaks_off {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Complains about everything that a request must not be, and returns the key.
    fn check(&self, first: &str, header: impl Fn(&str) -> String, body: &[u8]) -> String {
        let mut complaints = self.complaints.lock().unwrap();
        let mut expect = |what: &str, found: &str, expected: &str| {
            if found != expected {
                complaints.push(format!("{what}: {found}, not {expected}"));
            }
        };
        expect(
            "request",
            first,
            "POST /_security/user/_has_privileges HTTP/1.1",
        );
        expect("host", &header("host"), &format!("127.0.0.1:{}", self.port));
        expect("content-type", &header("content-type"), "application/json");
        expect("accept", &header("accept"), "application/json");
        expect("transfer-encoding", &header("transfer-encoding"), "[]");
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let privileges = ["config_agent:read", "event:write", "sourcemap:write"];
        let question = serde_json::json!({
            "application": [{"application": "apm", "privileges": privileges, "resources": ["-"]}]
        });
        expect("body", &body.to_string(), &question.to_string());
        let authorization = header("authorization");
        let credential = authorization.strip_prefix("ApiKey ").unwrap_or_default();
        match STANDARD.decode(credential) {
            Ok(key) => String::from_utf8_lossy(&key).into_owned(),
            Err(error) => {
                complaints.push(format!("authorization: {error}"));
                String::new()
            }
        }
    }
}
