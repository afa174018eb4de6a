//! Logins, their lock-out, and the sessions of pages.

use super::*;

const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[tokio::test]
async fn a_login_is_answered_as_the_interface_says() {
    let plane = Plane::new(&with_users());
    for path in ["/admin/login", "/api/login", "/api/admin/login"] {
        for name in ["id", "admin_id"] {
            let body = json!({name: "admin", "password": PASSWORD}).to_string();
            // Without a content type, as `curl -d` of an older habit would have it.
            let answer = plane.send("POST", path, &[], &body, "192.0.2.1").await;
            assert_eq!(answer.status, StatusCode::OK, "{path} {name}");
            assert!(!answer.headers.contains_key(SET_COOKIE), "only for JSON");
            let answer = answer.json();
            let user = json!({"id": "admin", "username": "admin", "role": "admin"});
            assert_eq!(answer["user"], user);
            let token = answer["token"].as_str().expect("a token");
            let taken = plane
                .with_token("GET", "/api/admin/v1/session", token)
                .await;
            assert_eq!(taken.status, StatusCode::OK);
            let session = taken.json();
            assert_eq!(session["user"], user);
            assert_eq!(session["expires"], answer["expires"]);
            assert_eq!(session["csrf"], answer["csrf"]);
        }
    }
    assert_eq!(plane.counted("password", "success"), 6);
    let values = ["/admin/login", "POST", "200"];
    assert_eq!(counted(&plane.meter, Family::AdminRequests, &values), 6);
    for body in [
        "",
        "{}",
        "[]",
        "{\"id\":\"admin\"}",
        "{\"password\":\"x\"}",
        "\u{0}",
        "{\"id\":\"a\",\"admin_id\":\"b\",\"password\":\"x\"}",
        "{\"id\":1,\"password\":\"x\"}",
        &json!({"id": "admin", "password": "x".repeat(2000)}).to_string(),
        &json!({"id": "admin", "password": "x".repeat(100_000)}).to_string(),
    ] {
        let answer = plane
            .send("POST", "/admin/login", &[], body, "192.0.2.1")
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body:.40}");
    }
    for method in ["GET", "PUT", "DELETE"] {
        let answer = plane.send(method, "/api/login", &[], "", "192.0.2.1").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

/// Who guesses learns nothing but that it was wrong.
#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_look_the_same() {
    let plane = Plane::new(&with_users());
    let answers = [
        plane.login("admin", "wrong").await,
        plane.login("nobody", "wrong").await,
        plane.login("nobody", PASSWORD).await,
        plane.login("eve", PASSWORD).await,
        plane.login("admin_key", "secret").await,
        plane.login("", "").await,
    ];
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.body, answers[0].body);
        assert_eq!(answer.headers, answers[0].headers);
    }
    assert_eq!(plane.counted("password", "invalid"), 6);
    // Where nobody has a password nobody logs in.
    let nobody = Plane::new(&server(Some("secret")));
    assert_eq!(
        nobody.login("admin", "").await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn an_account_is_locked_after_five_failures_whether_it_exists_or_not() {
    for id in ["admin", "nobody"] {
        let plane = Plane::new(&with_users());
        for n in 0..5 {
            let from = format!("192.0.2.{n}");
            let answer = plane.login_from(id, "wrong", &from).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{n}");
        }
        // From anywhere, and with the right password too: else guessing would go on.
        for password in [PASSWORD, "wrong"] {
            let answer = plane.login_from(id, password, "198.51.100.1").await;
            assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
            let wait = answer.headers[RETRY_AFTER].to_str().expect("text");
            let wait: u64 = wait.parse().expect("seconds");
            assert!((1..=30).contains(&wait), "{wait}");
            assert_eq!(answer.json()["error"]["type"], "rate_limit_error");
        }
        assert_eq!(plane.counted("password", "locked"), 2);
        // Others are not locked out, and neither is the admin key.
        let other = plane.login_from("eve", VIEWERS, "198.51.100.1").await;
        assert_eq!(other.status, StatusCode::OK);
        let key = plane.send("GET", GLOBAL, &[RIGHT], "", "192.0.2.1").await;
        assert_eq!(key.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn an_address_is_locked_after_twenty_failures_whatever_the_names() {
    let plane = Plane::new(&with_users());
    for n in 0..20 {
        let answer = plane.login(&format!("name-{n}"), "wrong").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{n}");
    }
    let locked = plane.login("admin", PASSWORD).await;
    assert_eq!(locked.status, StatusCode::TOO_MANY_REQUESTS);
    let elsewhere = plane.login_from("admin", PASSWORD, "198.51.100.1").await;
    assert_eq!(elsewhere.status, StatusCode::OK);
}

/// Attempts that come at once are judged one by one: a race gives no further guesses.
#[tokio::test]
async fn parallel_guesses_are_counted() {
    let plane = Arc::new(Plane::new(&with_users()));
    let mut answers = Vec::new();
    for _ in 0..3 {
        let guesses: Vec<_> = (0..4)
            .map(|n| {
                let plane = Arc::clone(&plane);
                let from = format!("192.0.2.{n}");
                tokio::spawn(async move { plane.login_from("admin", "wrong", &from).await.status })
            })
            .collect();
        for guess in guesses {
            answers.push(guess.await.expect("an answer"));
        }
    }
    let judged = answers
        .iter()
        .filter(|status| **status == StatusCode::UNAUTHORIZED);
    assert_eq!(judged.count(), 5, "{answers:?}");
}

fn cookie_of(answer: &Answer) -> (String, String) {
    let set = answer.headers[SET_COOKIE]
        .to_str()
        .expect("text")
        .to_owned();
    let (pair, attributes) = set.split_once("; ").expect("attributes");
    (pair.to_owned(), attributes.to_owned())
}

#[tokio::test]
async fn a_pages_cookie_is_out_of_reach_of_scripts_and_of_other_sites() {
    let mut server = with_users();
    let (pair, attributes) = cookie_of(&Plane::new(&server).login("admin", PASSWORD).await);
    assert!(pair.starts_with("coo_session="), "{pair}");
    assert_eq!(
        attributes,
        "Path=/; HttpOnly; SameSite=Strict; Max-Age=28800"
    );
    // Over TLS.
    server.tls = Some(coo_llm_config::Tls {
        cert: "cert".into(),
        key: "key".into(),
    });
    let plane = Plane::new(&server);
    let (pair, attributes) = cookie_of(&plane.login("admin", PASSWORD).await);
    assert!(pair.starts_with("__Host-coo_session="), "{pair}");
    assert_eq!(
        attributes,
        "Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=28800"
    );
    let taken = plane
        .send("GET", GLOBAL, &[(COOKIE, &pair)], "", "192.0.2.1")
        .await;
    assert_eq!(taken.status, StatusCode::OK);
    // A cookie that another host of the domain could have set is not looked at.
    let weak = pair.replace("__Host-", "");
    let refused = plane
        .send("GET", GLOBAL, &[(COOKIE, &weak)], "", "192.0.2.1")
        .await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}

/// CSRF: what changes something needs what only our page knows.
#[tokio::test]
async fn a_page_of_others_changes_nothing() {
    let plane = Plane::new(&with_users());
    let login = plane.login("admin", PASSWORD).await;
    let (pair, _) = cookie_of(&login);
    let csrf = login.json()["csrf"].as_str().expect("text").to_owned();
    let other = plane.login("eve", VIEWERS).await;
    let others = other.json()["csrf"].as_str().expect("text").to_owned();
    let cookie = (COOKIE, pair.as_str());
    let read = plane
        .send(
            "GET",
            GLOBAL,
            std::slice::from_ref(&cookie),
            "",
            "192.0.2.1",
        )
        .await;
    assert_eq!(
        read.status,
        StatusCode::OK,
        "reading needs the cookie alone"
    );
    let zeros = "0".repeat(64);
    for headers in [
        vec![cookie.clone()],
        vec![cookie.clone(), (CSRF, "")],
        vec![cookie.clone(), (CSRF, "x")],
        vec![cookie.clone(), (CSRF, &zeros)],
        // That of another session.
        vec![cookie.clone(), (CSRF, &others)],
        vec![cookie.clone(), (CSRF, &csrf), (SITE, "cross-site")],
        vec![cookie.clone(), (CSRF, &csrf), (SITE, "same-site")],
    ] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = plane
                .send(method, "/admin/logout", &headers, "", "192.0.2.1")
                .await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {headers:?}");
        }
    }
    // A wrong key is not made up for by a cookie.
    let both = [cookie.clone(), (AUTHORIZATION, "Bearer wrong")];
    let answer = plane.send("GET", GLOBAL, &both, "", "192.0.2.1").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    // Our own page.
    let ours = [cookie.clone(), (CSRF, csrf.as_str()), (SITE, "same-origin")];
    let out = plane
        .send("POST", "/admin/logout", &ours, "", "192.0.2.1")
        .await;
    assert_eq!(out.status, StatusCode::OK);
    let (gone, attributes) = cookie_of(&out);
    assert!(
        gone == "coo_session=" && attributes.ends_with("Max-Age=0"),
        "{gone} {attributes}"
    );
    let after = plane.send("GET", GLOBAL, &[cookie], "", "192.0.2.1").await;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED);
}
