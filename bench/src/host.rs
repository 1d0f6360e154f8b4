//! What the figures of a run hold for: this machine, its disk, the servers' versions.
//!
//! Everything is looked up where an operator would look, and what is not there is left out: a
//! container has no disk, and not every server answers `srvr`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::blocking::four_letter_word;

/// A server that says nothing for so long has no version.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// This program.
pub const GENERATOR: &str = concat!("menagerie-bench ", env!("CARGO_PKG_VERSION"));

/// Conditions that every run has.
pub fn conditions() -> Vec<(&'static str, Value)> {
    let uname = rustix::system::uname();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let system = rustix::system::sysinfo();
    let memory = system.totalram * u64::from(system.mem_unit);
    let mut conditions: Vec<(&str, Value)> = vec![
        ("kernel", uname.release().to_string_lossy().into()),
        ("host_cpus", cpus.into()),
        ("host_memory_bytes", memory.into()),
        ("generator", GENERATOR.into()),
        ("command", std::env::args().skip(1).collect::<Vec<_>>().join(" ").into()),
    ];
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    conditions.extend(cpu_model(&cpuinfo).map(|model| ("host_cpu_model", model.into())));
    conditions
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim())
}

/// The version that a server tells of itself in `srvr`.
pub fn server_version(server: SocketAddr) -> Option<String> {
    let answer = four_letter_word(server, "srvr", ANSWER_TIME_MAX).ok()?;
    version_in(&answer).map(str::to_owned)
}

fn version_in(srvr: &str) -> Option<&str> {
    srvr.lines().find_map(|line| line.strip_prefix("Zookeeper version: ")).map(str::trim)
}

/// File system and disk that hold `directory`, in words.
pub fn disk_of(directory: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mount_of(&mounts, &directory)?;
    let model = disk_model(&PathBuf::from(format!("/sys/dev/block/{}", mount.number)));
    let model = model.map_or(String::new(), |model| format!(", {model}"));
    Some(format!("{} on {} ({}){model}", mount.file_system, mount.source, mount.options))
}

#[derive(Debug, PartialEq)]
struct Mount<'a> {
    /// Major and minor number of the device.
    number: &'a str,
    options: &'a str,
    file_system: &'a str,
    source: &'a str,
}

/// The mount point that `directory` lies under: the longest, and of several the last. The fields
/// are those of proc_pid_mountinfo(5).
fn mount_of<'a>(mountinfo: &'a str, directory: &Path) -> Option<Mount<'a>> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(2);
        let (number, _root, point, options) =
            (mount.next()?, mount.next()?, mount.next()?, mount.next()?);
        let mut file_system = file_system.split(' ');
        let (file_system, source) = (file_system.next()?, file_system.next()?);
        Some((point, Mount { number, options, file_system, source }))
    });
    let above = mounts.filter(|(point, _)| directory.starts_with(point));
    above.max_by_key(|(point, _)| point.len()).map(|(_, mount)| mount)
}

/// The model of a disk, or of the disk that a partition is part of.
fn disk_model(device: &Path) -> Option<String> {
    let device = device.canonicalize().ok()?;
    let disks = [Some(device.as_path()), device.parent()];
    let model = disks
        .into_iter()
        .flatten()
        .find_map(|disk| std::fs::read_to_string(disk.join("device/model")).ok())?;
    Some(model.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_directory_lies_on_the_longest_mount_point_above_it() {
        let mountinfo = "\
21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
22 21 259:2 / /data rw,noatime shared:7 - xfs /dev/nvme0n1p2 rw,attr2
23 21 0:5 / /database rw - tmpfs tmpfs rw";
        let check = |directory: &str, expect: (&str, &str, &str)| {
            let mount = mount_of(mountinfo, Path::new(directory)).unwrap();
            assert_eq!((mount.number, mount.file_system, mount.source), expect, "{directory}");
        };
        check("/data/zookeeper", ("259:2", "xfs", "/dev/nvme0n1p2"));
        check("/dat", ("8:1", "ext4", "/dev/sda1"));
        check("/database", ("0:5", "tmpfs", "tmpfs"));
        assert_eq!(mount_of("", Path::new("/")), None);
    }

    #[test]
    fn this_directory_has_a_file_system() {
        let disk = disk_of(Path::new(".")).unwrap();
        assert!(disk.contains(" on "), "{disk}");
        assert_eq!(disk_of(Path::new("/no/such/directory")), None);
    }

    #[test]
    fn the_model_stands_in_cpuinfo() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: A CPU @ 2 GHz\n";
        assert_eq!(cpu_model(cpuinfo), Some("A CPU @ 2 GHz"));
        assert_eq!(cpu_model("processor : 0\n"), None);
    }

    #[test]
    fn a_server_tells_its_version_and_a_closed_port_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.read_exact(&mut [0; 4]).unwrap();
            socket.write_all(b"Zookeeper version: 3.9.4-x, built today\nMode: follower\n").unwrap();
        });
        let version = server_version(address);
        server.join().unwrap();
        assert_eq!(version.as_deref(), Some("3.9.4-x, built today"));
        assert_eq!(server_version(address), None);
    }
}
