//! The admin API of the running gateway: a login as an operator sets it up, the limit of an
//! address, and an audit trail that `coo-llm audit verify` judges.

use coo_llm_tests::client::Reply;
use coo_llm_tests::gateway::{ADMIN_KEY, Config, Gateway, Pricing, Provider, binary, run};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PASSWORD: &str = "correct horse battery staple";

/// What `coo-llm hash-password` prints.
fn hash() -> String {
    let mut child = Command::new(binary())
        .arg("hash-password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the gateway's executable runs");
    let mut stdin = child.stdin.take().expect("it is piped");
    writeln!(stdin, "{PASSWORD}").expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("our own child");
    String::from_utf8(output.stdout)
        .expect("text")
        .trim()
        .to_owned()
}

fn config(server: &[String]) -> Config {
    let pricing = Pricing {
        input: "1",
        output: "1",
        cached_input: None,
    };
    Config {
        providers: vec![Provider::new(
            "acme",
            "http://127.0.0.1:9/v1",
            "k",
            "m",
            pricing,
        )],
        workers: Some(1),
        server: server.to_vec(),
        ..Config::default()
    }
}

fn send(gateway: &Gateway, method: &str, path: &str, bearer: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {bearer}");
    let mut headers = vec![("content-type", "application/json")];
    if bearer != "Bearer " {
        headers.push(("authorization", &bearer));
    }
    let body = body.to_string();
    let reply = gateway
        .client()
        .request(method, path, &headers, body.as_bytes());
    reply.expect("the gateway answers")
}

fn verify(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = run(&[&["audit", "verify"], arguments].concat(), folder);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.code().expect("it ends by itself"), text)
}

fn trail(folder: &Path) -> PathBuf {
    folder.join("data/audit/audit-000000000001.jsonl")
}

#[test]
fn a_login_a_limit_and_a_trail() {
    let hash = hash();
    let webui = format!("webui: {{ admin_password_hash: \"{hash}\" }}");
    let mut gateway = Gateway::start(&config(&[webui]));
    let wrong = json!({"id": "admin", "password": "wrong"});
    assert_eq!(send(&gateway, "POST", "/api/login", "", &wrong).status, 401);
    let right = json!({"id": "admin", "password": PASSWORD});
    let login = send(&gateway, "POST", "/admin/login", "", &right);
    assert_eq!(login.status, 200, "{}", login.text());
    let cookie = login.header("set-cookie").expect("a cookie");
    assert!(
        cookie.contains("; HttpOnly; SameSite=Strict; Max-Age="),
        "{cookie}"
    );
    let token = login.json()["token"].as_str().expect("a token").to_owned();
    let path = "/admin/v1/metrics/global";
    assert_eq!(
        send(&gateway, "GET", path, &token, &Value::Null).status,
        200
    );
    assert_eq!(
        send(&gateway, "POST", "/admin/logout", &token, &Value::Null).status,
        200
    );
    assert_eq!(
        send(&gateway, "GET", path, &token, &Value::Null).status,
        401
    );
    // Five so far; the audit is the sixth.
    let audit = send(&gateway, "GET", "/admin/v1/audit", ADMIN_KEY, &Value::Null);
    let rows = audit.json()["entries"].as_array().expect("a list").clone();
    let told: Vec<Value> = rows[1..]
        .iter()
        .map(|row| json!([row["path"], row["address"], row["actor"], row["status"]]))
        .collect();
    let want = json!([
        ["/api/login", "127.0.0.1", "admin", 401],
        ["/admin/login", "127.0.0.1", "admin", 200],
        [path, "127.0.0.1", "admin", 200],
        ["/admin/logout", "127.0.0.1", "admin", 200],
        [path, "127.0.0.1", null, 401],
    ]);
    assert_eq!(Value::from(told), want);
    let statuses: Vec<u16> = (6..102)
        .map(|_| send(&gateway, "GET", path, ADMIN_KEY, &Value::Null).status)
        .collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 94);
    let refused = send(&gateway, "GET", path, ADMIN_KEY, &Value::Null);
    assert_eq!(refused.status, 429);
    let wait: u64 = refused
        .header("retry-after")
        .expect("it says")
        .parse()
        .expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let page = gateway.metrics();
    let labels = [("endpoint", path)];
    assert_eq!(page.count("coo_llm_admin_rate_limits_total", &labels), 3);
    for (method, result, count) in [
        ("password", "success", 1),
        ("password", "invalid", 1),
        ("jwt", "success", 2),
        ("jwt", "invalid", 1),
        ("admin_key", "success", 95),
    ] {
        let labels = [("method", method), ("result", result)];
        assert_eq!(
            page.count("coo_llm_auth_attempts_total", &labels),
            count,
            "{method} {result}"
        );
    }
    // While it runs, and after its end.
    let config = ["--config", "coo-llm.yaml"];
    let (code, text) = verify(gateway.dir(), &config);
    assert_eq!(code, 0, "{text}");
    gateway.terminate();
    assert!(gateway.wait().success());
    let (code, text) = verify(gateway.dir(), &config);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(", from row 1; last row "), "{text}");
    let log = gateway.log();
    assert!(
        log.contains("[AUDIT] POST /admin/login from 127.0.0.1"),
        "{log}"
    );
    let (_, anchor) = text.trim().rsplit_once(' ').expect("words");
    assert!(log.contains(anchor), "the log has the last row: {anchor}");
    for secret in [PASSWORD, &token, ADMIN_KEY] {
        let text = fs::read_to_string(trail(gateway.dir())).expect("the trail");
        assert!(!log.contains(secret) && !text.contains(secret));
    }
    // One byte.
    let mut bytes = fs::read(trail(gateway.dir())).expect("the trail");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(trail(gateway.dir()), &bytes).expect("ours");
    for arguments in [&config[..], &["--file", "data/audit"]] {
        let (code, text) = verify(gateway.dir(), arguments);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("the audit trail is broken: "), "{text}");
    }
    // The gateway does not write behind it.
    let started = run(&["serve", "--config", "coo-llm.yaml"], gateway.dir());
    assert_eq!(started.status.code(), Some(2));
    let text = String::from_utf8_lossy(&started.stderr);
    assert!(text.contains("the trail is broken: "), "{text}");
    // A cut end, and its anchor elsewhere.
    bytes[middle] ^= 1;
    let end = bytes[..bytes.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n');
    bytes.truncate(end.expect("several lines") + 1);
    fs::write(trail(gateway.dir()), &bytes).expect("ours");
    let (code, text) = verify(gateway.dir(), &config);
    assert!(code == 1 && text.contains("its end was cut off"), "{text}");
    fs::remove_file(gateway.dir().join("data/audit/anchor")).expect("ours");
    let (code, text) = verify(gateway.dir(), &config);
    assert!(
        code == 0 && text.contains("without the trail's own anchor"),
        "{text}"
    );
    let (code, text) = verify(gateway.dir(), &["--file", "data/audit", "--anchor", anchor]);
    assert!(code == 1 && text.contains("its end was cut off"), "{text}");
}

#[test]
fn without_a_folder_nothing_is_kept() {
    let mut gateway = Gateway::start(&Config {
        // The history has a file of its own.
        top: vec!["storage: { history: { enabled: false } }".to_owned()],
        ..config(&["data_dir: none".to_owned()])
    });
    let audit = gateway.admin_get("/admin/v1/audit");
    assert_eq!(audit.status, 503);
    assert!(!gateway.dir().join("data").exists());
    gateway.terminate();
    assert!(gateway.wait().success());
    let (code, text) = verify(gateway.dir(), &["--config", "coo-llm.yaml"]);
    assert!(
        code == 1 && text.contains("there is no audit trail"),
        "{text}"
    );
}

#[test]
fn a_hash_that_is_none_is_told_before_the_start() {
    let webui = "webui: { admin_password_hash: \"$argon2id$...\" }".to_owned();
    let folder = tempfile::TempDir::with_prefix("coo-llm-").expect("a temporary folder");
    let yaml = config(&[webui]).yaml(0, 0);
    fs::write(folder.path().join("coo-llm.yaml"), yaml).expect("ours");
    for command in ["serve", "check-config"] {
        let output = run(&[command, "--config", "coo-llm.yaml"], folder.path());
        assert_eq!(output.status.code(), Some(1), "{command}");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(
            text.contains("the password hash of `admin` is not an argon2id hash"),
            "{text}"
        );
    }
}
