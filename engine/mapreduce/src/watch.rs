//! Whether a program is at work: it reads what it is given, or says something. One that does neither for too long hangs.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Watches a program.
pub(crate) struct Watch {
    timeout: Option<Duration>,
    heard_at: Mutex<Instant>,
    /// Whether it is the program that is waited for, and not somebody who takes what it says.
    is_awaited: AtomicBool,
    has_expired: AtomicBool,
}

impl Watch {
    pub(crate) fn new(timeout: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            timeout,
            heard_at: Mutex::new(Instant::now()),
            is_awaited: AtomicBool::new(true),
            has_expired: AtomicBool::new(false),
        })
    }

    fn hear(&self) {
        *self.heard_at.lock() = Instant::now();
    }

    /// Looks whether it hangs. Once it does, it always has.
    pub(crate) fn look(&self) -> bool {
        let hangs =
            |timeout| self.is_awaited.load(Ordering::Acquire) && self.heard_at.lock().elapsed() >= timeout;
        if self.timeout.is_some_and(hangs) {
            self.has_expired.store(true, Ordering::Release);
        }
        self.has_expired.load(Ordering::Acquire)
    }

    /// For how long it has neither read nor said anything, if that was too long.
    pub(crate) fn expired(&self) -> Option<Duration> {
        self.timeout.filter(|_| self.has_expired.load(Ordering::Acquire))
    }
}

/// A pipe of a program. For what it says: whoever reads here waits for it, and for nobody else.
pub(crate) struct Watched<T> {
    pub(crate) pipe: T,
    pub(crate) watch: Arc<Watch>,
}

impl<T: Read> Read for Watched<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.watch.hear();
        self.watch.is_awaited.store(true, Ordering::Release);
        let count = self.pipe.read(buffer)?;
        // At its end it is the program's own end that is waited for.
        self.watch.is_awaited.store(count == 0, Ordering::Release);
        Ok(count)
    }
}

impl<T: Write> Write for Watched<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.pipe.write(bytes)?;
        self.watch.hear();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }
}
