"""Types commands into zkCli and reads what an operator would read.

Each test is a function with a shell of its own, inside a chroot of its own. A command ends where the
next prompt begins; events are printed whenever they come.
"""

import glob
import os
import queue
import re
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

WAIT_SECONDS = 20
CACHE = os.environ.get("MENAGERIE_TEST_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "menagerie-tests"
)
JARS = os.path.join(CACHE, "apache-zookeeper-3.9.4", "*")
PROMPT = re.compile(r"\[zk: \S+\((\w+)\) (\d+)\] ")


class Shell:
    def __init__(self, server):
        self.process = subprocess.Popen(
            ["java", "-Xmx64m", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=OFF", "-cp", JARS]
            + ["org.apache.zookeeper.ZooKeeperMain", "-server", server, "-waitforconnection"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self.servers = server.count(",") + 1
        self.past, self.text, self.commands, self.chunks = "", "", 0, queue.Queue()
        threading.Thread(target=self._pump, daemon=True).start()
        self._until_prompt()

    def _pump(self):
        while chunk := self.process.stdout.read(65536):
            self.chunks.put(chunk)
        self.chunks.put(None)

    def _until_prompt(self):
        """What was printed up to the prompt of the next command."""
        while True:
            for prompt in PROMPT.finditer(self.text):
                if int(prompt[2]) == self.commands:
                    printed, self.text = self.text[: prompt.start()], self.text[prompt.end() :]
                    return printed
            self._more()

    def _more(self):
        try:
            chunk = self.chunks.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise AssertionError(f"nothing more after {self.text!r}") from None
        assert chunk is not None, f"the shell ended after {self.text!r}"
        self.text += chunk.decode()

    def type(self, command):
        """Runs a command and gives its lines, without the echo of the command itself."""
        self.process.stdin.write(f"{command}\n".encode())
        self.commands += 1
        # The echo is wrapped at the width of a terminal.
        echo = r"\s*".join(re.escape(c) for c in command if c != " ")
        printed = re.sub(echo, "", self._until_prompt(), count=1)
        self.past += printed
        return [line for line in printed.splitlines() if line.strip()]

    def expect_event(self, kind, path):
        """The event was printed, or will be, whether before or after a prompt."""
        wanted = f"WatchedEvent state:SyncConnected type:{kind} path:{path} "
        while wanted not in self.past + self.text:
            self._more()

    def close(self):
        self.process.kill()
        self.process.wait()


def equal(actual, expected):
    assert actual == expected, f"{actual!r} where {expected!r} was expected"


def fields(lines):
    """The `name = value` lines of a Stat."""
    return dict(line.split(" = ", 1) for line in lines if " = " in line)


def nodes_are_made_read_changed_and_removed(sh):
    equal(sh.type("create /a hello"), ["Created /a"])
    equal(sh.type("create /a/b"), ["Created /a/b"])
    equal(sh.type("get /a"), ["hello"])
    sh.type("set /a world")
    got = sh.type("get -s /a")
    equal(got[0], "world")
    stat = fields(got)
    equal((stat["dataVersion"], stat["dataLength"], stat["numChildren"]), ("1", "5", "1"))
    equal(sh.type("ls /a"), ["[b]"])
    equal(sh.type("ls -R /"), ["/", "/a", "/a/b"])
    equal(sh.type("delete /a"), ["Node not empty: /a"])
    equal(sh.type("deleteall /a"), [])
    equal(sh.type("ls /"), ["[]"])
    equal(sh.type("get /a"), ["Node does not exist: /a"])
    equal(sh.type("create /x/y"), ["Node does not exist: /x/y"])


def kinds_of_nodes(sh):
    equal(sh.type("create -s /s- x"), ["Created /s-0000000000"])
    equal(sh.type("create -s -e /e- x"), ["Created /e-0000000001"])
    equal(sh.type("create -e /e x"), ["Created /e"])
    equal(sh.type("create -c /c"), ["Created /c"])
    equal(sh.type("create -t 600000 /t x"), ["Created /t"])
    assert fields(sh.type("stat /e"))["ephemeralOwner"] != "0x0"
    equal(fields(sh.type("stat /t"))["ephemeralOwner"], "0x0")
    equal(sh.type("create /e/child"), ["Ephemerals cannot have children: /e/child"])
    # This command knows no chroot, neither in its prefix nor in its answer.
    mine = sh.type(f"getEphemerals {sh.root}/e-")
    equal(re.findall(r"/[^,\] ]+", mine[0]), [f"{sh.root}/e-0000000001"])
    equal(sh.type("getAllChildrenNumber /"), ["5"])


def versions_guard_changes(sh):
    sh.type("create /a 0")
    equal(sh.type("set -v 0 /a 1"), [])
    equal(sh.type("set -v 0 /a 2"), ["version No is not valid : /a"])
    equal(sh.type("delete -v 0 /a"), ["version No is not valid : /a"])
    equal(fields(sh.type("set -s /a 2"))["dataVersion"], "2")
    equal(sh.type("delete -v 2 /a"), [])


def acls_and_identities(sh):
    sh.type("create /a")
    equal(sh.type("getAcl /a"), ["'world,'anyone", ": cdrwa"])
    sh.type("addauth digest bob:1")
    equal(sorted(sh.type("whoami"))[1:], ["digest: bob", "ip: 127.0.0.1"])
    sh.type("setAcl /a auth::cdrwa")
    acl = sh.type("getAcl -s /a")
    assert acl[0].startswith("'digest,'bob:"), acl
    equal(fields(acl)["aclVersion"], "1")
    equal(sh.type("create /b x world:anyone:r"), ["Created /b"])
    equal(sh.type("set /b y"), ["Insufficient permission : /b"])


def quotas(sh):
    # Quotas are kept by full path: a chroot would hide them from the server.
    top, q = sh.top, f"{sh.root}/q"
    top.type(f"create {q}")
    top.type(f"setquota -N 3 {q}")
    listed = top.type(f"listquota {q}")
    assert listed[1].endswith("countHardLimit=3") and listed[2].endswith("count=1,bytes=0"), listed
    top.type(f"create {q}/a")
    top.type(f"create {q}/b")
    equal(top.type(f"create {q}/c"), [f"Quota has exceeded : {q}/c"])
    top.type(f"delquota -N {q}")
    equal(top.type(f"create {q}/c"), [f"Created {q}/c"])
    top.type(f"setquota -B 10 {q}")
    equal(top.type(f"set {q}/a 12345678901"), [f"Quota has exceeded : {q}/a"])
    equal(top.type(f"set {q}/a 123"), [])


def watches_print_what_happens(sh):
    sh.type("create /a")
    sh.type("get -w /a")
    sh.type("ls -w /")
    sh.type("set /a x")
    sh.expect_event("NodeDataChanged", "/a")
    sh.type("create /b")
    sh.expect_event("NodeChildrenChanged", "/")
    sh.type("addWatch /a")
    sh.type("create /a/c")
    sh.expect_event("NodeCreated", "/a/c")
    sh.type("addWatch -m PERSISTENT /b")
    sh.type("delete /b")
    sh.expect_event("NodeDeleted", "/b")
    sh.type("removewatches /b")
    sh.expect_event("PersistentWatchRemoved", "/b")


def the_rest(sh):
    equal(sh.type("sync /"), ["Sync is OK"])
    assert sh.type("version")[0].startswith("ZooKeeper CLI version: 3.9.4")
    # The members of an ensemble and a version; a lonely server has no configuration to tell.
    members = 0 if sh.servers == 1 else sh.servers
    equal(sum(line.startswith("server.") for line in sh.type("config")), members)
    equal(sh.type("history")[-1].split(" - ")[1], "history")


def many_children_are_deleted_in_batches(sh):
    sh.type("create /big")
    for n in range(60):
        sh.type(f"create /big/{n}")
    equal(sh.type("deleteall /big -b 25"), [])
    equal(sh.type("ls /"), ["[]"])


TESTS = [
    nodes_are_made_read_changed_and_removed,
    kinds_of_nodes,
    versions_guard_changes,
    acls_and_identities,
    quotas,
    watches_print_what_happens,
    the_rest,
    many_children_are_deleted_in_batches,
]


def run(server, test):
    shells = []
    try:
        root = f"/zkcli-{os.getpid()}-{test.__name__}"
        shells.append(Shell(server))
        equal(shells[0].type(f"create {root}"), [f"Created {root}"])
        shells.append(Shell(server + root))
        shells[1].top, shells[1].root = shells[0], root
        test(shells[1])
        print(f"ok {test.__name__}", flush=True)
        return True
    except Exception as error:
        traceback.print_exc()
        print(f"FAIL {test.__name__}: {error!r}", flush=True)
        return False
    finally:
        for shell in shells:
            shell.close()


assert glob.glob(JARS), f"no jars in {JARS}: run tests/install"
wanted = os.environ.get("CLIENTS_ONLY", "")
with ThreadPoolExecutor(2) as pool:
    tests = [test for test in TESTS if wanted in test.__name__]
    results = list(pool.map(lambda test: run(sys.argv[1], test), tests))
sys.exit(0 if all(results) else 1)
