//! The usual arrangement: one client, the gateway, one upstream.

use crate::client::{Client, Reply};
use crate::gateway::{ClientKey, Config, Gateway, ONE_ATTEMPT, Pricing, Provider};
use crate::oracle::{Event, Target, key_id};
use crate::upstream::{Script, TokenCounts, Upstream};
use serde_json::{Value, json};

/// The client's id.
pub const CLIENT: &str = "client-a";
/// The client's key.
pub const CLIENT_KEY: &str = "sk-client-a-0123456789abcdef";
/// The provider's id.
pub const PROVIDER: &str = "acme";
/// The provider's key.
pub const PROVIDER_KEY: &str = "sk-provider-acme-fedcba9876543210";
/// A key that the upstream takes too, for calls past the gateway.
pub const DIRECT_KEY: &str = "sk-direct-0123456789abcdef";
/// The provider's model.
pub const MODEL: &str = "m-chat";
/// The model's prices; odd counts of input tokens cost half nano-USD.
pub const PRICING: Pricing = Pricing {
    input: "0.0375",
    output: "10.00",
    cached_input: Some("0.01"),
};
/// The path of chat completions.
pub const CHAT: &str = "/v1/chat/completions";

/// The gateway and its upstream.
pub struct Rig {
    /// The upstream; it takes [`PROVIDER_KEY`] and [`DIRECT_KEY`] only.
    pub upstream: Upstream,
    /// The gateway.
    pub gateway: Gateway,
}

impl Rig {
    /// Starts both.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts both, with changes to the configuration.
    #[must_use]
    pub fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let upstream = Upstream::builder()
            .keys(&[PROVIDER_KEY, DIRECT_KEY])
            .models(&[MODEL])
            .start();
        let mut config = config(&upstream.base_url());
        change(&mut config);
        let gateway = Gateway::start(&config);
        Self { upstream, gateway }
    }

    /// Posts a chat through a new connection.
    #[must_use]
    pub fn chat(&self, body: &Value) -> Reply {
        let mut client = self.gateway.client();
        client.post(CHAT, CLIENT_KEY, body.to_string().as_bytes())
    }

    /// Sends a chat on a new connection and does not read the reply.
    ///
    /// # Panics
    /// If the gateway does not read the request.
    #[must_use]
    pub fn send_chat(&self, body: &Value) -> Client {
        let mut client = self.gateway.client();
        let bearer = format!("Bearer {CLIENT_KEY}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let sent = client.send("POST", CHAT, &headers, body.to_string().as_bytes());
        sent.expect("the gateway reads the request");
        client
    }
}

/// The configuration of [`Rig`], for an upstream at `base_url`: each request is one attempt.
#[must_use]
pub fn config(base_url: &str) -> Config {
    Config {
        providers: vec![Provider::new(
            PROVIDER,
            base_url,
            PROVIDER_KEY,
            MODEL,
            PRICING,
        )],
        clients: vec![ClientKey::new(CLIENT, CLIENT_KEY)],
        workers: Some(1),
        policy: Some(ONE_ATTEMPT.to_owned()),
        ..Config::default()
    }
}

/// A chat request that the upstream answers by `script`.
#[must_use]
pub fn chat(script: &Script) -> Value {
    json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": "Say hello."}],
        "upstream": script,
    })
}

/// The same, as a stream.
#[must_use]
pub fn stream(script: &Script) -> Value {
    let mut body = chat(script);
    body["stream"] = json!(true);
    body
}

/// The public id of [`PROVIDER_KEY`].
#[must_use]
pub fn provider_key_id() -> String {
    key_id(PROVIDER, PROVIDER_KEY)
}

/// What the oracle is told of an answer that the script gave whole.
#[must_use]
pub fn success(script: &Script) -> Event {
    Event {
        target: Some(Target {
            provider: PROVIDER.to_owned(),
            model: MODEL.to_owned(),
            key: provider_key_id(),
        }),
        client: Some(CLIENT.to_owned()),
        tokens: Some(TokenCounts::from_usage(&script.usage)),
        pricing: Some(PRICING),
        error: None,
        provider_limited: false,
    }
}
