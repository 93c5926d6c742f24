//! What clients cannot do to the server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::server::{TestServer, failure};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_batches_have_a_limit() {
    let server = TestServer::start_with(|options| {
        options.body_bytes_max = 1_000;
        options.batch_records_max = 3;
    })
    .await;
    server.make_readings().await;
    let line = "{\"origin\":\"EWR\"}\n";
    assert_eq!(server.append(&line.repeat(3)).await.status(), 200);
    assert_eq!(failure(server.append(&line.repeat(4)).await).await, (413, "HW6003".to_owned()));
    // The elements of an array count, whatever is in them.
    let array = async |elements: usize| {
        let element = r#"{"origin":"E,[\"{"}"#;
        let body = format!("[{}]", vec![element; elements].join(","));
        let request = server.post("/v1/streams/readings").header("content-type", "application/json");
        request.body(body).send().await.unwrap()
    };
    assert_eq!(array(3).await.status(), 200);
    assert_eq!(failure(array(4).await).await, (413, "HW6003".to_owned()));
    assert_eq!(failure(server.append(&" ".repeat(1_001)).await).await, (413, "HW6003".to_owned()));
    let bomb = zstd::encode_all(&vec![b' '; 1 << 20][..], 3).unwrap();
    let request = server.post("/v1/streams/readings").header("content-encoding", "zstd").body(bomb);
    assert_eq!(failure(request.send().await.unwrap()).await, (413, "HW6003".to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_have_a_limit_and_give_their_place_back() {
    let server = TestServer::start_with(|options| options.tails_max = 1).await;
    server.make_readings().await;
    let first = server.get("/v1/streams/readings/tail").send().await.unwrap();
    assert_eq!(first.status(), 200);
    let second = server.get("/v1/streams/readings/tail").send().await.unwrap();
    assert!(second.headers().contains_key("retry-after"));
    assert_eq!(failure(second).await, (429, "HW6009".to_owned()));
    drop(first);
    for _ in 0..6_000 {
        if server.get("/v1/streams/readings/tail").send().await.unwrap().status() == 200 {
            return server.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a closed tail keeps its place");
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_under_way_have_a_limit() {
    let server = TestServer::start_with(|options| options.appends_max = 0).await;
    server.make_readings().await;
    let response = server.append("{\"origin\":\"EWR\"}").await;
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(failure(response).await, (503, "HW6010".to_owned()));
    server.stop().await;
}

/// A body of so many bytes whose last one has not been sent.
fn begin_append(address: SocketAddr, bytes: usize) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    let head = format!("host: localhost\r\ncontent-length: {bytes}\r\nconnection: close");
    let head = format!("POST /v1/streams/readings HTTP/1.1\r\n{head}\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(&vec![b' '; bytes - 1]).unwrap();
    socket
}

/// Bodies take memory together. What finds no room waits, and is told to come back, or goes on.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_under_way_have_a_limit_together() {
    let line = "{\"origin\":\"EWR\"}\n";
    for patience in [Duration::from_millis(50), Duration::from_secs(600)] {
        let server = TestServer::start_with(|options| {
            options.append_bytes_max = 100 << 10;
            options.append_patience = patience;
            options.request_timeout = Duration::from_secs(600);
        })
        .await;
        server.make_readings().await;
        let metrics = async || server.get("/metrics").send().await.unwrap().text().await.unwrap();
        let until_held = async |bytes: usize| {
            let shown = format!("headwater_http_append_bytes {bytes}\n");
            for _ in 0..12_000 {
                if metrics().await.contains(&shown) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("not {shown}");
        };
        let mut slow = begin_append(server.address, 80 << 10);
        until_held(80 << 10).await;
        assert!(metrics().await.contains("headwater_http_append_bytes_max 102400\n"));
        assert_eq!(server.append(line).await.status(), 200, "there is room for a small one");
        let large = line.repeat((30 << 10) / line.len());
        let packed = || {
            let packed = zstd::encode_all(large.as_bytes(), 3).unwrap();
            server.post("/v1/streams/readings").header("content-encoding", "zstd").body(packed).send()
        };
        if patience < Duration::from_secs(1) {
            let response = server.append(&large).await;
            assert_eq!(response.headers()["retry-after"], "1");
            assert_eq!(failure(response).await, (503, "HW6010".to_owned()));
            // It is small until it is unpacked.
            assert_eq!(failure(packed().await.unwrap()).await, (503, "HW6010".to_owned()));
            slow.write_all(b"\n").unwrap();
            until_held(0).await;
            assert_eq!(server.append(&large).await.status(), 200);
            assert_eq!(packed().await.unwrap().status(), 200);
        } else {
            let goes_on = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                slow.write_all(b"\n").unwrap();
            };
            let (large, packed, ()) = tokio::join!(server.append(&large), packed(), goes_on);
            assert_eq!((large.status().as_u16(), packed.unwrap().status().as_u16()), (200, 200));
        }
        until_held(0).await;
        server.stop().await;
    }
}

/// What is answered to a request whose body says less than it promises.
async fn answer_to(address: SocketAddr, what: &str, begun: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    let head = "host: localhost\r\ncontent-length: 10\r\nconnection: close";
    socket.write_all(format!("{what} HTTP/1.1\r\n{head}\r\n\r\n{begun}").as_bytes()).unwrap();
    let answer = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        socket.read_to_string(&mut text).map(|_| text)
    });
    answer.await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_ends_is_given_up() {
    let server = TestServer::start_with(|options| options.request_timeout = Duration::from_millis(100)).await;
    server.make_readings().await;
    let text = answer_to(server.address, "POST /v1/streams/readings", "{").await;
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("HW6011"), "{text}");
    server.stop().await;
}

/// A statement takes as long as it takes; its text does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_never_arrives_is_given_up() {
    let server = TestServer::start_with(|options| options.request_timeout = Duration::from_millis(100)).await;
    let text = answer_to(server.address, "POST /v1/sql", "SELE").await;
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("HW6011"), "{text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_statements_than_may_be_are_told_to_come_back() {
    let server = TestServer::start_with(|options| options.queries_max = 1).await;
    server.make_readings().await;
    // An answer that is begun, and longer than what the sockets hold.
    let long = "SELECT repeat('x', 1000) AS x FROM generate_series(1, 100000)";
    let mut reading = server.post("/v1/sql").body(long).send().await.unwrap();
    for _ in 0..12_000 {
        // The statement before may have its place for a moment after its answer.
        if reading.status() == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        reading = server.post("/v1/sql").body(long).send().await.unwrap();
    }
    let response = server.post("/v1/sql").body("SELECT 1").send().await.unwrap();
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(failure(response).await, (503, "HW6010".to_owned()));
    drop(reading);
    for _ in 0..12_000 {
        if server.post("/v1/sql").body("SELECT 1").send().await.unwrap().status() == 200 {
            return server.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a client that is gone keeps its place");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_is_cut_and_nobody_else_notices() {
    let server = TestServer::start_with(|options| {
        options.tail_stall_max = Duration::from_millis(200);
        options.write_stall_max = Duration::from_secs(5);
    })
    .await;
    server.make_readings().await;
    let mut reader = TcpStream::connect(server.address).unwrap();
    reader
        .write_all(b"GET /v1/streams/readings/tail?from=earliest HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let metrics = async || server.get("/metrics").send().await.unwrap().text().await.unwrap();
    // More than the buffers of two sockets and the queue between them hold.
    let lines = format!("{{\"origin\":\"{}\"}}\n", "x".repeat(1_000)).repeat(5_000);
    let cut = async {
        // The tail gives up first, and then the connection is closed under the reader.
        while !metrics().await.contains("headwater_http_tails_cut_total 1") {
            assert_eq!(server.append(&lines).await.status(), 200);
        }
        while !metrics().await.contains("headwater_http_tails_open 0") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(180), cut).await.expect("the reader is cut");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_strangers_are_refused() {
    let server = TestServer::start().await;
    let request = server.post("/v1/sql").header("origin", "https://evil.example").body("SHOW STREAMS");
    assert_eq!(failure(request.send().await.unwrap()).await, (403, "HW6012".to_owned()));
    let request = server.get("/v1/streams").header("host", "evil.example");
    assert_eq!(failure(request.send().await.unwrap()).await, (403, "HW6012".to_owned()));
    let own = server.get("/v1/streams").header("origin", server.url.clone()).send().await.unwrap();
    assert_eq!(own.status(), 200);
    server.stop().await;
}
