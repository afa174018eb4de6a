//! Lines against someone else's parser, and calls against a store that refuses.

mod refusing;

use super::*;
use crate::history::{SealedRow, Usage};
use coo_llm_core::Micros;
use influxdb_line_protocol::{FieldValue, parse_lines};
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;

fn sealed(names: [&str; 4], n: u64) -> Sealed {
    let [provider, model, key, client] = names.map(Arc::from);
    let mut usage = Usage::default();
    usage.totals.requests = n;
    usage.totals.cost.0 = n / 2;
    usage.latency.record(Micros(n % 1_000_000));
    Sealed {
        from: Position::default(),
        to: Position::default(),
        start_s: 1_700_000_000,
        width_s: 10,
        rows: vec![SealedRow {
            provider,
            model,
            key,
            client,
            usage,
        }],
        errors: vec![("openai".into(), "timeout".into(), 3)],
    }
}

/// The tags of the first line and its field `requests`, as the parser reads them.
fn read(line: &str) -> (Vec<(String, String)>, i64, Option<i64>) {
    let parsed: Vec<_> = parse_lines(line)
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error}: {line:?}"));
    assert_eq!(parsed.len(), 1, "{line:?}");
    let tags = parsed[0].series.tag_set.iter().flatten();
    let tags = tags
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let requests = parsed[0].field_value("requests");
    let Some(FieldValue::I64(requests)) = requests else {
        panic!("{requests:?}");
    };
    (tags, *requests, parsed[0].timestamp)
}

#[test]
fn a_row_and_a_failure_are_a_line_each() {
    let lines = line::lines(0xab, &sealed(["openai", "gpt 4,o", "k=1", "c"], 7));
    assert_eq!(
        lines[0],
        "coo_llm_usage,client_id=c,instance=00000000000000ab,key=k\\=1,model=gpt\\ 4\\,o,provider=openai \
         requests=7i,errors=0i,input=0i,cached_input=0i,cache_write=0i,output=0i,reasoning=0i,\
         audio_input=0i,audio_output=0i,cost_nano_usd=3i,unpriced=0i,timed=1i,latency_us=7i,\
         width_s=10i,p50_ms=0.007,p95_ms=0.007,p99_ms=0.007 1700000000"
    );
    assert_eq!(
        lines[1],
        "coo_llm_errors,instance=00000000000000ab,provider=openai,type=timeout requests=3i,width_s=10i 1700000000"
    );
    let (tags, requests, time) = read(&lines[0]);
    assert!(tags.contains(&("model".to_owned(), "gpt 4,o".to_owned())));
    assert_eq!((requests, time), (7, Some(1_700_000_000)));
}

proptest! {
    #[test]
    fn any_names_and_numbers_are_read_back_and_no_two_names_become_one(
        names in proptest::collection::vec("\\PC{0,12}|[,= \\\\%\n\r\t\"']{1,6}", 4),
        other in "\\PC{0,12}|[,= \\\\%\n\r\t\"']{1,6}",
        n in any::<u64>(),
    ) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let [a, b, c, d] = names[..] else { unreachable!("four names") };
        let lines = line::lines(1, &sealed([a, b, c, d], n));
        let (tags, requests, _) = read(&lines[0]);
        prop_assert_eq!(requests as u64, n.min(i64::MAX as u64));
        let given = names.iter().filter(|name| !name.is_empty()).count();
        prop_assert_eq!(tags.len(), given + 1);
        let again = line::lines(1, &sealed([a, &other, c, d], n));
        let texts: HashSet<&String> = [&lines[0], &again[0]].into_iter().collect();
        prop_assert_eq!(texts.len() == 1, other == b);
    }
}
