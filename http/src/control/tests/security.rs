//! The review of the admin API: the OWASP API Security Top 10 (2023) and the pitfalls of JWTs,
//! a test each. docs/admin-auth.md says which change to the code each family was seen to fail
//! on.

mod owasp;
mod sessions;
mod tokens;

use super::*;
use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use coo_llm_config::{AddressRange, Secret, Server, User};
use http::header::{COOKIE, RETRY_AFTER, SET_COOKIE};

const PASSWORD: &str = "correct horse battery staple";
const VIEWERS: &str = "viewers' password";

/// Argon2id at its lowest cost, so that tests are about the rest.
fn hash(password: &str) -> Secret {
    let params = Params::new(8, 1, 1, None).expect("the lowest");
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = hasher.hash_password(password.as_bytes()).expect("a hash");
    Secret::new(hash.to_string())
}

/// An admin and two viewers.
fn with_users() -> Server {
    let mut server = server(Some("secret"));
    server.webui.admin_password_hash = Some(hash(PASSWORD));
    server.webui.users = ["eve", "mallory"]
        .map(|id| User {
            id: id.to_owned(),
            password_hash: Some(hash(VIEWERS)),
            role: coo_llm_config::Role::Viewer,
        })
        .to_vec();
    server
}

/// A control plane as the configuration says, with a route that changes something.
struct Plane {
    router: Router,
    meter: Meter,
    auth: Arc<Auth>,
}

impl Plane {
    fn new(server: &Server) -> Self {
        Self::with_trail(server, None)
    }

    fn with_trail(server: &Server, audit: Option<Trail>) -> Self {
        let meter = Meter::new(100);
        let auth = Arc::new(Auth::open(server).expect("it opens"));
        let control = Control {
            auth: Arc::clone(&auth),
            front: Front::new(server),
            audit,
            ..control(&meter, false)
        };
        Self {
            router: router(control),
            meter,
            auth,
        }
    }

    /// A request from an address.
    async fn send(
        &self,
        method: &str,
        uri: &str,
        headers: &[(HeaderName, &str)],
        body: &str,
        from: &str,
    ) -> Answer {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Body::from(body.to_owned()));
        let mut request = request.expect("a request");
        let from: std::net::IpAddr = from.parse().expect("an address");
        request.extensions_mut().insert(Peer((from, 9).into()));
        let Ok(response) = self.router.clone().oneshot(request).await;
        let (head, body) = response.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.expect("a body").to_bytes(),
        }
    }

    async fn login_from(&self, id: &str, password: &str, from: &str) -> Answer {
        let body = json!({"id": id, "password": password}).to_string();
        let headers = [(CONTENT_TYPE, "application/json")];
        self.send("POST", "/admin/login", &headers, &body, from)
            .await
    }

    async fn login(&self, id: &str, password: &str) -> Answer {
        self.login_from(id, password, "192.0.2.1").await
    }

    /// The token of a login that must succeed.
    async fn token(&self, id: &str, password: &str) -> String {
        let answer = self.login(id, password).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()["token"].as_str().expect("a token").to_owned()
    }

    /// The status of a request with a bearer token.
    async fn with_token(&self, method: &str, uri: &str, token: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [(AUTHORIZATION, bearer.as_str())];
        self.send(method, uri, &headers, "", "192.0.2.1").await
    }

    fn counted(&self, method: &str, result: &str) -> u64 {
        counted(&self.meter, Family::AuthAttempts, &[method, result])
    }
}
