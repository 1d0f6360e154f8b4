"""A pytest plugin: gives kazoo's test harness servers of ours in place of its cluster.

Prints `ok NAME` or `FAIL NAME: why` per test to descriptor 3.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import types
from pathlib import Path

SERVER = str(Path(__file__).resolve().parent.parent / "server")

# The module that starts kazoo's cluster wants libraries for TLS; nothing of it is used here.
common = types.ModuleType("kazoo.testing.common")
common.ZookeeperCluster = None
sys.modules["kazoo.testing.common"] = common


class Server:
    """One server, with the methods of kazoo's `ManagedZooKeeper` that its tests use."""

    def __init__(self, directory, address):
        self.directory = directory
        self.address = address
        self.running = True

    def launch(self):
        self.running = True
        return subprocess.Popen([SERVER, "restart", self.directory])

    def run(self):
        if not self.running:
            assert self.launch().wait() == 0

    def stop(self):
        if self.running:
            subprocess.run([SERVER, "stop", self.directory], check=True)
            self.running = False


class Cluster(list):
    """In place of `ZookeeperCluster`; a terminated one may be started again."""

    def start_new(self, kind, members):
        self.directory = tempfile.mkdtemp()
        command = [SERVER, "start", kind, self.directory, members]
        addresses = subprocess.check_output(command, text=True).strip().split(",")
        for member, address in enumerate(addresses, 1):
            self.append(Server(f"{self.directory}/{member}", address))

    def start(self):
        # All before the first is waited for: a member serves when others do.
        for starting in [server.launch() for server in self if not server.running]:
            assert starting.wait() == 0

    def terminate(self):
        for server in self:
            server.stop()

    def get_logs(self):
        return []


cluster = Cluster()


def _runs_tests(config):
    """A worker does; the process that hands out the work does not."""
    return hasattr(config, "workerinput")


def pytest_configure(config):
    if _runs_tests(config):
        from kazoo.testing import harness

        cluster.start_new(os.environ["CLIENTS_KIND"], os.environ.get("CLIENTS_MEMBERS", "1"))
        harness.get_global_cluster = lambda: cluster


def pytest_unconfigure(config):
    if _runs_tests(config):
        cluster.terminate()
        shutil.rmtree(cluster.directory)


def pytest_runtest_logreport(report):
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    name = report.nodeid.split("/")[-1].replace("::", ".")
    if report.failed:
        why = str(report.longrepr).splitlines()[-1]
        os.write(3, f"FAIL {name}: in {report.when}: {why}\n".encode())
    elif report.when == "call" and report.passed:
        os.write(3, f"ok {name}\n".encode())
