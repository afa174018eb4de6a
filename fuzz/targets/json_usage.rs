//! Fuzzes `wire::fuzz::check_json_usage`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| coo_llm_http::wire::fuzz::check_json_usage(data));
