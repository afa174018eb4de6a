//! The same bytes, read by hyper's client.
//!
//! Where ours is stricter: `Transfer-Encoding` with `Content-Length`, a transfer coding other
//! than `chunked` alone (hyper reads until the close, or takes the last one), 101, sizes of
//! more than 16 digits. Nowhere is it laxer.

use super::WireError;
use super::tests::{answers, hear};
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]
    #[test]
    fn ours_hears_what_hyper_hears_or_refuses(answer in answers()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let theirs = runtime.block_on(ask_hyper(&answer));
        let ours = hear(&Method::POST, &[&answer]);
        match (ours, theirs) {
            (Ok((status, headers, body, _)), theirs) => {
                prop_assert_eq!(Some((status, headers, body)), theirs);
            }
            (Err(_), None) => {}
            (Err(error), Some(theirs)) => {
                let stricter = [WireError::TwoLengths, WireError::TransferEncoding, WireError::Upgrade];
                prop_assert!(stricter.contains(&error), "{} where hyper heard {:?}", error, theirs);
            }
        }
    }
}
