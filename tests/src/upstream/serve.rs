//! Reads a request, writes it into the ledger, makes the reply that its script asks for.

use super::body::Reply;
use super::entry::Entry;
use super::gate::Gates;
use super::ledger::{End, Kind, Served, Shared, TokenCounts};
use super::script::{Fault, Script, UsageMode};
use super::{generate, messages, plan, reply, responses};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::{Request, Response, StatusCode};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What all connections of an upstream share.
pub(super) struct House {
    pub(super) shared: Shared,
    pub(super) gates: Gates,
    pub(super) keep_each: bool,
    pub(super) keys: Vec<String>,
    pub(super) models: Vec<String>,
    /// Scripts for the next requests, whatever theirs say.
    pub(super) next: Mutex<VecDeque<Script>>,
    /// Scripts for requests with these keys, whatever theirs say.
    pub(super) of_keys: Mutex<HashMap<String, Script>>,
    /// Replies to chats without a script, by model.
    pub(super) plain: Mutex<HashMap<String, Bytes>>,
}

impl House {
    /// What the test has set for the next request, or for this key.
    fn set_script(&self, key: &str) -> Option<Script> {
        let next = self.next.lock().expect("no holder panics").pop_front();
        next.or_else(|| {
            let of_keys = self.of_keys.lock().expect("no holder panics");
            of_keys.get(key).cloned()
        })
    }
}

/// One connection.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) house: Arc<House>,
    pub(super) peer: SocketAddr,
    pub(super) number: u64,
    pub(super) garble: Arc<AtomicBool>,
}

/// The fields of a request body that the upstream looks at.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Ask<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    stream: bool,
    stream_options: Option<StreamOptions>,
    encoding_format: Option<String>,
    #[serde(borrow)]
    input: Option<&'a serde_json::value::RawValue>,
    upstream: Option<Box<Script>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StreamOptions {
    include_usage: bool,
}

fn kind_of(path: &str) -> Kind {
    match path {
        "/v1/chat/completions" => Kind::Chat,
        "/v1/completions" => Kind::Completion,
        "/v1/embeddings" => Kind::Embedding,
        "/v1/responses" => Kind::Response,
        "/v1/messages" => Kind::Message,
        "/v1/messages/count_tokens" => Kind::CountTokens,
        _ if generated(path).is_some() => Kind::Generate,
        _ if path == "/v1/models" || path.starts_with("/v1/models/") => Kind::Models,
        _ => Kind::Unknown,
    }
}

/// The model that the path of one of Gemini's endpoints names.
fn generated(path: &str) -> Option<&str> {
    let (model, verb) = path.strip_prefix("/v1/models/")?.rsplit_once(':')?;
    ["generateContent", "streamGenerateContent"]
        .contains(&verb)
        .then_some(model)
}

/// The error body that the API of this kind has for a status.
fn error(kind: Kind, status: u16) -> String {
    match kind {
        Kind::Message | Kind::CountTokens => messages::error(status),
        Kind::Generate => generate::error(status),
        _ => reply::error(status),
    }
}

/// How many embeddings an `input` asks for.
fn inputs(raw: Option<&serde_json::value::RawValue>) -> usize {
    let list = raw.and_then(|raw| serde_json::from_str::<Vec<serde_json::Value>>(raw.get()).ok());
    match list {
        // A list of numbers is one input that was tokenised by the client.
        Some(list) if !list.first().is_some_and(serde_json::Value::is_number) => list.len(),
        _ => 1,
    }
}

impl Line {
    /// Serves one request.
    ///
    /// # Errors
    /// Where the script asks to close the connection, or the request's body broke off.
    pub(super) async fn serve(self, request: Request<Incoming>) -> io::Result<Response<Reply>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let house = &*self.house;
        let kind = kind_of(head.uri.path());
        let header = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok());
        let bearer = header(AUTHORIZATION.as_str()).and_then(|v| v.strip_prefix("Bearer "));
        let key = match kind {
            // Anthropic's SDK sends its key as a bearer's since 2026.
            Kind::Message | Kind::CountTokens => header("x-api-key").or(bearer),
            Kind::Generate => header("x-goog-api-key"),
            _ => bearer,
        };
        let key = key.unwrap_or("");
        let parsed = if kind == Kind::Models {
            Ok(Ask::default())
        } else {
            serde_json::from_slice::<Ask<'_>>(&body)
        };
        let ask = parsed.as_ref().ok();
        let mut served = Served {
            kind,
            path: String::new(),
            model: generated(head.uri.path())
                .or(ask.map(|a| &*a.model))
                .unwrap_or_default()
                .to_owned(),
            key: key.to_owned(),
            status: 0,
            stream: ask.is_some_and(|a| a.stream),
            include_usage: ask
                .and_then(|a| a.stream_options.as_ref())
                .is_some_and(|o| o.include_usage),
            tokens: None,
            chunks_planned: 0,
            chunks_delivered: 0,
            end: End::Open,
            connection: self.number,
            peer: self.peer,
            headers: Vec::new(),
            body: Bytes::new(),
            sent: Vec::new(),
        };
        if house.keep_each {
            served.path = head.uri.path().to_owned();
            let value = |v: &HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
            let headers = head.headers.iter();
            served.headers = headers.map(|(n, v)| (n.to_string(), value(v))).collect();
            served.body = body.clone();
        }
        let mut entry = Entry::open(house.shared.clone(), served, house.keep_each);
        if !house.keys.is_empty() && !house.keys.iter().any(|k| k == key) {
            return Ok(self.whole(entry, 401, &Script::default(), &error(kind, 401), None));
        }
        let Ok(mut ask) = parsed else {
            return Ok(self.whole(entry, 400, &Script::default(), &error(kind, 400), None));
        };
        let set = self.house.set_script(key);
        let Some(script) = set.map(Box::new).or(ask.upstream.take()) else {
            return Ok(self.plain(entry, &head.uri, kind, &ask));
        };
        self.scripted(&mut entry, &script).await?;
        if script.fault == Some(Fault::GarbageHttp) {
            // Relaxed: this task alone writes to the socket.
            self.garble.store(true, Ordering::Relaxed);
            entry.end(End::CutByScript);
        }
        Ok(self.reply(entry, &head.uri, kind, &ask, &script))
    }

    /// What a script does before the headers.
    async fn scripted(&self, entry: &mut Entry, script: &Script) -> io::Result<()> {
        match script.fault {
            Some(Fault::HangBeforeHeaders) => std::future::pending().await,
            Some(Fault::CloseBeforeHeaders) => {
                entry.end(End::CutByScript);
                return Err(io::Error::other("the script closes before the headers"));
            }
            _ => {}
        }
        if script.headers_delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(script.headers_delay_ms)).await;
        }
        if let (Some(gate), 0) = (&script.gate, script.gate_after_chunks) {
            self.house.gates.passed(gate).await;
        }
        Ok(())
    }

    /// The reply to a request without a script: a chat's is made once for each model.
    fn plain(
        &self,
        mut entry: Entry,
        uri: &hyper::Uri,
        kind: Kind,
        ask: &Ask<'_>,
    ) -> Response<Reply> {
        let script = Script::default();
        if kind != Kind::Chat || ask.stream {
            return self.reply(entry, uri, kind, ask, &script);
        }
        let mut plain = self.house.plain.lock().expect("no holder panics");
        let bytes = plain.get(ask.model.as_ref()).cloned();
        let bytes = bytes.unwrap_or_else(|| {
            let bytes = Bytes::from(reply::whole(kind, &ask.model, &script, true));
            plain.insert(ask.model.to_string(), bytes.clone());
            bytes
        });
        drop(plain);
        entry.answered(200, 0);
        entry.delivered(&bytes, 0, Some(TokenCounts::from_usage(&script.usage)));
        let mut response = Response::new(Reply::Plain(Some(bytes), entry));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    fn reply(
        &self,
        entry: Entry,
        uri: &hyper::Uri,
        kind: Kind,
        ask: &Ask<'_>,
        script: &Script,
    ) -> Response<Reply> {
        if let Some(status) = script.status {
            return self.whole(entry, status, script, &error(kind, status), None);
        }
        let usage = (script.usage_mode != UsageMode::Never).then_some(script.usage);
        let tokens = usage.as_ref().map(TokenCounts::from_usage);
        match kind {
            Kind::Chat | Kind::Completion if ask.stream => {
                let options = ask.stream_options.as_ref();
                let include_usage = options.is_some_and(|o| o.include_usage);
                let plan = plan::stream(kind, &ask.model, script, include_usage);
                self.send(entry, 200, script, "text/event-stream", plan, tokens)
            }
            _ if script.fault == Some(Fault::GarbageJson) => {
                self.whole(entry, 200, script, "<html>\"usage\": {oops", None)
            }
            Kind::Chat | Kind::Completion => {
                let text = reply::whole(kind, &ask.model, script, usage.is_some());
                self.whole(entry, 200, script, &text, tokens)
            }
            Kind::Response if ask.stream => {
                let plan = responses::stream(&ask.model, script);
                self.send(entry, 200, script, "text/event-stream", plan, tokens)
            }
            Kind::Response => {
                let text = responses::whole(&ask.model, script, usage.is_some());
                self.whole(entry, 200, script, &text, tokens)
            }
            Kind::Message if ask.stream => {
                let plan = messages::stream(&ask.model, script);
                self.send(entry, 200, script, "text/event-stream", plan, tokens)
            }
            Kind::Message => {
                let text = messages::whole(&ask.model, script, usage.is_some());
                self.whole(entry, 200, script, &text, tokens)
            }
            Kind::CountTokens => self.whole(entry, 200, script, &messages::count(script), None),
            Kind::Generate => {
                let model = generated(uri.path()).unwrap_or_default();
                if !uri.path().ends_with(":streamGenerateContent") {
                    let text = generate::whole(model, script, usage.is_some());
                    return self.whole(entry, 200, script, &text, tokens);
                }
                let is_sse = uri.query().is_some_and(|query| query.contains("alt=sse"));
                let plan = generate::stream(model, script, is_sse);
                let content_type = if is_sse {
                    "text/event-stream"
                } else {
                    "application/json"
                };
                self.send(entry, 200, script, content_type, plan, tokens)
            }
            Kind::Embedding => {
                let base64 = ask.encoding_format.as_deref() == Some("base64");
                let count = inputs(ask.input);
                let text = reply::embeddings(&ask.model, script, count, base64, usage.is_some());
                let tokens = usage.map(|u| TokenCounts {
                    input: u.prompt,
                    ..TokenCounts::default()
                });
                self.whole(entry, 200, script, &text, tokens)
            }
            Kind::Models => {
                let models = &self.house.models;
                let id = uri.path().strip_prefix("/v1/models/");
                match id.map(|id| models.iter().find(|m| *m == id)) {
                    None => self.whole(entry, 200, script, &reply::models(models), None),
                    Some(Some(id)) => self.whole(entry, 200, script, &reply::model(id), None),
                    Some(None) => self.whole(entry, 404, script, &reply::error(404), None),
                }
            }
            Kind::Unknown => self.whole(entry, 404, script, &reply::error(404), None),
        }
    }

    fn whole(
        &self,
        entry: Entry,
        status: u16,
        script: &Script,
        text: &str,
        tokens: Option<TokenCounts>,
    ) -> Response<Reply> {
        let plan = plan::whole(script, text, tokens.is_some());
        self.send(entry, status, script, "application/json", plan, tokens)
    }

    fn send(
        &self,
        mut entry: Entry,
        status: u16,
        script: &Script,
        content_type: &'static str,
        mut plan: plan::Plan,
        tokens: Option<TokenCounts>,
    ) -> Response<Reply> {
        if script.gzip {
            plan = plan::gzip(plan);
        }
        entry.answered(status, plan.chunks);
        let mut response = Response::new(Reply::Steps {
            plan,
            wait: None,
            gates: self.house.gates.clone(),
            tokens: tokens.unwrap_or_default(),
            entry,
        });
        *response.status_mut() = StatusCode::from_u16(status).expect("scripts name real statuses");
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert("x-request-id", HeaderValue::from_static("req_upstream"));
        if script.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(secs) = script.retry_after_secs {
            headers.insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        for (name, value) in &script.headers {
            let name = HeaderName::try_from(name).expect("scripts name real headers");
            let value = HeaderValue::try_from(value).expect("scripts have real values");
            headers.insert(name, value);
        }
        response
    }
}
