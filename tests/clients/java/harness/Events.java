package harness;

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AsyncCallback.VoidCallback;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooKeeper;

/** A watcher that keeps the events it sees; of those without a path it keeps the state. */
public final class Events implements Watcher {
    private final BlockingQueue<String> seen = new LinkedBlockingQueue<>();

    @Override
    public void process(WatchedEvent event) {
        if (event.getType() == EventType.None) {
            seen.add(event.getState().toString());
        } else {
            seen.add(event.getType() + " " + event.getPath());
        }
    }

    public String next() throws InterruptedException {
        String event = seen.poll(Check.WAIT_S, TimeUnit.SECONDS);
        Check.that(event != null, "no event within " + Check.WAIT_S + " s");
        return event;
    }

    public void expect(EventType type, String path) throws InterruptedException {
        Check.equal(next(), type + " " + path);
    }

    /** Skips what is told of the connection until it is in the given state. */
    public void await(KeeperState state) throws InterruptedException {
        while (!next().equals(state.toString())) {}
    }

    /** Skips what is told of the connection. */
    public void expectAmidStates(EventType type, String path) throws InterruptedException {
        String event = next();
        while (!event.contains(" ")) {
            event = next();
        }
        Check.equal(event, type + " " + path);
    }

    /** No event was sent before the reply to a sync: callbacks and events share one queue. */
    public void expectNothing(ZooKeeper zk) throws Exception {
        sync(zk);
        Check.that(seen.isEmpty(), "unexpected event " + seen.peek());
    }

    /** Whether an event was sent before the reply to a sync; forgets it. */
    public boolean sawAny(ZooKeeper zk) throws Exception {
        sync(zk);
        boolean any = !seen.isEmpty();
        seen.clear();
        return any;
    }

    private static void sync(ZooKeeper zk) throws Exception {
        var done = new java.util.concurrent.CountDownLatch(1);
        VoidCallback callback = (code, path, context) -> done.countDown();
        zk.sync("/", callback, null);
        Check.that(done.await(Check.WAIT_S, TimeUnit.SECONDS), "no answer to a sync");
    }
}
