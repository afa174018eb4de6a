//! Fuzzes `wire::fuzz::check_message_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| coo_llm_http::wire::fuzz::check_message_stream(data));
