//! Answers that no control plane gives: each is a failure of the way, within its time and its memory, and nothing else.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// What a server does with each connection once it has read something.
type Behavior = fn(TcpStream) -> futures_util::future::BoxFuture<'static, ()>;

async fn server(behavior: Behavior) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut owner = JoinSet::new();
    owner.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let _ = stream.read(&mut [0; 16 * 1024]).await;
                behavior(stream).await;
            });
        }
    });
    (endpoint, owner)
}

/// What a node makes of such a server.
async fn error_of(behavior: Behavior) -> LinkError {
    let (endpoint, _owner) = server(behavior).await;
    let node = node(&endpoint);
    let error = link(&node).check_identity().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    error
}

async fn send(mut stream: TcpStream, text: &str) {
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Sends `head` and then the same bytes until nobody listens.
async fn pour(mut stream: TcpStream, head: &str, bytes: &[u8]) {
    let mut result = stream.write_all(head.as_bytes()).await;
    while result.is_ok() {
        result = stream.write_all(bytes).await;
    }
}

#[tokio::test]
async fn half_answers_and_garbage_are_tried_again() {
    let cut = error_of(|stream| {
        Box::pin(send(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"AccessKeyId\":",
        ))
    });
    let head = error_of(|stream| Box::pin(send(stream, "HTTP/1.1 200 OK\r\ncontent-le")));
    let garbage = error_of(|stream| Box::pin(send(stream, "\u{16}\u{3}\u{1}\u{2}no HTTP at all\r\n\r\n")));
    let chunks = error_of(|stream| {
        Box::pin(send(
            stream,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        ))
    });
    let json = error_of(|stream| {
        Box::pin(send(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":]]",
        ))
    });
    let (cut, head, garbage, chunks, json) = tokio::join!(cut, head, garbage, chunks, json);
    for error in [cut, head, garbage, chunks, json] {
        assert!(matches!(error, LinkError::Unavailable { .. }), "{error}");
    }
}

// 1 GB is announced, and sent as long as anybody takes it.
#[tokio::test]
async fn a_gigabyte_is_cut_at_the_limit() {
    let announced = error_of(|stream| {
        Box::pin(pour(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n",
            &[b' '; 65536],
        ))
    });
    let chunked = error_of(|stream| {
        const CHUNK: &[u8] = b"8\r\n        \r\n";
        Box::pin(pour(
            stream,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            CHUNK,
        ))
    });
    let failed = error_of(|stream| {
        Box::pin(pour(
            stream,
            "HTTP/1.1 500 No\r\ncontent-length: 1000000000\r\n\r\n",
            &[b'x'; 65536],
        ))
    });
    let (announced, chunked, failed) = tokio::join!(announced, chunked, failed);
    for error in [announced, chunked, failed] {
        assert!(error.to_string().contains("longer than 1048576 bytes"), "{error}");
    }
    let headers =
        error_of(|stream| Box::pin(pour(stream, "HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n"))).await;
    assert!(matches!(headers, LinkError::Unavailable { .. }), "{headers}");
}

#[tokio::test]
async fn answers_that_would_be_huge_in_memory_are_not_read() {
    async fn reply(mut stream: TcpStream, body: String) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(body.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
    let deep = error_of(|stream| Box::pin(reply(stream, "[".repeat(1_000_000)))).await;
    assert!(deep.to_string().contains("nested deeper than 32"), "{deep}");
    let many = error_of(|stream| Box::pin(reply(stream, format!("[{}{{}}]", "{},".repeat(300_000))))).await;
    assert!(many.to_string().contains("more than 65536 objects"), "{many}");
}

// The other server would fail the test by its answer, which is a good one.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let visits = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&visits);
    let other = plane(
        0,
        Arc::new(move |_| {
            *counted.lock().unwrap() += 1;
            token(1, false)
        }),
    )
    .await;
    let location = other.endpoint.clone();
    let away = plane(0, Arc::new(move |_| Reply::Moved(location.clone()))).await;
    let error = link(&node(&away.endpoint)).check_identity().await.unwrap_err();
    assert!(
        error.is_transient() && error.to_string().contains("307"),
        "{error}"
    );
    assert_eq!(*visits.lock().unwrap(), 0);
}

// Nobody speaks TLS there.
#[tokio::test]
async fn a_failed_handshake_is_tried_again() {
    let (endpoint, _owner) =
        server(|stream| Box::pin(send(stream, "HTTP/1.1 400 Bad Request\r\n\r\n"))).await;
    let node = node(&endpoint.replace("http:", "https:"));
    let error = link(&node).check_identity().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_control_plane_that_has_no_time_says_when_it_will() {
    let busy = |status, text: &'static str| async move {
        let plane = plane(0, Arc::new(move |_| Reply::After(status, text, "7"))).await;
        link(&node(&plane.endpoint)).check_identity().await.unwrap_err()
    };
    for (status, text) in [
        (429, r#"{"__type":"ThrottlingException","message":"slow"}"#),
        (503, "<html>a proxy is busy</html>"),
        (500, r#"{"__type":"ServerException"}"#),
    ] {
        let error = busy(status, text).await;
        assert!(matches!(error, LinkError::Busy { .. }), "{error}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)), "{error}");
    }
    // What is refused is not asked for again sooner because of a header.
    let refused = busy(400, r#"{"__type":"ClientException"}"#).await;
    assert_eq!(refused.retry_after(), None, "{refused}");
}

/// Neither a slow drip nor silence holds a call longer than its deadline: here one of two seconds.
#[tokio::test]
async fn a_slow_drip_and_silence_end_at_the_deadline() {
    async fn drip(mut stream: TcpStream) {
        let mut result = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
            .await;
        while result.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            result = stream.write_all(b" ").await;
        }
    }
    let behaviors: [Behavior; 2] = [
        |stream| Box::pin(drip(stream)),
        |stream| {
            Box::pin(async move {
                let _held = stream;
                std::future::pending().await
            })
        },
    ];
    for behavior in behaviors {
        let (endpoint, _owner) = server(behavior).await;
        let tls = client_config(
            &Trust::System,
            Arc::new(CertificateClock::new(Arc::new(SystemClock))),
        );
        let client = Client::new(tls.unwrap());
        let request = Request::get(endpoint).body(Full::default()).unwrap();
        let error = client
            .fetch(request, 2_000_000, Duration::from_secs(2))
            .await
            .unwrap_err();
        assert!(
            matches!(error, crate::http::HttpError::Deadline { .. }),
            "{error}"
        );
    }
}
