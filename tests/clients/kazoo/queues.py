"""Queues: first in first out, by priority, with locks, and one that waits for all its members."""

import queue
import threading

from harness import WAIT_SECONDS, equal, test, within


@test
def a_queue_gives_first_what_came_first(s):
    items = s.zk.Queue(s.root)
    for n in range(20):
        items.put(str(n).encode())
    other = s.client().Queue(s.root)
    equal([int(other.get()) for _ in range(20)], list(range(20)))
    equal(other.get(), None)


@test
def every_item_of_a_queue_is_taken_once_whoever_takes(s):
    for n in range(60):
        s.zk.Queue(s.root).put(str(n).encode())

    def drain(zk):
        taken, items = [], zk.Queue(s.root)
        while (item := items.get()) is not None:
            taken.append(int(item))
        return taken

    taken = [wait() for wait in [within(drain, s.client()) for _ in range(4)]]
    for own in taken:
        equal(own, sorted(own))
    equal(sorted(n for own in taken for n in own), list(range(60)))


@test
def a_queue_gives_first_what_is_most_urgent(s):
    items = s.zk.Queue(s.root)
    for value, priority in ((b"later", 200), (b"first", 1), (b"normal", 100), (b"second", 1)):
        items.put(value, priority)
    equal([items.get() for _ in range(4)], [b"first", b"second", b"normal", b"later"])


@test
def an_item_whose_taker_left_goes_to_the_next(s):
    items, taker = s.zk.LockingQueue(s.root), s.client()
    items.put_all([b"a", b"b"])
    equal(taker.LockingQueue(s.root).get(timeout=WAIT_SECONDS), b"a")
    equal(items.get(timeout=WAIT_SECONDS), b"b")
    equal(items.consume(), True)
    taker.stop()
    equal(items.get(timeout=WAIT_SECONDS), b"a")
    equal(items.consume(), True)
    equal(len(items), 0)


@test
def a_taker_waits_for_the_next_item(s):
    wait = within(s.client().LockingQueue(s.root).get, WAIT_SECONDS)
    s.zk.LockingQueue(s.root).put(b"late")
    equal(wait(), b"late")


@test
def a_synchronised_queue_starts_when_all_members_are_there(s):
    """Members enqueue themselves and wait for /start, which the last one to arrive makes."""
    size, started = 5, queue.Queue()
    members = s.path("members")
    s.zk.create(members)

    def join(zk, name):
        go = threading.Event()
        if zk.exists(s.path("start"), watch=lambda _event: go.set()):
            go.set()
        zk.create(f"{members}/{name}", ephemeral=True)
        if len(zk.get_children(members)) == size:
            zk.ensure_path(s.path("start"))
        assert go.wait(WAIT_SECONDS), f"{name} still waits"
        started.put(name)

    waits = [within(join, s.client(), f"m{n}") for n in range(size - 1)]
    seen = threading.Event()

    def all_but_one(children):
        if len(children) == size - 1:
            seen.set()

    s.zk.ChildrenWatch(members, all_but_one)
    assert seen.wait(WAIT_SECONDS), "members are missing"
    assert started.empty(), "started without the last member"
    waits.append(within(join, s.client(), f"m{size - 1}"))
    for wait in waits:
        wait()
    equal(started.qsize(), size)
