"""The rows of perf-scripts/table: what is shown, where it is found, what is to be reached."""

from dataclasses import dataclass
from typing import Callable, NamedTuple


class Term(NamedTuple):
    """A part of a bound: so many times a figure of another kind of server or of another run."""

    times: float
    label: str
    kind: str
    # Those of the row unless told.
    name: str = ""
    figure: str = ""
    # The greatest of all runs instead of the one beside.
    greatest: bool = False


class Target(NamedTuple):
    """The sum of the terms and `plus`, but at least `floor`; both in the row's unit."""

    terms: tuple = ()
    plus: float = 0
    floor: float = 0


@dataclass
class Row:
    label: str
    # The files: NAME.KIND.RUN.json.
    name: str
    # A path of names in the report, or a function of it.
    figure: str | Callable
    unit: str = ""
    # What the figure is multiplied by to be in that unit.
    scale: float = 1
    # Whether less is better.
    lower: bool = False
    targets: tuple = ()
    # The kind that is the limit.
    limit: str = "echo"


def apache(times):
    return Target((Term(times, "Apache", "apache"),))


def limit(times, plus=0):
    return Target((Term(times, "the limit", "echo"),), plus)


def fixed(value):
    return Target(plus=value)


def latency(operation, quantile):
    return f"operations.{operation}.latency_us.{quantile}"


def sessions_per_cpu_s(cpu):
    """Sessions per second of the server's CPU time in one storm."""
    def figure(report):
        seconds = report["figures"].get(cpu)
        return report["conditions"]["sessions"] / seconds if seconds else None
    return figure


def bare_commit(quantile):
    def figure(report):
        is_commit = report["scenario"] == "disk"
        return report["operations"]["write"]["latency_us"][quantile] if is_commit else None
    return figure


def worst(report):
    operations = report["operations"].values()
    return max(operation["latency_us"]["max"] for operation in operations)


PER_CPU = "ops_per_server_cpu_s"
EVENTS = "figures.events_per_server_cpu_s"
MS = {"unit": "ms", "scale": 1e-3, "lower": True}
US = {"unit": "µs", "lower": True}
BYTES = {"unit": "bytes", "lower": True}
LONE_COMMIT = Target((Term(1, "a bare commit", "disk", figure=latency("write", "p50")),), 50)
OPEN_WRITE = Target((Term(1, "the limit", "echo"),
                     Term(2, "a bare commit", "disk", figure=latency("write", "p99"))))


def per_cpu(label, name, *targets, figure=PER_CPU):
    return Row(f"{label}, per CPU-s", name, figure, targets=targets)


def load():
    yield per_cpu("10:1, 64 connections, depth 1", "load-64-1", apache(3.5), limit(0.65))
    yield per_cpu("10:1, 64 connections, depth 16", "load-64-16", apache(10), limit(0.3))
    yield per_cpu("10:1, 1,000 connections, depth 1", "load-1000-1", apache(3))
    for shape in ("64-1", "64-16", "1000-1"):
        connections, depth = shape.split("-")
        for operation in ("read", "write"):
            yield Row(f"10:1, {int(connections):,} connections, depth {depth}: {operation} p99",
                      f"load-{shape}", latency(operation, "p99"), **MS)
    yield per_cpu("writes only, 64 connections, depth 1", "writes-1", apache(3))
    yield per_cpu("writes only, 64 connections, depth 16", "writes-16", apache(6))


def latencies():
    for name in ("lone", "open-10000", "open-25000"):
        for quantile in ("p50", "p99"):
            yield Row(f"a bare commit of 4 KiB beside {name}: {quantile}", name,
                      bare_commit(quantile), limit="disk", **US)
    yield Row("one connection, depth 1: write p50", "lone", latency("write", "p50"), **US,
              targets=(LONE_COMMIT,))
    yield Row("one connection, depth 1: read p50", "lone", latency("read", "p50"), **US,
              targets=(limit(1, 15),))
    for rate in ("10000", "25000"):
        name, label = f"open-{rate}", f"open loop, {int(rate):,}/s, 10:1"
        yield Row(f"{label}: read p99", name, latency("read", "p99"), **MS,
                  targets=(limit(2), apache(0.25)))
        yield Row(f"{label}: write p99", name, latency("write", "p99"), **MS,
                  targets=(OPEN_WRITE, apache(0.25)))


def ensembles():
    yield per_cpu("three servers, depth 16, 10:1", "ensemble-mixed", apache(6))
    yield per_cpu("three servers, depth 16, writes only", "ensemble-writes", apache(5))
    yield Row("leader killed: to the next acknowledged write", "failover",
              latency("failover", "p50"), **MS, targets=(apache(0.5),))
    yield Row("leader killed: acknowledged writes that are lost", "failover",
              "figures.writes_lost", lower=True, targets=(fixed(0),))


def watches():
    for count in ("1000", "10000"):
        name, label = f"watch-{count}", f"one node watched by {int(count):,}"
        yield per_cpu(f"{label}: events", name, limit(0.7), figure=EVENTS)
        yield Row(f"{label}: last event p50", name, latency("last_event", "p50"), **MS,
                  targets=(limit(1.5),))
        yield Row(f"{label}: events lost or wrong", name, "check.violations", lower=True,
                  targets=(fixed(0),))
    yield per_cpu("N watches on 1,000 connections, 10 nodes set at once: events", "memory-shared",
                  apache(4), figure=EVENTS)
    yield Row("memory of a watch at N, 1,000 watchers per node", "memory-shared",
              "figures.rss_bytes_per_watch", **BYTES, targets=(fixed(16),))
    yield Row("memory of a watch at N, all of distinct nodes", "memory-distinct",
              "figures.rss_bytes_per_watch", **BYTES, targets=(fixed(96),))


def trees():
    yield per_cpu("fill, 1,000 nodes per directory: creates", "fill-directories", apache(4))
    yield per_cpu("fill, one directory: creates", "fill-flat", apache(4))
    for label, name in (("N", "fill-directories"), ("5 N", "grown-big")):
        yield Row(f"memory of a node of 100 bytes at {label}", name,
                  "figures.rss_bytes_per_node", **BYTES, targets=(fixed(300),))


def starts():
    """100,000 transactions in the log may take 2 µs each."""
    for size, label, seconds in (("small", "N", 0.3), ("big", "5 N", 1.2)):
        for state, words, targets in (
            ("warm", "files in the page cache", (fixed(seconds),)),
            ("cold", "files not in the page cache", ()),
            ("killed", "after SIGKILL, 100,000 to replay", (fixed(seconds + 0.2),)),
        ):
            yield Row(f"start with {label} nodes, {words}", f"start-{state}-{size}",
                      latency("read", "max"), unit="s", scale=1e-6, lower=True, targets=targets)


def snapshots():
    control = {"kind": "menagerie", "name": "snapshot-without"}
    greatest = Term(1, "the worst control", **control, greatest=True)
    for operation in ("read", "write"):
        figure, label = latency(operation, "p99_9"), f"snapshots of 5 N nodes: {operation} p99.9"
        yield Row(f"{label}, the control without", "snapshot-without", figure, **MS)
        yield Row(f"{label}, with", "snapshot-with", figure, **MS,
                  targets=(Target((greatest,)), Target((Term(1.5, "the control", **control),))))
    yield Row("snapshots of 5 N nodes: worst stall, the control without", "snapshot-without", worst,
              **MS)
    yield Row("snapshots of 5 N nodes: worst stall, with", "snapshot-with", worst, **MS,
              targets=(Target((greatest,), floor=10),))
    yield Row("snapshots of 5 N nodes: seen in a run", "snapshot-with", "figures.snapshots_seen",
              targets=(fixed(1),))


def sessions():
    yield per_cpu("5,000 sessions, 512 at once: opened", "sessions", apache(3), limit(0.6),
                  figure=sessions_per_cpu_s("connect_server_cpu_s"))
    yield Row("5,000 sessions open: p99 of a steady client", "sessions",
              latency("steady_connect", "p99"), **MS, targets=(fixed(5),))
    yield per_cpu("5,000 sessions together: expired", "sessions", apache(3),
                  figure=sessions_per_cpu_s("expiry_server_cpu_s"))
    yield Row("5,000 sessions expire: p99 of a steady client", "sessions",
              latency("steady_expiry", "p99"), **MS, targets=(fixed(5),))
    yield Row("memory of an idle connection with its session", "memory-sessions",
              "figures.rss_bytes_per_session", **BYTES, targets=(fixed(2048),))


ROWS = [row for part in (load, latencies, ensembles, watches, trees, starts, snapshots, sessions)
        for row in part()]
