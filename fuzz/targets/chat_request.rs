//! Fuzzes `wire::fuzz::check_chat_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| coo_llm_http::wire::fuzz::check_chat_request(data));
