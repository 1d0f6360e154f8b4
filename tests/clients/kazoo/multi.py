"""Transactions: all or nothing, one zxid, and the result of each operation."""

from harness import Events, equal, test

from kazoo.exceptions import (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)


def _kinds(results):
    return [type(r) if isinstance(r, Exception) else r for r in results]


@test
def a_transaction_does_all_its_operations_at_one_zxid(s):
    s.zk.create(s.path("old"), b"0")
    t = s.zk.transaction()
    t.check(s.path("old"), 0)
    t.create(s.path("parent"), b"p")
    t.create(s.path("parent", "n-"), b"c", sequence=True)
    t.set_data(s.path("old"), b"1")
    t.create(s.path("gone"))
    t.delete(s.path("gone"))
    results = t.commit()
    equal(results[0], True)
    equal(results[1:3], [s.path("parent"), s.path("parent", "n-0000000000")])
    equal(results[3].version, 1)
    equal(results[4:], [s.path("gone"), True])
    parent, child = s.zk.exists(results[1]), s.zk.exists(results[2])
    equal({parent.czxid, parent.pzxid, child.czxid, results[3].mzxid}, {parent.czxid})
    equal(s.zk.exists(s.path("gone")), None)


@test
def a_failing_operation_undoes_the_others_and_names_itself(s):
    s.zk.create(s.path("there"))
    s.zk.create(s.path("there", "child"))
    cases = [
        (lambda t: t.create(s.path("there")), NodeExistsError),
        (lambda t: t.create(s.path("no", "parent")), NoNodeError),
        (lambda t: t.delete(s.path("there")), NotEmptyError),
        (lambda t: t.delete(s.path("missing")), NoNodeError),
        (lambda t: t.set_data(s.path("there"), b"x", version=9), BadVersionError),
        (lambda t: t.set_data(s.path("missing"), b"x"), NoNodeError),
        (lambda t: t.check(s.path("there"), 9), BadVersionError),
        (lambda t: t.check(s.path("missing"), 0), NoNodeError),
    ]
    for failing, error in cases:
        t = s.zk.transaction()
        t.create(s.path("new"))
        failing(t)
        t.set_data(s.path("there"), b"changed")
        equal(_kinds(t.commit()), [RolledBackError, error, RuntimeInconsistency])
        equal(s.zk.exists(s.path("new")), None)
        equal(s.zk.get(s.path("there"))[0], b"")


@test
def a_failed_transaction_uses_no_sequence_number_and_wakes_nobody(s):
    seen = Events()
    s.zk.get_children(s.root, watch=seen)
    t = s.zk.transaction()
    t.create(s.path("n-"), sequence=True)
    t.check(s.path("missing"), 0)
    t.commit()
    seen.expect_nothing_before(s.zk)
    equal(s.zk.create(s.path("n-"), sequence=True), s.path("n-0000000000"))


@test
def a_transaction_makes_ephemerals_of_its_session(s):
    maker = s.client()
    t = maker.transaction()
    t.create(s.path("e"), ephemeral=True)
    t.create(s.path("f-"), ephemeral=True, sequence=True)
    t.commit()
    equal(s.zk.exists(s.path("e")).owner_session_id, maker.client_id[0])
    maker.stop()
    s.zk.sync(s.root)
    equal(s.zk.get_children(s.root), [])


@test
def an_empty_transaction_is_fine(s):
    equal(s.zk.transaction().commit(), [])


@test
def a_thousand_operations_fit_one_transaction(s):
    t = s.zk.transaction()
    for n in range(1000):
        t.create(s.path(f"n{n}"), b"x" * 100)
    equal(len(t.commit()), 1000)
    equal(s.zk.exists(s.root).children_count, 1000)
