import harness.Check;
import harness.Stage;
import harness.Test;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.state.ConnectionState;

/** Queues: first in first out, by priority, with consumers that may fail. */
final class Queues {
    private Queues() {}

    private static final QueueSerializer<String> TEXT =
            new QueueSerializer<>() {
                @Override
                public byte[] serialize(String item) {
                    return item.getBytes();
                }

                @Override
                public String deserialize(byte[] bytes) {
                    return new String(bytes);
                }
            };

    /** Hands what it consumes to the test. */
    private static final class Consumer implements QueueConsumer<String> {
        final LinkedBlockingQueue<String> consumed;

        Consumer(LinkedBlockingQueue<String> consumed) {
            this.consumed = consumed;
        }

        @Override
        public void consumeMessage(String item) {
            consumed.add(item);
        }

        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {}
    }

    private static QueueBuilder<String> builder(
            Stage s, CuratorFramework client, QueueConsumer<String> consumer) {
        return QueueBuilder.builder(client, consumer, TEXT, s.path("q"));
    }

    private static List<String> take(LinkedBlockingQueue<String> from, int count)
            throws InterruptedException {
        var items = new ArrayList<String>();
        while (items.size() < count) {
            String item = from.poll(Check.WAIT_S, TimeUnit.SECONDS);
            Check.that(item != null, "only " + items + " arrived");
            items.add(item);
        }
        return items;
    }

    @Test
    static void aSimpleQueueIsFirstInFirstOut(Stage s) throws Exception {
        var queue = new SimpleDistributedQueue(Curator.client(s), s.path("q"));
        for (int n = 0; n < 10; n++) {
            queue.offer(("" + n).getBytes());
        }
        var other = new SimpleDistributedQueue(Curator.client(s), s.path("q"));
        for (int n = 0; n < 10; n++) {
            Check.equal(new String(other.take()), "" + n);
        }
        Check.equal(other.poll(100, TimeUnit.MILLISECONDS), null);
        CompletableFuture<byte[]> waiting = Curator.start(other::take);
        queue.offer("late".getBytes());
        Check.equal(new String(Curator.result(waiting)), "late");
    }

    @Test
    static void consumersShareAQueueWithoutLossOrDouble(Stage s) throws Exception {
        var consumed = new LinkedBlockingQueue<String>();
        var expected = new TreeSet<String>();
        for (int n = 0; n < 3; n++) {
            s.closeLater(
                            builder(s, Curator.client(s), new Consumer(consumed))
                                    .lockPath(s.path("lock"))
                                    .buildQueue())
                    .start();
        }
        var producer = s.closeLater(builder(s, Curator.client(s), null).buildQueue());
        producer.start();
        for (int n = 0; n < 40; n++) {
            producer.put("item" + n);
            expected.add("item" + n);
        }
        Check.equal(new TreeSet<>(take(consumed, 40)), expected);
        Check.eventually(
                "the queue is empty",
                () -> s.zk.getChildren(s.path("q"), false).isEmpty() && consumed.isEmpty());
    }

    @Test
    static void aPriorityQueueGivesTheMostUrgentFirst(Stage s) throws Exception {
        var producer = s.closeLater(builder(s, Curator.client(s), null).buildPriorityQueue(10));
        producer.start();
        producer.put("last", 30);
        producer.put("first", 10);
        producer.put("middle", 20);
        Check.that(producer.flushPuts(Check.WAIT_S, TimeUnit.SECONDS), "not written in time");
        var consumed = new LinkedBlockingQueue<String>();
        s.closeLater(builder(s, Curator.client(s), new Consumer(consumed)).buildPriorityQueue(10))
                .start();
        Check.equal(take(consumed, 3), List.of("first", "middle", "last"));
    }

    @Test
    static void aDelayQueueHoldsItemsBack(Stage s) throws Exception {
        var consumed = new LinkedBlockingQueue<String>();
        var queue =
                s.closeLater(
                        builder(s, Curator.client(s), new Consumer(consumed)).buildDelayQueue());
        queue.start();
        long now = System.currentTimeMillis();
        queue.put("later", now + 1_500);
        queue.put("sooner", now + 500);
        Check.equal(take(consumed, 2), List.of("sooner", "later"));
        Check.that(System.currentTimeMillis() >= now + 1_500, "came before its time");
    }

    @Test
    static void anItemCanBeTakenBackByItsId(Stage s) throws Exception {
        var queue = s.closeLater(builder(s, Curator.client(s), null).buildIdQueue());
        queue.start();
        queue.put("a", "id-a");
        queue.put("b", "id-b");
        Check.that(queue.flushPuts(Check.WAIT_S, TimeUnit.SECONDS), "not written in time");
        Check.equal(queue.remove("id-a"), 1);
        var consumed = new LinkedBlockingQueue<String>();
        s.closeLater(builder(s, Curator.client(s), new Consumer(consumed)).buildIdQueue()).start();
        Check.equal(take(consumed, 1), List.of("b"));
    }
}
