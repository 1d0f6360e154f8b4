"""Who may act, and when: elections, locks, barriers, agreement."""

import queue
import threading

from harness import WAIT_SECONDS, equal, eventually, test, within

from kazoo.exceptions import CancelledError, LockTimeout, NodeExistsError
from kazoo.recipe.lock import Lock


class Candidate:
    """Election by a race for one ephemeral node: who makes it leads, the others watch it."""

    def __init__(self, zk, node, name, won):
        self.zk, self.node, self.name, self.won = zk, node, name, won
        self.run()

    def run(self, _event=None):
        try:
            self.zk.create(self.node, self.name.encode(), ephemeral=True)
            self.won.put(self)
        except NodeExistsError:
            if self.zk.exists(self.node, watch=self.run) is None:
                self.run()


@test
def master_election_by_a_race_has_one_winner_at_a_time(s):
    node, won = s.path("master"), queue.Queue()
    running = {Candidate(s.client(), node, f"c{n}", won) for n in range(5)}
    while running:
        master = won.get(timeout=WAIT_SECONDS)
        equal(s.zk.get(node)[0].decode(), master.name)
        assert won.empty(), "two masters"
        running.remove(master)
        master.zk.stop()


class QueuedCandidate:
    """Election by sequence numbers: the lowest leads, each watches only the one before it."""

    def __init__(self, zk, root, won):
        self.zk, self.root, self.won, self.wakes = zk, root, won, 0
        self.node = zk.create(root + "/n-", ephemeral=True, sequence=True).rsplit("/", 1)[1]
        self.look()

    def woken(self, _event):
        self.wakes += 1
        self.look()

    def look(self):
        while True:
            before = [name for name in self.zk.get_children(self.root) if name < self.node]
            if not before:
                self.won.put(self)
                return
            if self.zk.exists(f"{self.root}/{max(before)}", watch=self.woken):
                return


@test
def master_election_in_a_queue_wakes_only_the_next(s):
    won = queue.Queue()
    candidates = [QueuedCandidate(s.client(), s.root, won) for _ in range(6)]
    equal(won.get(timeout=WAIT_SECONDS), candidates[0])
    candidates[3].zk.stop()
    eventually(lambda: candidates[4].wakes == 1, "the one behind a gone candidate looks again")
    candidates[0].zk.stop()
    equal(won.get(timeout=WAIT_SECONDS), candidates[1])
    equal([c.wakes for c in candidates], [0, 1, 0, 0, 1, 0])
    assert won.empty(), "two masters"


@test
def kazoo_elections_take_turns(s):
    leading, order = threading.Semaphore(1), []

    def lead(name):
        assert leading.acquire(blocking=False), "two leaders at once"
        order.append(name)
        leading.release()

    elections = [s.client().Election(s.root, f"e{n}") for n in range(4)]
    waits = [within(e.run, lead, f"e{n}") for n, e in enumerate(elections)]
    for wait in waits:
        wait()
    equal(sorted(order), ["e0", "e1", "e2", "e3"])


class CountingLock(Lock):
    """Counts how often the release of a predecessor woke this waiter."""

    wakes = 0

    def _watch_predecessor(self, event):
        self.wakes += 1
        super()._watch_predecessor(event)


def _queue_up(s, lock, held):
    """Lets `lock` wait behind those that are already in the queue."""
    before = len(s.zk.get_children(s.root))

    def body():
        lock.acquire()
        held.put(lock)

    wait = within(body)
    eventually(lambda: len(s.zk.get_children(s.root)) > before, "the contender is queued")
    return wait


@test
def an_exclusive_lock_is_handed_on_in_order_without_a_herd(s):
    held = queue.Queue()
    locks = [CountingLock(s.client(), s.root, f"l{n}") for n in range(6)]
    for lock in locks:
        _queue_up(s, lock, held)
    for n, lock in enumerate(locks):
        assert held.get(timeout=WAIT_SECONDS) is lock, "the lock went out of turn"
        equal([other.wakes for other in locks], [0] + [1] * n + [0] * (5 - n))
        assert held.empty(), "two holders"
        lock.release()


@test
def an_exclusive_lock_excludes(s):
    total = [0]

    def work(zk):
        for _ in range(10):
            with zk.Lock(s.path("lock")):
                value = total[0]
                zk.exists("/")  # gives the others every chance
                total[0] = value + 1

    for wait in [within(work, s.client()) for _ in range(5)]:
        wait()
    equal(total, [50])


@test
def a_lock_of_a_client_that_left_is_free(s):
    owner, lock = s.client(), s.zk.Lock(s.path("lock"))
    owner.Lock(s.path("lock")).acquire()
    try:
        lock.acquire(timeout=0.3)
        raise AssertionError("two holders")
    except LockTimeout:
        pass
    owner.stop()
    equal(lock.acquire(timeout=WAIT_SECONDS), True)


@test
def a_waiter_can_give_up(s):
    s.zk.Lock(s.path("lock")).acquire()
    waiter = s.client().Lock(s.path("lock"))
    wait = within(waiter.acquire)
    eventually(lambda: len(s.zk.get_children(s.path("lock"))) == 2, "the waiter is queued")
    waiter.cancel()
    try:
        wait()
        raise AssertionError("acquired a held lock")
    except CancelledError:
        equal(len(s.zk.get_children(s.path("lock"))), 1)


@test
def readers_share_and_writers_exclude(s):
    held = queue.Queue()
    readers = [s.client().ReadLock(s.root, f"r{n}") for n in range(3)]
    writer, late = s.client().WriteLock(s.root, "w"), s.client().ReadLock(s.root, "late")
    for reader in readers:
        _queue_up(s, reader, held)
    equal({held.get(timeout=WAIT_SECONDS) for _ in readers}, set(readers))
    _queue_up(s, writer, held)
    _queue_up(s, late, held)
    for reader in readers:
        assert held.empty(), "a writer came in beside readers, or a reader before the writer"
        reader.release()
    assert held.get(timeout=WAIT_SECONDS) is writer, "the writer waits in its turn"
    assert held.empty(), "a reader came in beside the writer"
    writer.release()
    assert held.get(timeout=WAIT_SECONDS) is late, "the late reader gets in at last"


@test
def a_semaphore_admits_as_many_as_it_says(s):
    inside, most, guard = [0], [0], threading.Lock()

    def work(zk):
        for _ in range(5):
            with zk.Semaphore(s.path("semaphore"), max_leases=2):
                with guard:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                zk.exists("/")
                with guard:
                    inside[0] -= 1

    for wait in [within(work, s.client()) for _ in range(4)]:
        wait()
    equal((inside[0], most[0] <= 2), (0, True))


@test
def a_barrier_holds_all_until_it_is_lifted(s):
    barrier = s.zk.Barrier(s.path("barrier"))
    barrier.create()
    waits = [within(s.client().Barrier(s.path("barrier")).wait, WAIT_SECONDS) for _ in range(4)]
    equal(s.client().Barrier(s.path("barrier")).wait(0.2), False)
    equal(barrier.remove(), True)
    equal([wait() for wait in waits], [True] * 4)


@test
def a_double_barrier_lets_all_in_and_all_out_together(s):
    size, entered, left = 4, [], []
    go = threading.Event()

    def work(n):
        barrier = s.client().DoubleBarrier(s.path("barrier"), size, f"p{n}")
        barrier.enter()
        entered.append(n)
        assert go.wait(WAIT_SECONDS)
        barrier.leave()
        left.append(n)

    waits = [within(work, n) for n in range(size - 1)]
    eventually(
        lambda: s.zk.exists(s.path("barrier"))
        and len(s.zk.get_children(s.path("barrier"))) == size - 1,
        "all but one wait",
    )
    equal(entered, [])
    waits.append(within(work, size - 1))
    eventually(lambda: len(entered) == size, "the last one opens the barrier")
    equal(left, [])
    go.set()
    for wait in waits:
        wait()
    equal(len(left), size)


@test
def a_counter_loses_no_increment(s):
    def work(zk):
        counter = zk.Counter(s.path("counter"))
        for _ in range(20):
            counter += 1

    for wait in [within(work, s.client()) for _ in range(4)]:
        wait()
    equal(s.zk.Counter(s.path("counter")).value, 80)


class Participant:
    """Two-phase commit: votes on each proposal, then does what the coordinator decided."""

    def __init__(self, zk, transaction, name, vote):
        self.zk, self.name, self.outcome = zk, name, queue.Queue()
        zk.DataWatch(transaction, self.decided)
        zk.create(f"{transaction}/{name}", vote, ephemeral=True)

    def decided(self, data, _stat):
        if data in (b"commit", b"abort"):
            self.outcome.put(data)
            return False
        return True


def _two_phase_commit(s, name, votes):
    transaction = s.path(name)
    s.zk.create(transaction, b"prepare")
    collected = threading.Event()

    def count(children):
        if len(children) == len(votes):
            collected.set()
            return False
        return True

    s.zk.ChildrenWatch(transaction, count)
    participants = [
        Participant(s.client(), transaction, f"p{n}", vote) for n, vote in enumerate(votes)
    ]
    assert collected.wait(WAIT_SECONDS), "votes are missing"
    children = s.zk.get_children(transaction)
    cast = {s.zk.get(f"{transaction}/{child}")[0] for child in children}
    # One transaction: the decision stands only if no voter vanished since its vote was read.
    t = s.zk.transaction()
    for child in children:
        t.check(f"{transaction}/{child}", 0)
    t.set_data(transaction, b"commit" if cast == {b"yes"} else b"abort", version=0)
    equal([r for r in t.commit() if isinstance(r, Exception)], [])
    return {p.outcome.get(timeout=WAIT_SECONDS) for p in participants}


@test
def two_phase_commit_commits_when_all_agree(s):
    equal(_two_phase_commit(s, "t", [b"yes"] * 4), {b"commit"})


@test
def two_phase_commit_aborts_when_one_refuses(s):
    equal(_two_phase_commit(s, "t", [b"yes", b"no", b"yes"]), {b"abort"})
