import static org.apache.zookeeper.KeeperException.Code.NOWATCHER;
import static org.apache.zookeeper.Watcher.Event.EventType.*;

import harness.Check;
import harness.Events;
import harness.Gate;
import harness.Stage;
import harness.Test;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.AsyncCallback.StatCallback;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooKeeper;

/** One-shot, persistent and recursive watches: what fires, in what order, and after a restart. */
final class Watches {
    private Watches() {}

    private static void change(ZooKeeper zk, String path) throws Exception {
        zk.setData(path, "x".getBytes(), -1);
    }

    @Test
    static void oneShotWatchesFireOnce(Stage s) throws Exception {
        Events data = new Events();
        Events exists = new Events();
        Events child = new Events();
        String n = s.node("n", "");
        s.zk.getData(n, data, null);
        s.zk.exists(s.path("m"), exists);
        s.zk.getChildren(s.root, child);
        change(s.zk, n);
        change(s.zk, n);
        s.node("m", "");
        s.zk.delete(s.path("m"), -1);
        data.expect(NodeDataChanged, n);
        exists.expect(NodeCreated, s.path("m"));
        child.expect(NodeChildrenChanged, s.root);
        for (Events events : new Events[] {data, exists, child}) {
            events.expectNothing(s.zk);
        }
    }

    @Test
    static void theDefaultWatcherServesToo(Stage s) throws Exception {
        Stage.Client zk = s.client();
        zk.told.await(KeeperState.SyncConnected);
        String n = s.node("n", "");
        zk.getData(n, true, null);
        change(s.zk, n);
        zk.told.expect(NodeDataChanged, n);
    }

    @Test
    static void aDeletedNodeTellsEachWatcherOnce(Stage s) throws Exception {
        Events both = new Events();
        Events child = new Events();
        String n = s.node("n", "");
        s.zk.getData(n, both, null);
        s.zk.getChildren(n, both);
        s.zk.getChildren(n, child);
        s.client().delete(n, -1);
        both.expect(NodeDeleted, n);
        child.expect(NodeDeleted, n);
        both.expectNothing(s.zk);
    }

    @Test
    static void aPersistentWatchOutlivesItsEventsAndItsNode(Stage s) throws Exception {
        Events seen = new Events();
        String n = s.path("n");
        s.zk.addWatch(n, seen, AddWatchMode.PERSISTENT);
        for (int round = 0; round < 3; round++) {
            s.node("n", "");
            seen.expect(NodeCreated, n);
            change(s.zk, n);
            seen.expect(NodeDataChanged, n);
            s.node("n/child", "");
            seen.expect(NodeChildrenChanged, n);
            change(s.zk, n + "/child");
            s.zk.delete(n + "/child", -1);
            seen.expect(NodeChildrenChanged, n);
            s.zk.delete(n, -1);
            seen.expect(NodeDeleted, n);
        }
        seen.expectNothing(s.zk);
    }

    @Test
    static void aRecursiveWatchSeesTheWholeSubtree(Stage s) throws Exception {
        Events seen = new Events();
        s.zk.addWatch(s.root, seen, AddWatchMode.PERSISTENT_RECURSIVE);
        String a = s.node("a", "");
        String b = s.node("a/b", "");
        change(s.zk, b);
        s.zk.delete(b, -1);
        change(s.zk, s.root);
        seen.expect(NodeCreated, a);
        seen.expect(NodeCreated, b);
        seen.expect(NodeDataChanged, b);
        seen.expect(NodeDeleted, b);
        seen.expect(NodeDataChanged, s.root);
        s.client().create(
                s.root + "-sibling",
                null,
                org.apache.zookeeper.ZooDefs.Ids.OPEN_ACL_UNSAFE,
                org.apache.zookeeper.CreateMode.PERSISTENT);
        seen.expectNothing(s.zk);
    }

    @Test
    static void oneShotAndPersistentWatchesOfANodeLiveSideBySide(Stage s) throws Exception {
        Events once = new Events();
        Events always = new Events();
        String n = s.node("n", "");
        s.zk.addWatch(n, always, AddWatchMode.PERSISTENT);
        s.zk.getData(n, once, null);
        change(s.zk, n);
        change(s.zk, n);
        once.expect(NodeDataChanged, n);
        always.expect(NodeDataChanged, n);
        always.expect(NodeDataChanged, n);
        once.expectNothing(s.zk);
    }

    @Test
    static void removedWatchesAreSilent(Stage s) throws Exception {
        Events data = new Events();
        Events child = new Events();
        String n = s.node("n", "");
        s.zk.getData(n, data, null);
        s.zk.getChildren(n, child);
        s.zk.removeWatches(n, data, WatcherType.Data, false);
        data.expect(DataWatchRemoved, n);
        change(s.zk, n);
        data.expectNothing(s.zk);
        s.node("n/child", "");
        child.expect(NodeChildrenChanged, n);
        Check.refused(NOWATCHER, () -> s.zk.removeWatches(n, child, WatcherType.Any, false));
    }

    @Test
    static void removedPersistentWatchesAreSilent(Stage s) throws Exception {
        Events seen = new Events();
        String n = s.node("n", "");
        for (AddWatchMode mode : AddWatchMode.values()) {
            s.zk.addWatch(n, seen, mode);
            change(s.zk, n);
            seen.expect(NodeDataChanged, n);
            s.zk.removeWatches(n, seen, WatcherType.Any, false);
            seen.expect(PersistentWatchRemoved, n);
            change(s.zk, n);
            seen.expectNothing(s.zk);
        }
        Check.refused(NOWATCHER, () -> s.zk.removeAllWatches(n, WatcherType.Any, false));
    }

    @Test
    static void theEventComesBeforeTheDataThatItAnnounces(Stage s) throws Exception {
        Stage.Client other = s.client();
        String n = s.node("n", "start");
        for (int round = 0; round < 100; round++) {
            var events = new java.util.concurrent.atomic.AtomicInteger();
            var verdict = new java.util.concurrent.CompletableFuture<Integer>();
            String before =
                    new String(s.zk.getData(n, event -> events.incrementAndGet(), null));
            StatCallback ignore = (code, path, context, stat) -> {};
            other.setData(n, ("" + round).getBytes(), -1, ignore, null);
            readUntilChanged(s.zk, n, before, () -> verdict.complete(events.get()));
            Check.equal(verdict.get(Check.WAIT_S, TimeUnit.SECONDS), 1);
        }
    }

    /** Reads again from the callback, where events and replies come in the order of the wire. */
    private static void readUntilChanged(ZooKeeper zk, String n, String before, Runnable then) {
        zk.getData(
                n,
                false,
                (code, path, context, data, stat) -> {
                    if (code == 0 && new String(data).equals(before)) {
                        readUntilChanged(zk, n, before, then);
                    } else {
                        then.run();
                    }
                },
                null);
    }

    @Test
    static void aThousandWatchersHearOfOneChange(Stage s) throws Exception {
        String n = s.node("n", "");
        var heard = new CountDownLatch(1_000);
        for (int client = 0; client < 10; client++) {
            Stage.Client zk = s.client();
            for (int watcher = 0; watcher < 100; watcher++) {
                zk.getData(n, event -> heard.countDown(), null);
            }
        }
        change(s.zk, n);
        Check.that(heard.await(Check.WAIT_S, TimeUnit.SECONDS), heard.getCount() + " are deaf");
    }

    @Test
    static void watchesComeBackOnANewConnection(Stage s) throws Exception {
        Stage.Client zk = s.client();
        Watched watched = new Watched(s, zk);
        zk.getTestable().closeSocket();
        zk.told.await(KeeperState.Disconnected);
        zk.told.await(KeeperState.SyncConnected);
        watched.changeAllAndExpect(s.zk);
    }

    @Test(restarts = true)
    static void watchesComeBackAfterARestart(Stage s) throws Exception {
        Stage.Client zk = s.client();
        Watched watched = new Watched(s, zk);
        zk.told.await(KeeperState.SyncConnected);
        s.zk.told.await(KeeperState.SyncConnected);
        s.restartServer();
        zk.told.await(KeeperState.SyncConnected);
        s.zk.told.await(KeeperState.SyncConnected);
        watched.changeAllAndExpect(s.zk);
    }

    /** One watch of each kind, on nodes of its own. */
    private static final class Watched {
        final Events data = new Events();
        final Events absent = new Events();
        final Events child = new Events();
        final Events persistent = new Events();
        final Events recursive = new Events();
        final Stage s;
        final ZooKeeper watching;

        Watched(Stage s, ZooKeeper zk) throws Exception {
            this.s = s;
            this.watching = zk;
            for (String name : new String[] {"data", "child", "persistent", "recursive"}) {
                s.node(name, "");
            }
            zk.sync(s.root);
            zk.getData(s.path("data"), data, null);
            zk.exists(s.path("absent"), absent);
            zk.getChildren(s.path("child"), child);
            zk.addWatch(s.path("persistent"), persistent, AddWatchMode.PERSISTENT);
            zk.addWatch(s.path("recursive"), recursive, AddWatchMode.PERSISTENT_RECURSIVE);
        }

        void changeAllAndExpect(ZooKeeper zk) throws Exception {
            watching.exists(s.root, false); // answered after the client set its watches again
            change(zk, s.path("data"));
            s.node("absent", "");
            s.node("child/c", "");
            change(zk, s.path("persistent"));
            s.node("recursive/r", "");
            data.expectAmidStates(NodeDataChanged, s.path("data"));
            absent.expectAmidStates(NodeCreated, s.path("absent"));
            child.expectAmidStates(NodeChildrenChanged, s.path("child"));
            persistent.expectAmidStates(NodeDataChanged, s.path("persistent"));
            recursive.expectAmidStates(NodeCreated, s.path("recursive/r"));
        }
    }

    @Test
    static void whatHappenedWhileDisconnectedIsToldOnReturn(Stage s) throws Exception {
        String n = s.node("n", "");
        String gone = s.node("gone", "");
        String parent = s.node("parent", "");
        String quiet = s.node("quiet", "");
        Gate gate = new Gate(s.server);
        Stage.Client zk = s.client(gate);
        zk.told.await(KeeperState.SyncConnected);
        Events[] seen = {new Events(), new Events(), new Events(), new Events(), new Events()};
        zk.getData(n, seen[0], null);
        zk.getData(gone, seen[1], null);
        zk.getChildren(parent, seen[2]);
        zk.exists(s.path("new"), seen[3]);
        zk.getData(quiet, seen[4], null);
        gate.bar();
        zk.getTestable().closeSocket();
        zk.told.await(KeeperState.Disconnected);
        change(s.zk, n);
        s.zk.delete(gone, -1);
        s.node("parent/c", "");
        s.node("new", "");
        gate.open();
        zk.told.await(KeeperState.SyncConnected);
        seen[0].expectAmidStates(NodeDataChanged, n);
        seen[1].expectAmidStates(NodeDeleted, gone);
        seen[2].expectAmidStates(NodeChildrenChanged, parent);
        seen[3].expectAmidStates(NodeCreated, s.path("new"));
        change(s.zk, quiet);
        seen[4].expectAmidStates(NodeDataChanged, quiet);
    }

    @Test(restarts = true)
    static void tenThousandWatchesComeBackAfterARestart(Stage s) throws Exception {
        int count = 10_000;
        var set = new CountDownLatch(count);
        var fired = new CountDownLatch(1);
        for (int n = 0; n < count; n++) {
            s.zk.exists(
                    s.path("a-name-that-is-long-enough-to-fill-several-requests-" + n),
                    event -> {
                        if (event.getType() == NodeCreated) {
                            fired.countDown();
                        }
                    },
                    (code, path, context, stat) -> set.countDown(),
                    null);
        }
        Check.that(set.await(Check.WAIT_S, TimeUnit.SECONDS), set.getCount() + " not set");
        s.zk.told.await(KeeperState.SyncConnected);
        s.restartServer();
        s.zk.told.await(KeeperState.SyncConnected);
        s.node("a-name-that-is-long-enough-to-fill-several-requests-" + (count - 1), "");
        Check.that(fired.await(Check.WAIT_S, TimeUnit.SECONDS), "the last watch is lost");
    }

    @Test(restarts = true)
    static void aWatchedNodeDeletedByExpiryIsTold(Stage s) throws Exception {
        Events seen = new Events();
        Stage.Client orphan = s.client("", 4_000);
        orphan.create(
                s.path("e"),
                null,
                org.apache.zookeeper.ZooDefs.Ids.OPEN_ACL_UNSAFE,
                org.apache.zookeeper.CreateMode.EPHEMERAL);
        s.zk.exists(s.path("e"), seen);
        s.zk.told.await(KeeperState.SyncConnected);
        orphan.abandon();
        s.restartServer();
        s.zk.told.await(KeeperState.SyncConnected);
        seen.expectAmidStates(NodeDeleted, s.path("e"));
    }
}
