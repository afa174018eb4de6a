//! The pitfalls of JWTs.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use std::fs;
use std::path::Path;

/// A control plane with its keys on disk, where a test can read them as an attacker cannot.
struct Forge {
    plane: Plane,
    folder: Folder,
    server: Server,
}

impl Forge {
    fn new() -> Self {
        let folder = Folder::new();
        let mut server = with_users();
        server.data_dir = Some(folder.path().to_owned());
        // Forgers try more often; the limit of an address is in `owasp`.
        server.admin_req_per_min = None;
        Self {
            plane: Plane::new(&server),
            folder,
            server,
        }
    }

    fn key(&self) -> Vec<u8> {
        let path = self.folder.path().join("auth/signing.key");
        let text = fs::read_to_string(path).expect("the key");
        let digit = |d: u8| char::from(d).to_digit(16).expect("a digit") as u8;
        let digits = text.trim().as_bytes().chunks(2);
        digits
            .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
            .collect()
    }

    /// A token with this header and these claims, and a signature that is right for them.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        signed(&header.to_string(), &claims.to_string(), &self.key())
    }

    /// The parts of a real token.
    async fn real(&self, id: &str) -> (String, Value, Value) {
        let password = if id == "admin" { PASSWORD } else { VIEWERS };
        let token = self.plane.token(id, password).await;
        let parts: Vec<&str> = token.split('.').collect();
        let read = |part: &str| -> Value {
            let json = BASE64.decode(part).expect("base64");
            serde_json::from_slice(&json).expect("JSON")
        };
        let (header, claims) = (read(parts[0]), read(parts[1]));
        (token, header, claims)
    }

    async fn status(&self, token: &str) -> StatusCode {
        self.plane.with_token("GET", GLOBAL, token).await.status
    }

    async fn refuses(&self, token: &str, why: &str) {
        assert_eq!(self.status(token).await, StatusCode::UNAUTHORIZED, "{why}");
    }
}

fn signed(header: &str, claims: &str, key: &[u8]) -> String {
    let text = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signature = hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", BASE64.encode(signature))
}

fn with(object: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut object = object.clone();
    object[name] = value.into();
    object
}

/// The order of members as our tokens have it: `serde_json` sorts them.
const HEADER: &str = r#"{"typ":"JWT","alg":"HS256"}"#;

#[tokio::test]
async fn the_forge_can_make_a_good_token() {
    let forge = Forge::new();
    let (token, _, claims) = forge.real("admin").await;
    assert_eq!(forge.status(&token).await, StatusCode::OK);
    let again = signed(HEADER, &claims.to_string(), &forge.key());
    assert_eq!(forge.status(&again).await, StatusCode::OK);
    assert_eq!(forge.plane.counted("jwt", "success"), 2);
}

/// Pitfall: `alg: none`, in every spelling, with and without a signature.
#[tokio::test]
async fn alg_none() {
    let forge = Forge::new();
    let (token, header, claims) = forge.real("admin").await;
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let header = with(&header, "alg", none);
        let text = forge.sign(&header, &claims);
        forge.refuses(&text, none).await;
        let (unsigned, _) = text.rsplit_once('.').expect("three parts");
        forge.refuses(&format!("{unsigned}."), none).await;
        forge.refuses(unsigned, none).await;
    }
    let (unsigned, _) = token.rsplit_once('.').expect("three parts");
    forge
        .refuses(&format!("{unsigned}."), "our header, no signature")
        .await;
}

/// Pitfall: another algorithm than ours, HS/RS confusion among them; our key as its secret.
#[tokio::test]
async fn other_algorithms() {
    let forge = Forge::new();
    let (_, header, claims) = forge.real("admin").await;
    for alg in [
        "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "hs256",
        "HS1", "X",
    ] {
        let text = forge.sign(&with(&header, "alg", alg), &claims);
        forge.refuses(&text, alg).await;
    }
    // The right MAC of a longer hash, under its own name.
    let header = with(&header, "alg", "HS512");
    let text = format!(
        "{}.{}",
        BASE64.encode(header.to_string()),
        BASE64.encode(claims.to_string())
    );
    let key = hmac::Key::new(hmac::HMAC_SHA512, &forge.key());
    let signature = BASE64.encode(hmac::sign(&key, text.as_bytes()));
    forge.refuses(&format!("{text}.{signature}"), "HS512").await;
}

/// Pitfall: a header that says where the key is to be found, or what must be understood.
#[tokio::test]
async fn header_tricks() {
    let forge = Forge::new();
    let (_, header, claims) = forge.real("admin").await;
    for (name, value) in [
        ("kid", json!("../../dev/null")),
        ("kid", json!("' UNION SELECT 'key' --")),
        ("kid", json!(1)),
        ("jku", json!("https://attacker.example/keys")),
        ("jwk", json!({"kty": "oct", "k": "AAAA"})),
        ("x5u", json!("https://attacker.example/cert")),
        ("x5c", json!(["AAAA"])),
        ("crit", json!(["exp"])),
        ("typ", json!("at+jwt")),
        ("zip", json!("DEF")),
    ] {
        let header = with(&header, name, value);
        // Signed with our key, with an empty one, and with what `kid` might point to.
        forge.refuses(&forge.sign(&header, &claims), name).await;
        for key in [&b""[..], b"\0", b"key"] {
            let text = signed(&header.to_string(), &claims.to_string(), key);
            forge.refuses(&text, name).await;
        }
    }
}

/// Pitfall: times. An end that is over, a begin that is not yet, and what is no number.
#[tokio::test]
async fn times() {
    let forge = Forge::new();
    let (_, _, claims) = forge.real("admin").await;
    let now = claims["iat"].as_u64().expect("seconds");
    let of = |claims: &Value| signed(HEADER, &claims.to_string(), &forge.key());
    let old = with(&with(&claims, "iat", now - 900), "nbf", now - 900);
    let expired = with(&old, "exp", now - 1);
    let answer = forge.plane.with_token("GET", GLOBAL, &of(&expired)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.text().contains("expired"), "{}", answer.text());
    assert_eq!(forge.plane.counted("jwt", "expired"), 1);
    for (name, value) in [
        ("nbf", json!(now + 3600)),
        ("iat", json!(now + 3600)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", json!("99999999999")),
        ("exp", Value::Null),
        ("nbf", json!("0")),
        ("nbf", json!([0])),
        ("iat", json!("0")),
    ] {
        let text = of(&with(&claims, name, value.clone()));
        forge.refuses(&text, &format!("{name} {value}")).await;
    }
}

/// Pitfall: a token for somebody else, from somebody else, or without what it must say.
#[tokio::test]
async fn issuer_audience_and_missing_claims() {
    let forge = Forge::new();
    let (_, _, claims) = forge.real("admin").await;
    let of = |claims: &Value| signed(HEADER, &claims.to_string(), &forge.key());
    for (name, value) in [
        ("iss", json!("coo-llm.example")),
        ("iss", json!(["coo-llm"])),
        ("iss", json!("")),
        ("aud", json!("coo-llm")),
        ("aud", json!("other")),
        ("aud", json!(["coo-llm/admin"])),
        ("aud", json!(["coo-llm/admin", "other"])),
    ] {
        let text = of(&with(&claims, name, value.clone()));
        forge.refuses(&text, &format!("{name} {value}")).await;
    }
    for name in ["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "acc"] {
        let mut without = claims.clone();
        without.as_object_mut().expect("an object").remove(name);
        forge.refuses(&of(&without), name).await;
        forge
            .refuses(&of(&with(&claims, name, Value::Null)), name)
            .await;
    }
    forge
        .refuses(
            &of(&with(&claims, "role", "admin")),
            "a claim that we do not know",
        )
        .await;
}

/// Pitfall: a changed payload or signature, at any place.
#[tokio::test]
async fn tampered() {
    let forge = Forge::new();
    let (token, _, claims) = forge.real("admin").await;
    let (_, signature) = token.rsplit_once('.').expect("three parts");
    let changed = with(&claims, "exp", claims["exp"].as_u64().expect("seconds") + 1);
    let header = BASE64.encode(HEADER);
    let payload = BASE64.encode(changed.to_string());
    forge
        .refuses(&format!("{header}.{payload}.{signature}"), "payload")
        .await;
    // Every character of the token, but for the bits of the last one that no byte has.
    for at in 0..token.len() - 1 {
        let mut text = token.clone().into_bytes();
        text[at] = if text[at] == b'A' { b'B' } else { b'A' };
        let text = String::from_utf8(text).expect("ASCII");
        if text != token {
            forge.refuses(&text, &format!("character {at}")).await;
        }
    }
    for text in [
        format!("{token}A"),
        format!("{token}."),
        format!("{token}.A"),
        format!("{token}="),
        format!(".{token}"),
        token[..token.len() - 4].to_owned(),
        token.replace('.', ".."),
        format!("a.b.{}", "c".repeat(100_000)),
        "..".to_owned(),
    ] {
        forge.refuses(&text, &text[..text.len().min(40)]).await;
    }
}

/// Pitfall: a key that can be guessed. Neither the admin key, nor its hash, nor nothing signs.
#[tokio::test]
async fn the_key_is_no_other_secret() {
    let forge = Forge::new();
    let (_, _, claims) = forge.real("admin").await;
    let claims = claims.to_string();
    use sha2::Digest;
    let digest: [u8; 32] = sha2::Sha256::digest("secret").into();
    let hash = forge.server.webui.admin_password_hash.clone();
    let hash = hash.expect("a hash").expose().as_bytes().to_vec();
    for key in [
        b"secret".to_vec(),
        digest.to_vec(),
        hash,
        vec![],
        vec![0; 32],
        b"secret\n".to_vec(),
    ] {
        forge
            .refuses(&signed(HEADER, &claims, &key), "another key")
            .await;
    }
    // Another process without a folder, with the same configuration: its tokens are its own.
    let other = Plane::new(&with_users());
    let token = other.token("admin", PASSWORD).await;
    forge.refuses(&token, "of another process").await;
}

/// Pitfall: a token for ever. It ends with the logout, also over a restart.
#[tokio::test]
async fn revoked_by_logout() {
    let forge = Forge::new();
    let (token, _, _) = forge.real("eve").await;
    let (other, _, _) = forge.real("eve").await;
    // A viewer may end what is hers.
    let out = forge
        .plane
        .with_token("POST", "/admin/logout", &token)
        .await;
    assert_eq!(
        (out.status, out.json()),
        (StatusCode::OK, json!({"status": "logged_out"}))
    );
    forge.refuses(&token, "after the logout").await;
    assert_eq!(
        forge.status(&other).await,
        StatusCode::OK,
        "the other session goes on"
    );
    let again = Plane::new(&forge.server);
    for (token, status) in [(&token, StatusCode::UNAUTHORIZED), (&other, StatusCode::OK)] {
        assert_eq!(again.with_token("GET", GLOBAL, token).await.status, status);
    }
    assert!(Path::exists(&forge.folder.path().join("auth/revoked")));
}

/// Pitfall: a token that outlives its reason: another password, another role, no account.
#[tokio::test]
async fn revoked_by_a_change_of_the_account() {
    for change in [
        (|server: &mut Server| server.webui.users[0].password_hash = Some(hash("new")))
            as fn(&mut Server),
        |server| server.webui.users[0].role = coo_llm_config::Role::Admin,
        |server| {
            server.webui.users.remove(0);
        },
        // The same words with a new salt are a new password.
        |server| server.webui.users[0].password_hash = Some(hash(VIEWERS)),
    ] {
        let forge = Forge::new();
        let (token, _, _) = forge.real("eve").await;
        let (other, _, _) = forge.real("mallory").await;
        assert_eq!(forge.status(&token).await, StatusCode::OK);
        let mut server = forge.server.clone();
        change(&mut server);
        forge
            .plane
            .auth
            .set(Rights::new(&server).expect("it is valid"));
        forge.refuses(&token, "after the change").await;
        assert_eq!(forge.status(&other).await, StatusCode::OK, "others go on");
        let again = Plane::new(&server);
        let answer = again.with_token("GET", GLOBAL, &token).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "after a restart");
    }
}

/// Pitfall: a token of one user for another one.
#[tokio::test]
async fn another_users() {
    let forge = Forge::new();
    let (_, _, claims) = forge.real("eve").await;
    for sub in ["admin", "mallory", "", "admin_key", "EVE"] {
        let text = signed(HEADER, &with(&claims, "sub", sub).to_string(), &forge.key());
        forge.refuses(&text, sub).await;
    }
}
