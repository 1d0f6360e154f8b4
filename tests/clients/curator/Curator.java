import harness.Check;
import harness.Stage;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryForever;

/** Clients and threads for the tests of recipes. */
final class Curator {
    private Curator() {}

    static CuratorFramework client(Stage s) {
        return client(s, CuratorFrameworkFactory.builder());
    }

    static CuratorFramework client(Stage s, CuratorFrameworkFactory.Builder builder) {
        CuratorFramework client =
                builder.connectString(s.server)
                        .sessionTimeoutMs(Stage.SESSION_MS)
                        .connectionTimeoutMs(Stage.SESSION_MS)
                        .retryPolicy(new RetryForever(100))
                        .build();
        s.closeLater(client).start();
        return client;
    }

    /** Ends the session of a client behind its back, as a long network failure would. */
    static void expire(Stage s, CuratorFramework client) throws Exception {
        var zk = client.getZookeeperClient().getZooKeeper();
        s.resume(zk.getSessionId(), zk.getSessionPasswd()).close();
    }

    /** Runs the work on a thread of its own. */
    static <T> CompletableFuture<T> start(Callable<T> work) {
        var result = new CompletableFuture<T>();
        Thread thread =
                new Thread(
                        () -> {
                            try {
                                result.complete(work.call());
                            } catch (Throwable e) {
                                result.completeExceptionally(e);
                            }
                        });
        thread.setDaemon(true);
        thread.start();
        return result;
    }

    static <T> List<T> all(List<CompletableFuture<T>> started) throws Exception {
        var results = new ArrayList<T>();
        for (CompletableFuture<T> each : started) {
            results.add(result(each));
        }
        return results;
    }

    static <T> T result(CompletableFuture<T> started) throws Exception {
        try {
            return started.get(2 * Check.WAIT_S, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            throw new AssertionError("on a worker: " + e.getCause(), e.getCause());
        }
    }
}
