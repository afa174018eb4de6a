//! The rules of file and admin API, and the store over restarts and damage.

use super::entry::Entry;
use super::store::Kept;
use super::*;
use crate::control::config::OrderRefused;
use crate::control::tests::Folder;
use coo_llm_config::{AllowedProviders, Config, KeyDigest, Secret};
use coo_llm_core::UnixMillis;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn config() -> Config {
    let text = "
server: { admin_api_key: admin-secret }
llm_providers:
  - { id: one, type: custom, base_url: \"http://one.test/v1\", api_keys: [k1] }
api_keys:
  - { id: filed, key: filed-key, description: of the file }
  - { id: second, key: second-key }
";
    coo_llm_config::parse(text, &|_| None).expect("a sound configuration")
}

fn digest(key: &str) -> KeyDigest {
    Secret::new(key).digest()
}

/// A roster, and the store beside it where there is one.
struct Rig {
    config: Config,
    roster: Roster,
    store: Option<ClientStore>,
    made: u32,
}

impl Rig {
    fn new() -> Self {
        let config = config();
        let roster = Roster::new(Kept::default(), &config, NOW).expect("no clash");
        Self {
            config,
            roster,
            store: None,
            made: 0,
        }
    }

    fn open(folder: &Path) -> Self {
        let store = ClientStore::open(folder).expect("a store");
        let config = config();
        let roster = Roster::new(store.kept(), &config, NOW).expect("no clash");
        Self {
            config,
            roster,
            store: Some(store),
            made: 0,
        }
    }

    fn give(&mut self, order: &ClientOrder, now: UnixMillis) -> Result<Value, OrderRefused> {
        self.made += 1;
        let key = format!("made-{}", self.made);
        let made = || Ok(Secret::new(key));
        let (change, answer) = self.roster.change(order, &self.config, now, made)?;
        if let Some(store) = &mut self.store {
            store.keep(&change).expect("room");
        }
        self.roster = self.roster.with(&change, &self.config, now);
        Ok(serde_json::to_value(answer).expect("an answer has string keys"))
    }

    fn create(&mut self, text: &str) -> Result<Value, OrderRefused> {
        self.give(&ClientOrder::Create(text.to_owned()), NOW)
    }

    fn update(&mut self, id: &str, text: &str) -> Result<Value, OrderRefused> {
        let order = ClientOrder::Update(id.to_owned(), text.to_owned());
        self.give(&order, NOW)
    }

    fn delete(&mut self, id: &str) -> Result<Value, OrderRefused> {
        self.give(&ClientOrder::Delete(id.to_owned()), NOW)
    }

    fn rotate(&mut self, id: &str, text: &str, now_ms: u64) -> Result<Value, OrderRefused> {
        let order = ClientOrder::Rotate(id.to_owned(), text.to_owned());
        self.give(&order, UnixMillis(now_ms))
    }

    fn ids(&self) -> Vec<(&str, Source)> {
        let listed = self.roster.listed();
        listed.map(|it| (&*it.client.id, it.source)).collect()
    }
}

#[test]
fn a_client_of_the_file_is_overridden_deleted_and_made_again() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.ids(),
        [("filed", Source::Config), ("second", Source::Config)]
    );
    let limits = r#"{"limits": {"req_per_min": 5}}"#;
    assert_eq!(
        rig.update("filed", limits).expect("sound")["status"],
        "updated"
    );
    let filed = rig.roster.find("filed").expect("it is there");
    assert_eq!((filed.source, filed.created), (Source::Api, None));
    assert_eq!(filed.client.limits.req_per_min, Some(5));
    // What was not named is the file's.
    assert_eq!(filed.client.key, digest("filed-key"));
    assert_eq!(filed.client.description, "of the file");

    assert_eq!(
        rig.delete("filed").expect("it is there")["status"],
        "deleted"
    );
    assert_eq!(rig.ids(), [("second", Source::Config)]);
    let notes = rig.roster.notes(&rig.config).join("\n");
    assert!(
        notes.contains("`filed` of the file is not in use"),
        "{notes}"
    );
    assert!(matches!(rig.delete("filed"), Err(OrderRefused::Unknown(_))));

    let made = rig.create(r#"{"client_id": "filed"}"#).expect("it is gone");
    assert_eq!(made["api_key"], "made-4");
    let filed = rig.roster.find("filed").expect("it is there");
    assert_eq!((filed.source, filed.created), (Source::Api, Some(NOW)));
    assert_eq!(filed.client.key, digest("made-4"));
    assert_eq!(filed.client.limits.req_per_min, None);

    // The file's next form changes none of it; a client that it does not have is forgotten.
    rig.create(r#"{"client_id": "new", "api_key": "new-key"}"#)
        .expect("sound");
    let mut next = rig.config.clone();
    next.clients.remove(1);
    rig.roster = rig.roster.of_config(&next, NOW).expect("no clash");
    rig.config = next;
    assert_eq!(rig.ids(), [("filed", Source::Api), ("new", Source::Api)]);
    rig.delete("new").expect("it is there");
    rig.delete("filed").expect("it is there");
    assert_eq!(rig.ids(), []);
    let again = rig.roster.of_config(&config(), NOW).expect("no clash");
    let ids: Vec<_> = again.clients().iter().map(|client| &*client.id).collect();
    assert_eq!(ids, ["second"]);
}

#[test]
fn an_id_or_a_key_that_is_taken_is_refused() {
    let mut rig = Rig::new();
    let conflict = |refused: Result<Value, OrderRefused>| match refused {
        Err(OrderRefused::Conflict(message)) => message,
        other => format!("no conflict: {other:?}"),
    };
    let refused = conflict(rig.create(r#"{"client_id": "filed", "api_key": "x"}"#));
    assert!(refused.contains("a client `filed` already"), "{refused}");
    for (key, says) in [
        ("second-key", "client `second`"),
        ("admin-secret", "the admin"),
    ] {
        let new = format!(r#"{{"client_id": "new", "api_key": "{key}"}}"#);
        let own = format!(r#"{{"api_key": "{key}"}}"#);
        let refusals = [
            rig.create(&new),
            rig.update("filed", &own),
            rig.rotate("filed", &own, NOW.0),
        ];
        for refused in refusals.map(conflict) {
            assert!(
                refused.contains(says) && !refused.contains(key),
                "{refused}"
            );
        }
    }
    let same = conflict(rig.rotate("filed", r#"{"api_key": "filed-key"}"#, NOW.0));
    assert!(same.contains("already"), "{same}");
    // A key that was rotated out and still works is taken, too.
    rig.rotate("filed", "", NOW.0).expect("sound");
    let new = r#"{"client_id": "new", "api_key": "filed-key"}"#;
    let refused = conflict(rig.create(new));
    assert!(refused.contains("client `filed`"), "{refused}");
    // A file that gives it to another is not used.
    rig.create(r#"{"client_id": "new", "api_key": "new-key"}"#)
        .expect("sound");
    let mut next = rig.config.clone();
    next.clients[1].key = digest("new-key");
    let problems = rig
        .roster
        .of_config(&next, NOW)
        .expect_err("a clash")
        .join("\n");
    assert!(
        problems.contains("`second` and `new` have the same key"),
        "{problems}"
    );
}

#[test]
fn old_keys_end_when_the_last_rotation_says() {
    let mut rig = Rig::new();
    let hour = r#"{"overlap_seconds": 3600}"#;
    let until = |rig: &Rig| {
        let client = rig.roster.find("filed").expect("it is there").client;
        let old = client.old_keys.iter();
        old.map(|old| (old.key, old.until.0))
            .collect::<BTreeMap<_, _>>()
    };
    let answer = rig.rotate("filed", hour, NOW.0).expect("sound");
    assert_eq!(answer["api_key"], "made-1");
    assert_eq!(answer["old_keys_end"], NOW.0 / 1000 + 3600);
    let end = NOW.0 + 3_600_000;
    assert_eq!(until(&rig), [(digest("filed-key"), end)].into());
    // The second rotation leaves the first one's end, which comes before its own.
    rig.rotate("filed", hour, NOW.0 + 1000).expect("sound");
    let both = [(digest("filed-key"), end), (digest("made-1"), end + 1000)];
    assert_eq!(until(&rig), both.into());
    // Back to a key that still works.
    rig.rotate(
        "filed",
        r#"{"overlap_seconds": 60, "api_key": "made-1"}"#,
        NOW.0 + 2000,
    )
    .expect("it is its own");
    let soon = NOW.0 + 62_000;
    let both = [(digest("filed-key"), soon), (digest("made-2"), soon)];
    assert_eq!(until(&rig), both.into());
    // What is over is not carried on.
    let later = rig
        .roster
        .of_config(&rig.config, UnixMillis(soon))
        .expect("no clash");
    assert_eq!(later.find("filed").expect("there").client.old_keys, []);
    // A leak: all but the next key end at once.
    rig.rotate("filed", r#"{"overlap_seconds": 0}"#, NOW.0 + 3000)
        .expect("sound");
    assert_eq!(until(&rig), BTreeMap::new());
    for _ in 0..8 {
        rig.rotate("filed", hour, NOW.0).expect("sound");
    }
    let ninth = rig.rotate("filed", hour, NOW.0);
    assert!(matches!(ninth, Err(OrderRefused::Conflict(_))), "{ninth:?}");
    // A key that is put ends all others.
    rig.update("filed", r#"{"api_key": "put"}"#).expect("sound");
    let filed = rig.roster.find("filed").expect("there").client;
    assert_eq!((filed.key, filed.old_keys.len()), (digest("put"), 0));
}

fn file(folder: &Folder) -> PathBuf {
    folder.path().join("clients/clients.log")
}

/// A store with something of each kind in it.
fn filled(folder: &Folder) -> Rig {
    let mut rig = Rig::open(folder.path());
    let full = r#"{"client_id": "full", "description": "a\nb", "allowed_providers": ["one"],
        "ingest": "any", "limits": {"req_per_min": 1, "tokens_per_min": 2},
        "budget": {"usd": 0.000000001, "per": "day", "action": "warn"}}"#;
    rig.create(full).expect("sound");
    rig.create(r#"{"client_id": "gone"}"#).expect("sound");
    rig.delete("gone").expect("there");
    rig.delete("second").expect("there");
    rig.rotate("full", "", NOW.0).expect("sound");
    rig
}

#[test]
fn what_was_kept_is_there_after_a_restart() {
    let folder = Folder::new();
    let rig = filled(&folder);
    let clients = rig.roster.clients().to_vec();
    let in_use = ClientStore::open(folder.path());
    assert!(matches!(in_use, Err(ClientStoreError::InUse(_))));
    drop(rig);
    let rig = Rig::open(folder.path());
    assert_eq!(rig.roster.clients(), clients);
    assert_eq!(
        rig.ids(),
        [("filed", Source::Config), ("full", Source::Api)]
    );
    let full = rig.roster.find("full").expect("there");
    assert_eq!(full.created, Some(NOW));
    let only = AllowedProviders::Only(vec!["one".into()]);
    assert_eq!(full.client.allowed_providers, only);
    // No key is in the file, and nobody else reads it.
    let text = fs::read_to_string(file(&folder)).expect("the file");
    assert!(!text.contains("made-"), "{text}");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&file(&folder)), 0o600);
    assert_eq!(mode(&folder.path().join("clients")), 0o700);
    fs::set_permissions(file(&folder), fs::Permissions::from_mode(0o644)).expect("ours");
    drop(rig);
    let open = ClientStore::open(folder.path());
    assert!(matches!(open, Err(ClientStoreError::IsOpen(_))), "{open:?}");
}

#[test]
fn a_crash_at_any_byte_keeps_every_change_that_was_told() {
    let folder = Folder::new();
    drop(filled(&folder));
    let whole = fs::read(file(&folder)).expect("the file");
    let header = whole
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("a line")
        + 1;
    for cut in header..=whole.len() {
        fs::write(file(&folder), &whole[..cut]).expect("ours");
        let told = whole[..cut].iter().filter(|byte| **byte == b'\n').count() - 1;
        let mut store = ClientStore::open(folder.path()).expect("a store");
        assert_eq!(store.lines as usize, told, "cut at {cut}");
        // What comes next stands behind the last whole line.
        let change = Change {
            id: "next".into(),
            entry: Some(Arc::new(Entry::Removed)),
        };
        store.keep(&change).expect("room");
        drop(store);
        let store = ClientStore::open(folder.path()).expect("a store");
        assert!(store.kept().0.contains_key("next"), "cut at {cut}");
    }
}

#[test]
fn a_changed_byte_ends_the_start_and_changes_nothing() {
    let folder = Folder::new();
    drop(filled(&folder));
    let whole = fs::read(file(&folder)).expect("the file");
    for at in 0..whole.len() - 1 {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(file(&folder), &bytes).expect("ours");
        let error = ClientStore::open(folder.path()).expect_err("it is damaged");
        let says = error.to_string();
        assert!(
            says.contains("restore") && says.contains("move it away"),
            "{says}"
        );
        assert!(ClientStore::peek(folder.path()).is_err());
        assert_eq!(fs::read(file(&folder)).expect("the file"), bytes);
    }
    // A line that is missing in the middle.
    let text = String::from_utf8(whole).expect("text");
    let mut lines: Vec<_> = text.split_inclusive('\n').collect();
    lines.remove(2);
    fs::write(file(&folder), lines.concat()).expect("ours");
    let error = ClientStore::open(folder.path()).expect_err("a line is missing");
    assert!(error.to_string().contains("line 3 is damaged"), "{error}");
    fs::write(file(&folder), "").expect("ours");
    let empty = ClientStore::open(folder.path()).expect_err("it is empty");
    assert!(matches!(empty, ClientStoreError::Foreign(_)), "{empty}");
}

#[test]
fn the_file_is_written_anew_when_most_of_it_is_over() {
    let folder = Folder::new();
    let mut rig = Rig::open(folder.path());
    rig.create(r#"{"client_id": "a"}"#).expect("sound");
    let bytes = |folder: &Folder| fs::metadata(file(folder)).expect("there").len();
    let mut largest = 0;
    for n in 0..3000 {
        rig.update("a", &format!(r#"{{"description": "{n}"}}"#))
            .expect("sound");
        largest = largest.max(bytes(&folder));
    }
    assert!(bytes(&folder) < largest);
    let lines = rig.store.as_ref().expect("a store").lines;
    assert!(lines < 1100, "{lines}");
    drop(rig);
    let rig = Rig::open(folder.path());
    let client = rig.roster.find("a").expect("there").client;
    assert_eq!(client.description, "2999");
}

#[test]
fn a_write_that_fails_changes_nothing() {
    let folder = Folder::new();
    let mut rig = Rig::open(folder.path());
    rig.create(r#"{"client_id": "a"}"#).expect("sound");
    let store = rig.store.as_mut().expect("a store");
    // A file that takes nothing, as on a full disk; what it took cannot be taken back.
    store.file = OpenOptions::new()
        .append(true)
        .open("/dev/full")
        .expect("it is there");
    let change = Change {
        id: "b".into(),
        entry: Some(Arc::new(Entry::Removed)),
    };
    assert!(store.keep(&change).is_err());
    assert!(!store.kept().0.contains_key("b"));
    assert!(
        store
            .keep(&change)
            .expect_err("stuck")
            .to_string()
            .contains("restart")
    );
    drop(rig);
    // Half a line is what a write to a full disk leaves.
    let mut half = OpenOptions::new()
        .append(true)
        .open(file(&folder))
        .expect("ours");
    half.write_all(b"2 00112233").expect("room");
    let rig = Rig::open(folder.path());
    assert_eq!(rig.roster.clients().len(), 3);
}
