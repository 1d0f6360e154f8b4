"""Who may do what: digest, auth, ip, super, and each permission bit."""

from harness import Events, equal, raises, test

from kazoo.exceptions import AuthFailedError, InvalidACLError, NoAuthError
from kazoo.security import (
    ACL,
    CREATOR_ALL_ACL,
    READ_ACL_UNSAFE,
    Id,
    Permissions,
    make_acl,
    make_digest_acl,
)


@test
def a_digest_acl_admits_only_its_user(s):
    node = s.path("n")
    s.zk.create(node, b"secret", acl=[make_digest_acl("bob", "builder", all=True)])
    raises(NoAuthError, s.zk.get, node)
    raises(NoAuthError, s.zk.exists, node)
    raises(NoAuthError, s.zk.set, node, b"x")
    raises(NoAuthError, s.zk.get_acls, node)
    raises(NoAuthError, s.client(auth_data=[("digest", "bob:wrong")]).get, node)
    bob = s.client(auth_data=[("digest", "bob:builder")])
    equal(bob.get(node)[0], b"secret")
    bob.set(node, b"changed")
    equal(bob.get_acls(node)[0], [make_digest_acl("bob", "builder", all=True)])


@test
def creator_all_means_the_identities_of_the_creator(s):
    node, bob = s.path("n"), s.client()
    raises(InvalidACLError, bob.create, node, acl=CREATOR_ALL_ACL)
    bob.add_auth("digest", "bob:builder")
    bob.create(node, acl=CREATOR_ALL_ACL)
    acls, stat = bob.get_acls(node)
    equal((acls, stat.aversion), ([make_digest_acl("bob", "builder", all=True)], 0))
    raises(NoAuthError, s.zk.get, node)


@test
def set_acls_counts_its_own_version(s):
    node = s.path("n")
    s.zk.create(node)
    stat = s.zk.set_acls(node, READ_ACL_UNSAFE, version=0)
    equal((stat.aversion, stat.version), (1, 0))
    raises(NoAuthError, s.zk.set, node, b"x")
    raises(NoAuthError, s.zk.set_acls, node, READ_ACL_UNSAFE)
    equal(s.zk.get_acls(node)[0], READ_ACL_UNSAFE)


@test
def each_permission_allows_its_own_operations(s):
    operations = {
        Permissions.READ: lambda n: (s.zk.get(n), s.zk.get_children(n), s.zk.exists(n)),
        Permissions.WRITE: lambda n: s.zk.set(n, b"x"),
        Permissions.CREATE: lambda n: s.zk.create(n + "/new"),
        Permissions.DELETE: lambda n: s.zk.delete(n + "/child"),
        Permissions.ADMIN: lambda n: s.zk.set_acls(n, READ_ACL_UNSAFE),
    }
    for granted in operations:
        node = s.path(f"n{granted}")
        s.zk.create(node)
        s.zk.create(node + "/child")
        s.zk.set_acls(node, [ACL(granted, Id("world", "anyone"))])
        for needed, operation in operations.items():
            if needed != granted:
                raises(NoAuthError, operation, node)
        operations[granted](node)


@test
def an_ip_acl_looks_at_the_address(s):
    here, elsewhere, net = s.path("here"), s.path("elsewhere"), s.path("net")
    s.zk.create(here, b"in", acl=[make_acl("ip", "127.0.0.1", all=True)])
    s.zk.create(elsewhere, b"out", acl=[make_acl("ip", "192.0.2.1", all=True)])
    s.zk.create(net, b"in", acl=[make_acl("ip", "127.0.0.0/8", all=True)])
    equal((s.zk.get(here)[0], s.zk.get(net)[0]), (b"in", b"in"))
    raises(NoAuthError, s.zk.get, elsewhere)
    raises(InvalidACLError, s.zk.create, s.path("x"), acl=[make_acl("ip", "nowhere", all=True)])


@test
def the_super_user_may_do_everything(s):
    node = s.path("n")
    s.zk.create(node, b"secret", acl=[make_digest_acl("bob", "builder", read=True)])
    admin = s.client(auth_data=[("digest", "super:secret")])
    equal(admin.get(node)[0], b"secret")
    admin.set(node, b"x")
    admin.set_acls(node, READ_ACL_UNSAFE)
    equal(s.zk.get(node)[0], b"x")


@test
def several_identities_add_up(s):
    s.zk.create(s.path("a"), acl=[make_digest_acl("ann", "1", read=True)])
    s.zk.create(s.path("b"), acl=[make_digest_acl("bob", "2", read=True)])
    both = s.client(auth_data=[("digest", "ann:1"), ("digest", "bob:2")])
    both.get(s.path("a"))
    both.get(s.path("b"))


@test
def an_unknown_scheme_fails_authentication(s):
    raises(AuthFailedError, s.client().add_auth, "nonsense", "a:b")


@test
def a_watcher_without_the_right_to_read_hears_nothing(s):
    node, blind, seeing = s.path("n"), Events(), Events()
    bob = s.client(auth_data=[("digest", "bob:builder")])
    s.zk.exists(node, watch=blind)
    bob.exists(node, watch=seeing)
    bob.create(node, acl=CREATOR_ALL_ACL)
    seeing.expect(("CREATED", node))
    s.zk.sync(node)
    blind.expect_nothing_before(s.zk)
