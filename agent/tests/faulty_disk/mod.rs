//! A disk that can be told to fail: SQLite's own way to the file system, with writes and syncs in chosen folders refused.
//!
//! It becomes the process's default as soon as the first [`FaultyDisk`] is made; folders that nobody named are not
//! touched. Shared by the store's own tests and the simulation.

#![expect(
    unsafe_code,
    reason = "a virtual file system is a table of C functions; each block says why it is sound"
)]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use rusqlite::ffi;

/// How writes fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// ENOSPC.
    Full,
    /// EIO.
    Broken,
}

/// The disk under a folder.
#[derive(Debug)]
pub struct FaultyDisk {
    folder: PathBuf,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What a write is answered with; `SQLITE_OK` lets it through.
    code: AtomicI32,
    refused: AtomicU64,
}

/// SQLite's own table, which lives as long as the process.
struct Real(*mut ffi::sqlite3_vfs);

// SAFETY: SQLite's default table is constant once it is registered, and its functions may be called from any thread.
unsafe impl Send for Real {}
// SAFETY: as above.
unsafe impl Sync for Real {}

type Files = HashMap<usize, (Arc<State>, Methods)>;
type Methods = &'static ffi::sqlite3_io_methods;

static FOLDERS: Mutex<Vec<(PathBuf, Arc<State>)>> = Mutex::new(Vec::new());
/// By the address of SQLite's file object, which stays where it is while it is open; with the file's own methods.
static OPEN: LazyLock<Mutex<Files>> = LazyLock::new(Mutex::default);
/// The failing kind of each kind of methods, by address: databases and journals have different ones.
static FAULTY: LazyLock<Mutex<HashMap<usize, Methods>>> = LazyLock::new(Mutex::default);
static REAL: LazyLock<Real> = LazyLock::new(install);

impl FaultyDisk {
    /// The disk under this folder, for files that are opened from now on. It works, so far.
    pub fn under(folder: &Path) -> Self {
        LazyLock::force(&REAL);
        let folder = folder.canonicalize().unwrap();
        let state = Arc::new(State::default());
        FOLDERS.lock().unwrap().push((folder.clone(), Arc::clone(&state)));
        Self { folder, state }
    }

    /// Writes fail from now on; `None`: they don't.
    pub fn set(&self, fault: Option<Fault>) {
        let code = match fault {
            None => ffi::SQLITE_OK,
            Some(Fault::Full) => ffi::SQLITE_FULL,
            Some(Fault::Broken) => ffi::SQLITE_IOERR_WRITE,
        };
        self.state.code.store(code, Ordering::SeqCst);
    }

    /// How many writes it has refused.
    pub fn refused(&self) -> u64 {
        self.state.refused.load(Ordering::SeqCst)
    }
}

impl Drop for FaultyDisk {
    fn drop(&mut self) {
        FOLDERS
            .lock()
            .unwrap()
            .retain(|(folder, _)| *folder != self.folder);
    }
}

impl State {
    fn refusal(&self) -> Option<c_int> {
        let code = self.code.load(Ordering::SeqCst);
        if code == ffi::SQLITE_OK {
            return None;
        }
        self.refused.fetch_add(1, Ordering::SeqCst);
        Some(code)
    }
}

fn install() -> Real {
    // SAFETY: a null name asks for the default table, which exists in every build of SQLite for Unix.
    let vfs = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
    assert!(!vfs.is_null());
    // SAFETY: the table is valid and is not changed by anybody else; the copy is ours.
    let mut ours = unsafe { *vfs };
    ours.zName = c"faulty".as_ptr();
    ours.pNext = std::ptr::null_mut();
    ours.xOpen = Some(open);
    // SAFETY: the table lives for ever, since it is leaked. Its other functions take their table for SQLite's own, of
    // which it is a copy.
    let registered = unsafe { ffi::sqlite3_vfs_register(Box::into_raw(Box::new(ours)), 1) };
    assert_eq!(registered, ffi::SQLITE_OK);
    Real(vfs)
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let real = REAL.0;
    // SAFETY: the arguments are SQLite's, passed on to its own function with its own table.
    let code = unsafe { (*real).xOpen.unwrap()(real, name, file, flags, out) };
    if code != ffi::SQLITE_OK || name.is_null() {
        return code;
    }
    // SAFETY: SQLite gives a string that ends in NUL.
    let path = Path::new(std::ffi::OsStr::from_bytes(
        unsafe { CStr::from_ptr(name) }.to_bytes(),
    ));
    let folders = FOLDERS.lock().unwrap();
    let state = folders
        .iter()
        .find(|(folder, _)| path.starts_with(folder))
        .map(|(_, state)| Arc::clone(state));
    if let Some(state) = state {
        // SAFETY: the file was opened just now, so its methods are set; SQLite's are constants.
        let methods: Methods = unsafe { &*(*file).pMethods };
        let address = std::ptr::from_ref(methods) as usize;
        let faulty = *FAULTY.lock().unwrap().entry(address).or_insert_with(|| {
            Box::leak(Box::new(ffi::sqlite3_io_methods {
                xWrite: Some(write),
                xSync: Some(sync),
                xClose: Some(close),
                ..*methods
            }))
        });
        OPEN.lock().unwrap().insert(file as usize, (state, methods));
        // SAFETY: the file is ours until this function returns, and the methods live for ever.
        unsafe { (*file).pMethods = faulty };
    }
    code
}

/// What a write to the file is answered with, if it is refused, and the file's own methods.
fn look_up(file: *mut ffi::sqlite3_file) -> (Option<c_int>, Methods) {
    let open = OPEN.lock().unwrap();
    let (state, methods) = &open[&(file as usize)];
    (state.refusal(), methods)
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let (refusal, methods) = look_up(file);
    // SAFETY: the arguments are SQLite's, passed on to its own function.
    refusal.unwrap_or_else(|| unsafe { methods.xWrite.unwrap()(file, bytes, count, at) })
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    let (refusal, methods) = look_up(file);
    match refusal {
        // A full disk is found out by writing.
        Some(ffi::SQLITE_FULL) | None => {}
        Some(_) => return ffi::SQLITE_IOERR_FSYNC,
    }
    // SAFETY: as in `write`.
    unsafe { methods.xSync.unwrap()(file, flags) }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let (_, methods) = OPEN.lock().unwrap().remove(&(file as usize)).unwrap();
    // SAFETY: as in `write`.
    unsafe { methods.xClose.unwrap()(file) }
}
