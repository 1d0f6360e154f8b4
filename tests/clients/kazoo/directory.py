"""What others should know: configuration, names, services, members, shares of work."""

import json
import queue
import signal
import threading
from urllib.parse import quote, unquote

from harness import WAIT_SECONDS, equal, eventually, test, within
from sessions import Doomed

from kazoo.exceptions import NodeExistsError


def _watch_children(zk, path):
    lists = queue.Queue()
    zk.ChildrenWatch(path, lambda children: lists.put(sorted(children)))
    return lists


def _wait_for(lists, wanted):
    while True:
        got = lists.get(timeout=WAIT_SECONDS)
        if got == sorted(wanted):
            return


@test
def configuration_reaches_every_subscriber_whole(s):
    keys = [s.path("db-url"), s.path("db-password")]
    for key in keys:
        s.zk.create(key, b"0")
    s.zk.create(s.path("revision"), b"0")
    torn, latest, done = [], {}, threading.Event()

    def subscribe(name, zk):
        def on_revision(revision, _stat):
            values = [int(zk.get(key)[0]) for key in keys]
            # The keys change in one transaction: none may be older than the announced revision.
            if min(values) < int(revision):
                torn.append((revision, values))
            latest[name] = int(revision)
            if len(latest) == 5 and set(latest.values()) == {30}:
                done.set()

        zk.DataWatch(s.path("revision"), on_revision)

    for name in range(5):
        subscribe(name, s.client())
    for revision in range(1, 31):
        t = s.zk.transaction()
        for node in [*keys, s.path("revision")]:
            t.set_data(node, str(revision).encode())
        t.commit()
    assert done.wait(WAIT_SECONDS), f"subscribers stopped at {latest}"
    equal(torn, [])


@test
def names_are_unique_however_many_ask(s):
    clients = [s.client() for _ in range(6)]

    def take(zk):
        return [zk.create(s.path("id-"), sequence=True)[-10:] for _ in range(30)]

    waits = [within(take, zk) for zk in clients]
    taken = [name for wait in waits for name in wait()]
    equal(sorted(map(int, taken)), list(range(180)))


@test
def a_bound_name_leads_to_its_owner_until_that_is_gone(s):
    first, second = s.client(), s.client()
    first.create(s.path("mail"), b"10.0.0.1:25", ephemeral=True)
    try:
        second.create(s.path("mail"), b"10.0.0.2:25", ephemeral=True)
        raise AssertionError("two owners of one name")
    except NodeExistsError:
        free = threading.Event()
        second.exists(s.path("mail"), watch=lambda _event: free.set())
    equal(s.zk.get(s.path("mail"))[0], b"10.0.0.1:25")
    first.stop()
    assert free.wait(WAIT_SECONDS), "nobody told that the name is free"
    second.create(s.path("mail"), b"10.0.0.2:25", ephemeral=True)
    equal(s.zk.get(s.path("mail"))[0], b"10.0.0.2:25")


@test
def a_service_registry_in_the_layout_of_dubbo(s):
    service = "org.example.Greeter"
    base = s.path("dubbo", service)
    for category in ("providers", "consumers", "configurators", "routers"):
        s.zk.ensure_path(f"{base}/{category}")

    def url(port):
        return quote(f"dubbo://127.0.0.1:{port}/{service}?version=1.0.0&methods=hello,bye", safe="")

    consumers = []
    for _ in range(2):
        zk = s.client()
        zk.create(f"{base}/consumers/{quote('consumer://127.0.0.1/' + service, safe='')}-{_}",
                  ephemeral=True)
        consumers.append((zk, _watch_children(zk, f"{base}/providers")))
        equal(consumers[-1][1].get(timeout=WAIT_SECONDS), [])
    steady = s.client()
    steady.create(f"{base}/providers/{url(20880)}", ephemeral=True)
    with Doomed(s, f"{base}/providers/{url(20881)}") as provider:
        for _, lists in consumers:
            _wait_for(lists, [url(20880), url(20881)])
        provider.send(signal.SIGKILL)
        for _, lists in consumers:
            _wait_for(lists, [url(20880)])
    found = consumers[0][0].get_children(f"{base}/providers")
    equal(unquote(found[0]).split("?")[0], f"dubbo://127.0.0.1:20880/{service}")
    override = quote(f"override://0.0.0.0/{service}?weight=50", safe="")
    watching = _watch_children(consumers[1][0], f"{base}/configurators")
    s.zk.create(f"{base}/configurators/{override}")
    _wait_for(watching, [override])


@test
def members_see_each_other_come_and_go(s):
    seen = _watch_children(s.zk, s.root)
    parties = []
    for name in ("ann", "bob", "cy"):
        parties.append(s.client().ShallowParty(s.root, name))
        parties[-1].join()
    ann = parties[0]
    # Members may be connected to servers that lag behind each other.
    ann.client.sync(s.root)
    equal(sorted(ann), ["ann", "bob", "cy"])
    _wait_for_count(seen, 3)
    parties[1].leave()
    parties[2].client.stop()
    ann.client.sync(s.root)
    equal(list(ann), ["ann"])
    _wait_for_count(seen, 1)


def _wait_for_count(lists, count):
    while len(lists.get(timeout=WAIT_SECONDS)) != count:
        pass


@test
def members_carry_data(s):
    party = s.zk.Party(s.root, json.dumps({"host": "a", "port": 1}))
    party.join()
    s.client().Party(s.root, json.dumps({"host": "b", "port": 2})).join()
    equal(sorted(json.loads(member)["host"] for member in party), ["a", "b"])


@test
def partitions_are_shared_out_and_shared_anew(s):
    partitions = {f"partition-{n}" for n in range(12)}

    class Worker:
        def __init__(self, name):
            self.zk, self.owned, self.stop = s.client(), set(), threading.Event()
            self.partitioner = self.zk.SetPartitioner(
                s.root, partitions, identifier=name, time_boundary=0.2
            )
            self.wait = within(self.run)

        def run(self):
            p = self.partitioner
            while not self.stop.wait(0.02):
                assert not p.failed, "the partitioner gave up"
                if p.release:
                    self.owned = set()
                    p.release_set()
                elif p.acquired:
                    self.owned = set(p)
                elif p.allocating:
                    p.wait_for_acquire(1)
            p.finish()

    def shared_evenly(workers):
        owned = [worker.owned for worker in workers]
        return set().union(*owned) == partitions and {len(o) for o in owned} == {
            len(partitions) // len(workers)
        }

    workers = [Worker("a"), Worker("b")]
    eventually(lambda: shared_evenly(workers), "two workers have six partitions each")
    workers.append(Worker("c"))
    eventually(lambda: shared_evenly(workers), "three workers have four partitions each")
    workers[0].stop.set()
    workers[0].wait()
    eventually(lambda: shared_evenly(workers[1:]), "the two left have six partitions each")
    for worker in workers[1:]:
        worker.stop.set()
        worker.wait()
