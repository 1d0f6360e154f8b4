import harness.Check;
import harness.Stage;
import harness.Test;
import java.util.ArrayList;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedValue;
import org.apache.curator.framework.recipes.shared.SharedValueListener;
import org.apache.curator.framework.recipes.shared.SharedValueReader;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;

/** Numbers and values that many share. */
final class Numbers {
    private Numbers() {}

    @Test
    static void anAtomicLongLosesNoIncrement(Stage s) throws Exception {
        var workers = new ArrayList<CompletableFuture<Void>>();
        for (int client = 0; client < 4; client++) {
            var number =
                    new DistributedAtomicLong(
                            Curator.client(s), s.path("n"), new RetryNTimes(1_000, 1));
            workers.add(
                    Curator.start(
                            () -> {
                                for (int round = 0; round < 20; round++) {
                                    Check.that(number.increment().succeeded(), "gave up");
                                }
                                return null;
                            }));
        }
        Curator.all(workers);
        AtomicValue<Long> value =
                new DistributedAtomicLong(Curator.client(s), s.path("n"), new RetryNTimes(1, 1))
                        .get();
        Check.equal(value.postValue(), 80L);
    }

    @Test
    static void aSharedCountIsChangedOnlyByWhoKnowsIt(Stage s) throws Exception {
        SharedCount one = s.closeLater(new SharedCount(Curator.client(s), s.path("n"), 7));
        SharedCount two = s.closeLater(new SharedCount(Curator.client(s), s.path("n"), 7));
        one.start();
        two.start();
        Check.equal(two.getCount(), 7);
        var before = two.getVersionedValue();
        one.setCount(8);
        Check.that(!two.trySetCount(before, 9), "changed a value it had not seen");
        Check.eventually("the other is told", () -> two.getCount() == 8);
        Check.that(two.trySetCount(two.getVersionedValue(), 9), "refused");
        Check.eventually("the first is told", () -> one.getCount() == 9);
    }

    @Test
    static void aSharedValueTellsItsListeners(Stage s) throws Exception {
        var value = s.closeLater(new SharedValue(Curator.client(s), s.path("v"), new byte[0]));
        var told = new LinkedBlockingQueue<String>();
        value.getListenable()
                .addListener(
                        new SharedValueListener() {
                            @Override
                            public void valueHasChanged(SharedValueReader reader, byte[] now) {
                                told.add(new String(now));
                            }

                            @Override
                            public void stateChanged(CuratorFramework c, ConnectionState state) {}
                        });
        value.start();
        s.zk.setData(s.path("v"), "new".getBytes(), -1);
        String last = "";
        while (last.isEmpty()) { // the value at the start may be told first
            last = told.poll(Check.WAIT_S, TimeUnit.SECONDS);
        }
        Check.equal(last, "new");
    }
}
