import harness.Check;
import harness.Stage;
import harness.Test;
import java.util.ArrayList;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;

/** Barriers: wait until one lifts it, or until all are there. */
final class Barriers {
    private Barriers() {}

    @Test
    static void aBarrierHoldsUntilItIsRemoved(Stage s) throws Exception {
        var barrier = new DistributedBarrier(Curator.client(s), s.path("b"));
        barrier.setBarrier();
        var waiting = new ArrayList<CompletableFuture<Boolean>>();
        for (int n = 0; n < 4; n++) {
            var own = new DistributedBarrier(Curator.client(s), s.path("b"));
            Check.that(!own.waitOnBarrier(100, TimeUnit.MILLISECONDS), "passed the barrier");
            waiting.add(Curator.start(() -> own.waitOnBarrier(Check.WAIT_S, TimeUnit.SECONDS)));
        }
        barrier.removeBarrier();
        for (boolean passed : Curator.all(waiting)) {
            Check.that(passed, "still waits");
        }
    }

    @Test
    static void aDoubleBarrierAdmitsAndReleasesAllTogether(Stage s) throws Exception {
        int size = 4;
        var inside = new AtomicInteger();
        var workers = new ArrayList<CompletableFuture<Integer>>();
        for (int n = 0; n < size; n++) {
            var barrier = new DistributedDoubleBarrier(Curator.client(s), s.path("b"), size);
            workers.add(
                    Curator.start(
                            () -> {
                                inside.incrementAndGet();
                                barrier.enter();
                                int seen = inside.get();
                                barrier.leave();
                                return seen;
                            }));
        }
        for (int seen : Curator.all(workers)) {
            Check.equal(seen, size);
        }
    }
}
