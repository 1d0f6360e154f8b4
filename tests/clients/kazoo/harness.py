"""Registers, runs and reports tests that are plain functions.

A test takes one `Stage`: a root path of its own and clients that are closed after it. Tests run a
few at a time, since most of them wait; those that restart the server run alone, at the end.
"""

import logging
import os
import queue
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from kazoo.client import KazooClient
from kazoo.protocol.states import Callback
from kazoo.retry import KazooRetry

TEST_SECONDS_MAX = 60
AT_A_TIME = 4
WAIT_SECONDS = 15

_tests = []


def test(function):
    _tests.append((function, False))
    return function


def restarts_the_server(function):
    _tests.append((function, True))
    return function


class Onlooker(KazooClient):
    """Reads what others have written before, on whichever member of an ensemble they are."""

    # The requests of a client are answered in order: nobody has to wait for the sync.
    def get_async(self, *args, **kwargs):
        self.sync_async("/")
        return super().get_async(*args, **kwargs)

    def get_children_async(self, *args, **kwargs):
        self.sync_async("/")
        return super().get_children_async(*args, **kwargs)

    def exists_async(self, *args, **kwargs):
        self.sync_async("/")
        return super().exists_async(*args, **kwargs)


class Stage:
    def __init__(self, server, name):
        self.server = server
        self.root = f"/kazoo-{os.getpid()}-{name}"
        self._clients = []
        # What one server promises of its clients' writes needs no sync, and is tested without one.
        self.zk = self.client(kind=Onlooker if "," in server else KazooClient)
        self.zk.create(self.root)

    def client(self, chroot="", timeout=10.0, kind=KazooClient, **options):
        """A connected client with a session of its own."""
        options.setdefault("connection_retry", KazooRetry(max_tries=-1, max_delay=0.2))
        zk = kind(self.server + chroot, timeout=timeout, **options)
        self._clients.append(zk)
        zk.start(timeout=WAIT_SECONDS)
        zk.sync("/")  # the member of an ensemble that it came to may not know yet what others do
        return zk

    def path(self, *names):
        return "/".join((self.root,) + names)

    def restart_server(self):
        subprocess.run(
            os.environ["CLIENTS_RESTART"], shell=True, check=True, timeout=40, stdout=sys.stderr
        )

    def close(self):
        for zk in self._clients:
            zk.stop()
            zk.close()


class Events:
    """A watcher that keeps what it saw as (type, path)."""

    def __init__(self):
        self._queue = queue.Queue()

    def __call__(self, event):
        self._queue.put((event.type, event.path))

    def next(self):
        return self._queue.get(timeout=WAIT_SECONDS)

    def expect(self, *events):
        for event in events:
            equal(self.next(), event)

    def expect_already(self, zk, event):
        """The event must have come before the last reply that `zk` got."""
        _settle(zk)
        equal(self._queue.get_nowait(), event)

    def expect_nothing_before(self, zk):
        """Events overtake no later reply: a read shows the silence."""
        zk.exists("/")
        _settle(zk)
        assert self._queue.empty(), f"unexpected event {self._queue.get()}"


def _settle(zk):
    """Waits until the client has run the watchers of all events it has received."""
    done = threading.Event()
    zk.handler.dispatch_callback(Callback("watch", done.set, ()))
    assert done.wait(WAIT_SECONDS), "callbacks of the client are stuck"


def equal(actual, expected):
    assert actual == expected, f"{actual!r} where {expected!r} was expected"


def raises(error, call, *args, **kwargs):
    try:
        result = call(*args, **kwargs)
    except error:
        return
    raise AssertionError(f"{result!r} where {error.__name__} was expected")


def eventually(claim, what):
    """For what no watch announces: asks until the claim holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not claim():
        assert time.monotonic() < deadline, f"{what}: not within {WAIT_SECONDS} s"
        time.sleep(0.05)


def within(call, *args):
    """Runs `call` on a thread and hands out a function that waits for its result."""
    results = queue.Queue()

    def body():
        try:
            results.put((call(*args), None))
        except BaseException as error:  # handed to the waiter
            results.put((None, error))

    threading.Thread(target=body, daemon=True).start()

    def wait():
        value, error = results.get(timeout=WAIT_SECONDS)
        if error is not None:
            raise error
        return value

    return wait


def _run(server, function):
    name = function.__name__
    outcome = []

    def body():
        stage = None
        try:
            stage = Stage(server, name)
            function(stage)
            outcome.append(None)
        except BaseException as error:
            traceback.print_exc()
            text = str(error).splitlines()
            outcome.append(f"{type(error).__name__}: {text[0] if text else ''}")
        finally:
            if stage is not None:
                stage.close()

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(TEST_SECONDS_MAX)
    why = outcome[0] if outcome else f"still running after {TEST_SECONDS_MAX} s"
    line = f"ok {name}" if why is None else f"FAIL {name}: {why}"
    # One write with its newline: tests run side by side, and their lines must not run together.
    print(f"{line}\n", end="", flush=True)
    return why is None


def run_all(server):
    logging.basicConfig(level=logging.CRITICAL)
    wanted = os.environ.get("CLIENTS_ONLY", "")
    tests = [(function, alone) for function, alone in _tests if wanted in function.__name__]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        results = list(pool.map(lambda t: _run(server, t[0]), [t for t in tests if not t[1]]))
    if os.environ.get("CLIENTS_RESTART"):
        results += [_run(server, function) for function, alone in tests if alone]
    sys.stdout.flush()
    os._exit(0 if all(results) else 1)  # a stuck client thread must not hold the process
