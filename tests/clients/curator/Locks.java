import harness.Check;
import harness.Stage;
import harness.Test;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.zookeeper.client.FourLetterWordMain;

/** Locks: exclusive, shared, counted, several at once. */
final class Locks {
    private Locks() {}

    private static boolean tries(InterProcessLock lock) throws Exception {
        return lock.acquire(200, TimeUnit.MILLISECONDS);
    }

    private static boolean waits(InterProcessLock lock) throws Exception {
        return lock.acquire(Check.WAIT_S, TimeUnit.SECONDS);
    }

    private interface LockOf {
        InterProcessLock on(CuratorFramework client);
    }

    /** Several clients count with a counter that only a lock protects. */
    private static void excludes(Stage s, LockOf lockOf) throws Exception {
        int[] total = {0};
        var workers = new ArrayList<CompletableFuture<Void>>();
        for (int client = 0; client < 5; client++) {
            InterProcessLock lock = lockOf.on(Curator.client(s));
            workers.add(
                    Curator.start(
                            () -> {
                                for (int round = 0; round < 10; round++) {
                                    Check.that(waits(lock), "the lock never came free");
                                    int value = total[0];
                                    Thread.yield();
                                    total[0] = value + 1;
                                    lock.release();
                                }
                                return null;
                            }));
        }
        Curator.all(workers);
        Check.equal(total[0], 50);
    }

    @Test
    static void aMutexExcludes(Stage s) throws Exception {
        excludes(s, client -> new InterProcessMutex(client, s.path("lock")));
    }

    @Test
    static void aSemaphoreMutexExcludes(Stage s) throws Exception {
        excludes(s, client -> new InterProcessSemaphoreMutex(client, s.path("lock")));
    }

    @Test
    static void aMutexCanBeTakenAgainByItsThread(Stage s) throws Exception {
        var lock = new InterProcessMutex(Curator.client(s), s.path("lock"));
        var other = new InterProcessMutex(Curator.client(s), s.path("lock"));
        Check.that(tries(lock) && tries(lock), "not reentrant");
        lock.release();
        Check.that(!tries(other), "two holders");
        lock.release();
        Check.that(waits(other), "the lock is not free");
    }

    /** Sessions that watch each node under the root, as their servers tell them. */
    private static Map<String, Integer> watchers(Stage s) throws Exception {
        var counts = new TreeMap<String, Integer>();
        for (String server : s.server.split(",")) {
            String[] parts = server.split(":");
            int port = Integer.parseInt(parts[1]);
            String path = "";
            for (String line :
                    FourLetterWordMain.send4LetterWord(parts[0], port, "wchp").split("\n")) {
                if (line.startsWith("/")) {
                    path = line;
                } else if (path.startsWith(s.root + "/")) {
                    counts.merge(path, 1, Integer::sum);
                }
            }
        }
        return counts;
    }

    @Test
    static void eachWaiterWatchesOnlyTheOneBeforeIt(Stage s) throws Exception {
        int waiting = 5;
        var held = new LinkedBlockingQueue<Integer>();
        var workers = new ArrayList<CompletableFuture<Void>>();
        var holder = new InterProcessMutex(Curator.client(s), s.path("lock"));
        holder.acquire();
        for (int n = 0; n < waiting; n++) {
            int name = n;
            var lock = new InterProcessMutex(Curator.client(s), s.path("lock"));
            workers.add(
                    Curator.start(
                            () -> {
                                lock.acquire();
                                held.add(name);
                                lock.release();
                                return null;
                            }));
            int queued = n + 1;
            Check.eventually("the waiter is queued", () -> watchers(s).size() == queued);
        }
        var perNode = new ArrayList<>(watchers(s).values());
        Check.equal(perNode, java.util.Collections.nCopies(waiting, 1));
        holder.release();
        Curator.all(workers);
        Check.equal(new ArrayList<>(held), List.of(0, 1, 2, 3, 4));
    }

    @Test
    static void theMutexOfAnExpiredSessionIsFree(Stage s) throws Exception {
        CuratorFramework owner = Curator.client(s);
        var waiter = new InterProcessMutex(Curator.client(s), s.path("lock"));
        new InterProcessMutex(owner, s.path("lock")).acquire();
        Check.that(!tries(waiter), "two holders");
        Curator.expire(s, owner);
        Check.that(waits(waiter), "the lock is not free");
    }

    @Test
    static void readersShareAndWritersExclude(Stage s) throws Exception {
        var one = new InterProcessReadWriteLock(Curator.client(s), s.path("lock"));
        var two = new InterProcessReadWriteLock(Curator.client(s), s.path("lock"));
        Check.that(tries(one.readLock()) && tries(two.readLock()), "readers do not share");
        Check.that(!tries(two.writeLock()), "a writer beside a reader");
        one.readLock().release();
        two.readLock().release();
        Check.that(tries(one.writeLock()), "the lock is not free");
        Check.that(!tries(two.readLock()), "a reader beside the writer");
        Check.that(tries(one.readLock()), "the writer cannot step down to reading");
        one.writeLock().release();
        Check.that(waits(two.readLock()), "no sharing after stepping down");
    }

    @Test
    static void aReaderWaitsBehindAWaitingWriter(Stage s) throws Exception {
        var reading = new InterProcessReadWriteLock(Curator.client(s), s.path("lock"));
        var writing = new InterProcessReadWriteLock(Curator.client(s), s.path("lock"));
        var late = new InterProcessReadWriteLock(Curator.client(s), s.path("lock"));
        reading.readLock().acquire();
        CompletableFuture<Boolean> writer =
                Curator.start(
                        () -> {
                            boolean got = waits(writing.writeLock());
                            writing.writeLock().release();
                            return got;
                        });
        Check.eventually(
                "the writer is queued",
                () -> reading.writeLock().getParticipantNodes().size() == 1);
        Check.that(!tries(late.readLock()), "a reader overtook a writer");
        reading.readLock().release();
        Check.that(Curator.result(writer), "the writer never got its turn");
        Check.that(waits(late.readLock()), "the reader never got its turn");
    }

    @Test
    static void aSemaphoreGrantsItsLeases(Stage s) throws Exception {
        var inside = new AtomicInteger();
        var most = new AtomicInteger();
        var workers = new ArrayList<CompletableFuture<Void>>();
        for (int client = 0; client < 5; client++) {
            var semaphore = new InterProcessSemaphoreV2(Curator.client(s), s.path("s"), 2);
            workers.add(
                    Curator.start(
                            () -> {
                                for (int round = 0; round < 5; round++) {
                                    Lease lease = semaphore.acquire(Check.WAIT_S, TimeUnit.SECONDS);
                                    most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                                    Thread.yield();
                                    inside.decrementAndGet();
                                    semaphore.returnLease(lease);
                                }
                                return null;
                            }));
        }
        Curator.all(workers);
        Check.that(most.get() <= 2, most + " leases at once");
    }

    @Test
    static void severalLocksAreTakenTogetherOrNotAtAll(Stage s) throws Exception {
        CuratorFramework client = Curator.client(s);
        var busy = new InterProcessMutex(Curator.client(s), s.path("b"));
        var free = new InterProcessMutex(Curator.client(s), s.path("a"));
        var both = new InterProcessMultiLock(client, List.of(s.path("a"), s.path("b")));
        busy.acquire();
        Check.that(!tries(both), "took a held lock");
        Check.that(tries(free), "the first of both is still held");
        free.release();
        busy.release();
        Check.that(waits(both), "both are free");
    }
}
