//! The OWASP API Security Top 10 of 2023. API2 (authentication) is in `tokens` and `sessions`
//! too.

use super::*;
use http::header::ACCESS_CONTROL_ALLOW_ORIGIN;

const LOGOUT: &str = "/admin/logout";
const AUDIT: &str = "/admin/v1/audit";

/// API1, broken object level authorization: sessions are the only objects that belong to
/// somebody. Nobody ends those of others.
#[tokio::test]
async fn api1_a_session_ends_only_itself() {
    let plane = Plane::new(&with_users());
    let eve = plane.token("eve", VIEWERS).await;
    let mallory = plane.token("mallory", VIEWERS).await;
    let uri = format!("{LOGOUT}?token={eve}&jti=x");
    assert_eq!(
        plane.with_token("POST", &uri, &mallory).await.status,
        StatusCode::OK
    );
    assert_eq!(
        plane.with_token("GET", GLOBAL, &eve).await.status,
        StatusCode::OK
    );
}

/// API2, broken authentication: every route of the admin API, under each name, known or not,
/// asks; what is before authentication answers no more than that.
#[tokio::test]
async fn api2_no_route_is_open() {
    let plane = Plane::new(&Server {
        admin_req_per_min: None,
        ..with_users()
    });
    for path in [
        GLOBAL,
        AUDIT,
        LOGOUT,
        "/admin/v1/session",
        "/admin",
        "/admin/",
        "/admin/v1",
        "/admin/x",
        "/admin/v1/config",
        "/admin/v1/../v1/audit",
        "/admin//v1/audit",
        "/admin/v1/audit/",
        "/admin/login/",
        "/admin/login/x",
        "/admin/%6cogin",
    ] {
        for prefix in ["", "/api"] {
            for method in [
                "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X",
            ] {
                let uri = format!("{prefix}{path}");
                let answer = plane.send(method, &uri, &[], "", "192.0.2.1").await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {uri}");
                assert_eq!(answer.headers[WWW_AUTHENTICATE], "Bearer");
            }
        }
    }
    // A prefix that is doubled is no admin path, and no route either.
    let twice = plane
        .send("GET", "/api/api/admin/v1/audit", &[], "", "192.0.2.1")
        .await;
    assert_eq!(twice.status, StatusCode::NOT_FOUND);
}

/// API3, broken object property level authorization: no answer shows a secret.
#[tokio::test]
async fn api3_no_answer_shows_a_secret() {
    let server = with_users();
    let plane = Plane::new(&server);
    let hash = server.webui.admin_password_hash.expect("a hash");
    let mut pages = vec![
        plane.login("admin", PASSWORD).await,
        plane.login("eve", "wrong").await,
    ];
    for path in ["/admin/v1/session", GLOBAL, AUDIT, "/metrics"] {
        pages.push(plane.send("GET", path, &[RIGHT], "", "192.0.2.1").await);
    }
    for page in pages {
        for secret in [hash.expose(), PASSWORD, VIEWERS, "secret"] {
            assert!(!page.text().contains(secret), "{}", page.text());
        }
    }
    assert!(!format!("{:?}", plane.auth).contains("argon2"));
}

/// API4, unrestricted resource consumption: the 101st request of a minute, whoever sends it.
#[tokio::test]
async fn api4_an_address_has_a_hundred_requests_a_minute() {
    let plane = Plane::new(&with_users());
    for _ in 0..50 {
        let right = plane.send("GET", GLOBAL, &[RIGHT], "", "192.0.2.1").await;
        assert_eq!(right.status, StatusCode::OK);
        let wrong = plane.send("GET", "/admin/x", &[], "", "192.0.2.1").await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    }
    let forwarded = (HeaderName::from_static("x-forwarded-for"), "198.51.100.1");
    for headers in [vec![RIGHT], vec![RIGHT, forwarded.clone()]] {
        let answer = plane.send("GET", GLOBAL, &headers, "", "192.0.2.1").await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        let wait: u64 = answer.headers[RETRY_AFTER]
            .to_str()
            .expect("text")
            .parse()
            .expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
    }
    let login = plane.login("admin", PASSWORD).await;
    assert_eq!(
        login.status,
        StatusCode::TOO_MANY_REQUESTS,
        "no password is checked either"
    );
    assert_eq!(counted(&plane.meter, Family::AdminRateLimits, &[GLOBAL]), 2);
    assert_eq!(
        counted(&plane.meter, Family::AdminRateLimits, &["/admin/login"]),
        1
    );
    // Scrapes and checks of others go on, and so do other addresses.
    for path in ["/metrics", "/health", "/ready"] {
        assert_eq!(
            plane.send("GET", path, &[], "", "192.0.2.1").await.status,
            StatusCode::OK
        );
    }
    let other = plane.send("GET", GLOBAL, &[RIGHT], "", "192.0.2.2").await;
    assert_eq!(other.status, StatusCode::OK);
}

/// API4, behind a proxy: its clients are told apart by what it says, and by nothing else.
#[tokio::test]
async fn api4_a_proxy_of_ours_tells_its_clients_apart() {
    let mut server = with_users();
    server.admin_req_per_min = Some(1);
    server.trusted_proxies = vec![AddressRange::parse("10.0.0.0/8").expect("a range")];
    let plane = Plane::new(&server);
    let name = HeaderName::from_static("x-forwarded-for");
    let mut statuses = Vec::new();
    for (from, said) in [
        ("10.0.0.1", "192.0.2.1"),
        ("10.0.0.2", "192.0.2.2"),
        // The same client by another proxy, with something in front that it made up.
        ("10.0.0.2", "203.0.113.9, 192.0.2.1"),
        // Not a proxy: all three are one client.
        ("198.51.100.1", "192.0.2.3"),
        ("198.51.100.1", "192.0.2.4"),
    ] {
        let headers = [RIGHT, (name.clone(), said)];
        statuses.push(
            plane
                .send("GET", GLOBAL, &headers, "", from)
                .await
                .status
                .as_u16(),
        );
    }
    assert_eq!(statuses, [200, 200, 429, 200, 429]);
}

/// API5, broken function level authorization: a viewer changes nothing, and does not read the
/// trail; what is not there is not told apart from what is forbidden.
#[tokio::test]
async fn api5_a_viewer_reads() {
    let plane = Plane::new(&with_users());
    let token = plane.token("eve", VIEWERS).await;
    for path in [GLOBAL, "/admin/v1/session", "/api/admin/v1/metrics/global"] {
        let answer = plane.with_token("GET", path, &token).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECTX", "get"] {
        for path in [GLOBAL, "/admin/v1/clients", "/api/admin/v1/config"] {
            let answer = plane.with_token(method, path, &token).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
            assert_eq!(answer.json()["error"]["type"], "permission_error");
        }
    }
    assert_eq!(
        plane.with_token("GET", AUDIT, &token).await.status,
        StatusCode::FORBIDDEN
    );
    // Headers that other systems believe change nothing.
    let bearer = format!("Bearer {token}");
    for (name, value) in [
        ("x-http-method-override", "GET"),
        ("x-role", "admin"),
        ("x-original-url", GLOBAL),
    ] {
        let headers = [
            (AUTHORIZATION, bearer.as_str()),
            (HeaderName::from_static(name), value),
        ];
        let answer = plane
            .send("POST", "/admin/v1/clients", &headers, "", "192.0.2.1")
            .await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
    }
    // An admin of the same configuration is let through to the 404.
    let admin = plane.token("admin", PASSWORD).await;
    let answer = plane.with_token("POST", "/admin/v1/nothing", &admin).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

/// API6, unrestricted access to sensitive business flows: guessing passwords is the flow; see
/// also `sessions`. A crowd of logins does not keep others from the API.
#[tokio::test]
async fn api6_a_crowd_of_logins_leaves_the_api_to_others() {
    let mut server = with_users();
    let params = Params::new(4096, 2, 1, None).expect("some work");
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let slow = hasher.hash_password(PASSWORD.as_bytes()).expect("a hash");
    server.webui.admin_password_hash = Some(Secret::new(slow.to_string()));
    let plane = Arc::new(Plane::new(&server));
    let crowd: Vec<_> = (0..40)
        .map(|n| {
            let plane = Arc::clone(&plane);
            let (id, from) = (format!("name-{n}"), format!("192.0.2.{n}"));
            tokio::spawn(async move { plane.login_from(&id, "wrong", &from).await.status })
        })
        .collect();
    tokio::task::yield_now().await;
    // The crowd has come in: nine are judged, one after another; all others were told at once.
    let told = crowd.iter().filter(|login| login.is_finished()).count();
    assert!(told >= 31, "{told}");
    let answer = plane
        .send("GET", GLOBAL, &[RIGHT], "", "198.51.100.1")
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    let mut judged = 0;
    for login in crowd {
        match login.await.expect("an answer") {
            StatusCode::UNAUTHORIZED => judged += 1,
            status => assert_eq!(status, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    assert_eq!(judged, 9);
}

/// API7, server side request forgery: no part of a request is an address that we call. A
/// token's header that names one is in `tokens::header_tricks`; here, that a request's own
/// `Host` and `Origin` come back nowhere.
#[tokio::test]
async fn api7_no_address_of_a_request_is_used() {
    let plane = Plane::new(&with_users());
    let headers = [
        RIGHT,
        (http::header::HOST, "attacker.example"),
        (
            HeaderName::from_static("x-forwarded-host"),
            "attacker.example",
        ),
        (http::header::ORIGIN, "https://attacker.example"),
        (http::header::REFERER, "https://attacker.example"),
    ];
    for path in [GLOBAL, "/admin/v1/session", "/admin/v1/nothing", "/admin"] {
        let answer = plane.send("GET", path, &headers, "", "192.0.2.1").await;
        let shown = format!("{:?} {}", answer.headers, answer.text());
        assert!(!shown.contains("attacker"), "{path}: {shown}");
        assert!(!answer.status.is_redirection());
    }
}

/// API8, security misconfiguration: other origins have no access unless they are named, and
/// then only with a token.
#[tokio::test]
async fn api8_other_origins_are_off_until_they_are_named() {
    let origin = |origin| (http::header::ORIGIN, origin);
    let asks = (
        HeaderName::from_static("access-control-request-method"),
        "DELETE",
    );
    let off = Plane::new(&with_users());
    let dash = "https://dash.example.com";
    let answer = off
        .send("GET", GLOBAL, &[RIGHT, origin(dash)], "", "192.0.2.1")
        .await;
    assert!(!answer.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    let preflight = [origin(dash), asks.clone()];
    let answer = off
        .send("OPTIONS", GLOBAL, &preflight, "", "192.0.2.1")
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);

    let mut server = with_users();
    server.cors.enabled = true;
    server.cors.allowed_origins = vec![dash.to_owned()];
    let on = Plane::new(&server);
    let answer = on
        .send("OPTIONS", GLOBAL, &preflight, "", "192.0.2.1")
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.headers[ACCESS_CONTROL_ALLOW_ORIGIN], dash);
    assert_eq!(answer.headers[VARY], "origin");
    // Cookies are not for other origins.
    assert!(
        !answer
            .headers
            .contains_key("access-control-allow-credentials")
    );
    for headers in [vec![RIGHT, origin(dash)], vec![origin(dash)]] {
        let answer = on.send("GET", GLOBAL, &headers, "", "192.0.2.1").await;
        assert_eq!(answer.headers[ACCESS_CONTROL_ALLOW_ORIGIN], dash);
    }
    for other in [
        "https://attacker.example",
        "https://dash.example.com.attacker.example",
        "https://xdash.example.com",
        "http://dash.example.com",
        "https://DASH.example.com",
        "null",
        "",
    ] {
        for headers in [
            vec![RIGHT, origin(other)],
            vec![origin(other), asks.clone()],
        ] {
            for method in ["GET", "OPTIONS"] {
                let answer = on.send(method, GLOBAL, &headers, "", "192.0.2.1").await;
                assert!(
                    !answer.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN),
                    "{other}"
                );
                assert_eq!(answer.headers[VARY], "origin");
            }
        }
    }
}

/// API9, improper inventory management: both names of an endpoint are one, in what they need
/// and in how they count; what is not there is not there under a third.
#[tokio::test]
async fn api9_both_prefixes_are_one_api() {
    let plane = Plane::new(&with_users());
    for path in [GLOBAL, "/admin/v1/session"] {
        for uri in [path.to_owned(), format!("/api{path}")] {
            let open = plane.send("GET", &uri, &[], "", "192.0.2.1").await;
            assert_eq!(open.status, StatusCode::UNAUTHORIZED, "{uri}");
            let taken = plane.send("GET", &uri, &[RIGHT], "", "192.0.2.1").await;
            assert_eq!(taken.status, StatusCode::OK, "{uri}");
        }
        for (status, count) in [("200", 2), ("401", 2)] {
            let values = [path, "GET", status];
            assert_eq!(counted(&plane.meter, Family::AdminRequests, &values), count);
        }
    }
    for uri in [
        "/admin/v2/session",
        "/v1/admin/session",
        "/ADMIN/v1/session",
    ] {
        let answer = plane.send("GET", uri, &[RIGHT], "", "192.0.2.1").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{uri}");
    }
}

/// API10, unsafe consumption of APIs: what the gateway believes of others is what a proxy says
/// of its clients (API4), and nothing without being told to.
///
/// Beyond the ten: whatever comes, it is in the trail; and no request writes a row of its own.
#[tokio::test]
async fn every_request_has_its_row() {
    let folder = Folder::new();
    let mut server = with_users();
    server.admin_req_per_min = Some(12);
    let settings = server.audit;
    let (trail, guard) = Trail::open(folder.path(), settings).expect("a trail");
    let plane = Plane::with_trail(&server, Some(trail));
    let token = plane.token("eve", VIEWERS).await;
    plane.login("admin", "wrong").await;
    plane.login("hunter2", "wrong").await;
    plane.with_token("GET", GLOBAL, &token).await;
    plane
        .with_token("DELETE", "/admin/v1/clients/x", &token)
        .await;
    plane.with_token("GET", AUDIT, &token).await;
    plane.with_token("GET", GLOBAL, &format!("{token}x")).await;
    plane
        .send(
            "GET",
            "/api/admin/v1/x%0a%5bAUDIT%5d?key=hush",
            &[],
            "",
            "2001:db8::1",
        )
        .await;
    plane
        .send(
            "EXPLODE",
            "/admin/v1/\u{e9}\u{85}\u{202e}\"",
            &[RIGHT],
            "",
            "192.0.2.1",
        )
        .await;
    plane.send("GET", "/health", &[], "", "192.0.2.1").await;

    let asked = plane
        .send(
            "GET",
            &format!("{AUDIT}?limit=5"),
            &[RIGHT],
            "",
            "192.0.2.2",
        )
        .await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.text());
    let first = asked.json();
    assert_eq!(
        (&first["partial"], first["next"].as_u64()),
        (&json!(false), Some(5))
    );
    let uri = format!("/api{AUDIT}?after=5");
    let rest = plane
        .send("GET", &uri, &[RIGHT], "", "192.0.2.2")
        .await
        .json();
    assert_eq!(rest["next"], Value::Null);
    let rows: Vec<&Value> = [&first, &rest]
        .iter()
        .flat_map(|page| page["entries"].as_array().expect("a list"))
        .collect();
    let told: Vec<Value> = rows
        .iter()
        .skip(1)
        .map(|row| {
            json!([
                row["method"],
                row["endpoint"],
                row["actor"],
                row["auth"],
                row["status"],
                row["reason"]
            ])
        })
        .collect();
    let want = json!([
        ["POST", "/admin/login", "eve", "password", 200, null],
        [
            "POST",
            "/admin/login",
            "admin",
            "password",
            401,
            "wrong name or password"
        ],
        // What may be a password in the wrong field is not written down.
        [
            "POST",
            "/admin/login",
            null,
            "password",
            401,
            "wrong name or password"
        ],
        ["GET", GLOBAL, "eve", "jwt", 200, null],
        [
            "DELETE",
            "/admin/v1/clients/{id}",
            "eve",
            "jwt",
            403,
            "role"
        ],
        ["GET", AUDIT, "eve", "jwt", 403, null],
        ["GET", GLOBAL, null, null, 401, "invalid token"],
        ["GET", "other", null, null, 401, "no valid key"],
        ["EXPLODE", "other", "admin_key", "admin_key", 404, null],
        ["GET", AUDIT, "admin_key", "admin_key", 200, null],
    ]);
    assert_eq!(Value::from(told), want);
    assert_eq!(rows[8]["path"], "/api/admin/v1/x%0a%5bAUDIT%5d");
    assert_eq!(rows[8]["address"], "2001:db8::1");
    assert_eq!(rows[9]["path"], "/admin/v1/\u{e9}\u{85}\u{202e}\"");
    // Refusals of the rate limit: the 1st, 2nd, 4th and 8th of them.
    for _ in 0..15 {
        plane.send("GET", GLOBAL, &[RIGHT], "", "192.0.2.1").await;
    }
    let uri = format!("{AUDIT}?after=12&start=0&end=99999999999");
    let rest = plane
        .send("GET", &uri, &[RIGHT], "", "192.0.2.2")
        .await
        .json();
    let refusals: Vec<&Value> = rest["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|row| row["status"] == 429)
        .map(|row| &row["refusals"])
        .collect();
    assert_eq!(refusals, [1, 2, 4, 8]);
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "after=-1",
        "start=5&end=5",
        "limit=1&limit=1",
    ] {
        let uri = format!("{AUDIT}?{query}");
        let answer = plane.send("GET", &uri, &[RIGHT], "", "192.0.2.3").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    drop(plane);
    drop(guard);
    let folder = folder.path().join("audit");
    crate::control::audit::verify(&folder, None).expect("it is whole");
    let text = std::fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| std::fs::read_to_string(entry.expect("a file").path()).expect("text"))
        .collect::<String>();
    for hidden in [
        "hush",
        "hunter2",
        PASSWORD,
        VIEWERS,
        token.as_str(),
        "secret",
        "\u{85}",
        "\u{202e}",
    ] {
        assert!(!text.contains(hidden), "{hidden:?}");
    }
}

/// A trail that takes no rows: nothing is changed without one, and reading goes on.
#[tokio::test]
async fn without_a_place_in_the_trail_nothing_is_changed() {
    let folder = Folder::new();
    let trail = Trail::stuck(folder.path());
    let plane = Plane::with_trail(&with_users(), Some(trail));
    let read = plane.send("GET", GLOBAL, &[RIGHT], "", "192.0.2.1").await;
    assert_eq!(read.status, StatusCode::OK);
    let refused = plane.login("admin", PASSWORD).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let page = plane.send("GET", "/metrics", &[], "", "192.0.2.1").await;
    assert!(
        page.text().contains("\ncoo_llm_audit_rows_lost_total 2\n"),
        "{}",
        page.text()
    );
}
