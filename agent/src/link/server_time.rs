//! The control plane's time, as its answers tell it.
//!
//! Signatures are good for five minutes either way, and a machine's clock may be wrong by years. So calls are signed in
//! the server's time: this machine's clock plus an offset that each answer's `Date` corrects.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use super::identity::IdentityFiles;
use super::lock;
use crate::blocking;
use crate::clock::Clock;
use crate::http::CertificateClock;

/// Smaller differences are the `Date` header's whole seconds and the way of the answer.
const NOISE_SECONDS: i64 = 2;
/// Between two lines about a difference of the clocks: servers may disagree with each other.
const SAY_EVERY: Duration = Duration::from_secs(600);
/// How often the last date is written down, in seconds: flash wears out.
const STORE_EVERY_SECONDS: i64 = 3600;

/// This machine's clock, the server's, and the one that certificates are judged by.
pub(super) struct ServerTime {
    clock: Arc<dyn Clock>,
    certificates: Arc<CertificateClock>,
    files: Option<IdentityFiles>,
    offset_seconds: AtomicI64,
    stored: AtomicI64,
    /// At most one, which writes the last date down.
    writing: Mutex<JoinSet<()>>,
    /// When a difference was said last, since boot.
    said: Mutex<Option<Duration>>,
}

impl ServerTime {
    /// `files` is where the last date is kept; there is none before registration.
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        certificates: Arc<CertificateClock>,
        files: Option<IdentityFiles>,
    ) -> Self {
        let last = files.as_ref().and_then(IdentityFiles::last_date).unwrap_or(0);
        certificates.at_least(last);
        Self {
            clock,
            certificates,
            files,
            offset_seconds: AtomicI64::new(0),
            stored: AtomicI64::new(last),
            writing: Mutex::new(JoinSet::new()),
            said: Mutex::new(None),
        }
    }

    /// When a call is signed now.
    pub(super) fn now(&self) -> jiff::Timestamp {
        let offset = jiff::SignedDuration::from_secs(self.offset_seconds.load(Ordering::Relaxed));
        let now = self.clock.now();
        now.checked_add(offset).unwrap_or(now)
    }

    /// Since boot, for lifetimes that no step of the wall clock may change.
    pub(super) fn since_boot(&self) -> Duration {
        self.clock.since_boot()
    }

    /// Learns from an answer's `Date`. `verified`: it came over TLS. Says whether the offset changed.
    pub(super) fn learn(&self, date: &str, verified: bool) -> bool {
        let Ok(server) = jiff::fmt::rfc2822::parse(date) else {
            return false;
        };
        let server = server.timestamp().as_second();
        let difference = server - self.clock.now().as_second();
        let offset = if difference.abs() < NOISE_SECONDS {
            0
        } else {
            difference
        };
        let before = self.offset_seconds.swap(offset, Ordering::Relaxed);
        let changed = (before - offset).abs() >= NOISE_SECONDS;
        if changed && self.may_say() {
            tracing::warn!(
                seconds = offset,
                "this machine's clock differs from the control plane's; calls are signed with its time"
            );
        }
        if verified {
            self.certificates.at_least(server);
            self.store(server);
        }
        changed
    }

    fn may_say(&self) -> bool {
        let now = self.clock.since_boot();
        let mut said = lock(&self.said);
        let may = said.is_none_or(|last| now.saturating_sub(last) >= SAY_EVERY);
        if may {
            *said = Some(now);
        }
        may
    }

    /// Writes the date down while the call goes on: a disk that hangs must not hold up what came with the answer.
    fn store(&self, server: i64) {
        let stored = self.stored.load(Ordering::Relaxed);
        let due = server >= stored + STORE_EVERY_SECONDS;
        let Some(files) = self.files.clone().filter(|_| due) else {
            return;
        };
        let mut writing = lock(&self.writing);
        while writing.try_join_next().is_some() {}
        // One at a time: the next one would say the same.
        if !writing.is_empty() {
            return;
        }
        self.stored.store(server, Ordering::Relaxed);
        writing.spawn(async move {
            let written = blocking::IDENTITY
                .run(move || files.store_last_date(server))
                .await;
            let failed = match written {
                Ok(written) => written.err().map(|error| error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(error) = failed {
                tracing::warn!(error, "the control plane's time can't be written down");
            }
        });
    }

    /// Waits until the last date is written down: for a program that is about to end.
    pub(super) async fn written(&self) {
        let mut writing = std::mem::take(&mut *lock(&self.writing));
        while writing.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn time(dir: &std::path::Path) -> ServerTime {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let certificates = Arc::new(CertificateClock::new(Arc::clone(&clock)));
        ServerTime::new(clock, certificates, Some(IdentityFiles::new(dir)))
    }

    #[tokio::test]
    async fn calls_are_signed_in_the_servers_time_and_the_date_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let first = time(dir.path());
        assert!(first.learn("Fri, 01 Jan 2100 00:00:00 GMT", true));
        let ahead = first.now().as_second() - 4_102_444_800;
        assert!((0..5).contains(&ahead), "{ahead}");
        first.written().await;
        let second = time(dir.path());
        assert!(second.certificates.now() >= 4_102_444_800);
    }

    /// A FIFO that nobody reads is a disk that does not answer.
    #[tokio::test]
    async fn a_disk_that_hangs_holds_up_no_answer_and_one_thread() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("last-date.new");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let time = time(dir.path());
        for hour in 0..3 {
            time.learn(&format!("Fri, 01 Jan 2100 {hour:02}:00:00 GMT"), true);
            assert_eq!(time.writing.lock().unwrap().len(), 1);
            tokio::task::yield_now().await;
            assert_eq!(blocking::IDENTITY.free(), 0, "it is one of the identity's files");
        }
        std::fs::read(&fifo).unwrap();
        time.written().await;
        // It answers again, and takes what comes next.
        let _ = std::fs::remove_file(&fifo);
        time.learn("Fri, 01 Jan 2100 03:00:00 GMT", true);
        time.written().await;
        let last = std::fs::read_to_string(dir.path().join("last-date")).unwrap();
        assert_eq!(last, "4102455600\n");
    }

    #[tokio::test]
    async fn what_is_not_verified_never_moves_the_certificates_time() {
        let dir = tempfile::tempdir().unwrap();
        let time = time(dir.path());
        time.learn("Fri, 01 Jan 2100 00:00:00 GMT", false);
        assert!(time.certificates.now() < 4_102_444_800);
        assert!(!time.learn("no date", true));
    }
}
