use bytes::BytesMut;
use http::{HeaderMap, Method, Uri};
use proptest::prelude::*;

use super::hearing::{Heard, hear};
use super::*;

fn post(answer: &str) -> Heard {
    hear(&Method::POST, &[answer.as_bytes()])
}

fn body(answer: &str) -> Result<String, WireError> {
    post(answer).map(|(_, _, body, _)| String::from_utf8_lossy(&body).into_owned())
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[test]
fn a_request_says_its_length_once() {
    let mut headers = HeaderMap::new();
    headers.insert("host", "h:1".parse().unwrap());
    headers.insert("content-length", "99".parse().unwrap());
    headers.insert("transfer-encoding", "chunked".parse().unwrap());
    let uri: Uri = "/v1/chat?a=b".parse().unwrap();
    let head = encode_request(&Method::POST, &uri, &headers, 120);
    let expected = "POST /v1/chat?a=b HTTP/1.1\r\nhost: h:1\r\ncontent-length: 120\r\n\r\n";
    assert_eq!(head, expected.as_bytes());
}

#[test]
fn chunks_that_came_together_are_one_piece() {
    let mut buffer = BytesMut::from("3\r\nabc\r\n4;x=1\r\ndefg\r\n0\r\n\r\nrest");
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    assert_eq!(decoder.decode(&mut buffer), Ok("abcdefg".into()));
    assert!(decoder.is_ended());
    assert_eq!(buffer, "rest");
}

#[test]
fn data_before_a_byte_that_is_refused_is_taken_first() {
    for (broken, fault) in [
        ("zz\r\n", WireError::Chunk),
        ("0\r\nno header\r\n\r\n", WireError::Trailers),
    ] {
        let mut buffer = BytesMut::from(format!("3\r\nabc\r\n{broken}").as_str());
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        assert_eq!(decoder.decode(&mut buffer), Ok("abc".into()));
        assert!(!buffer.is_empty() && !decoder.is_ended());
        for _ in 0..2 {
            assert_eq!(decoder.decode(&mut buffer), Err(fault));
        }
    }
}

#[test]
fn one_chunk_stays_where_it_is() {
    let mut buffer = BytesMut::from("3\r\nabc\r\n");
    let place = buffer.as_ptr().addr() + 3;
    let data = BodyDecoder::new(Framing::Chunked).decode(&mut buffer);
    assert_eq!(data.as_ref().map(|data| data.as_ptr().addr()), Ok(place));
}

#[test]
fn interim_heads_are_skipped() {
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
        HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    assert_eq!(body(answer).as_deref(), Ok("ok"));
    assert_eq!(
        post("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        Err(WireError::Upgrade)
    );
}

#[test]
fn some_answers_have_no_body() {
    for status in ["204 No Content", "304 Not Modified"] {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 3\r\n\r\nabc");
        let (_, _, body, rest) = post(&answer).expect("it is an answer");
        assert_eq!((body.as_slice(), rest.as_slice()), (&b""[..], &b"abc"[..]));
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n";
    assert!(hear(&Method::HEAD, &[answer]).is_ok());
}

#[test]
fn a_body_ends_with_the_connection_only_where_nothing_else_is_said() {
    assert_eq!(body("HTTP/1.1 200 OK\r\n\r\nall").as_deref(), Ok("all"));
    for cut in [
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nall",
        &format!("{CHUNKED}3\r\nall"),
        &format!("{CHUNKED}3\r\nall\r\n"),
        &format!("{CHUNKED}3\r\nall\r\n0\r\n"),
        "HTTP/1.1 200 OK\r\n",
    ] {
        assert_eq!(body(cut), Err(WireError::Truncated), "{cut:?}");
    }
}

#[test]
fn smuggling_shapes_are_refused() {
    let head = |headers: &str| body(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n0\r\n\r\n"));
    for (headers, error) in [
        (
            "content-length: 3\r\ntransfer-encoding: chunked\r\n",
            WireError::TwoLengths,
        ),
        (
            "content-length: 3\r\ncontent-length: 4\r\n",
            WireError::ContentLength,
        ),
        ("content-length: 3, 4\r\n", WireError::ContentLength),
        ("content-length: +3\r\n", WireError::ContentLength),
        ("content-length: 0x3\r\n", WireError::ContentLength),
        ("content-length: \r\n", WireError::ContentLength),
        (
            "content-length: 18446744073709551616\r\n",
            WireError::ContentLength,
        ),
        (
            "transfer-encoding: gzip, chunked\r\n",
            WireError::TransferEncoding,
        ),
        (
            "transfer-encoding: chunked, identity\r\n",
            WireError::TransferEncoding,
        ),
        (
            "transfer-encoding: xchunked\r\n",
            WireError::TransferEncoding,
        ),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            WireError::TransferEncoding,
        ),
        ("transfer-encoding : chunked\r\n", WireError::Head),
        (" content-length: 3\r\n", WireError::Head),
        ("a: 1\r\n b: 2\r\n", WireError::Head),
        ("a: 1\rcontent-length: 3\r\n", WireError::Head),
        ("a: \0\r\n", WireError::Head),
    ] {
        assert_eq!(head(headers), Err(error), "{headers:?}");
    }
    let old = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(body(old), Err(WireError::TransferEncoding));
    assert_eq!(body("HTTP/2.0 200 OK\r\n\r\n"), Err(WireError::Head));
}

#[test]
fn chunks_are_read_in_one_way_only() {
    for (chunks, error) in [
        ("\r\n", WireError::Chunk),
        ("x\r\n", WireError::Chunk),
        ("-1\r\n", WireError::Chunk),
        ("0x3\r\nabc\r\n0\r\n\r\n", WireError::Chunk),
        (" 3\r\nabc\r\n0\r\n\r\n", WireError::Chunk),
        ("3\nabc\r\n0\r\n\r\n", WireError::Chunk),
        ("3;a\nabc\r\n0\r\n\r\n", WireError::Chunk),
        ("3\r\nabcd\r\n0\r\n\r\n", WireError::Chunk),
        ("3\r\nabc\n0\r\n\r\n", WireError::Chunk),
        ("10000000000000003\r\nabc\r\n", WireError::Chunk),
        ("0\r\nno header\r\n\r\n", WireError::Trailers),
    ] {
        assert_eq!(
            body(&format!("{CHUNKED}{chunks}")),
            Err(error),
            "{chunks:?}"
        );
    }
    let long = "x".repeat(CHUNK_EXTENSION_BYTES_MAX);
    let answer = format!("{CHUNKED}3;{long}\r\nabc\r\n0\r\n\r\n");
    assert_eq!(body(&answer), Err(WireError::ChunkExtensions));
    let answer = format!("{CHUNKED}0\r\na: {long}\r\n\r\n");
    assert_eq!(body(&answer), Err(WireError::Trailers));
    let answer = format!("{CHUNKED}3 \r\nabc\r\n0\r\na: b\r\n\r\n");
    assert_eq!(body(&answer).as_deref(), Ok("abc"));
}

#[test]
fn a_head_has_bounds() {
    let many = "a: b\r\n".repeat(HEADERS_MAX + 1);
    assert_eq!(
        body(&format!("HTTP/1.1 200 OK\r\n{many}\r\n")),
        Err(WireError::HeadTooLarge)
    );
    let long = "x".repeat(HEAD_BYTES_MAX);
    assert_eq!(
        body(&format!("HTTP/1.1 200 OK\r\na: {long}")),
        Err(WireError::HeadTooLarge)
    );
}

#[test]
fn a_connection_is_kept_as_http_says() {
    for (head, keeps) in [
        ("HTTP/1.1 200 OK\r\n", true),
        ("HTTP/1.1 200 OK\r\nconnection: x, Close\r\n", false),
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\nconnection: keep-alive\r\n",
            false,
        ),
        ("HTTP/1.0 200 OK\r\n", false),
        ("HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\n", true),
    ] {
        let mut buffer = BytesMut::from(format!("{head}\r\n").as_str());
        let head = parse_head(&mut buffer, &Method::POST);
        assert_eq!(
            head.map(|head| head.map(|head| head.keeps_alive)),
            Ok(Some(keeps))
        );
    }
}

/// Answers, most of them sound, some of them nearly so.
pub(super) fn answers() -> impl Strategy<Value = Vec<u8>> {
    let header = prop_oneof![
        Just("content-length: 5\r\n"),
        Just("content-length: 5, 5\r\n"),
        Just("Content-Length: 6\r\n"),
        Just("transfer-encoding: chunked\r\n"),
        Just("Transfer-Encoding: gzip, Chunked\r\n"),
        Just("connection: close\r\n"),
        Just("x-a: é b\r\n"),
        Just("x-b:\r\n"),
        Just("x-c : d\r\n"),
        Just("x-d: e\n"),
    ];
    let content = prop_oneof![
        Just("hello"),
        Just("5\r\nhello\r\n0\r\n\r\n"),
        Just("2\r\nhe\r\n03;a=b\r\nllo\r\n0\r\n\r\n"),
        Just("5 \r\nhello\r\n0\r\nx-t: 1\r\n\r\n"),
        Just("A\r\nhellohello\r\n"),
        Just("5\r\nhello\n0\r\n\r\n"),
        Just(""),
    ];
    let status = prop_oneof![
        Just("HTTP/1.1 200 OK\r\n"),
        Just("HTTP/1.1 429 Slow down\r\n"),
        Just("HTTP/1.0 200 OK\r\n"),
        Just("HTTP/1.1 204 No Content\r\n"),
        Just("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"),
    ];
    let parts = (status, prop::collection::vec(header, 0..4), content);
    let odd = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    (parts, odd).prop_map(|((status, headers, content), (at, byte, change))| {
        let text = format!("{status}{}\r\n{content}", headers.concat());
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        match change {
            0 => bytes[at] = byte,
            1 => {
                bytes.remove(at);
            }
            _ => {}
        }
        bytes
    })
}

proptest! {
    #[test]
    fn an_answer_is_the_same_however_it_is_cut(answer in answers(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 3)) {
        let whole = hear(&Method::POST, &[&answer]);
        let bytewise: Vec<&[u8]> = answer.chunks(1).collect();
        prop_assert_eq!(&hear(&Method::POST, &bytewise), &whole);
        for cut in cuts {
            let (a, b) = answer.split_at(cut.index(answer.len() + 1));
            prop_assert_eq!(&hear(&Method::POST, &[a, b]), &whole);
        }
    }
}
