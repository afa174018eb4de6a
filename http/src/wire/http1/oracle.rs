//! The same bytes, read by hyper's client.
//!
//! Where ours is stricter: `Transfer-Encoding` with `Content-Length`, a transfer coding other
//! than `chunked` alone (hyper reads until the close, or takes the last one), 101, sizes of
//! more than 16 digits. Nowhere is it laxer.

use super::WireError;
use super::hear;
use super::tests::answers;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use proptest::test_runner::{Config as ProptestConfig, TestRunner};
use std::cell::Cell;
use tokio::io::AsyncWriteExt;

type Heard = Option<(u16, HeaderMap, Vec<u8>)>;

async fn ask_hyper(answer: &[u8]) -> Heard {
    let (ours, mut theirs) = tokio::io::duplex(answer.len() + 4096);
    let builder = hyper::client::conn::http1::Builder::new();
    let (mut sender, connection) = builder.handshake(TokioIo::new(ours)).await.ok()?;
    let heard = async {
        let request = Request::post("/").body(Full::new(Bytes::new())).ok()?;
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes().to_vec();
        Some((head.status.as_u16(), head.headers, body))
    };
    let provider = async {
        // After the request: hyper takes an answer that comes before it for none.
        let mut byte = [0];
        tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut byte)
            .await
            .ok()?;
        theirs.write_all(answer).await.ok()?;
        theirs.shutdown().await.ok()
    };
    let (heard, _served, _ended) = tokio::join!(heard, provider, async {
        // Its error is the request's too.
        let _ended = connection.await;
    });
    heard
}

/// Whether both take the answer, and in the same way.
///
/// # Panics
/// If ours takes what hyper does not, or hears something else, or refuses for another reason
/// than those of the module.
pub(in crate::wire) fn compare(answer: &[u8]) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let theirs = runtime.expect("a runtime").block_on(ask_hyper(answer));
    match (hear(&Method::POST, &[answer]), theirs) {
        (Ok((status, headers, body, _)), theirs) => {
            assert_eq!(Some((status, headers, body)), theirs);
            true
        }
        (Err(_), None) => false,
        (Err(error), Some(theirs)) => {
            let stricter = [
                WireError::TwoLengths,
                WireError::TransferEncoding,
                WireError::Upgrade,
            ];
            assert!(
                stricter.contains(&error),
                "{error:?} where hyper heard {theirs:?}"
            );
            false
        }
    }
}

#[test]
fn ours_hears_what_hyper_hears_or_refuses() {
    const CASES: u32 = 2048;
    /// Of those, both shall take at least so many, or nothing was compared.
    const TAKEN_MIN: u32 = 500;
    let taken = Cell::new(0);
    let config = ProptestConfig {
        source_file: Some(file!()),
        ..ProptestConfig::with_cases(CASES)
    };
    let held = TestRunner::new(config).run(&answers(), |answer| {
        taken.set(taken.get() + u32::from(compare(&answer)));
        Ok(())
    });
    assert_eq!(held, Ok(()));
    println!("{} of {CASES} answers are taken by both", taken.get());
    assert!(taken.get() >= TAKEN_MIN, "{} were taken", taken.get());
}
