//! Decoders fed with input that is broken on purpose.
//!
//! A target is a decoder and what must hold whatever it is given, in a function that panics if it doesn't. A run of it
//! first replays its corpus, the files of a folder, then goes on with mutations of them: bytes and words of texts, and of
//! JSON also its members, lists and values. What an input led to is told by the function in words; an input that led to
//! something new is mutated further. That is coarser than counters in the compiled code would be, and needs no other
//! compiler.
//!
//! `make test` makes some hundred mutations of each target, the same ones every time. `make fuzz` goes on for as long as
//! it was told, from another seed each time, and writes down each input before it is tried, so that one that kills the
//! process is known.
//!
//! Invariant: memory is bounded by the input: a decoder that holds more at once than [`Target::holds`] says fails, as does
//! one that allocates more than a few times that in all, which is what takes time.
//!
//! Limits: what ends the process, such as an overflow of the stack, is found and not made smaller.

mod json;
mod mutate;
mod shrink;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fastrand::Rng;

use mutate::Pool;

/// Mutations in a test run.
const RUNS: usize = 500;
/// The longest input of a target that does not say otherwise.
const LONGEST: usize = 32 << 10;
/// Bytes that a decoder may hold for each byte of its input, where the target does not say otherwise: a JSON value in
/// memory is some ten times what it is on the way.
const HOLDS: u64 = 40;
/// And whatever the input is: error texts, tables, buffers.
const HOLDS_ALWAYS: u64 = 64 << 10;
/// How many times what it may hold a decoder may allocate in all.
const TURNOVER: u64 = 16;
/// How many inputs are kept that led to something new.
const KEPT: usize = 4_000;

/// What a target's inputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any bytes.
    Bytes,
    /// UTF-8.
    Text,
    /// JSON, and at times what only looks like it.
    Json,
}

impl Form {
    /// Whether a target may be given this. What is made smaller must stay one of its inputs.
    fn is(self, input: &[u8]) -> bool {
        match self {
            Self::Text => std::str::from_utf8(input).is_ok(),
            Self::Bytes | Self::Json => true,
        }
    }
}

/// The folder of a target's corpus: `fuzz/NAME` in the crate that calls.
#[macro_export]
macro_rules! corpus {
    ($name:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/", $name)
    };
}

/// A decoder that is to be fed.
#[derive(Debug)]
pub struct Target {
    corpus: PathBuf,
    form: Form,
    longest: usize,
    runs: usize,
    holds: u64,
    holds_always: u64,
    seeds: Vec<Vec<u8>>,
}

impl Target {
    /// A target with the corpus in this folder.
    #[must_use]
    pub fn new(corpus: &str, form: Form) -> Self {
        Self {
            corpus: corpus.into(),
            form,
            longest: LONGEST,
            runs: RUNS,
            holds: HOLDS,
            holds_always: HOLDS_ALWAYS,
            seeds: Vec::new(),
        }
    }

    /// How many bytes it may hold at once for each byte of input.
    #[must_use]
    pub fn holds(mut self, bytes: u64) -> Self {
        self.holds = bytes;
        self
    }

    /// How many bytes it may hold at once whatever the input is.
    #[must_use]
    pub fn holds_always(mut self, bytes: u64) -> Self {
        self.holds_always = bytes;
        self
    }

    /// How long inputs get.
    #[must_use]
    pub fn longest(mut self, bytes: usize) -> Self {
        self.longest = bytes;
        self
    }

    /// One more input to begin with, which is better written by a program than by hand.
    #[must_use]
    pub fn seed(mut self, input: Vec<u8>) -> Self {
        self.seeds.push(input);
        self
    }

    /// Feeds a decoder: `take` has it read the input, panics if something does not hold, and says in words what came of it.
    ///
    /// # Panics
    /// With the smallest input that was found not to be taken well, and how to replay it.
    pub fn run(&self, take: impl Fn(&[u8]) -> String) {
        let given = self.given();
        let mut pool = Pool::new(
            self.form,
            self.longest,
            given.iter().map(|(_, input)| input.clone()),
        );
        let mut said = HashSet::new();
        for (name, input) in &given {
            match self.attempt(input, &take) {
                Ok(words) => said.insert(gist(&words)),
                Err(why) => panic!("{name}: {why}"),
            };
        }
        let plan = Plan::read();
        let mut rng = Rng::with_seed(plan.seed);
        let last = plan.until.map(|_| self.found("last"));
        let mut runs = 0_usize;
        while plan.goes_on(runs, self.runs) {
            runs += 1;
            let input = pool.mutation(&mut rng);
            if let Some(last) = &last {
                std::fs::write(last, &input).expect("the input is written down");
            }
            match self.attempt(&input, &take) {
                Ok(words) => {
                    if pool.len() < given.len() + KEPT && said.insert(gist(&words)) {
                        pool.add(input);
                    }
                }
                Err(_) => self.fail(&input, plan.seed, runs, &take),
            }
        }
        if plan.until.is_some() {
            println!(
                "{}: {runs} inputs, {} outcomes",
                self.corpus.display(),
                said.len()
            );
        }
    }

    /// The corpus, and what the target itself begins with.
    fn given(&self) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(&self.corpus)
            .unwrap_or_else(|error| panic!("no corpus in {}: {error}", self.corpus.display()));
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
        files.sort();
        let read = |path: &PathBuf| {
            (
                path.display().to_string(),
                std::fs::read(path).expect("it can be read"),
            )
        };
        let seeds = (1..)
            .zip(&self.seeds)
            .map(|(number, seed): (u32, _)| (format!("seed {number}"), seed.clone()));
        let given: Vec<_> = files.iter().map(read).chain(seeds).collect();
        assert!(
            !given.is_empty(),
            "the corpus in {} is empty",
            self.corpus.display()
        );
        given
    }

    fn attempt(&self, input: &[u8], take: &impl Fn(&[u8]) -> String) -> Result<String, String> {
        let mut outcome = Err(String::new());
        let used = allocation_counter::measure(|| {
            outcome = catch_unwind(AssertUnwindSafe(|| take(input))).map_err(|panic| words_of(&*panic));
        });
        let words = outcome?;
        let may = self.holds_always + self.holds * input.len() as u64;
        if used.bytes_max > may {
            return Err(format!(
                "it held {} bytes for an input of {}: {may} at most",
                used.bytes_max,
                input.len()
            ));
        }
        if used.bytes_total > TURNOVER * may {
            let most = TURNOVER * may;
            return Err(format!(
                "it allocated {} bytes for an input of {}: {most} at most",
                used.bytes_total,
                input.len()
            ));
        }
        Ok(words)
    }

    /// Makes an input smaller, writes it down, and says how to go on.
    fn fail(&self, input: &[u8], seed: u64, runs: usize, take: &impl Fn(&[u8]) -> String) -> ! {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let small = shrink::smallest(input, |smaller| {
            self.form.is(smaller) && self.attempt(smaller, take).is_err()
        });
        std::panic::set_hook(shown);
        let why = self.attempt(&small, take).err().unwrap_or_default();
        let path = self.found(&format!("seed-{seed}-run-{runs}"));
        std::fs::write(&path, &small).expect("the input is written down");
        panic!(
            "{why}\nfor {:?}\nin {}; copy it to {} under a name that says what it is, and the test replays it",
            String::from_utf8_lossy(&small[..small.len().min(2_000)]),
            path.display(),
            self.corpus.display(),
        );
    }

    /// A file for what is found: `target/fuzz/CRATE/TARGET/NAME`.
    fn found(&self, name: &str) -> PathBuf {
        let mut up = self.corpus.ancestors();
        let (target, krate) = (up.next().and_then(Path::file_name), up.nth(1));
        let (target, krate) = (
            target.expect("a folder"),
            krate.expect("in the folder fuzz of a crate"),
        );
        let workspace = krate.parent().expect("in the workspace");
        let folder = workspace
            .join("target/fuzz")
            .join(krate.file_name().expect("a crate"))
            .join(target);
        std::fs::create_dir_all(&folder).expect("target/ can be written");
        folder.join(name)
    }
}

/// How long to go on, and with which chance.
struct Plan {
    until: Option<Instant>,
    seed: u64,
}

impl Plan {
    /// `LONGSHORE_TEST_FUZZ_SECONDS` and `LONGSHORE_TEST_FUZZ_SEED`.
    #[expect(
        clippy::disallowed_methods,
        reason = "how long to go on is told in seconds; nothing is measured"
    )]
    fn read() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(
                text.parse::<u64>()
                    .unwrap_or_else(|_| panic!("{name} is {text:?}, which is no number")),
            )
        };
        let seconds = number("LONGSHORE_TEST_FUZZ_SECONDS");
        Self {
            until: seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
            seed: number("LONGSHORE_TEST_FUZZ_SEED")
                .unwrap_or_else(|| seconds.map_or(1, |_| fastrand::u64(..))),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "as above")]
    fn goes_on(&self, runs: usize, most: usize) -> bool {
        self.until.map_or(runs < most, |until| Instant::now() < until)
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
        .to_owned()
}

/// What was said without what the input itself put into it: quoted texts and numbers.
fn gist(words: &str) -> String {
    let (mut gist, mut quoted) = (String::new(), false);
    for letter in words.chars() {
        match letter {
            '"' => quoted = !quoted,
            _ if quoted || letter.is_ascii_digit() => {}
            _ => gist.push(letter),
        }
        if gist.len() > 200 {
            break;
        }
    }
    gist
}
