//! The process and its host, as `envi` and `mntr` show them.
//!
//! Read once at the start. There is no Java here, so its properties are `<NA>`; they stay in the
//! list because its readers expect the lines.

use rustix::process::{Resource, getrlimit};
use rustix::system::{sysinfo, uname};

/// What `envi` tells beside the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    pub host_name: String,
    pub os_version: String,
    pub user_name: String,
    pub user_home: String,
    pub user_dir: String,
    pub memory_free_mb: u64,
    pub memory_total_mb: u64,
}

const NOT_AVAILABLE: &str = "<NA>";

impl Environment {
    /// Asks the system and the process's environment.
    pub fn read() -> Self {
        let host = uname();
        let memory = sysinfo();
        // The widths of these fields differ between architectures.
        #[allow(clippy::useless_conversion, reason = "u32 on some architectures, u64 on others")]
        let megabytes = |units| (u64::from(units) * u64::from(memory.mem_unit)) >> 20;
        let variable = |name| std::env::var(name).unwrap_or_else(|_| NOT_AVAILABLE.to_owned());
        let user_dir = std::env::current_dir().map(|dir| dir.display().to_string());
        Self {
            host_name: host.nodename().to_string_lossy().into_owned(),
            os_version: host.release().to_string_lossy().into_owned(),
            user_name: variable("USER"),
            user_home: variable("HOME"),
            user_dir: user_dir.unwrap_or_else(|_| NOT_AVAILABLE.to_owned()),
            memory_free_mb: megabytes(memory.freeram),
            memory_total_mb: megabytes(memory.totalram),
        }
    }

    /// Keys and values in Apache's order.
    // ZooKeeper: Environment.list.
    pub(super) fn lines(&self) -> [(&'static str, String); 17] {
        let missing = || NOT_AVAILABLE.to_owned();
        [
            ("host.name", self.host_name.clone()),
            ("java.version", missing()),
            ("java.vendor", missing()),
            ("java.home", missing()),
            ("java.class.path", missing()),
            ("java.library.path", missing()),
            ("java.io.tmpdir", missing()),
            ("java.compiler", missing()),
            ("os.name", "Linux".to_owned()),
            ("os.arch", architecture().to_owned()),
            ("os.version", self.os_version.clone()),
            ("user.name", self.user_name.clone()),
            ("user.home", self.user_home.clone()),
            ("user.dir", self.user_dir.clone()),
            ("os.memory.free", format!("{}MB", self.memory_free_mb)),
            ("os.memory.max", format!("{}MB", self.memory_total_mb)),
            ("os.memory.total", format!("{}MB", self.memory_total_mb)),
        ]
    }
}

/// Java's name of the architecture.
const fn architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") { "amd64" } else { std::env::consts::ARCH }
}

/// Open files of the process and how many there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileDescriptors {
    pub open: u64,
    pub max: u64,
}

impl FileDescriptors {
    /// Counts them now.
    pub fn read() -> Self {
        // The directory itself is open while it is read.
        let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() - 1);
        let max = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self { open: open as u64, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_its_host_and_its_files() {
        let environment = Environment::read();
        assert!(!environment.host_name.is_empty() && !environment.os_version.is_empty());
        assert!(environment.memory_total_mb >= environment.memory_free_mb);
        let before = FileDescriptors::read();
        let _file = std::fs::File::open("/proc/self/stat").expect("procfs");
        let after = FileDescriptors::read();
        assert!(before.open > 0 && after.open <= after.max);
    }
}
