//! Reload: another configuration in the place of the one in use, whole or not at all.
//!
//! ```text
//! SIGHUP, POST /admin/v1/config --Order--> Reloader, one after the other
//!    read -> check -> plan, certificate, prices, addresses   may fail: nothing has changed
//!    -> log level, rights, certificate, setup                cannot fail
//!    -> every worker has taken it                            the answer
//! ```

mod clients;

use super::price_file::{LOOK_EVERY, Prices};
use super::{budgets, fixed, resolving};
use crate::config_file::{self, BUILTIN};
use crate::logging::LogHandle;
use coo_llm_config::{Document, Problems};
use coo_llm_core::UnixMillis;
use coo_llm_exporters::history::History;
use coo_llm_http::ServerTls;
use coo_llm_http::control::clients::Clients;
use coo_llm_http::control::{
    Auth, Checked, Followed, Order, OrderRefused, Ordered, PolicyInUse, Reloaded, Rights,
};
use coo_llm_http::gateway::{Plan, PriceBook, Setup, Setups};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;

/// How long a reload waits for the workers to take it. They do between two tasks, so
/// that one which has not by then is stuck.
const TAKEN_WAIT_MAX: Duration = Duration::from_secs(5);

/// The name that problems of a request's text go by.
const REQUEST: &str = "request";

/// Where the configuration came from, and comes from again.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The file that was named, or the default one.
    File(Option<PathBuf>),
    /// Nowhere: a demo.
    None,
}

/// What came of reloads, for `/metrics`.
#[derive(Debug)]
pub(super) struct Reloads {
    is_last_one_used: AtomicBool,
    used_since_ms: AtomicU64,
}

impl Reloads {
    /// The configuration of the start, which is used.
    pub(super) fn new() -> Self {
        Self {
            is_last_one_used: AtomicBool::new(true),
            used_since_ms: AtomicU64::new(coo_llm_runtime::unix_ms()),
        }
    }

    /// Whether the configuration that came last is the one in use.
    pub(super) fn is_last_one_used(&self) -> bool {
        self.is_last_one_used.load(Ordering::Relaxed)
    }

    /// Since when the one in use is.
    pub(super) fn used_since(&self) -> UnixMillis {
        UnixMillis(self.used_since_ms.load(Ordering::Relaxed))
    }

    fn note(&self, is_used: bool) {
        if is_used {
            self.used_since_ms
                .store(coo_llm_runtime::unix_ms(), Ordering::Relaxed);
        }
        self.is_last_one_used.store(is_used, Ordering::Relaxed);
    }
}

/// See the module.
pub(super) struct Reloader {
    pub(super) source: Source,
    /// What is in use.
    pub(super) document: Document,
    pub(super) setups: Setups,
    pub(super) workers: usize,
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) prices: Prices,
    pub(super) auth: Arc<Auth>,
    pub(super) log: LogHandle,
    pub(super) reloads: Arc<Reloads>,
    /// What was done to clients over the admin API.
    pub(super) clients: Arc<Clients>,
    pub(super) history: Option<Arc<History>>,
}

type Done = Result<Followed, OrderRefused>;

impl Reloader {
    /// Follows orders, and looks at the price file in between, until the process ends.
    pub(super) async fn follow(mut self, mut orders: mpsc::Receiver<Ordered>) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let order = tokio::select! {
                order = orders.recv() => order,
                _ = looks.tick() => {
                    self.look_at_prices().await;
                    continue;
                }
            };
            let Some(Ordered { order, answer }) = order else {
                return;
            };
            let done = self.done(order).await;
            // Who asked may be gone.
            let _unawaited = answer.send(done);
        }
    }

    async fn look_at_prices(&self) {
        let (prices, plan) = (self.prices.clone(), Arc::clone(&self.setups.current().plan));
        // The control thread does not wait for the disk, nor for megabytes of JSON.
        match spawn_blocking(move || prices.look(&plan)).await {
            // The plan is the same: only this task replaces it.
            Ok(Some(book)) => self.setups.reprice(book),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the price file was not looked at"),
        }
    }

    async fn done(&mut self, order: Order) -> Done {
        match order {
            Order::Show => Ok(Followed::Shown(parsed(&self.document.shown()))),
            Order::Validate(text) => Ok(Followed::Checked(self.validate(text).await)),
            Order::Use(text) => {
                let source = match &text {
                    Some(_) => REQUEST.to_owned(),
                    None => "file".to_owned(),
                };
                let read = self.read(text).await;
                self.try_use(read, &source).await?;
                Ok(Followed::Reloaded(Reloaded {
                    status: "ok",
                    reloaded: true,
                    source,
                }))
            }
            Order::Client(order) => self.change_client(&order).await,
            Order::UsePolicy(text) => {
                let read = self.document.with_policy(REQUEST, &text, &variable);
                let read = read.map_err(|problems| invalid(&problems));
                self.try_use(read, REQUEST).await?;
                let policy = self.document.shown_policy().unwrap_or_default();
                Ok(Followed::Policy(PolicyInUse {
                    message: "the policy is in use".to_owned(),
                    policy: parsed(&policy),
                }))
            }
        }
    }

    /// Reads a text, or the file.
    async fn read(&self, text: Option<String>) -> Result<Document, OrderRefused> {
        let source = self.source.clone();
        // The control thread does not wait for the disk.
        let read = spawn_blocking(move || match (text, source) {
            (Some(text), _) => Document::read(REQUEST, &text, &variable),
            (None, Source::None) => Err(no_file()),
            (None, Source::File(file)) => match config_file::load(file.as_deref())? {
                (source, _) if source == BUILTIN => Err(no_file()),
                (_, document) => Ok(document),
            },
        });
        let read = read.await.map_err(|error| broken(&error))?;
        let mut document = read.map_err(|problems| invalid(&problems))?;
        let admin_key = &mut document.config.server.admin_api_key;
        if admin_key.is_none() {
            // The one that was made at the start, say: nobody could ask for anything
            // without it, not even for another reload.
            admin_key.clone_from(&self.document.config.server.admin_api_key);
        }
        Ok(document)
    }

    /// Puts what was read in the place of what is in use, and says in log and metrics what
    /// came of it.
    async fn try_use(
        &mut self,
        read: Result<Document, OrderRefused>,
        source: &str,
    ) -> Result<(), OrderRefused> {
        let used = match read {
            Ok(document) => self.use_document(document).await,
            Err(refused) => Err(refused),
        };
        self.reloads.note(used.is_ok());
        match &used {
            Ok(()) => tracing::info!(source, "the configuration is reloaded"),
            Err(refused) => {
                tracing::error!(
                    source,
                    errors = reasons(refused).join("; "),
                    "the configuration is not reloaded: the last one stays as it is"
                );
            }
        }
        used
    }

    async fn use_document(&mut self, document: Document) -> Result<(), OrderRefused> {
        let fixed = fixed::changes(&self.document.config, &document.config);
        if !fixed.is_empty() {
            return Err(OrderRefused::NeedsRestart(fixed));
        }
        let before = self.setups.current();
        let (plan, tls) = (Arc::clone(&before.plan), self.tls.clone());
        let mut config = document.config.clone();
        let roster = self.clients.current().of_config(&config, budgets::now());
        let roster = roster.map_err(OrderRefused::Invalid)?;
        config.clients = roster.clients().to_vec();
        let made = spawn_blocking(move || {
            let certificate = tls.as_ref().map(|tls| tls.read_again()).transpose();
            let certificate = certificate.map_err(|error| error.to_string())?;
            let (prices, table) = Prices::open(config.prices.as_deref())?;
            let plan = plan.succeeded_by(&config);
            let plan = plan.map_err(|error| error.to_string())?;
            let book = PriceBook::new(&plan, table.as_ref());
            let rights = Rights::new(&config.server).map_err(|error| error.to_string())?;
            prices.announce(table.as_ref(), &book, &plan);
            Ok((plan, certificate, prices, book, rights))
        });
        let made = made.await.map_err(|error| broken(&error))?;
        let (plan, certificate, prices, book, rights) =
            made.map_err(|error: String| OrderRefused::Invalid(vec![error]))?;
        let addresses = resolving::of_new_plan(&plan, &before).await;
        let spent = self.spent_before(&before, &plan).await;

        // From here on nothing fails.
        self.log.set_level(document.config.logging.level);
        self.auth.set(rights);
        if let (Some(tls), Some(certificate)) = (&self.tls, certificate) {
            tls.use_from_now_on(certificate);
        }
        self.prices.replace(&prices);
        let ledgers = before.ledgers.succeeded_by(&plan, budgets::now(), &spent);
        self.setups
            .replace(Setup::new(plan, addresses, book, ledgers));
        for note in roster.notes(&document.config) {
            tracing::warn!("{note}");
        }
        self.clients.publish(roster);
        self.document = document;
        if !self.setups.taken_by(self.workers, TAKEN_WAIT_MAX).await {
            tracing::warn!("a worker has not taken the new configuration yet");
        }
        Ok(())
    }

    /// What is wrong with a text, or the file, and which of its changes need a restart.
    async fn validate(&self, text: Option<String>) -> Checked {
        let errors = match self.read(text).await {
            Err(refused) => reasons(&refused),
            Ok(document) => {
                let restart = fixed::changes(&self.document.config, &document.config);
                let config = document.config;
                let clients = Arc::clone(&self.clients);
                let checked = spawn_blocking(move || {
                    let roster = clients.current().of_config(&config, budgets::now());
                    roster.map_err(|errors| errors.join("; "))?;
                    Plan::check(&config).map_err(|error| error.to_string())?;
                    Rights::new(&config.server).map_err(|error| error.to_string())?;
                    Prices::open(config.prices.as_deref()).map(drop)
                });
                match checked.await {
                    Ok(Ok(())) => {
                        return Checked {
                            valid: true,
                            errors: Vec::new(),
                            restart_needed: Some(restart),
                        };
                    }
                    Ok(Err(error)) => vec![error],
                    Err(error) => vec![error.to_string()],
                }
            }
        };
        Checked {
            valid: false,
            errors,
            restart_needed: None,
        }
    }
}

/// What was wrong, a line each.
fn reasons(refused: &OrderRefused) -> Vec<String> {
    match refused {
        OrderRefused::Invalid(errors) | OrderRefused::NeedsRestart(errors) => errors.clone(),
        OrderRefused::Unknown(message)
        | OrderRefused::Conflict(message)
        | OrderRefused::Store(message)
        | OrderRefused::Late(message) => vec![message.clone()],
    }
}

/// A variable of this process's environment.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn parsed(shown: &str) -> Value {
    serde_json::from_str(shown).unwrap_or(Value::Null)
}

fn invalid(problems: &Problems) -> OrderRefused {
    OrderRefused::Invalid(problems.lines().collect())
}

/// A task that panicked: a fault of the gateway, and nothing has changed.
fn broken(error: &tokio::task::JoinError) -> OrderRefused {
    OrderRefused::Invalid(vec![format!("the gateway failed to read it: {error}")])
}

fn no_file() -> Problems {
    Problems {
        file: BUILTIN.into(),
        list: vec![coo_llm_config::Problem {
            path: String::new(),
            place: None,
            message: "there is no configuration file to read; it was started without one".into(),
        }],
    }
}
