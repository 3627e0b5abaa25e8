//! Reloads when the configuration's files change: [`Engine::watch`].
//!
//! Events of the file system only say *when* to look. What counts is what is found then: the configuration is read again, and taken
//! if it says something else than the one in force. So it does not matter how a file was replaced (written in place, renamed over,
//! deleted and created, swapped behind a symbolic link as Kubernetes does), nor how many events that made, nor
//! in which order. A look every now and then without any event makes up for file systems that report none.
//!
//! # Invariants
//!
//! - A bad file leaves the configuration before in force. It is recorded once, and tried again when it changes.
//! - A file that is read while it is being written, truncated perhaps, never opens the doors: a change that would switch all
//!   authentication off is refused here. It takes a reload that somebody asks for, or a restart.
//! - Folders are watched before the files are read: no change falls in between.
//! - The thread runs only while its [`Watcher`] lives, and does not keep the engine alive.

mod folders;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::Engine;
use crate::config::ConfigError;

/// How files are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// How long the files must be quiet before they are read: editors and deployments change them in several steps. After ten times
    /// this they are read even if it never gets quiet.
    pub debounce: Duration,
    /// How often the files are looked at even though nothing was reported, as on network file systems. `None`: never.
    pub poll: Option<Duration>,
}

impl Default for WatchOptions {
    /// 100 ms of quiet, and a look every 10 s.
    fn default() -> Self {
        Self {
            debounce: Duration::from_millis(100),
            poll: Some(Duration::from_secs(10)),
        }
    }
}

/// Why files can't be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The engine's configuration came from a program or a text.
    #[error("there is no file to watch: make the engine with `Engine::from_file`")]
    NoFile,
    /// The system refuses, for instance because a limit is reached.
    #[error(
        "the configuration's folders cannot be watched ({0}); on Linux, raise fs.inotify.max_user_watches and max_user_instances"
    )]
    System(#[from] notify::Error),
    /// No thread could be started.
    #[error("the thread that watches cannot be started ({0})")]
    Thread(#[from] std::io::Error),
}

/// Watches until it is dropped; dropping waits for a reload that is going on.
#[derive(Debug)]
#[must_use = "watching stops when this is dropped"]
pub struct Watcher {
    stop: Arc<AtomicBool>,
    wake: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Reloads whenever one of [`Engine::files`] changes, from a thread of its own, until the returned guard is dropped.
    /// What came of it is in [`Stats::reloads`](crate::Stats::reloads); a configuration that says the same as the
    /// one in force is no reload, and one that would switch all authentication off is refused: ask for that with
    /// [`Engine::reload_file`].
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use tollbar::{Engine, WatchOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Arc::new(Engine::from_file("/etc/tollbar/apm-server.yml")?);
    /// let _watcher = engine.watch(WatchOptions::default())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the configuration did not come from a file, or the system refuses to watch it.
    pub fn watch(self: &Arc<Self>, options: WatchOptions) -> Result<Watcher, WatchError> {
        if self.files().is_empty() {
            return Err(WatchError::NoFile);
        }
        let (wake, woken) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let mut worker = Worker {
            engine: Arc::downgrade(self),
            options,
            woken,
            stop: Arc::clone(&stop),
            notifier: notifier(wake.clone())?,
            watched: BTreeSet::new(),
            last_error: None,
        };
        worker.watch(&self.files())?;
        let thread = std::thread::Builder::new()
            .name("tollbar-watch".into())
            .spawn(move || worker.run())?;
        Ok(Watcher {
            stop,
            wake,
            thread: Some(thread),
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Release: with the worker's Acquire. A full channel wakes it as well.
        self.stop.store(true, Ordering::Release);
        let _ = self.wake.try_send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What turns events into a wake-up. There is room for one: more would say the same.
fn notifier(wake: SyncSender<()>) -> Result<RecommendedWatcher, notify::Error> {
    notify::recommended_watcher(move |event: Result<notify::Event, notify::Error>| {
        // Reading is reported, too, ours among it. An error may be a loss of events: worth a look.
        let read_only = event.is_ok_and(|event| match event.kind {
            EventKind::Access(kind) => kind != AccessKind::Close(AccessMode::Write),
            _ => false,
        });
        if !read_only {
            match wake.try_send(()) {
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            }
        }
    })
}

struct Worker {
    engine: Weak<Engine>,
    options: WatchOptions,
    woken: Receiver<()>,
    stop: Arc<AtomicBool>,
    notifier: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    /// Why the last try failed.
    last_error: Option<ConfigError>,
}

impl Worker {
    fn run(mut self) {
        // The first look comes unasked: the files may have changed before they were watched. Or be about to.
        self.wait_for_quiet();
        while !self.stopped() {
            {
                let Some(engine) = self.engine.upgrade() else {
                    return;
                };
                self.look(&engine);
            }
            if !self.sleep() {
                return;
            }
        }
    }

    fn look(&mut self, engine: &Engine) {
        self.watch_all(engine);
        match engine.reload_changed(self.last_error.as_ref()) {
            Ok(_) => self.last_error = None,
            Err(error) => self.last_error = Some(error),
        }
        let before = self.watched.clone();
        self.watch_all(engine);
        if self.watched != before {
            // It names files in other folders now, which may have changed after they were read.
            match engine.reload_changed(self.last_error.as_ref()) {
                Ok(_) => self.last_error = None,
                Err(error) => self.last_error = Some(error),
            }
        }
    }

    /// Watches the files in force and those that the last try failed on. What can't be watched now is found by polling.
    fn watch_all(&mut self, engine: &Engine) {
        let mut files = engine.files();
        if let Some(error) = &self.last_error {
            files.extend(error.files.iter().cloned());
        }
        let _ = self.watch(&files);
    }

    fn watch(&mut self, files: &[PathBuf]) -> Result<(), notify::Error> {
        let wanted = folders::of(files);
        for folder in self.watched.difference(&wanted) {
            // It may be gone.
            let _ = self.notifier.unwatch(folder);
        }
        let mut result = Ok(());
        for folder in &wanted {
            // Those that are watched already, too: another folder may have this name by now.
            if let Err(error) = self.notifier.watch(folder, RecursiveMode::NonRecursive) {
                result = Err(error);
            }
        }
        self.watched = wanted;
        result
    }

    /// Sleeps until there is something to look at; `false`: watching is over.
    fn sleep(&self) -> bool {
        let woken = match self.options.poll {
            Some(poll) => self.woken.recv_timeout(poll),
            None => self
                .woken
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
        };
        match woken {
            Ok(()) => self.wait_for_quiet(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        !self.stopped()
    }

    fn stopped(&self) -> bool {
        // Acquire: with the Release of `drop`.
        self.stop.load(Ordering::Acquire)
    }

    fn wait_for_quiet(&self) {
        // A time that no clock reaches is never.
        let latest = Instant::now().checked_add(self.options.debounce.saturating_mul(10));
        while !self.stopped()
            && latest.is_none_or(|latest| Instant::now() < latest)
            && self.woken.recv_timeout(self.options.debounce).is_ok()
        {}
    }
}
