//! The clients in use: those of the file, with what was done over the admin API; and what
//! may be done next. Nothing here waits, or knows what time it is.

use super::answer::{ClientChanged, ShownOnce};
use super::entry::{Entries, Entry, Source};
use super::store::Kept;
use crate::control::config::OrderRefused;
use coo_llm_config::{
    AllowedProviders, Client, ClientBody, Config, KeyDigest, OldKey, RotateBody, Secret,
};
use coo_llm_core::UnixMillis;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Old keys of a client that work at the same time.
const OLD_KEYS_MAX: usize = 8;

/// What stands where the id of a client would.
const PATHS: [&str; 2] = ["list", "health"];

/// What is to be done with a client; the texts are JSON.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientOrder {
    /// Make one.
    Create(String),
    /// Change the one of this id.
    Update(String, String),
    /// Delete the one of this id.
    Delete(String),
    /// Give the one of this id another key.
    Rotate(String, String),
}

impl fmt::Debug for ClientOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The texts may have keys in them.
        f.write_str(match self {
            Self::Create(_) => "Create",
            Self::Update(..) => "Update",
            Self::Delete(_) => "Delete",
            Self::Rotate(..) => "Rotate",
        })
    }
}

/// What becomes of the entry of an id.
#[derive(Clone, Debug)]
pub struct Change {
    pub(super) id: Arc<str>,
    pub(super) entry: Option<Arc<Entry>>,
}

/// A client in use.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The client.
    pub client: &'a Client,
    /// Where it comes from.
    pub source: Source,
    /// When it was made; not known of one of the file.
    pub created: Option<UnixMillis>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Roster {
    entries: Entries,
    clients: Vec<Client>,
    /// Of each of them.
    origins: Vec<(Source, Option<UnixMillis>)>,
    places: HashMap<String, usize>,
}

type Refused<T> = Result<T, OrderRefused>;

impl Roster {
    /// The clients of a configuration, with what was done to them.
    ///
    /// # Errors
    /// Two of them have the same key, or one has the admin's.
    pub fn new(kept: Kept, config: &Config, now: UnixMillis) -> Result<Self, Vec<String>> {
        let roster = Self::of(kept.0, &config.clients, now);
        let problems = roster.shared_keys(config);
        if problems.is_empty() {
            Ok(roster)
        } else {
            Err(problems)
        }
    }

    /// The clients of another configuration, with the same done to them.
    ///
    /// # Errors
    /// As [`Roster::new`].
    pub fn of_config(&self, config: &Config, now: UnixMillis) -> Result<Self, Vec<String>> {
        Self::new(Kept(self.entries.clone()), config, now)
    }

    /// The clients with a change.
    #[must_use]
    pub fn with(&self, change: &Change, config: &Config, now: UnixMillis) -> Self {
        let mut entries = self.entries.clone();
        let id = Arc::clone(&change.id);
        match &change.entry {
            Some(entry) => entries.insert(id, Arc::clone(entry)),
            None => entries.remove(&id),
        };
        Self::of(entries, &config.clients, now)
    }

    fn of(entries: Entries, file: &[Client], now: UnixMillis) -> Self {
        let mut roster = Self::default();
        for client in file {
            match entries.get(&*client.id).map(|entry| &**entry) {
                None => roster.add(client, Source::Config, None, now),
                Some(Entry::Client { client, created }) => {
                    roster.add(client, Source::Api, *created, now);
                }
                Some(Entry::Removed) => {}
            }
        }
        for entry in entries.values() {
            if let Entry::Client { client, created } = &**entry
                && !roster.places.contains_key(&client.id)
            {
                roster.add(client, Source::Api, *created, now);
            }
        }
        roster.entries = entries;
        roster
    }

    fn add(
        &mut self,
        client: &Client,
        source: Source,
        created: Option<UnixMillis>,
        now: UnixMillis,
    ) {
        let mut client = client.clone();
        client.old_keys.retain(|old| now < old.until);
        self.places.insert(client.id.clone(), self.clients.len());
        self.clients.push(client);
        self.origins.push((source, created));
    }

    /// The clients: those of the file in its order, then the others by id.
    #[must_use]
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// The clients, with where they come from.
    pub fn listed(&self) -> impl Iterator<Item = Listed<'_>> {
        (0..self.clients.len()).map(|at| self.at(at))
    }

    /// The client of an id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Listed<'_>> {
        self.places.get(id).map(|at| self.at(*at))
    }

    fn at(&self, at: usize) -> Listed<'_> {
        let (source, created) = self.origins[at];
        Listed {
            client: &self.clients[at],
            source,
            created,
        }
    }

    /// What an operator should know of where file and admin API meet, a line each.
    #[must_use]
    pub fn notes(&self, config: &Config) -> Vec<String> {
        let mut notes = Vec::new();
        let made = self.listed().filter(|it| it.source == Source::Api).count();
        if made > 0 {
            notes.push(format!(
                "clients that were made or changed over the admin API: {made}"
            ));
        }
        for client in &config.clients {
            match self.entries.get(&*client.id).map(|entry| &**entry) {
                None => {}
                Some(Entry::Removed) => notes.push(format!(
                    "client `{}` of the file is not in use: it was deleted over the admin API",
                    client.id
                )),
                Some(Entry::Client { .. }) => notes.push(format!(
                    "client `{}` of the file is overridden as it was last changed over the admin API",
                    client.id
                )),
            }
        }
        for it in self.listed().filter(|it| it.source == Source::Api) {
            if let AllowedProviders::Only(ids) = &it.client.allowed_providers {
                for id in ids.iter().filter(|id| config.provider(id).is_none()) {
                    notes.push(format!(
                        "client `{}` of the admin API may use provider `{id}`, which there is none of",
                        it.client.id
                    ));
                }
            }
        }
        notes
    }

    /// What is wrong where clients share a key, or have the admin's.
    fn shared_keys(&self, config: &Config) -> Vec<String> {
        let admin = config.server.admin_api_key.as_ref().map(Secret::digest);
        let mut holders: HashMap<KeyDigest, &str> = HashMap::new();
        let mut problems = Vec::new();
        for client in &self.clients {
            for key in keys(client) {
                if Some(key) == admin {
                    problems.push(format!(
                        "client `{}` has the admin key; give it a key of its own",
                        client.id
                    ));
                }
                match holders.insert(key, &client.id) {
                    Some(other) if other != client.id => problems.push(format!(
                        "clients `{other}` and `{}` have the same key, one of them over the admin \
                         API; give each its own",
                        client.id
                    )),
                    _ => {}
                }
            }
        }
        problems
    }

    /// What comes of an order, and what to answer; `make_key` makes a random key.
    ///
    /// # Errors
    /// Why nothing comes of it.
    pub fn change(
        &self,
        order: &ClientOrder,
        config: &Config,
        now: UnixMillis,
        make_key: impl FnOnce() -> io::Result<Secret>,
    ) -> Refused<(Change, ClientChanged)> {
        match order {
            ClientOrder::Create(text) => self.create(text, config, now, make_key),
            ClientOrder::Update(id, text) => self.update(id, text, config),
            ClientOrder::Delete(id) => {
                let known = self.known(id)?;
                let is_of_file = config.clients.iter().any(|client| client.id == *id);
                let change = Change {
                    id: known.client.id.as_str().into(),
                    entry: is_of_file.then(|| Arc::new(Entry::Removed)),
                };
                Ok((change, ClientChanged::new("deleted", id)))
            }
            ClientOrder::Rotate(id, text) => self.rotate(id, text, config, now, make_key),
        }
    }

    fn create(
        &self,
        text: &str,
        config: &Config,
        now: UnixMillis,
        make_key: impl FnOnce() -> io::Result<Secret>,
    ) -> Refused<(Change, ClientChanged)> {
        let ClientBody { mut client, key } =
            ClientBody::read(text, None, &providers(config)).map_err(OrderRefused::Invalid)?;
        if PATHS.contains(&&*client.id) {
            let problem = format!(
                "client_id: `{}` is a path of the admin API; choose another",
                client.id
            );
            return Err(OrderRefused::Invalid(vec![problem]));
        }
        if self.places.contains_key(&client.id) {
            let message = format!("There is a client `{}` already.", client.id);
            return Err(OrderRefused::Conflict(message));
        }
        let mut answer = ClientChanged::new("created", &client.id);
        client.key = self.next_key(&client.id, key, config, make_key, &mut answer)?;
        Ok((changed(client, Some(now)), answer))
    }

    fn update(&self, id: &str, text: &str, config: &Config) -> Refused<(Change, ClientChanged)> {
        let known = self.known(id)?;
        let ClientBody { mut client, key } =
            ClientBody::read(text, Some(known.client), &providers(config))
                .map_err(OrderRefused::Invalid)?;
        if let Some(key) = key {
            self.is_free(id, key, config)?;
            client.key = key;
            // Who wants the old one to go on rotates.
            client.old_keys.clear();
        }
        let answer = ClientChanged::new("updated", id);
        Ok((changed(client, known.created), answer))
    }

    fn rotate(
        &self,
        id: &str,
        text: &str,
        config: &Config,
        now: UnixMillis,
        make_key: impl FnOnce() -> io::Result<Secret>,
    ) -> Refused<(Change, ClientChanged)> {
        let known = self.known(id)?;
        let RotateBody { key, overlap } = RotateBody::read(text).map_err(OrderRefused::Invalid)?;
        let overlap_ms = u64::try_from(overlap.as_millis()).unwrap_or(u64::MAX);
        let until = UnixMillis(now.0.saturating_add(overlap_ms));
        let mut answer = ClientChanged::new("rotated", id);
        answer.old_keys_end = Some(until.0.div_ceil(1000));
        let mut client = known.client.clone();
        let next = self.next_key(id, key, config, make_key, &mut answer)?;
        if next == client.key {
            let message = format!("That is the key of client `{id}` already.");
            return Err(OrderRefused::Conflict(message));
        }
        client.old_keys.push(OldKey {
            key: client.key,
            until,
        });
        for old in &mut client.old_keys {
            // None works for longer than this rotation says.
            old.until = old.until.min(until);
        }
        client
            .old_keys
            .retain(|old| now < old.until && old.key != next);
        if client.old_keys.len() > OLD_KEYS_MAX {
            let message = format!(
                "Client `{id}` has {OLD_KEYS_MAX} old keys that still work; give a shorter overlap."
            );
            return Err(OrderRefused::Conflict(message));
        }
        client.key = next;
        Ok((changed(client, known.created), answer))
    }

    fn known(&self, id: &str) -> Refused<Listed<'_>> {
        let unknown = || OrderRefused::Unknown(format!("There is no client `{}`.", shown(id)));
        self.find(id).ok_or_else(unknown)
    }

    /// The key that was given, or one that is made and shown in the answer.
    fn next_key(
        &self,
        id: &str,
        given: Option<KeyDigest>,
        config: &Config,
        make_key: impl FnOnce() -> io::Result<Secret>,
        answer: &mut ClientChanged,
    ) -> Refused<KeyDigest> {
        if let Some(key) = given {
            self.is_free(id, key, config)?;
            return Ok(key);
        }
        let made = make_key();
        let made =
            made.map_err(|error| OrderRefused::Store(format!("No key can be made: {error}.")))?;
        let digest = made.digest();
        answer.api_key = Some(ShownOnce(made));
        Ok(digest)
    }

    /// Whether no one but this client has the key.
    fn is_free(&self, id: &str, key: KeyDigest, config: &Config) -> Refused<()> {
        let taken = |by: &str| Err(OrderRefused::Conflict(format!("The key is that of {by}.")));
        if config.server.admin_api_key.as_ref().map(Secret::digest) == Some(key) {
            return taken("the admin");
        }
        let mut others = self.clients.iter().filter(|client| client.id != id);
        match others.find(|client| keys(client).any(|known| known == key)) {
            Some(other) => taken(&format!("client `{}`", other.id)),
            None => Ok(()),
        }
    }
}

fn changed(client: Client, created: Option<UnixMillis>) -> Change {
    Change {
        id: client.id.as_str().into(),
        entry: Some(Arc::new(Entry::Client { client, created })),
    }
}

fn keys(client: &Client) -> impl Iterator<Item = KeyDigest> {
    let old = client.old_keys.iter().map(|old| old.key);
    std::iter::once(client.key).chain(old)
}

fn providers(config: &Config) -> Vec<&str> {
    let ids = config.providers.iter().map(|provider| provider.id.as_str());
    ids.collect()
}

/// A name from a path, as a message may repeat it.
fn shown(id: &str) -> String {
    id.chars().take(64).flat_map(char::escape_debug).collect()
}
