//! Stands for the call to a provider.

use coo_llm_core::record::Tokens;

/// The model has no time.
pub(crate) struct Overloaded;

/// Says the prompt back, twice. Four bytes are a token.
///
/// # Errors
/// For a prompt that begins with `fail`. One that begins with `wait` is never answered.
pub(crate) async fn ask(prompt: &str) -> Result<(String, Tokens), Overloaded> {
    // As a real call does, this gives the thread to others and may go on on another one.
    tokio::task::yield_now().await;
    if prompt.starts_with("fail") {
        return Err(Overloaded);
    }
    if prompt.starts_with("wait") {
        std::future::pending::<()>().await;
    }
    tokio::task::yield_now().await;
    let text = prompt.repeat(2);
    let tokens = Tokens {
        input: prompt.len().div_ceil(4) as u64,
        output: text.len().div_ceil(4) as u64,
        ..Tokens::default()
    };
    Ok((text, tokens))
}
