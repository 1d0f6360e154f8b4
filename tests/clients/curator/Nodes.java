import harness.Check;
import harness.Events;
import harness.Stage;
import harness.Test;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.api.CuratorWatcher;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Watcher.Event.EventType;

/** Nodes that someone keeps alive: presence, membership, services. */
final class Nodes {
    private Nodes() {}

    @Test
    static void aPersistentNodeIsMadeAgain(Stage s) throws Exception {
        CuratorFramework client = Curator.client(s);
        Events seen = new Events();
        var node =
                s.closeLater(
                        new PersistentNode(
                                client, CreateMode.EPHEMERAL, false, s.path("n"), new byte[1]));
        s.zk.addWatch(s.path("n"), seen, org.apache.zookeeper.AddWatchMode.PERSISTENT);
        node.start();
        seen.expect(EventType.NodeCreated, s.path("n"));
        s.zk.delete(s.path("n"), -1);
        seen.expect(EventType.NodeDeleted, s.path("n"));
        seen.expect(EventType.NodeCreated, s.path("n"));
        Curator.expire(s, client);
        seen.expect(EventType.NodeDeleted, s.path("n"));
        seen.expect(EventType.NodeCreated, s.path("n"));
    }

    @Test
    static void aTtlNodeLivesAsLongAsItsKeeper(Stage s) throws Exception {
        Events seen = new Events();
        var node =
                new PersistentTtlNode(Curator.client(s), s.path("t"), 2_000, "data".getBytes());
        node.start();
        Check.that(node.waitForInitialCreate(Check.WAIT_S, TimeUnit.SECONDS), "not made");
        s.catchUp();
        s.zk.exists(s.path("t"), seen);
        Thread.sleep(5_000); // the claim is about time passing
        seen.expectNothing(s.zk);
        node.close();
        seen.expect(EventType.NodeDeleted, s.path("t"));
    }

    @Test
    static void membersSeeTheGroup(Stage s) throws Exception {
        CuratorFramework leaving = Curator.client(s);
        GroupMember a = s.closeLater(new GroupMember(Curator.client(s), s.root, "a", new byte[1]));
        GroupMember b = new GroupMember(leaving, s.root, "b", new byte[2]);
        a.start();
        b.start();
        Check.eventually(
                "both are members", () -> a.getCurrentMembers().keySet().equals(Set.of("a", "b")));
        Check.equal(a.getCurrentMembers().get("b").length, 2);
        b.close();
        Check.eventually(
                "one has left", () -> a.getCurrentMembers().keySet().equals(Set.of("a")));
    }

    /** As Dubbo's registry on Curator does it: watch, read again, tell the service user. */
    private static final class Directory implements CuratorWatcher {
        final CuratorFramework client;
        final String path;
        final LinkedBlockingQueue<List<String>> told = new LinkedBlockingQueue<>();

        Directory(CuratorFramework client, String path) throws Exception {
            this.client = client;
            this.path = path;
            told.add(client.getChildren().usingWatcher(this).forPath(path));
        }

        @Override
        public void process(org.apache.zookeeper.WatchedEvent event) throws Exception {
            if (event.getType() == EventType.NodeChildrenChanged) {
                told.add(client.getChildren().usingWatcher(this).forPath(path));
            }
        }

        void await(Set<String> providers) throws InterruptedException {
            List<String> last = null;
            while (last == null || !Set.copyOf(last).equals(providers)) {
                last = told.poll(Check.WAIT_S, TimeUnit.SECONDS);
                Check.that(last != null, "never told of " + providers);
            }
        }
    }

    @Test
    static void servicesAreFoundInTheLayoutOfDubbo(Stage s) throws Exception {
        String providers = s.path("dubbo/org.example.Greeter/providers");
        CuratorFramework consumer = Curator.client(s);
        consumer.create().creatingParentsIfNeeded().forPath(providers);
        Directory directory = new Directory(consumer, providers);
        directory.await(Set.of());
        String[] urls = new String[3];
        CuratorFramework[] hosts = new CuratorFramework[3];
        for (int n = 0; n < 3; n++) {
            String url = "dubbo://127.0.0.1:2088" + n + "/org.example.Greeter?methods=hello,bye";
            urls[n] = URLEncoder.encode(url, StandardCharsets.UTF_8);
            hosts[n] = Curator.client(s);
            hosts[n].create()
                    .creatingParentsIfNeeded()
                    .withMode(CreateMode.EPHEMERAL)
                    .forPath(providers + "/" + urls[n]);
        }
        directory.await(Set.of(urls));
        Curator.expire(s, hosts[1]);
        directory.await(Set.of(urls[0], urls[2]));
        hosts[2].close();
        directory.await(Set.of(urls[0]));
    }
}
