//! Time: a monotonic one for waiting and expiry, the wall clock for transactions.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since this process first asked; never goes back.
pub fn monotonic_us() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The same in milliseconds.
pub fn monotonic_ms() -> u64 {
    monotonic_us() / 1_000
}

/// Milliseconds since 1970, as ctime and mtime carry them.
pub fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Waits on this core.
pub async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration).await;
}

/// Waits on this core for `future`, but not longer than `duration`: `None` then.
pub async fn within<T>(duration: Duration, future: impl Future<Output = T>) -> Option<T> {
    let too_late = async {
        sleep(duration).await;
        None
    };
    futures_lite::future::or(async { Some(future.await) }, too_late).await
}
