//! The proxied request on two cores: what is measured on core 0, what makes the load on core 1.
//!
//! ```text
//! core 1: wrk ---.                       .---> upstream (with its ledger)
//!                 '---> gateway | nginx -'     :core 0
//! ```

pub mod cores;
pub mod gateway;
pub mod icount;
pub mod load;
pub mod nginx;
pub mod process;
pub mod upstream;
pub mod wrk;

/// What goes wrong with the rig: no measurement is better than a wrong one.
pub type Outcome<T> = Result<T, String>;

/// The client's key, for every gateway of the rig.
pub const CLIENT_KEY: &str = "sk-bench-client-0123456789abcdef";
/// The path that is asked for.
pub const CHAT: &str = "/v1/chat/completions";

/// The fixed request body, for a model.
#[must_use]
pub fn chat_body(model: &str) -> String {
    format!(
        r#"{{"model":"{model}","messages":[{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":"Say hello to the world in three short sentences, please."}}],"temperature":0.7,"max_tokens":128}}"#
    )
}
