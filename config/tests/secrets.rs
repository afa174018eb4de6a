//! No secret is ever printed: not by `Debug`, not in a message, wherever it stands.

use coo_llm_config::parse;

const SECRET: &str = "sk-4f1c0ffee-known-secret";

/// A file with the secret in each place that takes one.
const FILE: &str = r#"
server:
  admin_api_key: "${SECRET}-admin"
  webui: { enabled: false, admin_password_hash: "$argon2id$x${SECRET}" }
llm_providers:
  - { id: a, type: openai, api_keys: ["${SECRET}", "SECRET-2"] }
api_keys:
  - { id: c, key: "${SECRET}-client" }
"#;

fn env(name: &str) -> Option<String> {
    (name == "SECRET").then(|| SECRET.into())
}

#[test]
fn debug_shows_masks() {
    // `$${` is an escape; put the hash's secret in by text, as an operator would.
    let text = FILE
        .replace("$${SECRET}", SECRET)
        .replace("SECRET-2", &format!("{SECRET}-2"));
    let config = parse(&text, &env).expect("the file");
    assert_eq!(config.providers[0].api_keys[0].expose(), SECRET);
    for shown in [format!("{config:?}"), format!("{config:#?}")] {
        assert!(!shown.contains("c0ffee"), "{shown}");
        assert!(shown.contains("sk-****"), "{shown}");
    }
}

/// The secret in the place of every single value of a full file, written out and as a variable.
#[test]
fn messages_never_repeat_it() {
    let example = include_str!("../coo-llm.yaml");
    let mut refused = 0;
    for (index, line) in example.lines().enumerate() {
        // An id is public by nature: it is a label in /metrics.
        if line.contains("id: ") {
            continue;
        }
        let Some(colon) = line
            .find(": ")
            .filter(|_| !line.trim_start().starts_with('#'))
        else {
            continue;
        };
        for value in [
            format!("\"{SECRET}\""),
            SECRET.into(),
            "\"${SECRET}\"".into(),
            format!("\"${{{SECRET}}}\""),
            format!("[{SECRET}]"),
            format!("{{ x: {SECRET} }}"),
            format!("!{SECRET} x"),
            format!("*{SECRET}"),
            format!("\"{SECRET}"),
        ] {
            let mut lines: Vec<String> = example.lines().map(str::to_owned).collect();
            lines[index] = format!("{}: {value}", &line[..colon]);
            let text = lines.join("\n");
            let known = |name: &str| Some(if name == "SECRET" { SECRET } else { name }.to_owned());
            // Where it is accepted it is a name or a path, or a secret's own place.
            if let Err(problems) = parse(&text, &known) {
                refused += 1;
                let shown = format!("{problems}\n{problems:?}");
                assert!(!shown.contains("c0ffee"), "{}\n{shown}", lines[index]);
            }
        }
    }
    assert!(refused > 100, "only {refused} of the files were refused");
}
