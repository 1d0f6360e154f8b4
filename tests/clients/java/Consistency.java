import static org.apache.zookeeper.Watcher.Event.EventType.NodeCreated;
import static org.apache.zookeeper.Watcher.Event.EventType.NodeDataChanged;

import harness.Check;
import harness.Events;
import harness.Stage;
import harness.Test;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.AsyncCallback.StringCallback;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** What many clients of one server may rely on together, under load. */
final class Consistency {
    private Consistency() {}

    private interface Work {
        void run(ZooKeeper zk) throws Exception;
    }

    /** Runs the work over and over on clients of its own until told to stop. */
    private static List<Future<?>> repeat(Stage s, int clients, AtomicBoolean stop, Work work)
            throws Exception {
        var threads = Executors.newFixedThreadPool(clients);
        var running = new ArrayList<Future<?>>();
        for (int n = 0; n < clients; n++) {
            ZooKeeper zk = s.client();
            running.add(
                    threads.submit(
                            () -> {
                                while (!stop.get()) {
                                    work.run(zk);
                                }
                                return null;
                            }));
        }
        threads.shutdown();
        return running;
    }

    private static void finish(List<Future<?>> running) throws Exception {
        for (Future<?> each : running) {
            try {
                each.get(Check.WAIT_S, TimeUnit.SECONDS);
            } catch (ExecutionException e) {
                throw new AssertionError(e.getCause().getMessage(), e.getCause());
            }
        }
    }

    private static void raise(AtomicLong known, long zxid) {
        known.accumulateAndGet(zxid, Math::max);
    }

    @Test
    static void whatOneClientKnowsEveryClientReads(Stage s) throws Exception {
        String n = s.node("n", "");
        var known = new AtomicLong(s.zk.exists(n, false).getMzxid());
        var stop = new AtomicBoolean();
        var running =
                repeat(s, 2, stop, zk -> raise(known, zk.setData(n, null, -1).getMzxid()));
        running.addAll(
                repeat(
                        s,
                        4,
                        stop,
                        zk -> {
                            long before = known.get();
                            long read = zk.exists(n, false).getMzxid();
                            Check.that(read >= before, read + " read after " + before);
                            raise(known, read);
                        }));
        Thread.sleep(3_000); // as many rounds as fit
        stop.set(true);
        finish(running);
    }

    @Test
    static void whatAnEventTellsEveryClientReads(Stage s) throws Exception {
        String n = s.node("n", "");
        var known = new AtomicLong();
        var stop = new AtomicBoolean();
        s.client()
                .addWatch(n, event -> raise(known, event.getZxid()), AddWatchMode.PERSISTENT);
        var running = repeat(s, 1, stop, zk -> zk.setData(n, null, -1));
        running.addAll(
                repeat(
                        s,
                        4,
                        stop,
                        zk -> {
                            long before = known.get();
                            long read = zk.exists(n, false).getMzxid();
                            Check.that(read >= before, read + " read after " + before);
                        }));
        Check.eventually("events are told", () -> known.get() > 0);
        Thread.sleep(3_000); // as many rounds as fit
        stop.set(true);
        finish(running);
    }

    @Test
    static void aRecursiveWatcherMissesNothing(Stage s) throws Exception {
        int count = 5_000;
        var told = new ArrayList<String>();
        var all = new CountDownLatch(count);
        s.client()
                .addWatch(
                        s.root,
                        event -> {
                            if (event.getType() == NodeCreated) {
                                told.add(event.getPath());
                                all.countDown();
                            }
                        },
                        AddWatchMode.PERSISTENT_RECURSIVE);
        var made = new ArrayList<String>();
        var done = new CountDownLatch(count);
        StringCallback callback =
                (code, path, context, name) -> {
                    made.add(name);
                    done.countDown();
                };
        for (int n = 0; n < count; n++) {
            CreateMode mode = CreateMode.PERSISTENT_SEQUENTIAL;
            s.zk.create(s.path("n-"), null, Ids.OPEN_ACL_UNSAFE, mode, callback, null);
        }
        Check.that(done.await(Check.WAIT_S, TimeUnit.SECONDS), done.getCount() + " not made");
        Check.that(all.await(Check.WAIT_S, TimeUnit.SECONDS), all.getCount() + " not told");
        Check.that(told.equals(made), "told in another order than made");
    }

    @Test
    static void tenThousandEphemeralsGoAtOnce(Stage s) throws Exception {
        int count = 10_000;
        var done = new CountDownLatch(count);
        Stage.Client owner = s.client();
        for (int n = 0; n < count; n++) {
            owner.create(
                    s.path("e" + n),
                    null,
                    Ids.OPEN_ACL_UNSAFE,
                    CreateMode.EPHEMERAL,
                    (int code, String path, Object context, String name) -> done.countDown(),
                    null);
        }
        Check.that(done.await(Check.WAIT_S, TimeUnit.SECONDS), done.getCount() + " missing");
        Check.equal(owner.getEphemerals().size(), count);
        owner.close();
        Stat stat = s.zk.exists(s.root, false);
        Check.equal(stat.getNumChildren(), 0);
        Check.equal(stat.getCversion(), 2 * count);
    }

    @Test
    static void aTransactionMayFillAFrame(Stage s) throws Exception {
        var operations = new ArrayList<Op>();
        for (int n = 0; n < 900; n++) {
            byte[] data = new byte[1_000];
            operations.add(
                    Op.create(s.path("n" + n), data, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        }
        Check.equal(s.zk.multi(operations).size(), 900);
        Check.equal(s.zk.getAllChildrenNumber(s.root), 900);
    }

    /** Each transaction moves value between two nodes; no read of both may see it in between. */
    @Test
    static void readsOfSeveralNodesSeeWholeTransactions(Stage s) throws Exception {
        String a = s.node("a", "500");
        String b = s.node("b", "500");
        var stop = new AtomicBoolean();
        var moved = new AtomicLong();
        var running =
                repeat(
                        s,
                        1,
                        stop,
                        zk -> {
                            long left = 500 - moved.incrementAndGet() % 500;
                            byte[] one = Long.toString(left).getBytes();
                            byte[] other = Long.toString(1_000 - left).getBytes();
                            zk.multi(List.of(Op.setData(a, one, -1), Op.setData(b, other, -1)));
                        });
        running.addAll(
                repeat(
                        s,
                        2,
                        stop,
                        zk -> {
                            // Read twice: when the first read's version stands, so does the pair.
                            Stat before = new Stat();
                            Stat after = new Stat();
                            long first = number(zk.getData(a, false, before));
                            long second = number(zk.getData(b, false, null));
                            zk.getData(a, false, after);
                            if (before.getVersion() == after.getVersion()) {
                                Check.equal(first + second, 1_000L);
                            }
                        }));
        Thread.sleep(2_000); // as many rounds as fit
        stop.set(true);
        finish(running);
    }

    private static long number(byte[] data) {
        return Long.parseLong(new String(data));
    }

    @Test(restarts = true)
    static void acknowledgedWritesOutliveARestartUnderLoad(Stage s) throws Exception {
        String n = s.node("n", "0");
        var acknowledged = new AtomicLong();
        s.zk.told.await(KeeperState.SyncConnected);
        for (int value = 1; value <= 20_000; value++) {
            long written = value;
            s.zk.setData(
                    n,
                    Long.toString(value).getBytes(),
                    -1,
                    (code, path, context, stat) -> {
                        if (code == 0) {
                            raise(acknowledged, written);
                        }
                    },
                    null);
        }
        Check.eventually("writes are on their way", () -> acknowledged.get() > 100);
        s.restartServer();
        s.zk.told.await(KeeperState.SyncConnected);
        Check.eventually("read again", () -> s.zk.exists(n, false) != null);
        long kept = number(s.zk.getData(n, false, null));
        Check.that(kept >= acknowledged.get(), kept + " kept of " + acknowledged + " told");
    }

    @Test
    static void everyClientIsToldEveryChange(Stage s) throws Exception {
        String n = s.node("n", "");
        var seen = new ArrayList<Events>();
        for (int client = 0; client < 30; client++) {
            Events events = new Events();
            s.client().addWatch(n, events, AddWatchMode.PERSISTENT);
            seen.add(events);
        }
        for (int round = 0; round < 20; round++) {
            s.zk.setData(n, null, -1);
        }
        for (Events events : seen) {
            for (int round = 0; round < 20; round++) {
                events.expect(NodeDataChanged, n);
            }
        }
    }
}
