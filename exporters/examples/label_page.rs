//! A page with label values of your choice, for tests of readers in other languages:
//! `cargo run --example label_page -- text|openmetrics|protobuf`.
//!
//! Reads lines of `PROVIDER MODEL KEY CLIENT`, each in hexadecimal after an `x`, so that a
//! value may have any character or none. Records one request a line.

use coo_llm_core::record::{Endpoint, Record, Tokens, UsageSource};
use coo_llm_core::{Meter, Micros, NanoUsd, UnixMillis};
use coo_llm_exporters::prometheus::{Format, Namespace, Renderer};
use std::error::Error;
use std::io::{self, Read, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let format = match std::env::args().nth(1).as_deref() {
        Some("text") => Format::Text,
        Some("openmetrics") => Format::OpenMetrics,
        Some("protobuf") => Format::Protobuf,
        _ => return Err("say which format: text, openmetrics or protobuf".into()),
    };
    let mut lines = String::new();
    io::stdin().read_to_string(&mut lines)?;
    let meter = Meter::new(100_000);
    let mut writer = meter.writer();
    for line in lines.lines() {
        let values = line.split(' ').map(unhex).collect::<Result<Vec<_>, _>>()?;
        let [provider, model, key, client] = &*values else {
            return Err(format!("not four values: {line}").into());
        };
        let route = meter.catalog().route(provider, model, key);
        writer.record(&Record {
            route,
            client: meter.catalog().client(client),
            endpoint: Endpoint::ChatCompletions,
            request_id: Some("req-1"),
            finished: UnixMillis(1_700_000_000_123),
            latency: Micros(250_000),
            overhead: Some(Micros(90)),
            time_to_first_token: None,
            time_per_output_token: None,
            tokens: Tokens::default(),
            usage: Some(UsageSource::Provider),
            cost: Some(NanoUsd(1)),
            error: None,
            limited: None,
            attempts: &[],
        });
    }
    let mut renderer = Renderer::new(Namespace::default(), UnixMillis(1_700_000_000_000));
    let mut page = Vec::new();
    meter.read(|snapshot| {
        renderer.render(format, snapshot, meter.catalog(), &[], &mut page);
    });
    io::stdout().write_all(&page)?;
    Ok(())
}

fn unhex(text: &str) -> Result<String, Box<dyn Error>> {
    let digits = text.strip_prefix('x').ok_or("a value without its x")?;
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return Err(format!("an odd number of digits: {text}").into());
    };
    let bytes = pairs.iter().map(|pair| {
        let pair = std::str::from_utf8(pair)?;
        Ok(u8::from_str_radix(pair, 16)?)
    });
    let bytes = bytes.collect::<Result<Vec<u8>, Box<dyn Error>>>()?;
    Ok(String::from_utf8(bytes)?)
}
