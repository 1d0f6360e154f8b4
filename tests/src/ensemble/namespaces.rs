//! The network of an ensemble in network namespaces: each server in one of its own, with an address
//! of its own, on a bridge. What is cut here is cut by the kernel's packet filter: packets vanish,
//! connections hang until somebody's patience ends.
//!
//! The process enters namespaces of its own first, by starting itself again under unshare(1): as
//! root, or as anyone where the kernel lets users have namespaces, which Debian's does. Everything
//! made in them (links, mounts, names) ends with the last process in them, however that ends.
//! Containers often allow neither, and then [`enter`] says so.

use super::links::Link;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use thiserror::Error;

/// Set in the process that is in its own namespaces.
const ENTERED: &str = "MENAGERIE_TESTS_NAMESPACES";
/// As anyone, the process becomes the root of a user namespace of its own.
const AS_ROOT: [&str; 2] = ["--net", "--mount"];
const AS_ANYONE: [&str; 4] = ["--user", "--map-root-user", "--net", "--mount"];
/// Of packets on a lossy link.
const LOSS_PERCENT: u32 = 30;

/// Drops what comes from servers in one of two sets. The sets are filled as links change.
const FILTER: &str = "table ip faults {
    set blocked { type ipv4_addr; }
    set lossy { type ipv4_addr; }
    chain input {
        type filter hook input priority 0;
        ip saddr @blocked drop
        ip saddr @lossy numgen random mod 100 < LOSS drop
    }
}
";

/// Why there is no such network.
#[derive(Debug, Error)]
pub enum NamespaceError {
    #[error(
        "this machine lets neither root nor anyone have network and mount namespaces: {why}. Run \
         as root, allow user namespaces (sysctl kernel.unprivileged_userns_clone=1), or use \
         relays instead"
    )]
    Forbidden { why: String },
    #[error("`{command}` cannot be run: {error} (tests/install)")]
    Missing { command: String, error: std::io::Error },
    #[error("`{command}` failed: {stderr}")]
    Failed { command: String, stderr: String },
}

/// Namespaces for servers, each with a veth pair to one bridge.
#[derive(Debug)]
pub struct Namespaces {
    ids: Vec<u64>,
}

/// Goes on in namespaces of this process's own: starts the program again in them. To be called
/// first in `main`.
///
/// # Errors
/// When this machine does not allow them, or a tool is missing.
pub fn enter() -> Result<(), NamespaceError> {
    if std::env::var_os(ENTERED).is_some() {
        // Names of namespaces lie below /run: they are to be ours alone.
        run("mount", &["-t", "tmpfs", "tmpfs", "/run"])?;
        return run("ip", &["link", "set", "lo", "up"]);
    }
    let probe = |flags: &[&str]| run("unshare", &[flags, &["true"]].concat());
    let flags: &[&str] = match (probe(&AS_ROOT), probe(&AS_ANYONE)) {
        (Ok(()), _) => &AS_ROOT,
        (_, Ok(())) => &AS_ANYONE,
        (_, Err(error)) => return Err(NamespaceError::Forbidden { why: error.to_string() }),
    };
    let arguments = std::env::args_os().collect::<Vec<_>>();
    let mut command = Command::new("unshare");
    command.args(flags).args(arguments).env(ENTERED, "1").env("PATH", path_of_root());
    let error = command.exec();
    Err(NamespaceError::Missing { command: "unshare".to_owned(), error })
}

/// Where programs are looked for: on Debian only root's search path names those of the network.
fn path_of_root() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

impl Namespaces {
    /// Makes a namespace for each of these servers.
    ///
    /// # Errors
    /// When the process is not in namespaces of its own, or a tool fails.
    pub fn start(ids: Vec<u64>) -> Result<Self, NamespaceError> {
        if std::env::var_os(ENTERED).is_none() {
            let why = "the process has not entered them".to_owned();
            return Err(NamespaceError::Forbidden { why });
        }
        let namespaces = Self { ids };
        run("ip", &["link", "add", "hub", "type", "bridge"])?;
        run("ip", &["address", "add", &with_mask(HUB), "dev", "hub"])?;
        run("ip", &["link", "set", "hub", "up"])?;
        for &id in &namespaces.ids {
            let (name, port) = (name(id), port(id));
            run("ip", &["netns", "add", &name])?;
            let peer = ["type", "veth", "peer", "name", "eth0", "netns", &name];
            run("ip", &[&["link", "add", &port], &peer[..]].concat())?;
            run("ip", &["link", "set", &port, "master", "hub", "up"])?;
            inside(id, "ip", &["address", "add", &with_mask(ip(id)), "dev", "eth0"])?;
            inside(id, "ip", &["link", "set", "eth0", "up"])?;
            inside(id, "ip", &["link", "set", "lo", "up"])?;
            filter(id, &FILTER.replace("LOSS", &LOSS_PERCENT.to_string()))?;
        }
        Ok(namespaces)
    }

    /// An address of a server: every server has all ports for itself.
    #[must_use]
    pub fn address(&self, id: u64, port: u16) -> SocketAddr {
        (ip(id), port).into()
    }

    /// Changes the link from one server to another.
    ///
    /// # Errors
    /// When the packet filter does not take it.
    pub fn set(&self, from: u64, to: u64, link: Link) -> Result<(), NamespaceError> {
        assert!(link.delay.is_zero(), "links of namespaces are cut or lossy, not slow");
        let mut rules = String::new();
        for (set, member) in [("blocked", link.blocked), ("lossy", link.lossy)] {
            // An element can be added twice, and so there is always one to delete.
            rules += &format!("add element ip faults {set} {{ {} }}\n", ip(from));
            if !member {
                rules += &format!("delete element ip faults {set} {{ {} }}\n", ip(from));
            }
        }
        filter(to, &rules)
    }

    /// Opens every link.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn heal(&self) -> Result<(), NamespaceError> {
        let flush = "flush set ip faults blocked\nflush set ip faults lossy\n";
        self.ids.iter().try_for_each(|id| filter(*id, flush))
    }
}

impl Drop for Namespaces {
    /// For the next ensemble of this process; the kernel would do it at its end.
    fn drop(&mut self) {
        let remove = |id: &u64| {
            // Of itself it would go only a moment after the namespace that holds its other end.
            run("ip", &["link", "delete", &port(*id)])?;
            run("ip", &["netns", "delete", &name(*id)])
        };
        let removed = self.ids.iter().try_for_each(remove);
        if let Err(error) = removed.and_then(|()| run("ip", &["link", "delete", "hub"])) {
            eprintln!("{error}");
        }
    }
}

/// Makes `command` run in the namespace of that server.
#[must_use]
pub(super) fn enclosed(id: u64, command: &Command) -> Command {
    let mut enclosed = Command::new("nsenter");
    enclosed.arg(net_argument(id)).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        enclosed.env(name, value.unwrap_or_default());
    }
    enclosed.stdout(Stdio::null());
    enclosed
}

/// The test itself, which plays the clients.
const HUB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

fn ip(id: u64) -> Ipv4Addr {
    let last = u8::try_from(id).expect("an ensemble has few members");
    assert!(last < HUB.octets()[3], "an ensemble has few members");
    Ipv4Addr::new(10, 77, 0, last)
}

fn with_mask(address: Ipv4Addr) -> String {
    format!("{address}/24")
}

fn name(id: u64) -> String {
    format!("server{id}")
}

/// The server's end at the bridge.
fn port(id: u64) -> String {
    format!("port{id}")
}

fn net_argument(id: u64) -> OsString {
    format!("--net=/run/netns/{}", name(id)).into()
}

fn filter(id: u64, rules: &str) -> Result<(), NamespaceError> {
    let mut command = Command::new("nsenter");
    finish(command.arg(net_argument(id)).args(["nft", "-f", "-"]), rules)
}

fn inside(id: u64, program: &str, arguments: &[&str]) -> Result<(), NamespaceError> {
    finish(Command::new("nsenter").arg(net_argument(id)).arg(program).args(arguments), "")
}

pub(super) fn run(program: &str, arguments: &[&str]) -> Result<(), NamespaceError> {
    finish(Command::new(program).args(arguments), "")
}

/// Runs a tool to its end with `input` on its stdin.
fn finish(command: &mut Command, input: &str) -> Result<(), NamespaceError> {
    let words = format!("{command:?}");
    let missing = |error| NamespaceError::Missing { command: words.clone(), error };
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(missing)?;
    let mut stdin = child.stdin.take().expect("stdin was asked to be piped");
    // A tool that ends without reading says why on stderr.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().map_err(missing)?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(NamespaceError::Failed { command: words, stderr })
}

/// A small disk of its own: a tmpfs in the mount namespace of this process.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    keep: bool,
}

impl SmallDisk {
    /// Mounts it at a new directory.
    ///
    /// # Errors
    /// When the directory or the mount cannot be made.
    pub fn mount(path: PathBuf, size_mb: u32) -> Result<Self, NamespaceError> {
        let text = path.display().to_string();
        run("mkdir", &["-p", &text])?;
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size_mb}m"), "tmpfs", &text])?;
        Ok(Self { path, keep: false })
    }

    /// Copies all that is on it to a directory beside it when it ends, as after a panic.
    pub const fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let path = self.path.display().to_string();
        let keep = self.keep || std::thread::panicking();
        let kept = if keep { run("cp", &["-a", &path, &format!("{path}.kept")]) } else { Ok(()) };
        for error in [kept, run("umount", &[&path])].into_iter().filter_map(Result::err) {
            eprintln!("{error}");
        }
    }
}
