//! Stands between agent and registry: remembers what was asked, and breaks what a test wants broken.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use longshore_agent::http::Client;
use tokio::task::JoinSet;

use crate::loopback::serve;

const DEADLINE: Duration = Duration::from_secs(30);

type Failure = std::io::Error;
type Body = UnsyncBoxBody<Bytes, Failure>;

/// What happens to a request.
#[derive(Clone, Copy)]
pub enum Fault {
    /// Its answer's body breaks off after so many bytes.
    Cut(usize),
    /// It is never answered.
    Silence,
    /// Too many, come again in a second.
    Busy,
}

#[derive(Default)]
struct Book {
    seen: Vec<String>,
    /// What befalls the next request whose line has this in it.
    faults: Vec<(String, Fault)>,
    down: bool,
}

/// A relay on loopback.
pub struct Relay {
    pub host: String,
    book: Arc<Mutex<Book>>,
    _tasks: JoinSet<()>,
}

impl Relay {
    pub async fn start(registry: String, http: Client) -> Self {
        let book = Arc::<Mutex<Book>>::default();
        let shared = book.clone();
        let (host, tasks) = serve(move |request| {
            let (book, http, registry) = (shared.clone(), http.clone(), registry.clone());
            async move { pass(&book, &http, &registry, request).await }
        })
        .await;
        Self {
            host,
            book,
            _tasks: tasks,
        }
    }

    /// The requests so far: method, path and, where there is one, the range.
    pub fn seen(&self) -> Vec<String> {
        self.book.lock().unwrap().seen.clone()
    }

    /// How many requests have had this in their line.
    pub fn count(&self, part: &str) -> usize {
        self.seen().iter().filter(|line| line.contains(part)).count()
    }

    pub fn forget(&self) {
        self.book.lock().unwrap().seen.clear();
    }

    /// The next request with `part` in its line suffers a fault.
    pub fn fault(&self, part: &str, fault: Fault) {
        self.book.lock().unwrap().faults.push((part.to_owned(), fault));
    }

    /// Nothing is answered any more, or again.
    pub fn down(&self, down: bool) {
        self.book.lock().unwrap().down = down;
    }
}

async fn pass(
    book: &Mutex<Book>,
    http: &Client,
    registry: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let range = request.headers().get(header::RANGE);
    let range = range.and_then(|range| range.to_str().ok()).unwrap_or_default();
    let line = format!("{} {} {range}", request.method(), request.uri().path());
    let fault = {
        let mut book = book.lock().unwrap();
        book.seen.push(line.clone());
        if book.down {
            return Err(Failure::other("down"));
        }
        let place = book.faults.iter().position(|(part, _)| line.contains(part));
        place.map(|place| book.faults.remove(place).1)
    };
    match fault {
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Busy) => {
            let answer = Response::builder()
                .status(StatusCode::TOO_MANY_REQUESTS)
                .header(header::RETRY_AFTER, "1");
            let body = full(r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#);
            return answer.body(body).map_err(Failure::other);
        }
        Some(Fault::Cut(_)) | None => {}
    }
    let uri = format!("http://{registry}{}", request.uri());
    let (mut head, _) = request.into_parts();
    head.uri = uri.parse().map_err(Failure::other)?;
    head.headers.remove(header::HOST);
    let answer = http
        .send(Request::from_parts(head, Full::default()), DEADLINE)
        .await
        .map_err(Failure::other)?;
    Ok(answer.map(|body| match fault {
        Some(Fault::Cut(after)) => cut(body, after),
        Some(Fault::Silence | Fault::Busy) | None => body.map_err(Failure::other).boxed_unsync(),
    }))
}

fn full(text: &'static str) -> Body {
    Full::from(text).map_err(|never| match never {}).boxed_unsync()
}

/// The first bytes of a body, and then a broken connection.
fn cut(body: Incoming, after: usize) -> Body {
    let mut left = after;
    let frames = TryStreamExt::map_err(BodyStream::new(body), Failure::other);
    let begin = frames
        .try_filter_map(async |frame| Ok(frame.into_data().ok()))
        .map_ok(move |bytes| {
            let part = bytes.slice(..bytes.len().min(left));
            left -= part.len();
            part
        })
        .try_take_while(|part| futures_util::future::ready(Ok(!part.is_empty())))
        .map_ok(Frame::data);
    let end = stream::once(async {
        // What was sent is to arrive before the connection breaks.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Err(Failure::other("cut"))
    });
    StreamBody::new(begin.chain(end)).boxed_unsync()
}
