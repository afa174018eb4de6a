//! The document beside the router.

use super::*;
use std::collections::BTreeSet;

const OPENAPI: &str = "/admin/v1/openapi.json";

/// Method and path.
type Operations = BTreeSet<(String, String)>;

/// What the router answers with another status than 405.
async fn routed(router: &Router, paths: &[String]) -> Operations {
    let mut found = Operations::new();
    for path in paths {
        let uri = path.replace("{id}", "x");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let answer = ask(router, method, &uri, &[RIGHT]).await;
            assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{method} {uri}");
            if answer.status != StatusCode::METHOD_NOT_ALLOWED {
                found.insert((method.to_lowercase(), path.clone()));
            }
        }
    }
    found
}

fn documented(document: &Value) -> Operations {
    let mut found = Operations::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            found.insert((method.clone(), path.clone()));
        }
    }
    found
}

fn everything(meter: &Meter) -> Control {
    let (orders, _nobody) = Orders::new();
    Control {
        config: Some(orders),
        checks: Some(checks::checks(
            &checks::setups(&[("sim", "")]),
            Duration::ZERO,
        )),
        ..control(meter, false)
    }
}

async fn document(control: Control) -> Value {
    ask(&router(control), "GET", OPENAPI, &[RIGHT]).await.json()
}

#[tokio::test]
async fn it_has_the_routers_paths_and_methods_and_no_others() {
    let few = |meter: &Meter| Control {
        metrics: None,
        ..control(meter, false)
    };
    for make in [&everything as &dyn Fn(&Meter) -> Control, &few] {
        let meter = Meter::new(1000);
        let (router, paths) = assembled(make(&meter));
        let routed = routed(&router, &paths).await;
        let (aliases, routed): (Operations, Operations) = routed
            .into_iter()
            .partition(|(_, path)| path.starts_with(gate::ALIAS));
        assert_eq!(documented(&document(make(&meter)).await), routed);
        let mut expected: Operations = routed
            .iter()
            .filter(|(_, path)| gate::is_admin(path))
            .map(|(method, path)| (method.clone(), format!("/api{path}")))
            .collect();
        expected.insert(("post".to_owned(), "/api/login".to_owned()));
        assert_eq!(aliases, expected);
    }
}

#[tokio::test]
async fn it_is_for_those_who_may_and_says_where_the_metrics_are() {
    let meter = Meter::new(1000);
    let mut control = everything(&meter);
    let path = MetricsPath::parse("/custom").expect("a path");
    control.metrics.as_mut().expect("it is on").path = path;
    let router = router(control);
    let refused = ask(&router, "GET", OPENAPI, &[]).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let document = ask(&router, "GET", &format!("/api{OPENAPI}"), &[RIGHT]).await;
    let document = document.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(document["paths"]["/custom"]["get"].is_object());
    assert!(document["paths"]["/metrics"].is_null());
}

#[tokio::test]
async fn every_admin_operation_has_the_gates_answers_and_every_reference_leads_somewhere() {
    let document = document(everything(&Meter::new(1000))).await;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            assert!(operation["operationId"].is_string(), "{method} {path}");
            if !gate::is_admin(path) {
                continue;
            }
            for status in ["401", "429", "503"] {
                let answer = &operation["responses"][status];
                assert!(answer.is_object(), "{method} {path} {status}");
            }
            let is_open = operation["security"] == json!([{}]);
            assert_eq!(is_open, path == "/admin/login", "{method} {path}");
        }
    }
    let text = document.to_string();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let (pointer, _) = part.split_once('"').expect("a string ends");
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

/// The names that a refusal lists are those that the document has.
#[tokio::test]
async fn it_has_the_parameters_that_are_known() {
    let meter = Meter::new(1000);
    let router = router(everything(&meter));
    let document = ask(&router, "GET", OPENAPI, &[RIGHT]).await.json();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let parameters = item["get"]["parameters"].as_array();
        let names: Vec<&str> = parameters
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().expect("a name"))
            .collect();
        if names.is_empty() {
            continue;
        }
        asked += 1;
        let uri = format!("{}?nonsense=1", path.replace("{id}", "x"));
        let answer = ask(&router, "GET", &uri, &[RIGHT]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{uri}");
        let want = format!(
            "nonsense is no parameter here; there are {}",
            names.join(", ")
        );
        assert_eq!(answer.json()["error"]["message"], want, "{uri}");
    }
    assert!(asked > 0);
}
