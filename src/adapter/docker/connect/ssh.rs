//! An engine on another machine, through its SSH server.
//!
//! One `ssh` for each engine carries a socket of this machine to the engine's: `-L` in a directory
//! that only this user may enter. All calls go through that one connection, nothing has to be
//! installed at the far end, and nothing is ever asked of a person. It is the user's own `ssh`: the
//! user's `ssh_config`, agent, keys and known hosts hold.

mod complaint;
mod private;

use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getppid};

use super::url::Remote;
use crate::error::{Error, Kind, Result};
use private::Private;

/// How long what ssh says is waited for when a call has failed.
const HEARING: Duration = Duration::from_millis(300);

/// The first wait before a connection that was lost is made again; it doubles up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// How often it is looked whether the socket is there.
const TICK: Duration = Duration::from_millis(5);

/// How much of what ssh says is remembered, in lines: the last ones.
const REMEMBERED: usize = 20;

/// Silence of the far end after which the connection counts as lost, in three parts.
const SILENCE_S: u32 = 10;

/// A socket here that is the engine's there. Ends with its value, or with this process.
///
/// The socket has no name: it is opened, and its name removed, as soon as it is there. So nothing is
/// left behind by a program that is killed, and nobody else can come upon it.
pub(in crate::adapter::docker) struct Forward {
    remote: Remote,
    state: Arc<Mutex<State>>,
    path: String,
}

#[derive(Default)]
struct State {
    ssh: Option<Child>,
    /// The socket; its number stays the same when ssh is run again.
    socket: Option<OwnedFd>,
    /// Why the last one could not be started.
    unstarted: Option<Error>,
    /// What it said, line by line.
    told: Vec<String>,
    /// It has been started, and has ended.
    ended: bool,
    /// Nobody wants it any more.
    closed: bool,
}

impl Forward {
    /// Connects, and returns when the socket is there.
    ///
    /// # Errors
    /// Why ssh could not: its own words, and what to do about those that are known.
    pub(super) fn open(remote: &Remote, until: Instant) -> Result<Forward> {
        let state = Arc::new(Mutex::new(State::default()));
        let mut forward =
            Forward { remote: remote.clone(), state: state.clone(), path: String::new() };
        let patience = until.saturating_duration_since(Instant::now());
        let target = remote.clone();
        thread::spawn(move || tend(&target, patience, &state));
        while Instant::now() < until {
            let mut state = lock(&forward.state);
            if let Some(socket) = &state.socket {
                forward.path = format!("/proc/self/fd/{}", socket.as_raw_fd());
                drop(state);
                return Ok(forward);
            }
            if let Some(why) = state.unstarted.take() {
                return Err(why);
            }
            if state.ended {
                return Err(complaint::why(remote, &state.told));
            }
            drop(state);
            thread::sleep(TICK);
        }
        Err(Error::new(Kind::TimedOut, format_args!("ssh {}", remote.place()))
            .why(format_args!("no connection within {} ms", patience.as_millis())))
    }

    /// The path of the socket.
    pub(super) fn socket(&self) -> &str {
        &self.path
    }

    /// Why nothing came back through it, if ssh has said why.
    pub(super) fn complaint(&self) -> Option<Error> {
        let until = Instant::now() + HEARING;
        loop {
            let found = complaint::of_engine(&self.remote, &lock(&self.state).told);
            if found.is_some() || Instant::now() > until {
                return found;
            }
            thread::sleep(TICK);
        }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.closed = true;
        if let Some(ssh) = &mut state.ssh {
            end(ssh);
        }
    }
}

/// The words of the command line.
fn words(remote: &Remote, socket: &str, patience: Duration) -> Vec<String> {
    let mut words: Vec<String> = ["-nNT", "-S", "none"].map(str::to_owned).into();
    for option in [
        // Nobody is there to be asked for a password, or whether a host key is the right one.
        "BatchMode=yes".to_owned(),
        "ExitOnForwardFailure=yes".to_owned(),
        format!("ConnectTimeout={}", patience.as_secs().max(1)),
        format!("ServerAliveInterval={SILENCE_S}"),
        "ServerAliveCountMax=3".to_owned(),
        // That the engine's socket cannot be opened is not told below this.
        "LogLevel=INFO".to_owned(),
        "StreamLocalBindMask=0177".to_owned(),
    ] {
        words.extend(["-o".to_owned(), option]);
    }
    words.extend(["-L".to_owned(), format!("{socket}:{}", remote.socket)]);
    if let Some(user) = &remote.user {
        words.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(port) = remote.port {
        words.extend(["-p".to_owned(), port.to_string()]);
    }
    words.extend(["--".to_owned(), remote.host.clone()]);
    words
}

/// Runs ssh, and runs it again when it has ended, until nobody wants it any more.
///
/// The kernel ends an ssh when the thread that started it does. So this is a thread of its own.
fn tend(remote: &Remote, patience: Duration, state: &Arc<Mutex<State>>) {
    let mut pause = BACK_OFF.0;
    loop {
        let begun = Instant::now();
        let directory = match Private::make() {
            Ok(directory) => directory,
            Err(why) => {
                lock(state).unstarted = Some(why);
                return;
            }
        };
        let words = words(remote, directory.socket(), patience);
        let Some(stderr) = start(&words, state) else { return };
        let told = state.clone();
        let listener = thread::spawn(move || listen(stderr, &told));
        // The file is there a moment before it is listened at.
        while UnixStream::connect(directory.socket()).is_err() && !has_ended(state) {
            thread::sleep(TICK);
        }
        take(directory.socket(), state);
        drop(directory);
        let _ = listener.join();
        while !has_ended(state) {
            thread::sleep(BACK_OFF.0);
        }
        if begun.elapsed() > BACK_OFF.1 {
            pause = BACK_OFF.0;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(BACK_OFF.1);
    }
}

/// Remembers what ssh says until it says no more.
fn listen(stderr: ChildStderr, state: &Mutex<State>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(std::io::Result::ok) {
        let mut state = lock(state);
        state.told.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        let surplus = state.told.len().saturating_sub(REMEMBERED);
        state.told.drain(..surplus);
    }
}

/// Opens the socket, if it is there, so that it needs no name any more.
fn take(path: &str, state: &Mutex<State>) {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let Ok(socket) = nix::fcntl::open(path, flags, Mode::empty()) else { return };
    match &mut lock(state).socket {
        Some(known) => {
            let _ = nix::unistd::dup3(socket, known, OFlag::O_CLOEXEC);
        }
        none => *none = Some(socket),
    }
}

/// Starts ssh; gives where it says what is wrong. Nothing when it is not wanted or cannot be had.
fn start(words: &[String], state: &Mutex<State>) -> Option<ChildStderr> {
    let mut state = lock(state);
    if state.closed {
        return None;
    }
    let mut command = Command::new("ssh");
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // What a terminal sends to stop this program must leave it its connections: it may have to
    // finish or undo what it has begun.
    command.process_group(0);
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only two system calls are made, prctl and getppid; nothing is
    // allocated and no lock is taken.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(Signal::SIGTERM)?;
            // The parent may have died before it was asked for.
            if getppid() == parent { Ok(()) } else { Err(std::io::ErrorKind::NotConnected.into()) }
        });
    }
    match command.spawn() {
        Ok(mut ssh) => {
            let stderr = ssh.stderr.take();
            state.ssh = Some(ssh);
            state.ended = false;
            stderr
        }
        Err(why) => {
            let error = Error::io("start ssh", &why);
            state.unstarted = Some(error.remedy("install the OpenSSH client, or name another way"));
            None
        }
    }
}

fn has_ended(state: &Mutex<State>) -> bool {
    let mut state = lock(state);
    let runs = state.ssh.as_mut().is_some_and(|ssh| matches!(ssh.try_wait(), Ok(None)));
    if !runs {
        state.ssh = None;
        state.ended = true;
    }
    !runs
}

/// Ends ssh, and what it has started to get through a proxy, which is in its group.
fn end(ssh: &mut Child) {
    if let (Ok(None), Ok(id)) = (ssh.try_wait(), i32::try_from(ssh.id())) {
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        let _ = ssh.wait();
    }
}

/// A lock that a panic cannot take along: what it guards is whole between statements.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_the_last_word_and_no_option() {
        let remote = Remote {
            user: Some("ops".into()),
            host: "h".into(),
            port: Some(2222),
            socket: "/run/d.sock".into(),
        };
        let words = words(&remote, "/tmp/x/s", Duration::from_millis(1));
        let end: Vec<&str> = words.iter().rev().take(8).rev().map(String::as_str).collect();
        assert_eq!(end, ["-L", "/tmp/x/s:/run/d.sock", "-l", "ops", "-p", "2222", "--", "h"]);
        assert!(words.contains(&"BatchMode=yes".into()));
        assert!(words.contains(&"ConnectTimeout=1".into()));
    }
}
