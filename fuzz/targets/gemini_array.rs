//! Fuzzes `wire::fuzz::check_gemini_array`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| coo_llm_http::wire::fuzz::check_gemini_array(data));
