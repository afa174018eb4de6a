//! Bodies go through byte for byte, both ways.
//!
//! Needs the built gateway.

use coo_llm_tests::client::Client;
use coo_llm_tests::gateway::{Config, Gateway};
use coo_llm_tests::patience::poll;
use coo_llm_tests::rig::{self, CHAT, CLIENT_KEY, MODEL, PROVIDER, PROVIDER_KEY, Rig};
use coo_llm_tests::upstream::{Script, Upstream, UsageMode};
use serde_json::json;
use std::fs;

fn post(client: &mut Client, path: &str, body: &[u8]) -> coo_llm_tests::client::Reply {
    client.post(path, CLIENT_KEY, body)
}

#[test]
fn odd_json_arrives_as_it_was_written() {
    let rig = Rig::start();
    let bodies = [
        // White space, order, escapes, numbers no float holds, unknown fields, a key twice.
        "{ \"zeta\" : 1.0e0,\n\t\"model\":\"m-chat\" ,\"messages\":[ ],\"n\":12345678901234567890123}",
        "{\"model\":\"m-chat\",\"messages\":[{\"role\":\"user\",\"content\":\"\\u00e9\\/\\ud83d\\ude00 \u{e9}\"}]}",
        "{\"model\":\"m-chat\",\"x\":{\"model\":\"other\",\"stream\":true},\"messages\":[],\"x-unknown\":null}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"\\\"model\\\":\\\"no\\\"\"}],\"model\":\"m-chat\",\"stream\":false}\n",
    ];
    let mut client = rig.gateway.client();
    for body in bodies {
        let reply = post(&mut client, CHAT, body.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
        let served = rig.upstream.ledger().last().clone();
        assert_eq!(String::from_utf8_lossy(&served.body), body);
        assert_eq!(served.header("content-type"), Some("application/json"));
        assert_eq!(served.key, PROVIDER_KEY);
        assert!(
            !format!("{served:?}").contains(CLIENT_KEY),
            "the client's key went upstream"
        );
    }
}

#[test]
fn replies_come_back_as_they_were_written() {
    let rig = Rig::start();
    let scripts = [
        Script::default(),
        Script {
            content: Some("äöü 世界 \u{2028} \"\\ \u{1}".to_owned()),
            split: 3,
            ..Script::default()
        },
        Script {
            pad_bytes: 3_000_000,
            ..Script::default()
        },
        Script {
            tool_call: true,
            ..Script::default()
        },
        Script {
            status: Some(400),
            ..Script::default()
        },
        Script {
            status: Some(503),
            ..Script::default()
        },
    ];
    let mut client = rig.gateway.client();
    for script in scripts {
        let body = rig::chat(&script).to_string();
        let reply = post(&mut client, CHAT, body.as_bytes());
        let served = rig.upstream.ledger().last().clone();
        assert_eq!(reply.status, served.status);
        assert!(reply.body == served.sent, "{script:?}: the body changed");
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
}

#[test]
fn streams_come_back_as_they_were_written() {
    let rig = Rig::start();
    let mut client = rig.gateway.client();
    for split in [0, 1, 2, 5, 61] {
        for crlf in [false, true] {
            for comments in [false, true] {
                let script = Script {
                    split,
                    crlf,
                    comments,
                    content: Some("Grüße 👋🏽 data: [DONE] \n\n".to_owned()),
                    ..Script::default()
                };
                let mut body = rig::stream(&script);
                body["stream_options"] = json!({"include_usage": true});
                let reply = post(&mut client, CHAT, body.to_string().as_bytes());
                let served = rig.upstream.ledger().last().clone();
                assert!(reply.body == served.sent, "{script:?}: the stream changed");
                let kind = reply.header("content-type").expect("a content type");
                assert!(kind.starts_with("text/event-stream"), "{kind}");
            }
        }
    }
}

#[test]
fn the_usage_that_only_the_gateway_asked_for_is_hidden() {
    let rig = Rig::start();
    let direct = Upstream::builder().start();
    for split in [0, 1, 7] {
        for crlf in [false, true] {
            let script = Script {
                split,
                crlf,
                ..Script::default()
            };
            let body = rig::stream(&script).to_string();
            let without_us = Client::connect(direct.addr()).post(CHAT, "k", body.as_bytes());
            let reply = post(&mut rig.gateway.client(), CHAT, body.as_bytes());
            assert!(
                rig.upstream.ledger().last().include_usage,
                "the gateway asks for it"
            );
            // Neither the extra chunk nor the `"usage":null` of the others is left.
            assert_eq!(
                reply.text(),
                without_us.text(),
                "split {split}, crlf {crlf}"
            );
        }
    }
    let page = rig.gateway.metrics_after(6);
    let sources = [("provider", PROVIDER), ("source", "provider")];
    assert_eq!(page.count("coo_llm_usage_source_total", &sources), 6);
}

#[test]
fn compression_is_not_asked_for_and_passes_where_it_comes() {
    let rig = Rig::start();
    let bearer = format!("Bearer {CLIENT_KEY}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("accept-encoding", "gzip, br"),
    ];
    let script = Script {
        gzip: true,
        ..Script::default()
    };
    let body = rig::chat(&script).to_string();
    let mut client = rig.gateway.client();
    let reply = client.request("POST", CHAT, &headers, body.as_bytes());
    let reply = reply.expect("a whole response");
    let served = rig.upstream.ledger().last().clone();
    // The meter reads usage from plain bytes, so the provider must not be told of gzip.
    assert_eq!(served.header("accept-encoding"), Some("identity"));
    // This one sends it all the same: the client gets its bytes, and the meter says that it guessed.
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    assert!(reply.body == served.sent, "the body changed");
    let page = rig.gateway.metrics_after(1);
    let guessed = [("provider", PROVIDER), ("source", "estimated")];
    assert_eq!(page.count("coo_llm_usage_source_total", &guessed), 1);
}

#[test]
fn both_prefixes_and_both_key_headers() {
    let rig = Rig::start();
    let mut client = rig.gateway.client();
    let body = json!({"model": MODEL, "messages": []}).to_string();
    for path in [CHAT, "/api/v1/chat/completions"] {
        assert_eq!(
            post(&mut client, path, body.as_bytes()).status,
            200,
            "{path}"
        );
        let headers = [
            ("x-api-key", CLIENT_KEY),
            ("content-type", "application/json"),
        ];
        let reply = client.request("POST", path, &headers, body.as_bytes());
        assert_eq!(reply.expect("a whole response").status, 200, "{path}");
    }
    let paths: Vec<String> = rig
        .upstream
        .ledger()
        .served
        .into_iter()
        .map(|s| s.path)
        .collect();
    assert_eq!(paths, [CHAT; 4]);
}

#[test]
fn every_response_carries_its_headers() {
    let rig = Rig::start();
    let mut client = rig.gateway.client();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let reply = post(
            &mut client,
            CHAT,
            rig::chat(&Script::default()).to_string().as_bytes(),
        );
        assert_eq!(reply.header("x-coo-provider"), Some(PROVIDER));
        assert_eq!(reply.header("x-coo-model"), Some(MODEL));
        // 11 * 37.5 + 7 * 10,000 nano-USD, half up.
        let cost = reply
            .header("x-coo-cost-usd")
            .expect("the cost of a JSON response");
        let cost = coo_llm_tests::exposition::Decimal::parse(cost).and_then(|d| d.scaled(9));
        assert_eq!(cost, Some(70_413));
        ids.push(
            reply
                .header("x-request-id")
                .expect("a request id")
                .to_owned(),
        );
    }
    let refused = post(&mut client, CHAT, b"{");
    ids.push(
        refused
            .header("x-request-id")
            .expect("a request id")
            .to_owned(),
    );
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "request ids differ");
    poll("a log line for every request id", || {
        let log = rig.gateway.log();
        ids.iter().all(|id| log.contains(id)).then_some(())
    });
}

#[test]
fn upstream_connections_are_reused() {
    let rig = Rig::start();
    let mut client = rig.gateway.client();
    for index in 0..200 {
        let script = Script {
            split: index % 3 * 40,
            ..Script::default()
        };
        let body = if index % 2 == 0 {
            rig::chat(&script)
        } else {
            rig::stream(&script)
        };
        assert_eq!(
            post(&mut client, CHAT, body.to_string().as_bytes()).status,
            200
        );
    }
    let connections = rig.upstream.ledger().connections;
    assert!(
        connections <= 2,
        "{connections} connections for 200 requests in turn"
    );
}

#[test]
fn an_upstream_over_https_with_its_own_authority() {
    let upstream = Upstream::builder().tls().keys(&[PROVIDER_KEY]).start();
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, upstream.ca_pem().expect("https")).expect("the folder is writable");
    let mut config: Config = rig::config(&upstream.base_url());
    let line = format!("ca_file: \"{}\"", ca.display());
    config.providers[0].more.push(line);
    let gateway = Gateway::start(&config);
    let mut client = gateway.client();
    for body in [
        rig::chat(&Script::default()),
        rig::stream(&Script::default()),
    ] {
        let reply = post(&mut client, CHAT, body.to_string().as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!(upstream.ledger().connections, 1);
    assert_eq!(
        gateway
            .metrics_after(2)
            .count("coo_llm_tokens_total", &[("type", "input")]),
        22
    );
}

#[test]
fn an_upstream_over_https_that_no_one_vouches_for_is_not_trusted() {
    let upstream = Upstream::builder().tls().start();
    let gateway = Gateway::start(&rig::config(&upstream.base_url()));
    let body = rig::chat(&Script::default()).to_string();
    let reply = post(&mut gateway.client(), CHAT, body.as_bytes());
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert!(
        upstream.ledger().served.is_empty(),
        "the key must not go to a stranger"
    );
    let page = gateway.metrics_after(1);
    assert_eq!(
        page.count("coo_llm_errors_total", &[("type", "connect")]),
        1
    );
}

#[test]
fn usage_is_read_however_it_comes() {
    let rig = Rig::start();
    for usage_mode in [UsageMode::Always, UsageMode::Cumulative, UsageMode::OpenAi] {
        for split in [0, 1, 13] {
            let script = Script {
                usage_mode,
                split,
                ..Script::default()
            };
            assert_eq!(rig.chat(&rig::stream(&script)).status, 200);
        }
    }
    let page = rig.gateway.metrics_after(9);
    assert_eq!(
        page.count("coo_llm_tokens_total", &[("type", "input")]),
        9 * 11
    );
    assert_eq!(
        page.count("coo_llm_tokens_total", &[("type", "output")]),
        9 * 7
    );

    for body in [rig::stream, rig::chat] {
        let script = Script {
            usage_mode: UsageMode::Never,
            ..Script::default()
        };
        assert_eq!(rig.chat(&body(&script)).status, 200);
    }
    let page = rig.gateway.metrics_after(11);
    let source = |source| {
        let labels = [("provider", PROVIDER), ("source", source)];
        page.count("coo_llm_usage_source_total", &labels)
    };
    assert_eq!((source("provider"), source("estimated")), (9, 2));
    assert!(page.count("coo_llm_tokens_total", &[("type", "output")]) > 9 * 7);
}
