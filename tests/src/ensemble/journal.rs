//! What all clients of a run write down, and what is counted meanwhile.
//!
//! Each client has a [`Page`] of its own, in order; [`Journal::close`] puts the pages together into
//! the records of a history. All times are of one clock, which starts with the journal.
//! Acknowledged writes are noticed as they come: how long there was none is what faults cost.

use menagerie_simulation::history::{HARNESS, Moment, Record, Reply, Request};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The shared part.
#[derive(Debug)]
pub struct Journal {
    began: Instant,
    clients: AtomicU32,
    pages: Mutex<Vec<Vec<Record>>>,
    acknowledged: AtomicU64,
    operations: AtomicU64,
    silence: Mutex<Silence>,
}

/// Time without an acknowledged write.
#[derive(Debug)]
struct Silence {
    since: Instant,
    /// Since somebody asked last.
    longest: Duration,
}

/// The records of one client. They go to the journal when the page is dropped.
#[derive(Debug)]
pub struct Page {
    journal: Arc<Journal>,
    client: u32,
    records: Vec<Record>,
    /// Writes under way.
    writes: BTreeSet<u64>,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub operations: u64,
    pub acknowledged_writes: u64,
}

impl Journal {
    #[must_use]
    pub fn open() -> Arc<Self> {
        let began = Instant::now();
        Arc::new(Self {
            began,
            clients: AtomicU32::new(HARNESS + 1),
            pages: Mutex::new(Vec::new()),
            acknowledged: AtomicU64::new(0),
            operations: AtomicU64::new(0),
            silence: Mutex::new(Silence { since: began, longest: Duration::ZERO }),
        })
    }

    /// A page for one more client.
    #[must_use]
    pub fn page(self: &Arc<Self>) -> Page {
        Page::new(self, self.clients.fetch_add(1, Ordering::Relaxed))
    }

    /// A page for the harness itself.
    #[must_use]
    pub fn own_page(self: &Arc<Self>) -> Page {
        Page::new(self, HARNESS)
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            operations: self.operations.load(Ordering::Relaxed),
            acknowledged_writes: self.acknowledged.load(Ordering::Relaxed),
        }
    }

    /// The longest time without an acknowledged write since the last call, the time since the last
    /// write included.
    pub fn take_silence(&self) -> Duration {
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = silence.longest.max(silence.since.elapsed());
        silence.longest = Duration::ZERO;
        longest
    }

    /// Writes were acknowledged: time is counted from here.
    fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        silence.longest = silence.longest.max(silence.since.elapsed());
        silence.since = Instant::now();
    }

    /// All records, once every page is dropped.
    ///
    /// # Panics
    /// When a client still writes.
    #[must_use]
    pub fn close(self: Arc<Self>) -> Vec<Record> {
        let journal = Arc::into_inner(self).expect("every client has ended");
        let pages = journal.pages.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut records = pages.concat();
        // A stable sort: the records of one client stay in their order.
        records.sort_by_key(|record| record.at_ns);
        records
    }
}

impl Page {
    fn new(journal: &Arc<Journal>, client: u32) -> Self {
        let (records, writes) = (Vec::new(), BTreeSet::new());
        Self { journal: Arc::clone(journal), client, records, writes }
    }

    #[must_use]
    pub const fn client(&self) -> u32 {
        self.client
    }

    /// Notes that this happens now.
    pub fn write(&mut self, what: Moment) {
        let at_ns = self.journal.began.elapsed().as_nanos() as u64;
        match &what {
            Moment::Invoke { op, request } => {
                self.journal.operations.fetch_add(1, Ordering::Relaxed);
                if matches!(request, Request::Write(_) | Request::Multi(_)) {
                    self.writes.insert(*op);
                }
            }
            Moment::Return { op, result, .. } => {
                let refused = match result {
                    Ok(Reply::Parts(parts)) => parts.iter().any(Result::is_err),
                    result => result.is_err(),
                };
                if self.writes.remove(op) && !refused {
                    self.journal.acknowledge();
                }
            }
            Moment::Lost { op } => drop(self.writes.remove(op)),
            _ => {}
        }
        self.records.push(Record { at_ns, client: self.client, what });
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let records = std::mem::take(&mut self.records);
        self.journal.pages.lock().unwrap_or_else(PoisonError::into_inner).push(records);
    }
}
