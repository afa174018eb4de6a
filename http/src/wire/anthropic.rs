//! Anthropic's Messages API: its usage, its stream, and OpenAI's chat in its words.
//! ```text
//! usage        usage of an answer, or of a stream's start and end -> Tokens
//! event        one event of its stream
//! chat_request OpenAI's chat request      -> Messages request, or why not
//! chat_answer  Messages answer            -> chat.completion
//! chat_stream  Messages stream's events   -> chat.completion.chunk events
//! error        its errors -> OpenAI's, and the gateway's refusals -> its errors
//! ```

pub mod chat_answer;
pub mod chat_request;
pub mod chat_stream;
mod chat_usage;
pub mod error;
pub(super) mod event;
pub(super) mod stop_reason;
pub mod usage;
