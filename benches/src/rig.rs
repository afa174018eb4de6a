//! The proxied request on two cores: what is measured on core 0, what makes the load on core 1.
//!
//! ```text
//! core 1: wrk ---.                       .---> upstream (with its ledger)
//!                 '---> gateway | nginx -'     :core 0
//! ```

pub mod cores;
pub mod envoy;
pub mod field;
pub mod gateway;
pub mod icount;
pub mod installed;
pub mod litellm;
pub mod load;
pub mod memory;
pub mod nginx;
pub mod onoff;
pub mod peer;
pub mod portkey;
pub mod process;
pub mod upstream;
pub mod wrk;

/// What goes wrong with the rig: no measurement is better than a wrong one.
pub type Outcome<T> = Result<T, String>;

/// The client's key, for every gateway of the rig.
pub const CLIENT_KEY: &str = "sk-bench-client-0123456789abcdef";
/// The gateway's key at the upstream, for every gateway of the rig.
pub const PROVIDER_KEY: &str = "sk-provider-bench-fedcba9876543210";
/// The path that is asked for.
pub const CHAT: &str = "/v1/chat/completions";

/// The fixed request body, for a model.
#[must_use]
pub fn chat_body(model: &str) -> String {
    format!(
        r#"{{"model":"{model}","messages":[{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":"Say hello to the world in three short sentences, please."}}],"temperature":0.7,"max_tokens":128}}"#
    )
}

/// The same body, asking for a stream with its usage.
#[must_use]
pub fn stream_body(model: &str) -> String {
    let body = chat_body(model);
    let rest = body.strip_prefix('{').unwrap_or_default();
    format!(r#"{{"stream":true,"stream_options":{{"include_usage":true}},{rest}"#)
}

/// The load average, as the kernel prints it: what a figure was measured under.
#[must_use]
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let words: Vec<&str> = text.split(' ').take(3).collect();
    words.join(" ")
}
