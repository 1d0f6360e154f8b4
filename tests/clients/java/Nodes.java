import static org.apache.zookeeper.KeeperException.Code.*;

import harness.Check;
import harness.Events;
import harness.Stage;
import harness.Test;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.AsyncCallback.StringCallback;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Stat;

/** Nodes of every kind, their Stat, and what can be asked about them. */
final class Nodes {
    private Nodes() {}

    private static String create(ZooKeeper zk, String path, CreateMode mode) throws Exception {
        return zk.create(path, new byte[0], Ids.OPEN_ACL_UNSAFE, mode);
    }

    @Test
    static void statTellsTheHistoryOfANode(Stage s) throws Exception {
        Stat made = new Stat();
        String node = s.path("n");
        s.zk.create(node, "one".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, made);
        Check.equal(made.getVersion() + made.getCversion() + made.getAversion(), 0);
        Check.equal(made.getDataLength(), 3);
        Check.equal(made.getMzxid(), made.getCzxid());
        Stat changed = s.zk.setData(node, "three".getBytes(), 0);
        Check.equal(changed.getVersion(), 1);
        Check.equal(changed.getDataLength(), 5);
        Check.equal(changed.getCzxid(), made.getCzxid());
        Check.equal(changed.getPzxid(), made.getPzxid());
        Check.equal(s.zk.exists(node, false), changed);
        Stat read = new Stat();
        Check.equal(new String(s.zk.getData(node, false, read)), "three");
        Check.equal(read, changed);
    }

    @Test
    static void nullDataStaysNull(Stage s) throws Exception {
        s.zk.create(s.path("n"), null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        Check.equal(s.zk.getData(s.path("n"), false, null), null);
        s.zk.setData(s.path("n"), new byte[0], -1);
        Check.equal(s.zk.getData(s.path("n"), false, null).length, 0);
    }

    @Test
    static void sequentialNamesShareTheCounterOfTheParent(Stage s) throws Exception {
        var names = new ArrayList<String>();
        names.add(create(s.zk, s.path("p-"), CreateMode.PERSISTENT_SEQUENTIAL));
        names.add(create(s.zk, s.path("e-"), CreateMode.EPHEMERAL_SEQUENTIAL));
        names.add(
                s.zk.create(
                        s.path("t-"),
                        null,
                        Ids.OPEN_ACL_UNSAFE,
                        CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL,
                        null,
                        600_000));
        Check.equal(
                names,
                List.of(s.path("p-0000000000"), s.path("e-0000000001"), s.path("t-0000000002")));
    }

    @Test
    static void anEphemeralBelongsToItsSession(Stage s) throws Exception {
        Stage.Client maker = s.client();
        String node = create(maker, s.path("e"), CreateMode.EPHEMERAL);
        Check.equal(s.zk.exists(node, false).getEphemeralOwner(), maker.getSessionId());
        Check.refused(
                NOCHILDRENFOREPHEMERALS,
                () -> create(s.zk, node + "/child", CreateMode.PERSISTENT));
        maker.close();
        Check.equal(s.zk.exists(node, false), null);
    }

    @Test
    static void aContainerGoesAfterItsLastChild(Stage s) throws Exception {
        Events seen = new Events();
        String container = create(s.zk, s.path("c"), CreateMode.CONTAINER);
        Check.equal(s.zk.exists(container, seen).getEphemeralOwner(), 0L);
        String child = create(s.zk, container + "/child", CreateMode.PERSISTENT);
        s.zk.delete(child, -1);
        seen.expect(EventType.NodeDeleted, container);
    }

    @Test
    static void aContainerThatNeverHadAChildStays(Stage s) throws Exception {
        String idle = create(s.zk, s.path("idle"), CreateMode.CONTAINER);
        Events seen = new Events();
        String used = create(s.zk, s.path("used"), CreateMode.CONTAINER);
        s.zk.exists(used, seen);
        s.zk.delete(create(s.zk, used + "/child", CreateMode.PERSISTENT), -1);
        seen.expect(EventType.NodeDeleted, used);
        Check.that(s.zk.exists(idle, false) != null, "the unused container is gone as well");
    }

    @Test
    static void aNodeWithATimeToLiveGoesWhenItIsLeftAlone(Stage s) throws Exception {
        Events seen = new Events();
        Stat made = new Stat();
        String node = s.path("t");
        s.zk.create(
                node, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, made, 1_500);
        Check.equal(made.getEphemeralOwner(), 0L);
        s.zk.exists(node, seen);
        seen.expect(EventType.NodeDeleted, node);
    }

    @Test
    static void childrenKeepANodeBeyondItsTimeToLive(Stage s) throws Exception {
        Events parent = new Events();
        Events brief = new Events();
        CreateMode ttl = CreateMode.PERSISTENT_WITH_TTL;
        String child = s.path("t/child");
        // In one transaction, so that the parent is never without its child.
        s.zk.multi(
                List.of(
                        Op.create(s.path("t"), null, Ids.OPEN_ACL_UNSAFE, ttl, 1),
                        Op.create(child, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT)));
        s.zk.exists(s.path("t"), parent);
        s.zk.addWatch(s.path("b"), brief, AddWatchMode.PERSISTENT);
        s.zk.create(s.path("b"), null, Ids.OPEN_ACL_UNSAFE, ttl, null, 1);
        brief.expect(EventType.NodeCreated, s.path("b"));
        brief.expect(EventType.NodeDeleted, s.path("b"));
        parent.expectNothing(s.zk);
        s.zk.delete(child, -1);
        parent.expect(EventType.NodeDeleted, s.path("t"));
    }

    @Test
    static void valuesUpToTheFrameLimitSurvive(Stage s) throws Exception {
        byte[] value = new byte[1_000_000];
        new java.util.Random(1).nextBytes(value);
        s.zk.create(s.path("n"), value, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        Check.that(
                java.util.Arrays.equals(s.zk.getData(s.path("n"), false, null), value),
                "the value came back different");
    }

    @Test
    static void aFrameBeyondTheLimitCostsTheConnectionNotTheSession(Stage s) throws Exception {
        Stage.Client zk = s.client();
        long session = zk.getSessionId();
        Check.refused(
                CONNECTIONLOSS,
                () ->
                        zk.create(
                                s.path("big"),
                                new byte[1_100_000],
                                Ids.OPEN_ACL_UNSAFE,
                                CreateMode.PERSISTENT));
        Check.eventually("nothing was made", () -> zk.exists(s.path("big"), false) == null);
        Check.equal(zk.getSessionId(), session);
    }

    @Test
    static void namesInAnyScriptSurvive(Stage s) throws Exception {
        var names = new TreeSet<>(List.of("grüße", "日本語", "пример", "a b", "…", "x.y"));
        for (String name : names) {
            s.node(name, name);
            Check.equal(new String(s.zk.getData(s.path(name), false, null)), name);
        }
        Check.equal(new TreeSet<>(s.zk.getChildren(s.root, false)), names);
    }

    @Test
    static void aChrootIsInvisibleInside(Stage s) throws Exception {
        Stage.Client inside = s.client(s.root, Stage.SESSION_MS);
        Events seen = new Events();
        inside.exists("/a", seen);
        Check.equal(create(inside, "/a", CreateMode.PERSISTENT), "/a");
        seen.expect(EventType.NodeCreated, "/a");
        Check.equal(s.zk.getChildren(s.root, false), List.of("a"));
        Check.equal(create(inside, "/e", CreateMode.EPHEMERAL), "/e");
        Check.equal(inside.getAllChildrenNumber("/"), 2);
    }

    @Test
    static void allDescendantsAreCounted(Stage s) throws Exception {
        s.node("a", "");
        s.node("a/b", "");
        s.node("a/b/c", "");
        s.node("ab", "");
        Check.equal(s.zk.getAllChildrenNumber(s.root), 4);
        Check.equal(s.zk.getAllChildrenNumber(s.path("a")), 2);
        Check.equal(s.zk.getAllChildrenNumber(s.path("ab")), 0);
        Check.refused(NONODE, () -> s.zk.getAllChildrenNumber(s.path("missing")));
    }

    @Test
    static void aSessionListsItsOwnEphemerals(Stage s) throws Exception {
        create(s.zk, s.path("x1"), CreateMode.EPHEMERAL);
        create(s.zk, s.path("x2"), CreateMode.EPHEMERAL);
        create(s.zk, s.path("y"), CreateMode.EPHEMERAL);
        create(s.client(), s.path("x3"), CreateMode.EPHEMERAL);
        Check.equal(
                new TreeSet<>(s.zk.getEphemerals()),
                new TreeSet<>(List.of(s.path("x1"), s.path("x2"), s.path("y"))));
        Check.equal(
                new TreeSet<>(s.zk.getEphemerals(s.path("x"))),
                new TreeSet<>(List.of(s.path("x1"), s.path("x2"))));
    }

    @Test
    static void aClientLearnsWhoItIs(Stage s) throws Exception {
        Stage.Client bob = s.client();
        bob.addAuthInfo("digest", "bob:builder".getBytes());
        var identities = new TreeSet<String>();
        for (ClientInfo info : bob.whoAmI()) {
            identities.add(info.getAuthScheme() + ":" + info.getUser());
        }
        Check.equal(identities, new TreeSet<>(List.of("digest:bob", "ip:127.0.0.1")));
    }

    @Test
    static void childrenComeWithTheStatOfTheParent(Stage s) throws Exception {
        s.node("a", "");
        s.node("b", "");
        s.zk.delete(s.path("a"), 0);
        Stat stat = new Stat();
        Check.equal(s.zk.getChildren(s.root, false, stat), List.of("b"));
        Check.equal(stat.getCversion(), 3);
        Check.equal(stat.getNumChildren(), 1);
    }

    @Test
    static void refusalsNameTheirReason(Stage s) throws Exception {
        s.node("a", "");
        s.node("a/b", "");
        Check.refused(NODEEXISTS, () -> s.node("a", ""));
        Check.refused(NONODE, () -> s.node("missing/b", ""));
        Check.refused(NOTEMPTY, () -> s.zk.delete(s.path("a"), -1));
        Check.refused(BADVERSION, () -> s.zk.delete(s.path("a/b"), 5));
        Check.refused(BADVERSION, () -> s.zk.setData(s.path("a"), null, 5));
        Check.refused(NONODE, () -> s.zk.getData(s.path("missing"), false, null));
        Check.refused(BADARGUMENTS, () -> s.zk.delete("/zookeeper", -1));
    }

    @Test
    static void pipelinedRequestsAreAnsweredInOrder(Stage s) throws Exception {
        int count = 2_000;
        var done = new CountDownLatch(count);
        var outOfOrder = new AtomicInteger();
        var next = new AtomicInteger();
        StringCallback callback =
                (code, path, context, name) -> {
                    String expected = String.format("%s/n-%010d", s.root, next.getAndIncrement());
                    if (code != 0 || !expected.equals(name)) {
                        outOfOrder.incrementAndGet();
                    }
                    done.countDown();
                };
        for (int n = 0; n < count; n++) {
            s.zk.create(
                    s.path("n-"),
                    new byte[100],
                    Ids.OPEN_ACL_UNSAFE,
                    CreateMode.PERSISTENT_SEQUENTIAL,
                    callback,
                    null);
        }
        Check.that(done.await(Check.WAIT_S, TimeUnit.SECONDS), done.getCount() + " missing");
        Check.equal(outOfOrder.get(), 0);
        Check.equal(s.zk.exists(s.root, false).getNumChildren(), count);
    }

    @Test
    static void tenThousandChildrenAreListed(Stage s) throws Exception {
        var done = new CountDownLatch(10_000);
        for (int n = 0; n < 10_000; n++) {
            s.zk.create(
                    s.path("child-with-a-rather-long-name-" + n),
                    null,
                    Ids.OPEN_ACL_UNSAFE,
                    CreateMode.PERSISTENT,
                    (int code, String path, Object context, String name) -> done.countDown(),
                    null);
        }
        Check.that(done.await(Check.WAIT_S, TimeUnit.SECONDS), done.getCount() + " missing");
        Check.equal(new TreeSet<>(s.zk.getChildren(s.root, false)).size(), 10_000);
    }

    @Test
    static void syncThenReadSeesTheWriteOfAnother(Stage s) throws Exception {
        Stage.Client other = s.client();
        s.node("n", "");
        for (int round = 0; round < 50; round++) {
            other.setData(s.path("n"), ("" + round).getBytes(), -1);
            s.zk.sync(s.path("n"));
            Check.equal(new String(s.zk.getData(s.path("n"), false, null)), "" + round);
        }
    }
}
