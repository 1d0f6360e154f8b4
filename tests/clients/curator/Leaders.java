import harness.Check;
import harness.Stage;
import harness.Test;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;

/** Elections of a master. */
final class Leaders {
    private Leaders() {}

    private static LeaderLatch latch(Stage s, CuratorFramework client, String id) throws Exception {
        LeaderLatch latch = new LeaderLatch(client, s.path("latch"), id);
        latch.start();
        return latch;
    }

    private static long leading(List<LeaderLatch> latches) {
        return latches.stream().filter(LeaderLatch::hasLeadership).count();
    }

    @Test
    static void aLatchHandsLeadershipOn(Stage s) throws Exception {
        var latches = new ArrayList<LeaderLatch>();
        for (int n = 0; n < 5; n++) {
            latches.add(latch(s, Curator.client(s), "l" + n));
        }
        while (!latches.isEmpty()) {
            Check.eventually("someone leads", () -> leading(latches) == 1);
            LeaderLatch leader =
                    latches.stream().filter(LeaderLatch::hasLeadership).findFirst().orElseThrow();
            Check.eventually(
                    "all agree on the leader",
                    () -> latches.get(0).getLeader().getId().equals(leader.getId()));
            latches.remove(leader);
            leader.close();
        }
    }

    @Test
    static void aLeaderWhoseSessionEndsStepsDown(Stage s) throws Exception {
        CuratorFramework client = Curator.client(s);
        LeaderLatch first = latch(s, client, "first");
        Check.that(first.await(Check.WAIT_S, TimeUnit.SECONDS), "nobody leads");
        LeaderLatch second = latch(s, Curator.client(s), "second");
        Check.eventually("both take part", () -> first.getParticipants().size() == 2);
        var stepped = new CountDownLatch(1);
        first.addListener(
                new LeaderLatchListener() {
                    @Override
                    public void isLeader() {}

                    @Override
                    public void notLeader() {
                        stepped.countDown();
                    }
                });
        Curator.expire(s, client);
        Check.that(stepped.await(Check.WAIT_S, TimeUnit.SECONDS), "it does not step down");
        Check.that(second.await(Check.WAIT_S, TimeUnit.SECONDS), "nobody follows");
        Check.eventually("it queues again", () -> second.getParticipants().size() == 2);
        second.close();
        first.close();
    }

    @Test
    static void selectorsLeadOneAfterTheOther(Stage s) throws Exception {
        var leading = new AtomicInteger();
        var terms = new LinkedBlockingQueue<String>();
        var tooMany = new CompletableFuture<Integer>();
        for (int n = 0; n < 4; n++) {
            String name = "s" + n;
            var selector =
                    new LeaderSelector(
                            Curator.client(s),
                            s.path("selector"),
                            new LeaderSelectorListenerAdapter() {
                                @Override
                                public void takeLeadership(CuratorFramework client)
                                        throws Exception {
                                    if (leading.incrementAndGet() > 1) {
                                        tooMany.complete(leading.get());
                                    }
                                    client.checkExists().forPath("/");
                                    terms.add(name);
                                    leading.decrementAndGet();
                                }
                            });
            selector.autoRequeue();
            s.closeLater(selector);
            selector.start();
        }
        var seen = new java.util.HashSet<String>();
        for (int term = 0; term < 20 || seen.size() < 4; term++) {
            String name = terms.poll(Check.WAIT_S, TimeUnit.SECONDS);
            Check.that(name != null, "nobody leads any more");
            seen.add(name);
        }
        Check.that(!tooMany.isDone(), "two leaders at once");
    }

    @Test(restarts = true)
    static void oneLeaderAgainAfterARestart(Stage s) throws Exception {
        var latches = new ArrayList<LeaderLatch>();
        for (int n = 0; n < 3; n++) {
            latches.add(latch(s, Curator.client(s), "l" + n));
        }
        Check.eventually("someone leads", () -> leading(latches) == 1);
        s.restartServer();
        Check.eventually(
                "someone leads again",
                () -> leading(latches) == 1 && latches.get(0).getParticipants().size() == 3);
        for (LeaderLatch latch : latches) {
            latch.close();
        }
    }
}
