//! Fuzzes `wire::fuzz::check_http1`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| coo_llm_http::wire::fuzz::check_http1(data));
