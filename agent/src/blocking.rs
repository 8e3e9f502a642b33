//! Work that keeps a thread until the kernel has done it: files, above all.
//!
//! A thread that waits for a disk that hangs is lost until the disk answers, also when nobody waits for it any more. So
//! such work is never done on the runtime's own two threads, on which everything else goes on, and each kind of it has a
//! [`Gate`] that lets in so many at a time: who hangs leaves threads to the other kinds, and to those who look up names.
//!
//! Invariant: a place behind a gate is free again when the work has ended, and its result was taken or put down, which is
//! work of the same kind; not when its caller has given up. So whoever has begun to wait goes on waiting or gives up, and
//! waits for nothing else behind the same gate meanwhile.

use std::io;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::task::JoinHandle;

/// Declares the gates, and counts the threads that all of them need.
macro_rules! gates {
    ($($(#[$what:meta])* $name:ident: $most:literal;)*) => {
        $($(#[$what])* pub static $name: Gate = Gate::new($most);)*

        /// How much all gates let in together.
        const LET_IN: usize = 0 $(+ $most)*;

        #[cfg(test)]
        fn all() -> Vec<&'static Gate> {
            vec![$(&$name),*]
        }
    };
}

gates! {
    /// The small files of the data folder, and those of programs, settings and images. What hangs there hangs all together.
    DISK: 8;
    /// Reading logs, of which clients may ask for many at once.
    LOGS: 8;
    /// Writing down which sessions there are: in the order in which it is asked for.
    SESSIONS: 1;
    /// Writing down who this node is: in the order in which it is asked for.
    IDENTITY: 1;
    /// What tasks name, on network file systems maybe, each of which may hang by itself: volumes and environment files.
    NAMED: 4;
    /// Removing the volumes of tasks, which may have millions of files.
    REMOVALS: 4;
    /// Bringing a file system to the disk, which takes minutes on a slow one.
    SYNCS: 2;
    /// Looking at the processes of containers: at one that hangs it may hang too.
    PROCESSES: 4;
    /// Looking for shims, and ending those that hang.
    SHIMS: 2;
    /// Looking for GPUs.
    GPUS: 1;
    /// Counting what parts of layers unpack to: each takes a core.
    LAYERS: 2;
    /// Making keys, which takes a core for seconds.
    KEYS: 1;
}

/// What the store works on, one after another: it has a queue of its own.
const STORE: usize = 1;
/// For names to be looked up.
const NAMES: usize = 7;
/// How many threads there may be. A thread is there only while it is used, so this many cost memory only while disks hang.
pub const THREADS: usize = LET_IN + STORE + NAMES;

/// Lets in so much of one kind of work at a time, in the order in which it came.
#[derive(Debug)]
pub struct Gate {
    #[cfg(test)]
    most: usize,
    places: Semaphore,
}

impl Gate {
    const fn new(most: usize) -> Self {
        Self {
            #[cfg(test)]
            most,
            places: Semaphore::const_new(most),
        }
    }

    /// Does `work` on a thread of its own, once there is a place for it. Who gives up before that has it not done; who
    /// gives up later only does not hear of it.
    ///
    /// # Errors
    /// It panicked, or the agent ends.
    pub async fn run<T: Send + 'static>(
        &'static self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let place = self.places.acquire().await.map_err(io::Error::other)?;
        let (wanted, done) = oneshot::channel();
        let work = move || {
            let kept = Some((work(), place));
            if let Err(mut unwanted) = wanted.send(Done { kept }) {
                drop(unwanted.kept.take());
            }
        };
        let thread = on_a_thread(&Handle::current(), Box::new(work));
        if let Ok(mut done) = done.await
            && let Some((result, _place)) = done.kept.take()
        {
            return Ok(result);
        }
        // It panicked, or was never begun.
        match thread.await {
            Err(error) => Err(io::Error::other(error)),
            Ok(()) => Err(io::Error::other("the work has ended with no result")),
        }
    }

    /// The same, for work that fails as files do.
    ///
    /// # Errors
    /// Those of [`Gate::run`], and its own.
    pub async fn io<T: Send + 'static>(
        &'static self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.run(work).await.flatten()
    }

    /// Has work that hangs at every place, and that nobody waits for. Each ends when one of what this answers is dropped.
    #[cfg(test)]
    pub async fn fill(&'static self) -> Vec<std::sync::mpsc::Sender<()>> {
        let mut answers = Vec::new();
        while self.free() > 0 {
            let (answer, disk) = std::sync::mpsc::channel();
            let (begins, begun) = oneshot::channel();
            let hanging = self.run(move || begins.send(()).is_ok() && disk.recv().is_ok());
            tokio::select! {
                _ = hanging => {}
                _ = begun => {}
            }
            answers.push(answer);
        }
        answers
    }

    /// How much is let in at a time.
    #[cfg(test)]
    pub const fn most(&self) -> usize {
        self.most
    }

    /// How many places are free.
    #[cfg(test)]
    pub fn free(&self) -> usize {
        self.places.available_permits()
    }
}

/// Not generic, so that what the runtime needs for it is there once, and not for each kind of work: that made 3 % of
/// the program.
fn on_a_thread(runtime: &Handle, work: Box<dyn FnOnce() + Send>) -> JoinHandle<()> {
    runtime.spawn_blocking(work)
}

/// Puts down what may hang in that, at the end of the program, when no gate may have a place any more: on a thread that ends
/// with the program. Says whether it was done in time.
pub async fn put_down<T: Send + 'static>(what: T, patience: Duration) -> bool {
    let (done, is_done) = oneshot::channel();
    let runtime = Handle::current();
    std::thread::spawn(move || {
        let _inside = runtime.enter();
        drop(what);
        // Who has waited for long enough does not hear it.
        let _ = done.send(());
    });
    tokio::time::timeout(patience, is_done).await.is_ok()
}

/// A result on its way to who wants it, and the place that it was made in.
struct Done<T: Send + 'static> {
    /// In the order in which they are dropped.
    kept: Option<(T, SemaphorePermit<'static>)>,
}

impl<T: Send + 'static> Drop for Done<T> {
    /// Its caller gave up after it was sent: it is put down as if it had been before.
    fn drop(&mut self) {
        let Some(kept) = self.kept.take() else { return };
        // Where there is none, the agent ends.
        if let Ok(runtime) = Handle::try_current() {
            // It owns itself: it ends by itself, and its place is waited for by who comes next.
            drop(on_a_thread(&runtime, Box::new(move || drop(kept))));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn when_all_gates_are_full_there_are_threads_left() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(THREADS)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut answers = Vec::new();
            for gate in all() {
                answers.push(gate.fill().await);
            }
            // Each of them ends when all have begun.
            let begun = std::sync::Arc::new(std::sync::Barrier::new(STORE + NAMES));
            let mut others = tokio::task::JoinSet::new();
            for _ in 0..STORE + NAMES {
                let begun = std::sync::Arc::clone(&begun);
                others.spawn_blocking(move || begun.wait());
            }
            assert_eq!(others.join_all().await.len(), STORE + NAMES);
        });
    }

    static GATE: Gate = Gate::new(3);

    #[test]
    fn work_that_hangs_keeps_its_place_and_no_other_kinds_threads() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(GATE.most() + 1)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut answers = GATE.fill().await;
            assert_eq!(GATE.free(), 0);
            let mut waiting = tokio::task::JoinSet::new();
            for number in 0..2 * GATE.most() {
                waiting.spawn(async move { GATE.run(move || number).await.unwrap() });
            }
            tokio::task::yield_now().await;
            // One who gives up is not done at all.
            let (done, never) = mpsc::channel();
            let impatient = GATE.run(move || done.send(()));
            assert!(tokio::time::timeout(Duration::ZERO, impatient).await.is_err());
            assert_eq!(tokio::task::spawn_blocking(|| 7).await.unwrap(), 7);
            assert!(waiting.try_join_next().is_none());

            drop(answers.pop());
            let mut done = waiting.join_all().await;
            done.sort_unstable();
            assert_eq!(done, Vec::from_iter(0..2 * GATE.most()));
            assert!(never.recv().is_err());
            drop(answers);
            while GATE.free() < GATE.most() {
                tokio::task::yield_now().await;
            }
        });
    }

    static UNTAKEN: Gate = Gate::new(2);

    /// Says on which thread it is put down, and how many places are free then.
    struct Telltale(mpsc::Sender<(std::thread::ThreadId, usize)>);

    impl Drop for Telltale {
        fn drop(&mut self) {
            let said = (std::thread::current().id(), UNTAKEN.free());
            let _ = self.0.send(said);
        }
    }

    #[test]
    fn a_result_that_is_not_taken_is_put_down_where_work_is_done() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (telltale, told) = mpsc::channel();
        runtime.block_on(async {
            let (answer, disk) = mpsc::channel();
            let work = move || disk.recv().map(|()| Telltale(telltale));
            let mut run = Box::pin(UNTAKEN.run(work));
            assert!(futures_util::poll!(&mut run).is_pending());
            answer.send(()).unwrap();
            // There is one thread: then it was sent.
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            drop(run);
        });
        let (thread, free) = told.recv().unwrap();
        assert_ne!(thread, std::thread::current().id());
        assert_eq!(free, UNTAKEN.most() - 1);
        runtime.block_on(async {
            while UNTAKEN.free() < UNTAKEN.most() {
                tokio::task::yield_now().await
            }
        });
    }

    /// The gates count what they let in; any other thread would be one of those that are left for names.
    #[test]
    fn nothing_else_has_threads() {
        const OTHERS: [&str; 2] = ["blocking.rs", "store/writer.rs"];
        let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut folders = vec![sources.clone()];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&sources).unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if !name.ends_with("tests.rs") && !OTHERS.contains(&name.as_str()) {
                    let text = std::fs::read_to_string(path).unwrap();
                    let bad = ["spawn_blocking", "block_in_place", "tokio::fs"];
                    found.extend(
                        bad.iter()
                            .filter(|word| text.contains(**word))
                            .map(|word| format!("{name}: {word}")),
                    );
                }
            }
        }
        assert_eq!(found, Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_hangs_in_being_put_down_holds_up_no_end_though_no_place_is_free() {
        let hanging = DISK.fill().await;
        let (telltale, told) = mpsc::channel();
        assert!(put_down(Telltale(telltale), Duration::from_secs(60)).await);
        assert_ne!(told.recv().unwrap().0, std::thread::current().id());
        struct Hangs(mpsc::Receiver<()>);
        impl Drop for Hangs {
            fn drop(&mut self) {
                let _ = self.0.recv();
            }
        }
        let (go_on, waits) = mpsc::channel();
        assert!(!put_down(Hangs(waits), Duration::from_millis(10)).await);
        drop((go_on, hanging));
    }

    static PANICS: Gate = Gate::new(1);

    #[tokio::test]
    async fn work_that_panics_is_an_error_and_keeps_no_place() {
        let broken = PANICS
            .io(|| -> io::Result<()> { panic!("a test's own panic") })
            .await;
        assert!(broken.unwrap_err().to_string().contains("panic"));
        let refused = PANICS.io(|| std::fs::read("/nonexistent")).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
