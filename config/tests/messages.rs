//! What an operator reads when something is wrong: place, path, problem, fix.

use coo_llm_config::parse;

/// A valid rest of a file, so that a test shows only what it is about. Three lines.
const REST: &str = "version: \"1.0\"\nllm_providers:\n  - { id: sim, type: simulator }\n";

fn env(name: &str) -> Option<String> {
    match name {
        "KEY" => Some("sk-very-secret".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// All problems of `text` put behind [`REST`].
fn problems(text: &str) -> Vec<String> {
    whole(&format!("{REST}{text}"))
}

fn whole(text: &str) -> Vec<String> {
    match parse(text, &env) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.lines().collect(),
    }
}

#[test]
fn each_mistake_has_its_message() {
    let mut wrong = Vec::new();
    for (text, want) in CASES {
        let found = problems(text);
        if found != *want {
            wrong.push(format!("{text}\n  found {found:#?}\n  want  {want:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[rustfmt::skip]
const CASES: &[(&str, &[&str])] = &[
    ("", &[]),
    ("server: null\npolicy:\n", &[]),
    // unknown keys
    ("server:\n  lisen: x\n", &["config:5:3: server.lisen: unknown key; did you mean `listen`?"]),
    ("polcy: {}\n", &["config:4:1: polcy: unknown key; did you mean `policy`?"]),
    ("server: { limits: { zzz: 1 } }\n", &["config:4:21: server.limits.zzz: unknown key; the keys here are max_connections, max_body_bytes, header_timeout, idle_timeout, drain_timeout"]),
    ("server: { listen: \"127.0.0.1:1\", listen: \"127.0.0.1:2\" }\n", &["config:4:34: server.listen: the key is already given in line 4; remove one of the two"]),
    // values
    ("server: { listen: localhost }\n", &["config:4:19: server.listen: `localhost` is not an address to listen on; write an IP address and a port, such as 127.0.0.1:2906"]),
    ("server: { workers: 0 }\n", &["config:4:20: server.workers: `0` is neither auto nor a whole number from 1 to 1024"]),
    ("server: { workers: 1025 }\n", &["config:4:20: server.workers: `1025` is neither auto nor a whole number from 1 to 1024"]),
    ("server: { runtime: monio }\n", &["config:4:20: server.runtime: `monio` is not one of auto, monoio, glommio, tokio; did you mean `monoio`?"]),
    ("server: { limits: { header_timeout: 10 } }\n", &["config:4:37: server.limits.header_timeout: `10` is not a duration; write a whole number and a unit (ms, s, m, h, d, w, y), such as 10s"]),
    ("server: { limits: { idle_timeout: 0s } }\n", &["config:4:35: server.limits.idle_timeout: `0s` must be above zero, such as 10s"]),
    ("server: [1]\n", &["config:4:9: server: expected a mapping of keys, found a list"]),
    ("server: { listen: [1] }\n", &["config:4:19: server.listen: expected a single value, found a list"]),
    ("metrics: { max_series: 99 }\n", &["config:4:24: metrics.max_series: `99` is not a whole number from 100 to 10000000"]),
    ("logging: { level: verbose }\n", &["config:4:19: logging.level: `verbose` is not one of error, warn, info, debug, trace"]),
    ("logging: { prometheus: { endpoint: /admin } }\n", &["config:4:36: logging.prometheus.endpoint: `/admin` is taken by another endpoint; choose another path, such as /metrics"]),
    // variables
    ("server: { admin_api_key: \"${NOT_SET}\" }\n", &["config:4:26: server.admin_api_key: environment variable `NOT_SET` is not set; set it, or write `${NOT_SET:-default}`"]),
    ("server: { workers: \"${KEY}\" }\n", &["config:4:20: server.workers: the value is neither auto nor a whole number from 1 to 1024"]),
    ("server: { workers: \"${NOT_SET:-2}\" }\n", &[]),
    // open to the network
    ("server: { listen: \"0.0.0.0:1\" }\n", &["config:4:19: server.listen: 0.0.0.0:1 can be reached from the network, but `server.admin_api_key` is not set; set it, or listen on 127.0.0.1"]),
    ("server: { listen: \"0.0.0.0:1\", admin_api_key: \"${EMPTY}\" }\n", &["config:4:19: server.listen: 0.0.0.0:1 can be reached from the network, but `server.admin_api_key` is not set; set it, or listen on 127.0.0.1"]),
    ("server: { listen: \"0.0.0.0:1\", admin_api_key: \"${KEY}\" }\n", &[]),
    ("server: { listen: \"[::1]:1\" }\n", &[]),
    ("server: { metrics_auth: bearer }\n", &["config:4:25: server.metrics_auth: `bearer` asks scrapers for the admin key, but `server.admin_api_key` is not set; set it"]),
    // clients
    ("api_keys:\n  - { id: a }\n", &["config:5:5: api_keys[0].key: is missing; write `key: \"${CLIENT_KEY}\"`, or `key_sha256` with its SHA-256"]),
    ("api_keys:\n  - { key: a }\n", &["config:5:5: api_keys[0].id: is missing; give the client an id, such as `id: client-1`"]),
    ("api_keys:\n  - { id: none, key: a }\n", &["config:5:11: api_keys[0].id: `none` is reserved; choose another id"]),
    ("api_keys:\n  - { id: a, key: \"\" }\n", &["config:5:19: api_keys[0].key: the key is empty; write it, or set its variable"]),
    ("api_keys:\n  - { id: a, key_sha256: abc }\n", &["config:5:26: api_keys[0].key_sha256: is not a SHA-256; write its 64 hexadecimal digits"]),
    ("api_keys:\n  - { id: a, key: x }\n  - { id: a, key: x }\n", &[
        "config:6:11: api_keys[1].id: `a` is already the id of api_keys[0]; choose another",
        "config:6:19: api_keys[1].key: is the key of api_keys[0] too; give each client its own",
    ]),
    // the SHA-256 of "abc"
    ("api_keys:\n  - { id: a, key: abc }\n  - { id: b, key_sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad }\n", &["config:6:26: api_keys[1].key_sha256: is the key of api_keys[0] too; give each client its own"]),
    ("server: { admin_api_key: x }\napi_keys:\n  - { id: a, key: x }\n", &["config:6:19: api_keys[0].key: is the admin key too; give the client a key of its own"]),
    ("api_keys:\n  - { id: a, key: x, allowed_providers: [sum] }\n", &["config:5:42: api_keys[0].allowed_providers[0]: no provider has this id; did you mean `sim`?"]),
    ("api_keys:\n  - { id: a, key: x, allowed_providers: [] }\n", &["config:5:41: api_keys[0].allowed_providers: allows no provider; write [\"*\"] for all of them"]),
    // aliases
    ("model_aliases: { fast: gpt }\n", &["config:4:24: model_aliases.fast: `gpt` is not provider:model, such as openai:gpt-4o"]),
    ("model_aliases: { fast: \"openai:gpt\" }\n", &["config:4:24: model_aliases.fast: no provider has this id; the providers are sim"]),
    ("model_aliases: { fast: \"sim:a:b\" }\n", &[]),
    // not built yet
    ("server: { tls: { cert: a, key: b } }\n", &[]),
    ("server: { cors: { enabled: true, allowed_origins: [\"*\"] } }\n", &["config:4:52: server.cors.allowed_origins[0]: `*` is not an origin; write scheme, host and port alone, such as https://dash.example.com"]),
    ("server: { cors: { enabled: true }, webui: { enabled: false, admin_password_hash: $argon2id$v=19$x } }\n", &[]),
    ("server: { webui: { admin_password_hash: hunter2 } }\n", &["config:4:41: server.webui.admin_password_hash: is not an argon2id hash; make one with `coo-llm hash-password`"]),
    ("server: { webui: { enabled: true } }\n", &["config:4:29: server.webui.enabled: the web UI is not built in this version yet; write false"]),
    ("server: { webui: { users: [{ id: admin, password_hash: $argon2id$x }, { id: eve, role: vewer }] } }\n", &["config:4:34: server.webui.users[0].id: `admin` is somebody's id already; choose another", "config:4:71: server.webui.users[1].password_hash: is missing; make one with `coo-llm hash-password`", "config:4:88: server.webui.users[1].role: `vewer` is not one of admin, viewer; did you mean `viewer`?"]),
    ("server: { admin_req_per_min: 0, trusted_proxies: [10.0.0.1/8] }\n", &["config:4:30: server.admin_req_per_min: `0` is neither none nor a whole number from 1 to 10000", "config:4:51: server.trusted_proxies[0]: `10.0.0.1/8` has bits behind its prefix; write the network's first address"]),
    ("server: { data_dir: none, admin_req_per_min: none, webui: { session_lifetime: 30s } }\n", &["config:4:79: server.webui.session_lifetime: `30s` is not a time from 1m to 30d"]),
    #[cfg(not(feature = "glommio"))]
    ("server: { runtime: glommio }\n", &["config:4:20: server.runtime: this build has no glommio; write auto, monoio or tokio, or build it with `--features glommio`"]),
    #[cfg(feature = "glommio")]
    ("server: { runtime: glommio, driver: epoll }\n", &["config:4:37: server.driver: the glommio runtime waits with io_uring only; write auto or io_uring, or choose another runtime"]),
    #[cfg(feature = "glommio")]
    ("server: { runtime: glommio }\n", &[]),
    ("server: { runtime: tokio, driver: io_uring }\n", &["config:4:35: server.driver: the tokio runtime waits with epoll only; write auto or epoll, or choose another runtime"]),
    ("storage:\n  flush_interval: 1s\n  history: { type: sqlite, path: h.db, enabled: false }\n", &[]),
    ("storage:\n  history: { type: mysql }\n", &["config:5:20: storage.history.type: `mysql` is not one of sqlite"]),
    ("storage:\n  history: { retention: { 10s: 5m } }\n", &["config:5:32: storage.history.retention.10s: `5m` is too short; write 1h or more"]),
    ("storage:\n  history: { retention: { 10s: 48h, 1m: 24h } }\n", &["config:5:41: storage.history.retention.1m: is shorter than that of 10s; write at least as much"]),
    ("storage:\n  flush_interval: 500ms\n", &["config:5:19: storage.flush_interval: `500ms` is not between 1s and 1h"]),
    ("storage:\n  runtime: { type: redis, addr: \"localhost:6379\" }\n", &[]),
    ("storage:\n  runtime: { type: redis, addr: \"a:1,b:2\", cluster: true, username: coo, password: p, tls: true, ca_file: ca.pem, key_prefix: my-coo, retention: { 1m: 2h, 1h: 2d, 1d: 90d } }\n", &[]),
    ("storage:\n  runtime: { type: redis, addr: \"a:1,b:2\" }\n", &["config:5:33: storage.runtime.addr: names several nodes; write one, or cluster: true"]),
    ("storage:\n  runtime: { type: redis, addr: \"redis://a:1\" }\n", &["config:5:33: storage.runtime.addr: `redis://a:1` is not host:port, such as localhost:6379"]),
    ("storage:\n  runtime: { type: redis, addr: \"a:1\", username: coo, ca_file: ca.pem, key_prefix: \"{a}\" }\n", &["config:5:50: storage.runtime.username: needs a password; write it, or remove the user", "config:5:64: storage.runtime.ca_file: is only for tls: true; remove it", "config:5:84: storage.runtime.key_prefix: `{a}` is not 1 to 64 letters, digits and `._-:/`"]),
    ("storage:\n  runtime: { type: redis, addr: \"a:1\", cluster: true, db: 3, retention: { 1m: 5m } }\n", &["config:5:59: storage.runtime.db: a cluster has only database 0; remove it", "config:5:79: storage.runtime.retention.1m: `5m` is too short; write 1h or more"]),
    ("storage:\n  runtime: [{ type: reddis, addr: \"localhost:6379\" }]\n", &["config:5:21: storage.runtime[0].type: `reddis` is not one of redis, influxdb, postgres; did you mean `redis`?"]),
    ("storage:\n  runtime: { type: postgres, url: \"postgres://u:p@h/d\", schema: costs, ca_file: ca.pem, retention: { 1h: 10y } }\n", &[]),
    ("storage:\n  runtime: { type: postgres, url: \"mysql://u:p@h/d\", schema: Costs, retention: { 1h: 1s } }\n", &["config:5:35: storage.runtime.url: is not a URL; write postgres://user:password@host/database", "config:5:62: storage.runtime.schema: `Costs` is not 1 to 63 small letters, digits and `_`", "config:5:86: storage.runtime.retention.1h: `1s` is too short; write 1h or more"]),
    ("policy: { algorithm: hybrid, retry: { max_attempts: 10, timeout: 5s, interval: 100ms } }\n", &[]),
    ("policy: { fallback: { enabled: true, providers: [sim] } }\n", &[]),
    ("policy: { key_cooldown: { enabled: false, rate_limit: 2s, rate_limit_max: 8s, auth: 1h } }\n", &[]),
    ("policy: { circuit_breaker: { failures: 3, error_rate: 0.2, min_requests: 5, window: 1s, open: 1s } }\n", &[]),
    ("policy: { fallback: { enabled: false, providers: [simm] } }\n", &["config:4:51: policy.fallback.providers[0]: no provider has this id; did you mean `sim`?"]),
    ("api_keys:\n  - { id: a, key: x, limits: { req_per_min: 1 }, budget: { usd: 1 } }\n", &[]),
    ("api_keys:\n  - { id: a, key: x, limits: { req_per_min: 0 }, budget: { usd: 1, per: week } }\n", &[
        "config:5:45: api_keys[0].limits.req_per_min: `0` is not a whole number from 1 to 1125899906842624",
        "config:5:73: api_keys[0].budget.per: `week` is not one of day, month",
    ]),
    ("version: \"1.0\"\n", &["config:4:1: version: the key is already given in line 1; remove one of the two"]),
];

#[test]
fn providers_have_their_own_rules() {
    let mut wrong = Vec::new();
    for (fields, want) in PROVIDERS {
        let found = whole(&format!("llm_providers:\n  - {{ id: a, {fields} }}\n"));
        if found != *want {
            wrong.push(format!("{fields}\n  found {found:#?}\n  want  {want:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[rustfmt::skip]
const PROVIDERS: &[(&str, &[&str])] = &[
    ("type: simulator", &[]),
    ("type: openai, api_keys: [k]", &[]),
    ("type: openai", &["config:2:5: llm_providers[0].api_keys: is missing; write `api_keys: [\"${PROVIDER_KEY}\"]`"]),
    ("type: openai, api_keys: [k, k]", &["config:2:42: llm_providers[0].api_keys[1]: the key is listed twice; remove one of the two"]),
    ("type: openai, api_keys: [\"${EMPTY}\"]", &["config:2:39: llm_providers[0].api_keys[0]: the key is empty; write it, or set its variable"]),
    ("type: custom", &["config:2:5: llm_providers[0].base_url: is missing; a custom provider needs one, such as http://localhost:8000/v1"]),
    ("type: custom, base_url: \"http://x\"", &[]),
    ("type: custom, base_url: \"ftp://x\"", &["config:2:38: llm_providers[0].base_url: `ftp://x` is not a URL; write http:// or https://, such as https://api.openai.com/v1"]),
    ("type: custom, base_url: \"http://u:hunter2@x\"", &["config:2:38: llm_providers[0].base_url: the value holds a user or password; credentials belong into `api_keys`"]),
    ("type: simulator, base_url: \"http://x\"", &["config:2:41: llm_providers[0].base_url: the simulator has no URL; remove it"]),
    ("type: custom, base_url: \"http://x\", simulator: {}", &["config:2:61: llm_providers[0].simulator: is only for `type: simulator`; remove it"]),
    ("type: simulator, simulator: { error_rate: 1.5 }", &["config:2:56: llm_providers[0].simulator.error_rate: `1.5` is not a number from 0 to 1"]),
    ("type: opnai, api_keys: [k]", &["config:2:20: llm_providers[0].type: `opnai` is not one of openai, anthropic, gemini, custom, simulator; did you mean `openai`?"]),
    ("type: simulator, limits: { req_per_min: 1 }", &[]),
    ("type: simulator, pricing: { input_per_million: 2.5O, output_per_million: 1 }", &["config:2:61: llm_providers[0].pricing.input_per_million: `2.5O` is not a decimal number; write USD per million tokens, such as 2.50"]),
    ("type: simulator, pricing: { input_per_million: 2.5 }", &["config:2:40: llm_providers[0].pricing.output_per_million: is missing; write USD per million tokens, such as 2.50 (0 where there is none)"]),
    ("type: simulator, pricing: { input_per_million: -1, output_per_million: 0.0000000001 }", &[
        "config:2:61: llm_providers[0].pricing.input_per_million: `-1` is below zero; a price is USD per million tokens",
        "config:2:85: llm_providers[0].pricing.output_per_million: `0.0000000001` is too fine; a price has at most 9 decimals per million tokens",
    ]),
    ("type: simulator, pricing: { input_per_million: 1, output_per_million: 1, flex: { input_per_million: 1 }, priority: 3 }", &[
        "config:2:93: llm_providers[0].pricing.flex.output_per_million: is missing; write USD per million tokens, such as 2.50 (0 where there is none)",
        "config:2:129: llm_providers[0].pricing.priority: expected a mapping of keys, found a single value",
    ]),
    ("type: simulator, models: [{ id: m }, { id: m }]", &["config:2:57: llm_providers[0].models[1].id: the model is listed twice; remove one of the two"]),
    ("type: simulator, model: x, models: [{ id: m }]", &["config:2:38: llm_providers[0].model: the default model is not in `models`; add it there"]),
    ("type: custom, base_url: \"http://x\", ca_file: x.pem", &["config:2:59: llm_providers[0].ca_file: is only for an https:// URL; remove it"]),
    ("type: custom, base_url: \"https://x\", ca_file: x.pem", &[]),
    ("type: openai, api_keys: [k], ca_file: \"\"", &["config:2:52: llm_providers[0].ca_file: the value is empty"]),
];

#[test]
fn a_file_without_providers_is_refused_rather_than_simulated() {
    for text in [
        "",
        "version: \"1.0\"\n",
        "llm_providers: []\n",
        "llm_providers:\n",
    ] {
        let found = whole(text);
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        assert!(
            found[0].contains("llm_providers: is missing; name at least one provider"),
            "{found:?}"
        );
    }
    assert_eq!(
        whole("- a\n"),
        ["config:1:1: expected a mapping of keys, found a list"]
    );
}

#[test]
fn all_problems_are_told_in_the_order_of_the_file() {
    let found = whole(
        "version: \"2.0\"\nserver: { workers: x, drivr: auto }\nllm_providers:\n  - { id: a b, type: simulator }\nmodel_aliases: { f: x }\n",
    );
    let places: Vec<&str> = found.iter().map(|line| &line[..11]).collect();
    assert_eq!(
        places,
        [
            "config:1:10",
            "config:2:20",
            "config:2:23",
            "config:4:11",
            "config:5:21"
        ],
        "{found:#?}"
    );
}

/// The file name of `load`, a byte order mark, and what cannot be read at all.
#[test]
fn files_are_read_with_their_name_in_front() {
    let folder = std::env::temp_dir().join(format!("coo-llm-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temp folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("a temp file");
        path
    };
    let load = |path: &std::path::Path| coo_llm_config::load(path).map_err(|p| p.to_string());
    let good = write("good.yaml", format!("\u{feff}{REST}").as_bytes());
    assert!(load(&good).is_ok(), "{:?}", load(&good));
    let bad = write("bad.yaml", format!("{REST}x: 1\n").as_bytes());
    let text = load(&bad).expect_err("an unknown key");
    assert!(
        text.starts_with(&format!("{}:4:1: x: unknown key; ", bad.display())),
        "{text}"
    );
    let latin = write("latin.yaml", b"a: b\nc: \xe4\n");
    let text = load(&latin).expect_err("not UTF-8");
    assert!(
        text.ends_with("latin.yaml: line 2 is not UTF-8; save the file as UTF-8"),
        "{text}"
    );
    let text = load(&folder.join("none.yaml")).expect_err("no file");
    assert!(text.contains("none.yaml: cannot be read: "), "{text}");
    std::fs::remove_dir_all(&folder).expect("the temp folder");
}
