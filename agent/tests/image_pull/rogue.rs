//! A registry that answers from memory as a test wants: lies, floods, silence.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::task::JoinSet;

use crate::images::{Image, sha256};
use crate::loopback::serve;

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// What is said to one request.
#[derive(Clone)]
pub enum Answer {
    /// Bytes of this media type.
    Whole(&'static str, Vec<u8>),
    /// A body that has no end.
    Endless(Vec<u8>),
    /// A body of which a byte comes now and then, without end.
    Drip,
    /// The beginning of a body, and then nothing.
    Stall(Vec<u8>),
    /// A refusal, and when to come again.
    Status(u16, &'static str),
    /// Another place.
    Elsewhere(String),
}

#[derive(Default)]
struct Book {
    /// By path; the last one is given again and again.
    answers: HashMap<String, VecDeque<Answer>>,
    seen: Vec<String>,
}

/// A registry on loopback.
pub struct Rogue {
    pub host: String,
    book: Arc<Mutex<Book>>,
    _tasks: JoinSet<()>,
}

impl Rogue {
    /// One that has an image as `a:v1`, whole and true.
    pub async fn with(image: &Image) -> Self {
        let book = Arc::<Mutex<Book>>::default();
        let shared = book.clone();
        let (host, tasks) = serve(move |request| {
            let answer = say(&shared, &request);
            async move { Ok(answer) }
        })
        .await;
        let rogue = Self {
            host,
            book,
            _tasks: tasks,
        };
        rogue.shelve(image);
        rogue
    }

    /// Has one more image, whose tag is `v1` from now on.
    pub fn shelve(&self, image: &Image) {
        let document = || Answer::Whole(image.media_type, image.manifest.bytes.clone());
        self.say("manifests/v1", vec![document()]);
        self.say(&format!("manifests/{}", image.manifest.digest), vec![document()]);
        for blob in image.layers.iter().chain(&image.config) {
            let bytes = Answer::Whole("application/octet-stream", blob.bytes.clone());
            self.say(&format!("blobs/{}", blob.digest), vec![bytes]);
        }
    }

    /// What is said about a part from now on: one after the other, and the last for ever.
    pub fn say(&self, part: &str, answers: Vec<Answer>) {
        let mut book = self.book.lock().unwrap();
        book.answers.insert(format!("/v2/a/{part}"), answers.into());
    }

    /// How many requests have had this in their line.
    pub fn count(&self, part: &str) -> usize {
        let book = self.book.lock().unwrap();
        book.seen.iter().filter(|line| line.contains(part)).count()
    }

    pub fn reference(&self) -> String {
        format!("{}/a:v1", self.host)
    }
}

fn say(book: &Mutex<Book>, request: &Request<Incoming>) -> Response<Body> {
    let answer = {
        let mut book = book.lock().unwrap();
        book.seen.push(format!("{} {}", request.method(), request.uri()));
        // Only a GET uses up an answer: each HEAD comes before one.
        match book.answers.get_mut(request.uri().path()) {
            Some(answers) if answers.len() > 1 && request.method() == Method::GET => answers.pop_front(),
            Some(answers) => answers.front().cloned(),
            None => None,
        }
    };
    let response = Response::builder();
    let built = match answer.unwrap_or(Answer::Status(404, "")) {
        Answer::Whole(media_type, bytes) => response
            .header(header::CONTENT_TYPE, media_type)
            .header("docker-content-digest", sha256(&bytes))
            .body(Full::from(bytes).boxed_unsync()),
        Answer::Endless(bytes) => {
            let bytes = Bytes::from(bytes);
            response.body(flow(stream::repeat(bytes)))
        }
        Answer::Drip => response.body(flow(stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Bytes::from_static(b"."), ()))
        }))),
        Answer::Stall(bytes) => {
            let first = stream::iter([Bytes::from(bytes)]);
            response.body(flow(first.chain(stream::pending())))
        }
        Answer::Status(status, words) => response
            .status(StatusCode::from_u16(status).unwrap())
            .header(header::RETRY_AFTER, "1")
            .body(Full::from(words).boxed_unsync()),
        Answer::Elsewhere(to) => response
            .status(StatusCode::TEMPORARY_REDIRECT)
            .header(header::LOCATION, to)
            .body(Full::default().boxed_unsync()),
    };
    built.unwrap()
}

fn flow(bytes: impl stream::Stream<Item = Bytes> + Send + 'static) -> Body {
    StreamBody::new(bytes.map(|bytes| Ok(Frame::data(bytes)))).boxed_unsync()
}
