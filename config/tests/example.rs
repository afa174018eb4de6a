//! The example that operators start from says the truth.

use coo_llm_config::{AllowedProviders, Config, ProviderType, Secret, parse};
use coo_llm_core::price::Bill;

const EXAMPLE: &str = include_str!("../coo-llm.yaml");

fn env(name: &str) -> Option<String> {
    Some(format!("value-of-{name}"))
}

#[test]
fn the_example_is_valid_and_its_values_arrive() {
    let config = parse(EXAMPLE, &env).expect("the example");
    let [openai, simulator] = config.providers.as_slice() else {
        unreachable!("two providers: {:?}", config.providers)
    };
    assert_eq!(openai.kind, ProviderType::OpenAi);
    assert_eq!(openai.api_keys[0].expose(), "value-of-OPENAI_API_KEY");
    let prices = openai.pricing.as_ref().expect("prices");
    let prices = prices.prices(&Bill::default()).expect("the standard tier");
    assert_eq!(prices.input.0, 2_500_000_000);
    assert_eq!(
        prices.cached_input.map(|price| price.0),
        Some(1_250_000_000)
    );
    let mini = openai.models[1].pricing.as_ref().expect("prices");
    let mini = mini.prices(&Bill::default()).expect("the standard tier");
    assert_eq!(mini.cached_input.map(|price| price.0), Some(75_000_000));
    assert_eq!(simulator.kind, ProviderType::Simulator);
    assert_eq!(simulator.base_url, None);
    assert_eq!(config.aliases[0].provider, "openai");
    assert_eq!(config.aliases[0].model, "gpt-4o-mini");
    assert_eq!(
        config.clients[0].key,
        Secret::new("value-of-CLIENT_KEY").digest()
    );
    assert_eq!(config.clients[0].allowed_providers, AllowedProviders::Any);
    let admin = config.server.admin_api_key.as_ref().map(Secret::expose);
    assert_eq!(admin, Some("value-of-ADMIN_API_KEY"));
}

/// "What stands here is the default": all sections but those that the file names as examples.
#[test]
fn the_example_shows_the_defaults() {
    let mut example = parse(EXAMPLE, &env).expect("the example");
    let builtin = Config::builtin();
    assert_eq!(example.providers[0].timeouts, builtin.providers[0].timeouts);
    assert_eq!(
        example.providers[1].simulator,
        builtin.providers[0].simulator
    );
    example.server.admin_api_key = None;
    example.providers.clone_from(&builtin.providers);
    example.clients.clear();
    example.aliases.clear();
    assert_eq!(example, builtin);
}

/// Every key that the schema has can be found in the example, as a key or in a comment.
#[test]
fn the_example_names_every_key() {
    let keys = "version listen admin_listen workers runtime driver admin_api_key metrics_auth webui \
        admin_id admin_password_hash users password_hash role session_lifetime data_dir \
        admin_req_per_min trusted_proxies audit max_files cors allowed_origins tls cert key max_connections \
        max_body_bytes header_timeout idle_timeout drain_timeout level file path max_size_mb \
        max_backups prometheus endpoint namespace max_series native_histograms client_health sensitivity ingest dedup_window dedup_max_ids history enabled retention \
        10s 1m 1h 1d addr username password db cluster key_prefix token org bucket url schema flush_interval spool max_bytes id \
        type api_keys base_url ca_file model models pricing input_per_million output_per_million \
        cached_input_per_million cache_write_per_million reasoning_per_million \
        cache_write_1h_per_million price_provider \
        audio_input_per_million audio_output_per_million limits req_per_min tokens_per_min timeouts \
        connect first_byte idle total simulator latency_median latency_sigma error_rate \
        completion_tokens chunk_interval seed prices model_aliases key_sha256 \
        description allowed_providers budget usd per action policy algorithm retry max_attempts \
        timeout interval fallback providers key_cooldown rate_limit rate_limit_max auth \
        circuit_breaker failures error_rate min_requests window open";
    for key in keys.split_whitespace() {
        let needle = format!("{key}:");
        let found = EXAMPLE.match_indices(&needle).any(|(at, _)| {
            !EXAMPLE[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        });
        assert!(found, "{key}");
    }
}

/// The whole schema as it is promised: all that is wrong with it is what is not built yet.
/// The day this version has everything, this test says so.
#[test]
fn the_whole_schema_is_known() {
    let text = include_str!("interface.yaml");
    let problems = parse(text, &env).expect_err("not everything is built");
    let unbuilt = |message: &str| message.contains("not built in this version yet");
    let wrong: Vec<String> = problems
        .list
        .iter()
        .filter(|problem| !unbuilt(&problem.message))
        .map(ToString::to_string)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let paths: Vec<&str> = problems
        .list
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    assert_eq!(paths, ["server.webui.enabled"]);
}

/// A default configuration is safe to start: loopback, and nothing generated or fixed in it.
#[test]
fn the_builtin_configuration_has_no_keys_and_listens_on_loopback() {
    let config = Config::builtin();
    assert!(config.server.listen.ip().is_loopback());
    assert_eq!(config.server.listen.port(), 2906);
    assert_eq!(config.server.admin_api_key, None);
    assert!(config.clients.is_empty());
    assert_eq!(config.providers.len(), 1);
    assert_eq!(config.providers[0].id, "simulator");
    let model = config.providers[0]
        .model
        .as_deref()
        .expect("a default model");
    assert!(config.providers[0].serves(model));
}
