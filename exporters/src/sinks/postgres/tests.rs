//! Against a real PostgreSQL, by a way on which answers get lost.

mod proxy;
#[path = "../../../../tests/src/postgres.rs"]
#[expect(unreachable_pub, reason = "a file of another crate")]
mod server;

use super::*;
use crate::sinks::tests::{Rig, T0_S};
use crate::sinks::{Delivery, Options, Reason, SetAside, State, Status};
use proxy::Plan;
use server::{PASSWORD, Postgres};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// How long a call may take: shorter than a late commit is late.
const PATIENCE: Duration = Duration::from_secs(4);
const HOUR: Duration = Duration::from_secs(3600);
/// So that what the rig records, of 2023, is rolled up to hours at once, and stays.
const ROLLED: [Duration; 3] = [HOUR, HOUR, Duration::from_secs(3600 * 24 * 36500)];
const KEPT: [Duration; 3] = [Duration::from_secs(3600 * 24 * 36500); 3];
const SUMS: &str =
    "SELECT client, sum(requests), sum(cost_nano_usd) FROM coo_llm.usage GROUP BY 1 ORDER BY 1";

#[test]
fn urls_are_read_or_refused_without_what_is_in_them() {
    let options = |url: &str| PostgresOptions::new(url, None, "coo_llm", KEPT);
    use tokio_postgres::config::SslMode;
    for (url, mode) in [
        ("postgres://u:p@h/d", SslMode::Prefer),
        ("postgres://u:p@h/d?sslmode=disable", SslMode::Disable),
        ("postgres://u:p@h/d?sslmode=verify-full", SslMode::Require),
        (
            "postgresql://u:p@h:5,i:6/d?target_session_attrs=read-write",
            SslMode::Prefer,
        ),
    ] {
        let options = options(url).expect(url);
        assert_eq!(options.config.get_ssl_mode(), mode, "{url}");
    }
    for url in [
        "postgres://u:hunter2@h/d?sslmode=maybe",
        "postgres://u:hunter2@h/d?sslrootcert=hunter2",
        "postgres://u:hunter2@h:port/d",
        "postgres:///hunter2",
    ] {
        let error = options(url).expect_err(url);
        assert!(!error.to_string().contains("hunter2"));
    }
    let options = options("postgres://u:hunter2@h/d").expect("a URL");
    assert!(!format!("{:?}", PostgresSink::new(options)).contains("hunter2"));
}

fn options(server: &Postgres, retention: [Duration; 3]) -> PostgresOptions {
    let url = server.url("postgres", "?sslmode=disable");
    PostgresOptions::new(&url, None, "coo_llm", retention).expect("a URL")
}

fn delivery(
    rig: &Rig,
    options: PostgresOptions,
    aside: &Arc<Mutex<Vec<SetAside>>>,
) -> Delivery<PostgresSink> {
    let how = Options {
        rows_max: 3,
        patience: PATIENCE,
        interval: Duration::from_millis(20),
        ..Options::new("postgres")
    };
    let aside = Arc::clone(aside);
    let keep = move |rows: &[SetAside]| {
        aside.lock().expect("no panic").extend_from_slice(rows);
        Ok(())
    };
    let sink = PostgresSink::new(options);
    Delivery::new(
        Arc::clone(&rig.history),
        sink,
        how,
        rig.clock(),
        Box::new(keep),
    )
}

/// Serves until the store has everything that is sealed; `wrong` happens meanwhile.
async fn serve(
    rig: &Rig,
    options: PostgresOptions,
    wrong: impl FnOnce() + Send + 'static,
) -> (Status, Vec<SetAside>) {
    let aside = Arc::default();
    let delivery = delivery(rig, options, &aside);
    let status = delivery.status();
    let (end, ended) = watch::channel(false);
    let serving = tokio::spawn(delivery.run(ended));
    let wrong = tokio::task::spawn_blocking(wrong);
    let sealed = rig.history.sealed_s((rig.clock())());
    let start = std::time::Instant::now();
    while !wrong.is_finished()
        || status.read().state != State::Up
        || status
            .read()
            .position
            .is_none_or(|position| position.second < sealed)
    {
        assert_ne!(status.read().state, State::Stopped, "{:?}", status.read());
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "{:?}",
            status.read()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    wrong.await.expect("no panic");
    end.send(true).expect("it serves");
    serving.await.expect("no panic");
    let aside = aside.lock().expect("no panic").clone();
    (status.read(), aside)
}

fn expected(rig: &Rig) -> Vec<Vec<String>> {
    let rows = rig.totals.iter();
    rows.map(|(client, (requests, cost))| {
        vec![client.clone(), requests.to_string(), cost.to_string()]
    })
    .collect()
}

fn some_traffic(rig: &mut Rig, random: &mut fastrand::Rng) {
    for _ in 0..random.u64(20..60) {
        rig.record(random.u64(0..1000));
        if random.u8(0..3) == 0 {
            rig.pass(random.u64(1..400));
        }
    }
    rig.pass(20);
}

/// What happens to a store.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Nothing,
    LostAnswers,
    LateCommits,
    Killed,
    LosesItsNewest,
    Emptied,
    Dropped,
    ReadOnly,
    Disconnected,
}

#[tokio::test]
async fn each_request_is_in_it_once_whatever_goes_wrong() {
    // What a session has committed is on the disk up to ten seconds later.
    let server = Postgres::start(&["synchronous_commit=off", "wal_writer_delay=10s"]);
    let plan = Arc::new(Plan::default());
    let way = proxy::start(server.port(), &plan);
    let url = server.url("postgres", "?sslmode=disable");
    let url = url.replace(&server.port().to_string(), &way.to_string());
    let options = PostgresOptions::new(&url, None, "coo_llm", ROLLED).expect("a URL");
    let server = Arc::new(Mutex::new(server));
    let mut rig = Rig::new();
    let mut random = fastrand::Rng::with_seed(7);
    let mut rewinds = 0;
    for wrong in [
        Wrong::Nothing,
        Wrong::LostAnswers,
        Wrong::LateCommits,
        Wrong::Killed,
        Wrong::LosesItsNewest,
        Wrong::Emptied,
        Wrong::LostAnswers,
        Wrong::Dropped,
        Wrong::ReadOnly,
        Wrong::LosesItsNewest,
        Wrong::Disconnected,
        Wrong::LateCommits,
    ] {
        some_traffic(&mut rig, &mut random);
        match wrong {
            Wrong::LostAnswers => plan.lost_answers.store(3, Ordering::Relaxed),
            Wrong::LateCommits => plan.late_commits.store(1, Ordering::Relaxed),
            _ => {}
        }
        let server_then = Arc::clone(&server);
        let happens = move || {
            let mut server = server_then.lock().expect("no panic");
            match wrong {
                Wrong::Nothing | Wrong::LostAnswers | Wrong::LateCommits => {}
                Wrong::Killed => {
                    server.kill();
                    server.launch();
                }
                Wrong::LosesItsNewest => {
                    server.stop_immediately();
                    server.launch();
                }
                Wrong::Emptied => {
                    drop(server.sql("TRUNCATE coo_llm.usage, coo_llm.errors, coo_llm.positions"));
                }
                Wrong::Dropped => drop(server.sql("DROP SCHEMA coo_llm CASCADE")),
                Wrong::ReadOnly => {
                    drop(server.sql("ALTER SYSTEM SET default_transaction_read_only = on"));
                    drop(server.sql("SELECT pg_reload_conf()"));
                    std::thread::sleep(Duration::from_millis(300));
                    drop(server.sql("ALTER SYSTEM RESET default_transaction_read_only"));
                    drop(server.sql("SELECT pg_reload_conf()"));
                }
                Wrong::Disconnected => drop(server.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE application_name = 'coo-llm'",
                )),
            }
        };
        let (status, aside) = serve(&rig, options.clone(), happens).await;
        rewinds += status.rewinds;
        assert!(aside.is_empty(), "{wrong:?}");
        // It may have happened when all was there already.
        let (status, _) = serve(&rig, options.clone(), || {}).await;
        rewinds += status.rewinds;
        assert_eq!(status.error, None, "{wrong:?}");
        assert_eq!(plan.lost_answers.load(Ordering::Relaxed), 0, "{wrong:?}");
        assert_eq!(plan.late_commits.load(Ordering::Relaxed), 0, "{wrong:?}");
        let server = server.lock().expect("no panic");
        assert_eq!(server.sql(SUMS), expected(&rig), "{wrong:?}: {status:?}");
    }
    assert!(rewinds > 0, "it never lost anything");
}

#[tokio::test]
async fn what_is_old_becomes_less_and_stays_the_same() {
    let server = Postgres::start(&[]);
    let mut rig = Rig::new();
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..4 {
        some_traffic(&mut rig, &mut random);
    }
    serve(&rig, options(&server, KEPT), || {}).await;
    let ever = 0..u64::MAX;
    let as_written = totals(&options(&server, KEPT), ever.clone())
        .await
        .expect("totals");
    let by_width = "SELECT width_s, count(*) FROM coo_llm.usage GROUP BY 1 ORDER BY 1";
    let rows_written: u64 = server.sql(by_width)[0][1].parse().expect("a number");
    assert_eq!(server.sql(by_width)[0][0], "10");
    let views = [
        "SELECT * FROM coo_llm.cost_by_client_month ORDER BY 1, 2",
        "SELECT * FROM coo_llm.cost_by_provider_day ORDER BY 1, 2, 3",
        "SELECT day, model, requests, input_tokens, cost_usd, latency_p50_ms, latency_p95_ms, \
         latency_mean_ms FROM coo_llm.usage_by_model_day ORDER BY 1, 2",
        "SELECT * FROM coo_llm.error_rate_by_provider_hour ORDER BY 1, 2",
    ];
    let before: Vec<_> = views.iter().map(|view| server.sql(view)).collect();
    assert!(before.iter().all(|rows| !rows.is_empty()));

    // With rows that are late: they come to a minute, and an hour, that is there already.
    some_traffic(&mut rig, &mut random);
    serve(&rig, options(&server, [HOUR, KEPT[0], KEPT[0]]), || {}).await;
    let minutes = server.sql(by_width);
    assert_eq!(minutes.last().expect("rows")[0], "60");
    serve(&rig, options(&server, ROLLED), || {}).await;
    let hours = server.sql(by_width);
    assert_eq!((hours.len(), hours[0][0].as_str()), (1, "3600"));
    let rows_left: u64 = hours[0][1].parse().expect("a number");
    assert!(rows_left < rows_written, "{rows_left} of {rows_written}");
    assert_eq!(server.sql(SUMS), expected(&rig));

    // Without what came after, all is as it was: moved back and compared to the same.
    let all = totals(&options(&server, KEPT), ever.clone())
        .await
        .expect("totals");
    assert!(all.total.totals.requests > as_written.total.totals.requests);
    let sent: u64 = rig.totals.values().map(|(requests, _)| requests).sum();
    assert_eq!(all.total.totals.requests, sent);
    assert_eq!(all.total.latency.count(), sent);
    assert_eq!(all.writers.len(), 1);
    assert_eq!(all.writers[0].instance, rig.history.instance());
    let by_client: u64 = all
        .by_client
        .values()
        .map(|usage| usage.totals.cost.0)
        .sum();
    assert_eq!(by_client, all.total.totals.cost.0);

    // And the views, for what did not change: emptied, written again in hours, and in ten seconds.
    let rolled: Vec<_> = views.iter().map(|view| server.sql(view)).collect();
    drop(server.sql("TRUNCATE coo_llm.usage, coo_llm.errors, coo_llm.positions"));
    serve(&rig, options(&server, KEPT), || {}).await;
    assert_eq!(server.sql(by_width)[0][0], "10");
    let fine: Vec<_> = views.iter().map(|view| server.sql(view)).collect();
    assert_eq!(rolled, fine);
    assert_eq!(
        totals(&options(&server, KEPT), ever)
            .await
            .expect("totals")
            .total,
        all.total
    );

    // An end comes for hours too.
    serve(&rig, options(&server, [HOUR; 3]), || {}).await;
    assert!(server.sql(by_width).is_empty());
}

#[tokio::test]
async fn percentiles_of_sql_are_those_of_the_history() {
    let server = Postgres::start(&[]);
    let mut rig = Rig::new();
    for n in [0, 1, 127, 128, 255, 256, 300, 1000, 65_537, 4_000_000] {
        rig.record(n);
    }
    rig.pass(20);
    serve(&rig, options(&server, KEPT), || {}).await;
    let have = totals(&options(&server, KEPT), T0_S..T0_S + 3600)
        .await
        .expect("totals");
    for q in [0.0, 0.1, 0.5, 0.75, 0.95, 1.0] {
        let expected = have.total.latency.quantile_us(q).expect("latencies") / 1000.0;
        let sql = format!(
            "SELECT coo_llm.latency_quantile_ms(string_agg(latency, ''::bytea), {q}) FROM coo_llm.usage"
        );
        let sql: f64 = server.sql(&sql)[0][0].parse().expect("a number");
        assert!(
            (sql - expected).abs() < 1e-9 * expected.max(1.0),
            "{q}: {sql}, {expected}"
        );
    }
    let nobody = totals(&options(&server, KEPT), T0_S + 3600..u64::MAX)
        .await
        .expect("totals");
    assert_eq!(nobody.total.totals.requests, 0);
}

#[tokio::test]
async fn what_is_refused_says_why_and_the_rest_goes_on() {
    let server = Postgres::start(&[]);
    let mut rig = Rig::new();
    let mut random = fastrand::Rng::with_seed(5);
    // Gateways that start at once: one of them makes the schema.
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let options = options(&server, KEPT);
            tokio::spawn(async move { PostgresSink::new(options).position(1).await })
        })
        .collect();
    for start in starts {
        assert_eq!(start.await.expect("no panic"), Ok(Stored::Nothing));
    }

    drop(server.sql("ALTER TABLE coo_llm.usage ADD CHECK (client <> 'client-3')"));
    some_traffic(&mut rig, &mut random);
    let (status, aside) = serve(&rig, options(&server, KEPT), || {}).await;
    let mut left = expected(&rig);
    left.retain(|row| row[0] != "client-3");
    assert_eq!(server.sql(SUMS), left);
    let (requests, _) = rig.totals["client-3"];
    let set_aside: u64 = aside
        .iter()
        .map(|row| {
            assert!(row.reason.contains("23514"), "{row:?}");
            let row: serde_json::Value = serde_json::from_str(&row.row).expect("JSON");
            row["requests"].as_u64().expect("a number")
        })
        .sum();
    assert_eq!(set_aside, requests);
    assert_eq!(status.set_aside, aside.len() as u64);

    // The fence holds against one that believes the store to be elsewhere.
    let mut other = PostgresSink::new(options(&server, KEPT));
    let at = match other.position(rig.history.instance()).await {
        Ok(Stored::At(at)) => at,
        other => unreachable!("{other:?}"),
    };
    let rows = Sealed {
        from: at,
        to: Position {
            second: at.second + 10,
            rows: 0,
        },
        start_s: at.second,
        width_s: 10,
        rows: Vec::new(),
        errors: Vec::new(),
    };
    let wrong = Position {
        second: at.second - 10,
        rows: 0,
    };
    for at in [None, Some(wrong)] {
        let applied = other.apply(rig.history.instance(), at, &rows).await;
        assert_eq!(applied, Ok(Applied::Elsewhere));
    }
    assert_eq!(server.sql(SUMS), left);

    let fault_of = async |url: &str| {
        let options = PostgresOptions::new(url, None, "coo_llm", KEPT).expect("a URL");
        let fault = PostgresSink::new(options).position(1).await;
        let fault = fault.expect_err("it is refused");
        assert!(
            !fault.detail.contains(PASSWORD) && !fault.detail.contains("hunter2"),
            "{fault}"
        );
        fault
    };
    let good = server.url("postgres", "?sslmode=disable");
    let wrong = good.replace("s3cret", "hunter2");
    assert_eq!(fault_of(&wrong).await.reason, Reason::Auth);
    assert_eq!(
        fault_of(&good.replace("/postgres?", "/nowhere?"))
            .await
            .reason,
        Reason::Connect
    );
    assert_eq!(
        fault_of(&good.replace("disable", "require")).await.reason,
        Reason::Connect
    );
    let nobody = good.replace(&server.port().to_string(), "1");
    assert_eq!(fault_of(&nobody).await.reason, Reason::Connect);

    // The rights that docs/sinks.md names are enough, and fewer say so.
    drop(server.sql(&format!("CREATE ROLE coo LOGIN PASSWORD '{PASSWORD}'")));
    let least = server.url("coo", "?sslmode=disable");
    assert_eq!(fault_of(&least).await.reason, Reason::Auth);
    drop(server.sql(
        "GRANT USAGE ON SCHEMA coo_llm TO coo; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA coo_llm TO coo",
    ));
    some_traffic(&mut rig, &mut random);
    drop(server.sql("ALTER TABLE coo_llm.usage DROP CONSTRAINT usage_client_check"));
    let options_of_coo = PostgresOptions::new(&least, None, "coo_llm", ROLLED).expect("a URL");
    let (status, _) = serve(&rig, options_of_coo, || {}).await;
    assert!(status.failures.is_empty(), "{status:?}");

    drop(server.sql("INSERT INTO coo_llm.migrations VALUES (99, now())"));
    let fault = fault_of(&good).await;
    assert_eq!(fault.reason, Reason::Refused);
    assert!(fault.detail.contains("version 99"), "{fault}");
}

#[tokio::test]
async fn a_full_disk_is_busy_and_loses_nothing() {
    let server = Postgres::start(&[]);
    let mut rig = Rig::new();
    let mut random = fastrand::Rng::with_seed(9);
    some_traffic(&mut rig, &mut random);
    let mut sink = PostgresSink::new(options(&server, KEPT));
    assert_eq!(sink.position(1).await, Ok(Stored::Nothing));
    // A disk cannot be filled without rights of root: this says what PostgreSQL says of one.
    drop(server.sql(
        "CREATE FUNCTION coo_llm.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON coo_llm.usage_10s FOR EACH ROW EXECUTE FUNCTION coo_llm.full()",
    ));
    let port = server.port();
    let server = Arc::new(server);
    let freed = Arc::clone(&server);
    let options = options(&server, KEPT);
    let (status, aside) = serve(&rig, options, move || {
        std::thread::sleep(Duration::from_millis(700));
        drop(freed.sql("DROP TRIGGER full_disk ON coo_llm.usage_10s"));
    })
    .await;
    assert!(status.failures[&Reason::Busy] > 0, "{status:?} at {port}");
    assert!(aside.is_empty());
    assert_eq!(server.sql(SUMS), expected(&rig));
}
