//! CPU time and memory of processes, as the kernel counts them under `/proc`.
//!
//! On a small machine the generator and the server share the cores, and throughput says as much
//! about one as about the other. Operations per second of the server's own CPU time do not move
//! with the neighbour's load nearly as much.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::BenchError;

/// CPU time that a window of work took.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// This process.
    pub client: Duration,
    /// Time that the thread of the load was ready to run and had no CPU.
    pub client_waited: Duration,
    /// All server processes together, where they are known.
    pub server: Option<Duration>,
}

/// Reads CPU times at the ends of a window.
#[derive(Debug)]
pub struct CpuMeter {
    server_pids: Vec<u32>,
    start: CpuTime,
}

impl CpuMeter {
    pub fn start(server_pids: &[u32]) -> Result<Self, BenchError> {
        let start = read(server_pids)?;
        Ok(Self { server_pids: server_pids.to_vec(), start })
    }

    /// CPU time since the start.
    pub fn stop(&self) -> Result<CpuTime, BenchError> {
        let now = read(&self.server_pids)?;
        let server =
            now.server.zip(self.start.server).map(|(now, start)| now.saturating_sub(start));
        Ok(CpuTime {
            client: now.client.saturating_sub(self.start.client),
            client_waited: now.client_waited.saturating_sub(self.start.client_waited),
            server,
        })
    }
}

fn read(server_pids: &[u32]) -> Result<CpuTime, BenchError> {
    let client = process_cpu_time(std::process::id())?;
    let client_waited = waited_time()?;
    if server_pids.is_empty() {
        return Ok(CpuTime { client, client_waited, server: None });
    }
    let mut server = Duration::ZERO;
    for &pid in server_pids {
        server += process_cpu_time(pid)?;
    }
    Ok(CpuTime { client, client_waited, server: Some(server) })
}

/// How long this thread was ready to run and had no CPU. A kernel that does not count it has no
/// such file.
fn waited_time() -> Result<Duration, BenchError> {
    let path = PathBuf::from("/proc/thread-self/schedstat");
    if !path.exists() {
        return Ok(Duration::ZERO);
    }
    let waited = schedstat_waited(&read_text(&path)?);
    waited.ok_or(BenchError::ProcField { path, field: "run delay" })
}

/// The second of three numbers, in nanoseconds (the kernel's sched-stats).
fn schedstat_waited(schedstat: &str) -> Option<Duration> {
    schedstat.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

/// User and system time of all threads, living and ended, in the kernel's ticks (10 ms).
fn process_cpu_time(pid: u32) -> Result<Duration, BenchError> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    let text = read_text(&path)?;
    let ticks =
        stat_cpu_ticks(&text).ok_or(BenchError::ProcField { path, field: "utime or stime" })?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// utime + stime of a `stat` line. The command in parentheses may hold spaces and parentheses.
fn stat_cpu_ticks(stat: &str) -> Option<u64> {
    /// Counted from `state`, the field behind the command; proc_pid_stat(5) counts from `pid`.
    const UTIME: usize = 14 - 3;
    let (_, behind_command) = stat.rsplit_once(')')?;
    let mut fields = behind_command.split_ascii_whitespace().skip(UTIME);
    let utime: u64 = fields.next()?.parse().ok()?;
    let stime: u64 = fields.next()?.parse().ok()?;
    Some(utime + stime)
}

/// Resident memory of `pids` together, in bytes.
pub fn resident_bytes(pids: &[u32]) -> Result<u64, BenchError> {
    let mut sum = 0;
    for pid in pids {
        let path = PathBuf::from(format!("/proc/{pid}/status"));
        let kib = status_kib(&read_text(&path)?, "VmRSS:")
            .ok_or(BenchError::ProcField { path, field: "VmRSS" })?;
        sum += kib * 1024;
    }
    Ok(sum)
}

fn status_kib(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix(" kB")?.trim().parse().ok()
}

fn read_text(path: &Path) -> Result<String, BenchError> {
    std::fs::read_to_string(path)
        .map_err(|source| BenchError::File { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_ticks_stand_behind_the_last_parenthesis() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 30 0 9";
        assert_eq!(stat_cpu_ticks(stat), Some(300));
        assert_eq!(stat_cpu_ticks("42 (a) S 1 2"), None);
    }

    #[test]
    fn waiting_is_the_second_number() {
        let waited = schedstat_waited("885301 4245043 4\n");
        assert_eq!(waited, Some(Duration::from_nanos(4_245_043)));
        assert_eq!(schedstat_waited("885301"), None);
    }

    #[test]
    fn resident_memory_is_read_in_kib() {
        let status = "Name:\tx\nVmPeak:\t  900 kB\nVmRSS:\t  512 kB\nThreads:\t1\n";
        assert_eq!(status_kib(status, "VmRSS:"), Some(512));
        assert_eq!(status_kib("Name:\tx\n", "VmRSS:"), None);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        let missing = CpuMeter::start(&[u32::MAX]);
        assert!(matches!(missing, Err(BenchError::File { .. })), "{missing:?}");
    }
}
