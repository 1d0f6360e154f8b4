//! `perf-scripts/prepare-host` on a host made of files: what it finds, sets, and leaves alone.

use menagerie_tests::scratch::Scratch;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SOMAXCONN: &str = "proc/sys/net/core/somaxconn";
const SCHEDULER: &str = "sys/block/nvme0n1/queue/scheduler";
const GOVERNOR: &str = "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor";
const IRQ: &str = "proc/irq/40";

/// A host with four cores, an NVMe disk, and much that is not as it should be.
fn host() -> Scratch {
    let scratch = Scratch::new("host");
    let device = fs::metadata(scratch.path()).expect("it was made").dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let put = |path: &str, text: &str| {
        let path = scratch.path().join(path);
        fs::create_dir_all(path.parent().expect("a file"))
            .expect("a scratch directory is writable");
        fs::write(path, format!("{text}\n")).expect("a scratch directory is writable");
    };
    put("proc/sys/kernel/osrelease", "6.1.0-28-amd64");
    put("proc/sys/kernel/io_uring_disabled", "2");
    put(SOMAXCONN, "128");
    put("proc/sys/net/ipv4/tcp_max_syn_backlog", "8192");
    put("sys/devices/system/cpu/online", "0-3");
    for cpu in 0..4 {
        let directory = format!("sys/devices/system/cpu/cpu{cpu}");
        put(&format!("{directory}/cpufreq/scaling_governor"), "powersave");
        put(&format!("{directory}/topology/thread_siblings_list"), &cpu.to_string());
    }
    put(&format!("{IRQ}/smp_affinity_list"), "0-3");
    put(&format!("{IRQ}/effective_affinity_list"), "0");
    put("proc/irq/41/effective_affinity_list", "2");
    put(SCHEDULER, "[mq-deadline] none");
    put("sys/block/nvme0n1/queue/write_cache", "write back");
    let numbers = scratch.path().join("sys/dev/block");
    fs::create_dir_all(&numbers).expect("a scratch directory is writable");
    symlink("../../block/nvme0n1", numbers.join(format!("{major}:{minor}")))
        .expect("a scratch directory is writable");
    scratch
}

fn prepare(host: &Scratch, words: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../perf-scripts/prepare-host");
    let mut command = Command::new(script);
    command.env("MENAGERIE_HOST_ROOT", host.path()).arg("--data").arg(host.path()).args(words);
    command.output().expect("python3 is installed")
}

/// The states of the lines of its output by what they are about.
fn states(output: &Output) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |line: &str| {
        let (state, rest) = line.split_once(' ')?;
        let name = rest.trim_start().split("  ").next()?;
        Some((name.trim().to_owned(), state.to_owned()))
    };
    text.lines().take_while(|text| !text.is_empty()).filter_map(line).collect()
}

/// All files below a directory with what is in them.
fn files(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("it was made") {
        let entry = entry.expect("it can be listed");
        let kind = entry.file_type().expect("it can be listed");
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.insert(entry.path(), fs::read_to_string(entry.path()).expect("a text"));
        }
    }
    found
}

fn check(states: &BTreeMap<String, String>, name: &str, expect: &str) {
    assert_eq!(states.get(name).map(String::as_str), Some(expect), "{name}: {states:#?}");
}

#[test]
fn a_check_tells_what_is_to_be_done_and_changes_nothing() {
    let host = host();
    let before = files(host.path());
    let output = prepare(&host, &["--check"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let states = states(&output);
    check(&states, "kernel", "ok");
    check(&states, "kernel.io_uring_disabled", "todo");
    check(&states, "net.core.somaxconn", "todo");
    check(&states, "net.ipv4.tcp_max_syn_backlog", "ok");
    check(&states, "governor of CPU 3", "todo");
    check(&states, "interrupt 40", "advice");
    check(&states, "scheduler of nvme0n1", "todo");
    check(&states, "write cache of nvme0n1", "ok");
    assert_eq!(files(host.path()), before);
}

#[test]
fn what_can_be_set_is_set_and_told_how_to_be_kept() {
    let host = host();
    let output = prepare(&host, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let first = states(&output);
    for name in ["kernel.io_uring_disabled", "net.core.somaxconn", "scheduler of nvme0n1"] {
        check(&first, name, "set");
    }
    check(&first, "interrupt 40", "set");
    let read = |path: &str| fs::read_to_string(host.path().join(path)).unwrap();
    assert_eq!(read(SOMAXCONN), "4096\n");
    assert_eq!(read(SCHEDULER), "none\n");
    assert_eq!(read(GOVERNOR), "performance\n");
    assert_eq!(read(&format!("{IRQ}/smp_affinity_list")), "1,2,3\n");
    let text = String::from_utf8_lossy(&output.stdout);
    for kept in ["  net.core.somaxconn = 4096", "  GOVERNOR=performance"] {
        assert_eq!(text.lines().filter(|line| *line == kept).count(), 1, "{text}");
    }

    let again = prepare(&host, &["--check"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    check(&states(&again), "net.core.somaxconn", "ok");
}
