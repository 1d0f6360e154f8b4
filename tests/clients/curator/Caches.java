import harness.Check;
import harness.Stage;
import harness.Test;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCacheEvent;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.zookeeper.WatchedEvent;

/** Mirrors of a part of the tree: on persistent watches, and on one-shot watches. */
final class Caches {
    private Caches() {}

    private static Map<String, String> content(CuratorCache cache) {
        var content = new TreeMap<String, String>();
        cache.stream().forEach(d -> content.put(d.getPath(), new String(d.getData())));
        return content;
    }

    private static CuratorCache cache(Stage s, CuratorFramework client) throws Exception {
        var initialized = new CountDownLatch(1);
        CuratorCache cache = s.closeLater(CuratorCache.build(client, s.root));
        cache.listenable()
                .addListener(
                        CuratorCacheListener.builder()
                                .forInitialized(initialized::countDown)
                                .build());
        cache.start();
        Check.that(initialized.await(Check.WAIT_S, TimeUnit.SECONDS), "the cache never filled");
        return cache;
    }

    @Test
    static void aCacheMirrorsItsSubtree(Stage s) throws Exception {
        s.node("a", "1");
        s.node("a/b", "2");
        CuratorCache cache = cache(s, Curator.client(s));
        Check.equal(content(cache), Map.of(s.root, "", s.path("a"), "1", s.path("a/b"), "2"));
        s.node("c", "3");
        s.zk.setData(s.path("a"), "4".getBytes(), -1);
        s.zk.delete(s.path("a/b"), -1);
        Map<String, String> expected = Map.of(s.root, "", s.path("a"), "4", s.path("c"), "3");
        Check.eventually("the cache follows", () -> content(cache).equals(expected));
    }

    @Test
    static void aCacheTellsEveryChangeInOrder(Stage s) throws Exception {
        var told = new LinkedBlockingQueue<String>();
        CuratorCache cache = cache(s, Curator.client(s));
        cache.listenable()
                .addListener(
                        (type, old, data) -> {
                            ChildData subject = data == null ? old : data;
                            told.add(type + " " + subject.getPath());
                        });
        s.node("a", "");
        Check.equal(told.poll(Check.WAIT_S, TimeUnit.SECONDS), "NODE_CREATED " + s.path("a"));
        s.zk.setData(s.path("a"), "x".getBytes(), -1);
        Check.equal(told.poll(Check.WAIT_S, TimeUnit.SECONDS), "NODE_CHANGED " + s.path("a"));
        s.zk.delete(s.path("a"), -1);
        Check.equal(told.poll(Check.WAIT_S, TimeUnit.SECONDS), "NODE_DELETED " + s.path("a"));
    }

    @Test
    @SuppressWarnings("deprecation")
    static void aPathCacheFollowsChildrenWithOneShotWatches(Stage s) throws Exception {
        var told = new LinkedBlockingQueue<String>();
        var cache = s.closeLater(new PathChildrenCache(Curator.client(s), s.root, true));
        cache.getListenable()
                .addListener(
                        (client, event) -> {
                            if (event.getData() != null) {
                                told.add(event.getType() + " " + event.getData().getPath());
                            }
                        });
        s.node("a", "");
        cache.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
        Check.equal(cache.getCurrentData().size(), 1);
        String b = s.node("b", "");
        var added = PathChildrenCacheEvent.Type.CHILD_ADDED;
        // A connection that is just made lets the cache tell of what was there already.
        String first = told.poll(Check.WAIT_S, TimeUnit.SECONDS);
        while (first != null && first.endsWith(s.path("a"))) {
            first = told.poll(Check.WAIT_S, TimeUnit.SECONDS);
        }
        Check.equal(first, added + " " + b);
        s.zk.setData(b, "x".getBytes(), -1);
        var updated = PathChildrenCacheEvent.Type.CHILD_UPDATED;
        Check.equal(told.poll(Check.WAIT_S, TimeUnit.SECONDS), updated + " " + b);
        s.zk.delete(b, -1);
        var removed = PathChildrenCacheEvent.Type.CHILD_REMOVED;
        Check.equal(told.poll(Check.WAIT_S, TimeUnit.SECONDS), removed + " " + b);
    }

    @Test
    @SuppressWarnings("deprecation")
    static void aTreeCacheFollowsTheSubtree(Stage s) throws Exception {
        TreeCache cache = s.closeLater(new TreeCache(Curator.client(s), s.root));
        cache.start();
        s.node("a", "");
        s.node("a/b", "deep");
        Check.eventually("the cache follows", () -> cache.getCurrentData(s.path("a/b")) != null);
        Check.equal(new String(cache.getCurrentData(s.path("a/b")).getData()), "deep");
    }

    @Test
    static void aPersistentWatcherGoesOnAfterALostConnection(Stage s) throws Exception {
        CuratorFramework client = Curator.client(s);
        var events = new LinkedBlockingQueue<String>();
        var states = new LinkedBlockingQueue<ConnectionState>();
        var set = new CountDownLatch(1);
        var watcher = s.closeLater(new PersistentWatcher(client, s.root, true));
        watcher.getListenable()
                .addListener(
                        (WatchedEvent event) -> {
                            if (event.getPath() != null) {
                                events.add(event.getType() + " " + event.getPath());
                            }
                        });
        watcher.getResetListenable().addListener(set::countDown);
        watcher.start();
        Check.that(set.await(Check.WAIT_S, TimeUnit.SECONDS), "the watcher is not set");
        client.getConnectionStateListenable().addListener((c, state) -> states.add(state));
        client.getZookeeperClient().getZooKeeper().getTestable().closeSocket();
        while (states.poll(Check.WAIT_S, TimeUnit.SECONDS) != ConnectionState.RECONNECTED) {}
        client.checkExists().forPath(s.root); // answered after the client set its watches again
        s.node("a", "");
        Check.equal(events.poll(Check.WAIT_S, TimeUnit.SECONDS), "NodeCreated " + s.path("a"));
    }

    @Test(restarts = true)
    static void aCacheCatchesUpAfterARestart(Stage s) throws Exception {
        s.node("a", "1");
        CuratorCache cache = cache(s, Curator.client(s));
        s.restartServer();
        Check.eventually("reconnected", () -> s.zk.exists(s.root, false) != null);
        s.node("b", "2");
        s.zk.setData(s.path("a"), "3".getBytes(), -1);
        Map<String, String> expected = Map.of(s.root, "", s.path("a"), "3", s.path("b"), "2");
        Check.eventually("the cache follows", () -> content(cache).equals(expected));
    }
}
