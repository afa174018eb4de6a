//! What providers do to connections, byte by byte: answers that come early, ends and bytes
//! that come while a connection is idle, and breaks right behind data.
//!
//! The provider is a listener of the test, so that it can say what no server would. Each
//! request is one attempt: where a client is answered, nothing was tried twice.
//!
//! Needs the built gateway.

use coo_llm_tests::client::Client;
use coo_llm_tests::gateway::Gateway;
use coo_llm_tests::patience::PATIENCE;
use coo_llm_tests::rig::{self, CHAT, CLIENT_KEY};
use coo_llm_tests::upstream::Script;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

const ANSWER: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
/// What a provider could smuggle into the answer of somebody else's request.
const FORGED: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n{\"forged\":true}";

/// A provider, and the gateway before it.
struct Scene {
    provider: TcpListener,
    gateway: Gateway,
}

/// The provider's end of a connection.
struct End(BufReader<TcpStream>);

impl Scene {
    fn start() -> Self {
        let provider = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = provider.local_addr().expect("it is bound");
        let gateway = Gateway::start(&rig::config(&format!("http://{addr}/v1")));
        Self { provider, gateway }
    }

    /// A chat on its way to the provider.
    fn ask(&self, body: &[u8]) -> Client {
        let mut client = self.gateway.client();
        let bearer = format!("Bearer {CLIENT_KEY}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let sent = client.send("POST", CHAT, &headers, body);
        sent.expect("the gateway reads the request");
        client
    }

    fn chat(&self) -> Client {
        self.ask(rig::chat(&Script::default()).to_string().as_bytes())
    }

    fn accept(&self) -> End {
        let (stream, _) = self.provider.accept().expect("the gateway connects");
        let bounded = stream.set_read_timeout(Some(PATIENCE));
        bounded.expect("a socket takes a timeout");
        End(BufReader::new(stream))
    }

    /// The next chat comes on a connection of its own, and is answered.
    fn next_goes_elsewhere(&self) {
        let mut client = self.chat();
        let mut end = self.accept();
        end.hear();
        end.say(ANSWER);
        let reply = client.read().expect("a whole answer");
        assert_eq!((reply.status, reply.text()), (200, "{}"));
    }
}

impl End {
    /// Reads a head; the length that it announces.
    fn hear_head(&mut self) -> usize {
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a head");
            if let Some(digits) = line.strip_prefix("content-length: ") {
                length = digits.trim().parse().expect("digits");
            }
            if line == "\r\n" {
                return length;
            }
            assert!(!line.is_empty(), "the connection ended within the head");
        }
    }

    fn hear(&mut self) {
        let mut body = vec![0; self.hear_head()];
        self.0.read_exact(&mut body).expect("a whole body");
    }

    fn say(&mut self, text: &str) {
        let said = self.0.get_mut().write_all(text.as_bytes());
        said.expect("the gateway reads");
    }

    /// Bytes that still come until the gateway closes.
    fn rest_bytes(&mut self) -> usize {
        let mut rest = Vec::new();
        let closed = self.0.read_to_end(&mut rest);
        // Where the gateway leaves bytes unread, its close is a reset.
        let is_reset = |error: std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        assert!(
            closed.map_or_else(is_reset, |_bytes| true),
            "the gateway closes"
        );
        rest.len()
    }
}

#[test]
fn a_refusal_may_come_before_the_request_is_out() {
    /// More than the sockets of both ends hold.
    const BODY_BYTES: usize = 9 << 20;
    let scene = Scene::start();
    let mut body = rig::chat(&Script::default());
    body["messages"][0]["content"] = "x".repeat(BODY_BYTES).into();
    let mut client = scene.ask(body.to_string().as_bytes());
    let mut end = scene.accept();
    assert!(end.hear_head() > BODY_BYTES);
    let refusal = r#"{"error":{"message":"too long","type":"invalid_request_error"}}"#;
    let length = refusal.len();
    end.say(&format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{refusal}"
    ));
    let reply = client.read().expect("an answer, with the body not read");
    assert_eq!((reply.status, reply.text()), (400, refusal));
    // The rest of the request is given up, and with it the connection.
    assert!(end.rest_bytes() < BODY_BYTES);
    scene.next_goes_elsewhere();
}

#[test]
fn a_connection_that_its_provider_closed_is_passed_over() {
    let scene = Scene::start();
    let mut client = scene.chat();
    let mut end = scene.accept();
    end.hear();
    end.say(ANSWER);
    assert_eq!(client.read().expect("a whole answer").status, 200);
    drop(end);
    scene.next_goes_elsewhere();
}

#[test]
fn a_connection_is_used_again() {
    let scene = Scene::start();
    let mut end = None;
    for _ in 0..3 {
        let mut client = scene.chat();
        let end = end.get_or_insert_with(|| scene.accept());
        end.hear();
        end.say(ANSWER);
        assert_eq!(client.read().expect("a whole answer").text(), "{}");
    }
}

#[test]
fn bytes_behind_an_answer_are_nobodys() {
    let scene = Scene::start();
    let mut client = scene.chat();
    let mut end = scene.accept();
    end.hear();
    end.say(&format!("{ANSWER}{FORGED}"));
    assert_eq!(client.read().expect("a whole answer").text(), "{}");
    assert_eq!(end.rest_bytes(), 0);
    scene.next_goes_elsewhere();
}

#[test]
fn bytes_on_an_idle_connection_are_nobodys() {
    let scene = Scene::start();
    let mut client = scene.chat();
    let mut end = scene.accept();
    end.hear();
    end.say(ANSWER);
    assert_eq!(client.read().expect("a whole answer").text(), "{}");
    end.say(FORGED);
    scene.next_goes_elsewhere();
    assert_eq!(end.rest_bytes(), 0);
}

#[test]
fn what_came_before_a_break_is_delivered() {
    let scene = Scene::start();
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    // No size, and the end of the connection within a chunk: each in one write with the data.
    for broken in ["zz\r\n", "5\r\nab"] {
        let mut client = scene.ask(rig::stream(&Script::default()).to_string().as_bytes());
        let mut end = scene.accept();
        end.hear();
        end.say(&format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}{broken}"
        ));
        drop(end);
        assert_eq!(client.read_head().expect("a head").status, 200);
        let mut seen = Vec::new();
        let error = loop {
            match client.read_piece() {
                Ok(Some(piece)) => seen.extend(piece),
                Ok(None) => panic!("the break looks like an end"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
        let seen = String::from_utf8(seen).expect("text");
        assert!(seen.starts_with(&event.repeat(2)), "{broken:?}: {seen:?}");
    }
}
