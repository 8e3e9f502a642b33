//! containerd's content store: blobs in, blobs out.
//!
//! Invariants: a blob is there only after containerd has hashed all of it, and has its labels from the moment it is
//! there; a download that broke off stays under a name that its next try finds, and goes on at the byte where it ended.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use prost_types::FieldMask;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::digest::Digest;
use crate::containerd::services::v1::{
    AbortRequest, Info, InfoRequest, ReadContentRequest, ReadContentResponse, StatusRequest, UpdateRequest,
    WriteAction, WriteContentRequest, WriteContentResponse,
};
use crate::containerd::{CallError, Class, Client, Optional, QUICK, call};

/// For calls that wait for a disk: writing, syncing and hashing a whole layer on an SD card.
const SLOW: Duration = Duration::from_secs(10 * 60);
/// Requests on their way to containerd: the answer to each is awaited, so that there is never more than one.
const REQUESTS: usize = 1;

/// A blob to be written.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Under which name it is known while it isn't complete, such as `layer-sha256:…`: containerd's own.
    pub ingest: String,
    /// Its digest.
    pub digest: &'a Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What it has on it once it is there.
    pub labels: HashMap<String, String>,
}

/// What opening a blob for writing leads to.
#[derive(Debug)]
pub enum Opened {
    /// It is there.
    Present,
    /// It can be written.
    Writing(Box<Ingest>),
    /// Someone else is writing it.
    Busy,
}

/// A blob that is being written.
#[derive(Debug)]
pub struct Ingest {
    name: String,
    requests: mpsc::Sender<WriteContentRequest>,
    answers: Streaming<WriteContentResponse>,
    expected: String,
    size: u64,
    labels: HashMap<String, String>,
    /// Where the next byte goes.
    pub offset: u64,
}

/// The labels and the size of a blob that is there.
pub async fn info(client: &Client, digest: &Digest) -> Result<Option<Info>, CallError> {
    let request = InfoRequest {
        digest: digest.to_string(),
    };
    let response = call("Info", digest.as_str(), QUICK, client.content().info(request)).await;
    Ok(response.optional()?.and_then(|response| response.info))
}

/// Puts labels on a blob that is there; does nothing where it has them.
pub async fn label(
    client: &Client,
    digest: &Digest,
    labels: HashMap<String, String>,
) -> Result<(), CallError> {
    let Some(info) = info(client, digest).await? else {
        return Ok(());
    };
    let missing: HashMap<_, _> = labels
        .into_iter()
        .filter(|(key, value)| info.labels.get(key) != Some(value))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let request = UpdateRequest {
        update_mask: Some(FieldMask {
            paths: missing.keys().map(|key| format!("labels.{key}")).collect(),
        }),
        info: Some(Info {
            digest: digest.to_string(),
            labels: missing,
            ..Info::default()
        }),
    };
    call("Update", digest.as_str(), QUICK, client.content().update(request))
        .await
        .map(drop)
}

/// A blob that is there, if it is no longer than `limit`; its digest is checked again.
pub async fn read(client: &Client, digest: &Digest, limit: usize) -> Result<Option<Bytes>, CallError> {
    let request = ReadContentRequest {
        digest: digest.to_string(),
        offset: 0,
        size: 0,
    };
    let subject = digest.as_str();
    let failed = |message: String| CallError {
        operation: "Read",
        subject: subject.to_owned(),
        class: Class::Failed,
        message,
    };
    let mut service = client.content();
    let Some(mut parts) = call("Read", subject, QUICK, service.read(request))
        .await
        .optional()?
    else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    loop {
        let next = async { parts.message().await.map(tonic::Response::new) };
        // containerd says that there is no such blob with the first part.
        match call("Read", subject, QUICK, next).await.optional()? {
            None => return Ok(None),
            Some(None) => break,
            Some(Some(part)) => bytes.extend_from_slice(&part.data),
        }
        if bytes.len() > limit {
            return Err(failed(format!("it is longer than {limit} bytes")));
        }
    }
    match digest.is_of(&bytes) {
        true => Ok(Some(bytes.into())),
        false => Err(failed(
            "it is damaged; remove it with `ctr content rm`".to_owned(),
        )),
    }
}

/// A blob of any length, part by part, from a byte of it on. Its digest is not checked again.
pub async fn parts(client: &Client, digest: &Digest, offset: u64) -> Result<Parts, CallError> {
    let request = ReadContentRequest {
        digest: digest.to_string(),
        offset: i64::try_from(offset).unwrap_or(i64::MAX),
        size: 0,
    };
    let mut service = client.content();
    let stream = call("Read", digest.as_str(), SLOW, service.read(request)).await?;
    let digest = digest.clone();
    Ok(Parts { digest, stream })
}

/// A blob that is being read.
#[derive(Debug)]
pub struct Parts {
    digest: Digest,
    stream: Streaming<ReadContentResponse>,
}

impl Parts {
    /// The next bytes, `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, CallError> {
        let next = async { self.stream.message().await.map(tonic::Response::new) };
        let part = call("Read", self.digest.as_str(), SLOW, next).await?;
        Ok(part.map(|part| part.data))
    }
}

/// Drops what has been written of a blob that isn't complete.
pub async fn abort(client: &Client, ingest: &str) -> Result<(), CallError> {
    let request = AbortRequest {
        r#ref: ingest.to_owned(),
    };
    let aborted = call("Abort", ingest, QUICK, client.content().abort(request)).await;
    aborted.optional().map(drop)
}

/// Begins to write a blob, or goes on where the last try ended.
pub async fn open(client: &Client, wanted: Wanted<'_>) -> Result<Opened, CallError> {
    let name = wanted.ingest.clone();
    match Ingest::open(client, wanted).await {
        Ok(ingest) => Ok(Opened::Writing(Box::new(ingest))),
        Err(error) if error.class == Class::AlreadyExists => Ok(Opened::Present),
        // containerd answers so for a name that is locked, and the transport if containerd is away.
        Err(error) if error.class == Class::Unavailable => {
            let request = StatusRequest { r#ref: name.clone() };
            let status = call("Status", &name, QUICK, client.content().status(request)).await;
            match status.optional() {
                Ok(Some(_)) => Ok(Opened::Busy),
                Ok(None) | Err(_) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

impl Ingest {
    async fn open(client: &Client, wanted: Wanted<'_>) -> Result<Self, CallError> {
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let size = i64::try_from(wanted.size).unwrap_or(i64::MAX);
        let stat = WriteContentRequest {
            action: WriteAction::Stat.into(),
            r#ref: wanted.ingest.clone(),
            total: size,
            expected: wanted.digest.to_string(),
            ..WriteContentRequest::default()
        };
        // There is room, and the receiver is right here.
        let _ = requests.try_send(stat);
        let mut service = client.content();
        let answer = service.write(ReceiverStream::new(receiver));
        let answers = call("Write", &wanted.ingest, SLOW, answer).await?;
        let mut ingest = Self {
            name: wanted.ingest,
            requests,
            answers,
            expected: wanted.digest.to_string(),
            size: wanted.size,
            labels: wanted.labels,
            offset: 0,
        };
        ingest.answer(QUICK).await?;
        Ok(ingest)
    }

    /// The name under which its bytes are kept until it is complete.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Begins again at the first byte.
    pub fn restart(&mut self) {
        self.offset = 0;
    }

    /// Appends bytes.
    pub async fn write(&mut self, data: Vec<u8>) -> Result<(), CallError> {
        self.send(WriteContentRequest {
            action: WriteAction::Write.into(),
            r#ref: self.name.clone(),
            offset: i64::try_from(self.offset).unwrap_or(i64::MAX),
            data,
            ..WriteContentRequest::default()
        })
        .await
    }

    /// Makes the blob be there. [`Class::FailedPrecondition`] is a wrong digest or length.
    pub async fn commit(mut self) -> Result<(), CallError> {
        let labels = std::mem::take(&mut self.labels);
        let committed = self
            .send(WriteContentRequest {
                action: WriteAction::Commit.into(),
                r#ref: self.name.clone(),
                total: i64::try_from(self.size).unwrap_or(i64::MAX),
                expected: self.expected.clone(),
                offset: i64::try_from(self.offset).unwrap_or(i64::MAX),
                labels,
                ..WriteContentRequest::default()
            })
            .await;
        match committed {
            // Someone else was faster.
            Err(error) if error.class == Class::AlreadyExists => Ok(()),
            other => other,
        }
    }

    async fn send(&mut self, request: WriteContentRequest) -> Result<(), CallError> {
        // A stream that has ended says why when it is read.
        let _ = self.requests.send(request).await;
        self.answer(SLOW).await
    }

    async fn answer(&mut self, deadline: Duration) -> Result<(), CallError> {
        let next = async { self.answers.message().await.map(tonic::Response::new) };
        let answer = call("Write", &self.name, deadline, next).await?;
        let answer = answer.ok_or_else(|| CallError {
            operation: "Write",
            subject: self.name.clone(),
            class: Class::Unavailable,
            message: "the stream ended".to_owned(),
        })?;
        self.offset = u64::try_from(answer.offset).unwrap_or(0);
        Ok(())
    }
}
