"""Nodes: making, reading, changing, removing; their Stat; names, sizes, chroot."""

from harness import equal, raises, test

from kazoo.exceptions import (
    BadVersionError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
)


@test
def a_node_is_made_read_changed_and_removed(s):
    node = s.path("node")
    equal(s.zk.create(node, b"one"), node)
    equal(s.zk.get(node)[0], b"one")
    s.zk.set(node, b"two")
    equal(s.zk.get(node)[0], b"two")
    s.zk.delete(node)
    equal(s.zk.exists(node), None)
    raises(NoNodeError, s.zk.get, node)


@test
def stat_counts_what_happened_to_the_node(s):
    node = s.path("node")
    _, made = s.zk.create(node, b"12345", include_data=True)
    equal((made.version, made.cversion, made.aversion), (0, 0, 0))
    equal((made.data_length, made.children_count, made.owner_session_id), (5, 0, None))
    equal((made.mzxid, made.pzxid, made.mtime), (made.czxid, made.czxid, made.ctime))
    s.zk.create(node + "/child")
    after = s.zk.set(node, b"")
    equal((after.version, after.cversion, after.data_length), (1, 1, 0))
    equal((after.czxid, after.children_count), (made.czxid, 1))
    assert made.czxid < after.pzxid < after.mzxid, f"zxids out of order: {after}"
    s.zk.delete(node + "/child")
    gone = s.zk.exists(node)
    equal((gone.cversion, gone.children_count, gone.mzxid), (2, 0, after.mzxid))
    assert gone.pzxid > after.mzxid, f"a removed child leaves no trace: {gone}"


@test
def a_wrong_version_changes_nothing(s):
    node = s.path("node")
    s.zk.create(node, b"0")
    s.zk.set(node, b"1", version=0)
    raises(BadVersionError, s.zk.set, node, b"2", version=0)
    raises(BadVersionError, s.zk.delete, node, version=7)
    equal(s.zk.get(node)[0], b"1")
    s.zk.delete(node, version=1)


@test
def refusals_name_their_reason(s):
    s.zk.create(s.path("a"))
    s.zk.create(s.path("a", "b"))
    s.zk.create(s.path("e"), ephemeral=True)
    raises(NodeExistsError, s.zk.create, s.path("a"))
    raises(NoNodeError, s.zk.create, s.path("missing", "b"))
    raises(NotEmptyError, s.zk.delete, s.path("a"))
    raises(NoNodeError, s.zk.delete, s.path("missing"))
    raises(NoNodeError, s.zk.set, s.path("missing"), b"")
    raises(NoNodeError, s.zk.get_children, s.path("missing"))
    raises(NoChildrenForEphemeralsError, s.zk.create, s.path("e", "child"))


@test
def children_are_listed_with_and_without_stat(s):
    names = [f"child-{n}" for n in range(100)]
    for name in names:
        s.zk.create(s.path(name), ephemeral=True)
    equal(sorted(s.zk.get_children(s.root)), sorted(names))
    children, stat = s.zk.get_children(s.root, include_data=True)
    equal((len(children), stat.children_count, stat.cversion), (100, 100, 100))


@test
def sequence_numbers_count_all_children_of_the_parent(s):
    equal(s.zk.create(s.path("n-"), sequence=True), s.path("n-0000000000"))
    s.zk.create(s.path("plain"))
    s.zk.delete(s.path("plain"))
    equal(s.zk.create(s.path("m-"), sequence=True), s.path("m-0000000002"))
    made = s.zk.create(s.root + "/", sequence=True, ephemeral=True)
    equal(made, s.path("0000000003"))


@test
def pipelined_creates_answer_in_order(s):
    made = [s.zk.create_async(s.path("n-"), sequence=True) for _ in range(500)]
    names = [result.get(timeout=15) for result in made]
    equal(names, [s.path(f"n-{n:010}") for n in range(500)])


@test
def a_read_behind_a_write_sees_it(s):
    s.zk.create(s.path("n"), b"start")
    for round in range(200):
        value = str(round).encode()
        s.zk.set_async(s.path("n"), value)
        equal(s.zk.get(s.path("n"))[0], value)


@test
def create_makes_parents_on_request(s):
    s.zk.create(s.path("a", "b", "c"), b"deep", makepath=True)
    equal(s.zk.get(s.path("a", "b", "c"))[0], b"deep")
    s.zk.ensure_path(s.path("x", "y"))
    s.zk.delete(s.path("a"), recursive=True)
    equal(s.zk.get_children(s.root), ["x"])


@test
def values_up_to_the_frame_limit_survive(s):
    for size in (0, 1, 4095, 4096, 65536, 1_000_000):
        value = bytes(n % 251 for n in range(size))
        s.zk.create(s.path(f"n{size}"), value)
        equal(s.zk.get(s.path(f"n{size}"))[0] == value, True)


@test
def names_in_any_script_survive(s):
    for name in ("grüße", "日本語", "пример", "a b", "dots.and..dots", "a%2Fb", "Ω"):
        s.zk.create(s.path(name), name.encode())
        equal(s.zk.get(s.path(name))[0], name.encode())
        assert name in s.zk.get_children(s.root), f"{name} is not listed"


@test
def a_chroot_hides_the_path_above(s):
    inside = s.client(chroot=s.root)
    inside.create("/a", b"inside")
    equal(s.zk.get(s.path("a"))[0], b"inside")
    equal(inside.get_children("/"), ["a"])
    equal(inside.create("/n-", sequence=True), "/n-0000000001")


@test
def the_fresh_tree_has_its_own_nodes(s):
    assert "zookeeper" in s.zk.get_children("/")
    equal(sorted(s.zk.get_children("/zookeeper")), ["config", "quota"])


@test
def the_server_tells_its_version(s):
    equal(s.zk.server_version()[:3], (3, 9, 4))
