//! The engine's process: one per store and socket, found by the socket, gone when nobody needs it.

use crate::EngineError;
use crate::catalogue::{Catalogue, Studio};
use crate::connection::{House, converse};
use crate::dispatch::Bench;
use crate::jobs::Jobs;
use crate::logs::{RollingLog, open_log};
use crate::scheduler;
use crate::store::{Store, private_folder};
use crate::worker::WorkerCommand;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Clients at once.
const MOST_CLIENTS: usize = 256;
/// How long an engine that is leaving may hold the lock before another gives up waiting for it.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How often idleness is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Where an engine listens, keeps things, and how it works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its Unix socket; the folder is made 0700.
    pub socket: PathBuf,
    /// The folder of artifacts, journals and logs.
    pub store: PathBuf,
    /// Leaves after this long without a client and without a job.
    pub idle_exit: Duration,
    /// Program and arguments that start a worker.
    pub worker_command: Vec<OsString>,
}

impl Options {
    /// The places of this user ([`spinbot::home`]), half an hour of idleness, `<spinbot> worker` as worker.
    pub fn standard(spinbot: &Path) -> Self {
        Options {
            socket: spinbot::home::engine_socket(),
            store: spinbot::home::data_dir(),
            idle_exit: Duration::from_secs(30 * 60),
            worker_command: vec![spinbot.into(), "worker".into()],
        }
    }
}

/// Runs the engine until it is told to stop (by a client, SIGTERM or SIGINT) or has been idle for long enough.
///
/// Call it before other threads exist: they would take the signals meant for it.
///
/// # Errors
/// When another engine runs, or the socket or the store cannot be used.
pub fn serve(options: Options) -> Result<(), EngineError> {
    serve_with(options, Arc::new(Studio))
}

/// The same with steps of one's own; the worker must know the same ones.
///
/// # Errors
/// As [`serve`].
pub fn serve_with(options: Options, catalogue: Arc<dyn Catalogue>) -> Result<(), EngineError> {
    let runtime = options.socket.parent().unwrap_or(Path::new(".")).to_owned();
    private_folder(&runtime)?;
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700))
        .map_err(EngineError::io("cannot make private", &runtime))?;
    private_folder(&options.store)?;
    // Two locks: one engine for this socket, and one for this store, which another socket could also lead to.
    let _socket_lock = lock(&runtime.join("engine.lock"), &options.socket)?;
    let _store_lock = lock(&options.store.join("engine.lock"), &options.socket)?;
    block_signals();
    let listener = listen(&options.socket)?;

    let store = Store::open(&options.store)?;
    let jobs = Jobs::open(store.jobs_folder())?;
    let log = Arc::new(RollingLog::open(options.store.join("logs/worker.log"))?);
    let socket_io =
        |e| EngineError::Io { doing: "cannot listen on", path: options.socket.clone(), source: e };
    let (bell, rung) = UnixStream::pair().map_err(socket_io)?;
    bell.set_nonblocking(true).map_err(socket_io)?;
    let worker_pid = Arc::new(AtomicU32::new(0));
    let mut bench =
        Bench::new(WorkerCommand { command: options.worker_command.clone(), log }, Arc::clone(&worker_pid));
    let house = Arc::new(House {
        store,
        jobs,
        catalogue,
        started: Instant::now(),
        worker_pid,
        clients: AtomicUsize::new(0),
        followers: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        bell,
    });
    let at_work = Arc::clone(&house);
    let scheduler = std::thread::Builder::new().name("scheduler".into()).spawn(move || {
        let House { jobs, store, catalogue, .. } = &*at_work;
        scheduler::work(jobs, store, &**catalogue, &mut bench);
    });
    let scheduler = scheduler.map_err(socket_io)?;
    wait_for_signals(Arc::clone(&house));

    receive_clients(&house, &listener, &rung, options.idle_exit);

    // Not bound while the running job is ended: an engine that is to take over must not find this one listening.
    // Ours to remove: the lock is still held.
    let _ = fs::remove_file(&options.socket);
    drop(listener);
    house.jobs.close();
    // The scheduler ends its job and its worker; a panic of its own is over with it too.
    let _ = scheduler.join();
    let patience = Instant::now() + Duration::from_millis(500);
    while house.followers.load(Ordering::Acquire) > 0 && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Takes in clients, a thread each, until the engine is told to stop or has been idle for long enough.
fn receive_clients(house: &Arc<House>, listener: &UnixListener, rung: &UnixStream, idle_exit: Duration) {
    let mut busy_at = Instant::now();
    while !house.stop.load(Ordering::Acquire) {
        let (running, queued) = house.jobs.load();
        if running.is_some() || queued > 0 || house.clients.load(Ordering::Acquire) > 0 {
            busy_at = Instant::now();
        }
        if busy_at.elapsed() >= idle_exit {
            return;
        }
        if !wait_readable(listener, rung, LOOK.min(idle_exit)) {
            continue;
        }
        // Non-blocking: a client that came and went must not hold us here.
        let Ok((stream, _)) = listener.accept() else { continue };
        if !same_user(&stream) || house.clients.load(Ordering::Acquire) >= MOST_CLIENTS {
            continue;
        }
        busy_at = Instant::now();
        let house = Arc::clone(house);
        // A broken connection concerns nobody but its client; without a thread for it, it is hung up on.
        let _ = std::thread::Builder::new().name("client".into()).spawn(move || {
            let _ = stream.set_nonblocking(false).and_then(|()| converse(&house, stream));
        });
    }
}

/// Starts `spinbot arguments..` as a session of its own, with its stderr in the store's `logs/engine.log`, and
/// returns at once. For `spinbot engine --background`.
///
/// # Errors
/// When the log cannot be written or the program not be started.
pub fn start_in_background(spinbot: &Path, arguments: &[&str], store: &Path) -> Result<(), EngineError> {
    private_folder(&store.join("logs"))?;
    let (log, _) = open_log(&store.join("logs/engine.log"))?;
    let mut command = Command::new(spinbot);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir("/");
    // SAFETY: between fork and exec only setsid is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| if libc::setsid() < 0 { Err(io::Error::last_os_error()) } else { Ok(()) });
    }
    // Its parent leaves at once, so it is collected by init and leaves no zombie.
    command.spawn().map(drop).map_err(EngineError::io("cannot start", spinbot))
}

/// Takes the lock, or says whose it is. Held until dropped, and by the kernel's word no longer than we live.
fn lock(path: &Path, socket: &Path) -> Result<File, EngineError> {
    let mut options = fs::OpenOptions::new();
    let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut file = opened.map_err(EngineError::io("cannot write", path))?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        // SAFETY: a plain system call on an open descriptor.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::WouldBlock && error.kind() != io::ErrorKind::Interrupted {
            return Err(EngineError::Io { doing: "cannot lock", path: path.to_owned(), source: error });
        }
        // One that answers is here to stay; one that does not is starting or leaving.
        if UnixStream::connect(socket).is_ok() || Instant::now() >= deadline {
            let mut owner = String::new();
            let _ = (&mut file).take(20).read_to_string(&mut owner);
            return Err(EngineError::AlreadyRunning {
                owner: owner.trim().to_owned(),
                path: path.to_owned(),
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // The owner's number is for messages only; the lock itself is the truth.
    let number = format!("{}\n", std::process::id());
    let write = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(number.as_bytes()));
    write.map_err(EngineError::io("cannot write", path))?;
    Ok(file)
}

/// Listens, 0600. A socket left by a dead engine is replaced: we hold the lock.
fn listen(socket: &Path) -> Result<UnixListener, EngineError> {
    match fs::remove_file(socket) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(EngineError::Io { doing: "cannot replace", path: socket.to_owned(), source: e });
        }
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(EngineError::io("cannot listen on", socket))?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))
        .and_then(|()| listener.set_nonblocking(true))
        .map_err(EngineError::io("cannot listen on", socket))?;
    Ok(listener)
}

/// Waits for a client or the bell. True when a client may be there.
fn wait_readable(listener: &UnixListener, bell: &UnixStream, patience: Duration) -> bool {
    let watch = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut fds = [watch(listener.as_raw_fd()), watch(bell.as_raw_fd())];
    let millis = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: two entries, both of open descriptors, and the length is theirs.
    let n = unsafe { libc::poll(fds.as_mut_ptr(), 2, millis) };
    n > 0 && fds[0].revents != 0
}

/// Whether the other side is a process of our own user. The folder's mode says so already; this holds where
/// the folder was made readable by mistake.
fn same_user(stream: &UnixStream) -> bool {
    // SAFETY: geteuid cannot fail.
    let us = unsafe { libc::geteuid() };
    peer_user(stream).is_some_and(|them| them == us || them == 0)
}

#[cfg(target_os = "linux")]
fn peer_user(stream: &UnixStream) -> Option<u32> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the option's value is a ucred, of which we give address and size.
    let got = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut size,
        )
    };
    (got == 0).then_some(peer.uid)
}

#[cfg(not(target_os = "linux"))]
fn peer_user(stream: &UnixStream) -> Option<u32> {
    let (mut user, mut group) = (0, 0);
    // SAFETY: two integers of ours to be filled in.
    let got = unsafe { libc::getpeereid(stream.as_raw_fd(), &raw mut user, &raw mut group) };
    (got == 0).then_some(user)
}

/// SIGTERM and SIGINT.
fn signals() -> libc::sigset_t {
    // SAFETY: the set is initialised by sigemptyset before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigaddset(&raw mut set, libc::SIGINT);
        set
    }
}

/// Keeps the signals for the thread that waits for them; threads made later inherit this, and processes do not,
/// since `Command` resets the mask.
fn block_signals() {
    let set = signals();
    // SAFETY: the set is initialised; the old mask is not asked for.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}

fn wait_for_signals(house: Arc<House>) {
    std::thread::spawn(move || {
        let (set, mut signal) = (signals(), 0);
        // SAFETY: an initialised set and an integer of ours.
        if unsafe { libc::sigwait(&raw const set, &raw mut signal) } == 0 {
            house.ring_stop();
        }
    });
}
