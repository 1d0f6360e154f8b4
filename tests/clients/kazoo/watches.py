"""One-shot watches, their order, and the recipes that keep them up."""

import queue

from harness import WAIT_SECONDS, Events, equal, raises, test

from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import EventType
from kazoo.recipe.cache import TreeCache, TreeEvent


@test
def a_data_watch_fires_once(s):
    node, seen, other = s.path("n"), Events(), s.client()
    s.zk.create(node)
    s.zk.get(node, watch=seen)
    other.set(node, b"1")
    other.set(node, b"2")
    seen.expect((EventType.CHANGED, node))
    s.zk.sync(node)
    seen.expect_nothing_before(s.zk)


@test
def an_exists_watch_sees_creation_change_and_removal(s):
    node, seen = s.path("n"), Events()
    steps = [
        (lambda: s.zk.create(node), EventType.CREATED),
        (lambda: s.zk.set(node, b"x"), EventType.CHANGED),
        (lambda: s.zk.delete(node), EventType.DELETED),
    ]
    for step, event in steps:
        s.zk.exists(node, watch=seen)
        step()
        seen.expect((event, node))


@test
def a_child_watch_sees_children_come_and_go(s):
    seen = Events()
    s.zk.get_children(s.root, watch=seen)
    s.zk.create(s.path("a"))
    seen.expect((EventType.CHILD, s.root))
    s.zk.get_children(s.root, watch=seen)
    s.zk.set(s.path("a"), b"not a matter of the parent")
    s.zk.create(s.path("a", "b"))
    seen.expect_nothing_before(s.zk)
    s.zk.delete(s.path("a"), recursive=True)
    seen.expect((EventType.CHILD, s.root))


@test
def a_deleted_node_tells_its_data_and_child_watchers(s):
    node, data, child = s.path("n"), Events(), Events()
    s.zk.create(node)
    s.zk.get(node, watch=data)
    s.zk.get_children(node, watch=child)
    s.client().delete(node)
    data.expect((EventType.DELETED, node))
    child.expect((EventType.DELETED, node))


@test
def a_read_of_a_missing_node_leaves_no_watch(s):
    node, seen = s.path("n"), Events()
    raises(NoNodeError, s.zk.get, node, watch=seen)
    s.zk.create(node)
    seen.expect_nothing_before(s.zk)


@test
def every_client_gets_its_own_event(s):
    node = s.path("n")
    s.zk.create(node)
    watchers = []
    for _ in range(5):
        seen = Events()
        s.client().get(node, watch=seen)
        watchers.append(seen)
    s.zk.set(node, b"x")
    for seen in watchers:
        seen.expect((EventType.CHANGED, node))


@test
def the_event_arrives_before_the_new_data(s):
    node, other = s.path("n"), s.client()
    s.zk.create(node, b"old")
    for round in range(100):
        seen = Events()
        old, _ = s.zk.get(node, watch=seen)
        other.set_async(node, str(round).encode())
        while s.zk.get(node)[0] == old:
            pass
        seen.expect_already(s.zk, (EventType.CHANGED, node))


@test
def data_watch_recipe_follows_every_settled_value(s):
    node, values = s.path("n"), queue.Queue()
    s.zk.DataWatch(node, lambda data, _stat: values.put(data))
    equal(values.get(timeout=WAIT_SECONDS), None)
    for value in (b"1", b"2", b"3"):
        if s.zk.exists(node):
            s.zk.set(node, value)
        else:
            s.zk.create(node, value)
        equal(values.get(timeout=WAIT_SECONDS), value)
    s.zk.delete(node)
    equal(values.get(timeout=WAIT_SECONDS), None)


@test
def children_watch_recipe_follows_membership(s):
    lists = queue.Queue()
    s.zk.ChildrenWatch(s.root, lambda children: lists.put(sorted(children)))
    equal(lists.get(timeout=WAIT_SECONDS), [])
    s.zk.create(s.path("a"))
    equal(lists.get(timeout=WAIT_SECONDS), ["a"])
    s.zk.create(s.path("b"))
    equal(lists.get(timeout=WAIT_SECONDS), ["a", "b"])
    s.zk.delete(s.path("a"))
    equal(lists.get(timeout=WAIT_SECONDS), ["b"])


@test
def tree_cache_recipe_mirrors_a_subtree(s):
    s.zk.create(s.path("a", "b"), b"deep", makepath=True)
    cache, events = TreeCache(s.zk, s.root), queue.Queue()
    cache.listen(lambda event: events.put((event.event_type, event.event_data)))
    cache.start()

    def wait_for(kind, path=None):
        while True:
            got, data = events.get(timeout=WAIT_SECONDS)
            if got == kind and (path is None or data.path == path):
                return

    wait_for(TreeEvent.INITIALIZED)
    equal(cache.get_data(s.path("a", "b")).data, b"deep")
    s.client().create(s.path("a", "c"), b"new")
    wait_for(TreeEvent.NODE_ADDED, s.path("a", "c"))
    s.zk.set(s.path("a", "c"), b"newer")
    wait_for(TreeEvent.NODE_UPDATED, s.path("a", "c"))
    equal(cache.get_data(s.path("a", "c")).data, b"newer")
    s.zk.delete(s.path("a", "b"))
    wait_for(TreeEvent.NODE_REMOVED, s.path("a", "b"))
    cache.close()
