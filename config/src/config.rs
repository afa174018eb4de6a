//! The whole configuration.

use crate::client::Client;
use crate::client_health::ClientHealth;
use crate::ingest::Ingest;
use crate::logging::Logging;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::provider::Provider;
use crate::reader::{Field, Reader, Section};
use crate::scalar::{Wrong, model, non_empty};
use crate::server::Server;
use crate::storage::Storage;
use crate::yaml::Node;
use crate::{check, unsupported};
use std::path::PathBuf;

/// The whole configuration, with a value for everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Listeners, workers, admin access, limits.
    pub server: Server,
    /// Level, file, and the metrics endpoint.
    pub logging: Logging,
    /// Names and bound of the metrics.
    pub metrics: Metrics,
    /// Records of other gateways.
    pub ingest: Ingest,
    /// History and sinks.
    pub storage: Storage,
    /// `llm_providers`, in the file's order; their ids are unique.
    pub providers: Vec<Provider>,
    /// A price table in LiteLLM's format.
    pub prices: Option<PathBuf>,
    /// `model_aliases`, in the file's order; their names are unique.
    pub aliases: Vec<Alias>,
    /// `api_keys`, in the file's order; their ids and keys are unique.
    pub clients: Vec<Client>,
    /// Whether clients are watched.
    pub client_health: ClientHealth,
    /// Balancing, retries, fallback.
    pub policy: Policy,
}

/// Another name for a provider's model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// What clients call it.
    pub name: String,
    /// The id of the provider; it exists.
    pub provider: String,
    /// The provider's name for the model.
    pub model: String,
}

impl Config {
    /// The configuration without a file: one simulator on `127.0.0.1:2906`, no
    /// admin key and no clients. Who starts it generates both.
    #[must_use]
    pub fn builtin() -> Self {
        let mut config = Self {
            providers: vec![Provider::builtin()],
            ..Self::empty()
        };
        unsupported::hold_back_defaults(&mut config, &|_| false);
        config
    }

    /// Every default of the schema, and nothing in the lists.
    fn empty() -> Self {
        Self {
            server: Server::default(),
            logging: Logging::default(),
            metrics: Metrics::default(),
            ingest: Ingest::default(),
            storage: Storage::default(),
            providers: Vec::new(),
            prices: None,
            aliases: Vec::new(),
            clients: Vec::new(),
            client_health: ClientHealth::default(),
            policy: Policy::default(),
        }
    }

    /// The provider of this id.
    #[must_use]
    pub fn provider(&self, id: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.id == id)
    }

    /// Reads the tree of a file; what is wrong with it is the reader's.
    pub(crate) fn of_root(root: &Node, reader: &Reader<'_>) -> Self {
        let mut config = Field::root(reader, root).section(Self::read_root);
        check::check(&config, reader);
        unsupported::refuse(&config, reader);
        unsupported::hold_back_defaults(&mut config, &|path| reader.is_given(path));
        config
    }

    fn read_root(s: &Section<'_>) -> Self {
        s.optional("version", version);
        let server = s.section("server", Server::read);
        let logging = s.section("logging", Logging::read);
        let metrics = s.section("metrics", Metrics::read);
        let ingest = s.section("ingest", Ingest::read);
        let storage = s.section("storage", Storage::read);
        let providers = s.items("llm_providers");
        if providers.is_empty() {
            s.missing("llm_providers", "name at least one provider");
        }
        let providers = providers
            .iter()
            .map(|field| field.section(Provider::read))
            .collect();
        let prices = s.optional("prices", non_empty).map(PathBuf::from);
        let aliases = s
            .field("model_aliases")
            .map(|field| field.entries())
            .unwrap_or_default();
        let aliases = aliases
            .iter()
            .filter_map(|(name, field)| Alias::read(name, field))
            .collect();
        let clients = s.items("api_keys");
        let clients = clients
            .iter()
            .map(|field| field.section(Client::read))
            .collect();
        let client_health = s.section("client_health", ClientHealth::read);
        let policy = s.section("policy", Policy::read);
        Self {
            server,
            logging,
            metrics,
            ingest,
            storage,
            providers,
            prices,
            aliases,
            clients,
            client_health,
            policy,
        }
    }
}

impl Alias {
    fn read(name: &str, field: &Field<'_>) -> Option<Self> {
        if model(name).is_err() || name.contains(':') {
            field.complain("the alias needs a name without spaces and `:`");
        }
        field.parse(|text| {
            let target = text
                .split_once(':')
                .filter(|(provider, name)| !provider.is_empty() && model(name).is_ok());
            let (provider, model) = target.ok_or("is not provider:model, such as openai:gpt-4o")?;
            Ok(Self {
                name: name.into(),
                provider: provider.into(),
                model: model.into(),
            })
        })
    }
}

/// The version of the schema.
fn version(text: &str) -> Result<(), Wrong> {
    match text {
        "1.0" | "1" => Ok(()),
        _ => Err("is not a version of this schema; write \"1.0\"".into()),
    }
}
