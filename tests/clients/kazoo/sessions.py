"""Sessions: closing, dying, expiring, resuming, and servers that go away."""

import queue
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness import WAIT_SECONDS, Events, equal, eventually, restarts_the_server, test

from kazoo.protocol.states import EventType, KazooState


class Doomed:
    """The process of doomed.py, with its session's id and password."""

    def __init__(self, s, node, seconds=4):
        script = Path(__file__).with_name("doomed.py")
        self.process = subprocess.Popen(
            [sys.executable, "-B", script, s.server, node, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        word, session, password = self.process.stdout.readline().split()
        equal(word, "session")
        self.client_id = (int(session), bytes.fromhex(password))

    def send(self, sig):
        self.process.send_signal(sig)

    def next_state(self):
        return self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


@test
def ephemerals_vanish_when_their_session_closes(s):
    seen, maker = Events(), s.client()
    maker.create(s.path("e"), ephemeral=True)
    equal(s.zk.exists(s.path("e"), watch=seen).owner_session_id, maker.client_id[0])
    maker.stop()
    seen.expect((EventType.DELETED, s.path("e")))


@test
def a_killed_client_keeps_its_ephemerals_until_the_timeout(s):
    seen = Events()
    with Doomed(s, s.path("e")) as doomed:
        s.zk.exists(s.path("e"), watch=seen)
        doomed.send(signal.SIGKILL)
        killed = time.monotonic()
        seen.expect((EventType.DELETED, s.path("e")))
    # The last heartbeat was at most a third of the 4 s before the kill.
    assert time.monotonic() - killed > 2, "expired long before its timeout"


@test
def an_idle_client_stays_alive(s):
    idle = s.client(timeout=4)
    idle.create(s.path("e"), ephemeral=True)
    states = []
    idle.add_listener(states.append)
    time.sleep(9)  # the claim is about time passing
    equal((states, s.zk.exists(s.path("e")) is not None), ([], True))


@test
def a_frozen_client_learns_that_its_session_expired(s):
    seen = Events()
    with Doomed(s, s.path("e")) as doomed:
        s.zk.exists(s.path("e"), watch=seen)
        doomed.send(signal.SIGSTOP)
        seen.expect((EventType.DELETED, s.path("e")))
        doomed.send(signal.SIGCONT)
        states = []
        while KazooState.CONNECTED not in states:
            states.append(doomed.next_state())
        assert KazooState.LOST in states, f"never told: {states}"


@test
def a_session_resumes_with_its_id_and_password(s):
    with Doomed(s, s.path("e"), seconds=10) as doomed:
        doomed.send(signal.SIGKILL)
        heir = s.client(client_id=doomed.client_id)
        equal(heir.client_id, doomed.client_id)
        equal(s.zk.exists(s.path("e")).owner_session_id, heir.client_id[0])
    heir.stop()
    s.zk.sync(s.root)
    equal(s.zk.exists(s.path("e")), None)


@test
def a_wrong_password_gains_nothing(s):
    owner = s.client()
    owner.create(s.path("e"), ephemeral=True)
    session = owner.client_id[0]
    thief = s.client(client_id=(session, b"\x01" * 16))
    assert thief.client_id[0] != session, "a session was taken with a wrong password"
    eventually(lambda: owner.connected, "the owner is connected")
    equal((owner.client_id[0], s.zk.exists(s.path("e")) is not None), (session, True))


@test
def a_closed_session_cannot_be_resumed(s):
    first = s.client()
    client_id = first.client_id
    first.stop()
    assert s.client(client_id=client_id).client_id[0] != client_id[0]


@test
def a_hundred_sessions_at_once(s):
    clients = [s.client() for _ in range(100)]
    equal(len({zk.client_id[0] for zk in clients}), 100)
    made = [zk.create_async(s.path("n-"), ephemeral=True, sequence=True) for zk in clients]
    equal(len({result.get(timeout=WAIT_SECONDS) for result in made}), 100)
    for zk in clients:
        zk.stop()
    equal(s.zk.get_children(s.root), [])


@restarts_the_server
def sessions_data_and_ephemerals_outlive_a_killed_server(s):
    states = queue.Queue()
    s.zk.create(s.path("n"), b"kept")
    s.zk.create(s.path("e"), ephemeral=True)
    stat, session = s.zk.exists(s.path("n")), s.zk.client_id
    s.zk.add_listener(states.put)
    s.restart_server()
    equal(states.get(timeout=WAIT_SECONDS), KazooState.SUSPENDED)
    equal(states.get(timeout=WAIT_SECONDS), KazooState.CONNECTED)
    equal(s.zk.client_id, session)
    equal(s.zk.get(s.path("n")), (b"kept", stat))
    equal(s.zk.exists(s.path("e")).owner_session_id, session[0])
    later = s.zk.set(s.path("n"), b"after")
    assert later.mzxid > stat.mzxid, "zxids went back over a restart"
    s.zk.stop()
    equal(s.client().exists(s.path("e")), None)


@restarts_the_server
def a_session_without_its_client_expires_after_a_restart(s):
    with Doomed(s, s.path("e")) as doomed:
        doomed.send(signal.SIGKILL)
        s.restart_server()
        eventually(lambda: s.zk.connected, "reconnected")
        eventually(lambda: s.zk.retry(s.zk.exists, s.path("e")) is None, "the orphan expires")


@restarts_the_server
def the_watch_recipes_go_on_after_a_restart(s):
    values, lists = queue.Queue(), queue.Queue()
    s.zk.create(s.path("n"), b"before")
    s.zk.DataWatch(s.path("n"), lambda data, _stat: values.put(data))
    s.zk.ChildrenWatch(s.root, lambda children: lists.put(sorted(children)))
    equal(values.get(timeout=WAIT_SECONDS), b"before")
    equal(lists.get(timeout=WAIT_SECONDS), ["n"])
    s.restart_server()
    other = s.client()
    other.set(s.path("n"), b"after")
    other.create(s.path("m"))
    equal(values.get(timeout=WAIT_SECONDS), b"after")
    while lists.get(timeout=WAIT_SECONDS) != ["m", "n"]:
        pass
