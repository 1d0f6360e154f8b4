package harness;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;

/** What one test works with: a root node of its own, and clients that are closed after it. */
public final class Stage implements AutoCloseable {
    public static final int SESSION_MS = 10_000;

    /**
     * Of an ensemble, its members in an order of this test: its clients meet on one member, where
     * they see each other's writes at once, and each moves on to the next when it reconnects.
     */
    public final String server;

    public final String root;
    public final Client zk;
    private final List<AutoCloseable> closing = new ArrayList<>();

    Stage(String server, String name) throws Exception {
        List<String> members = Arrays.asList(server.split(","));
        Collections.shuffle(members);
        this.server = String.join(",", members);
        this.root = "/java-" + ProcessHandle.current().pid() + "-" + name;
        this.zk = client();
        zk.create(root, new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }

    /** A client that can leave without a word, as one whose machine died. */
    public static final class Client extends ZooKeeper {
        /** What the default watcher was told: the states of the connection, mostly. */
        public final Events told;

        private final CountDownLatch connected;

        private Client(Gate gate, int timeoutMs, long id, byte[] password, String to)
                throws IOException {
            this(gate, timeoutMs, id, password, to, new Events(), new CountDownLatch(1));
        }

        private Client(
                Gate gate,
                int timeoutMs,
                long id,
                byte[] password,
                String to,
                Events told,
                CountDownLatch connected)
                throws IOException {
            super(
                    to,
                    timeoutMs,
                    event -> {
                        if (event.getState() == KeeperState.SyncConnected) {
                            connected.countDown();
                        }
                        told.process(event);
                    },
                    id,
                    password,
                    false,
                    gate);
            this.told = told;
            this.connected = connected;
        }

        /** Drops the connection and never comes back; the session lives on at the server. */
        public void abandon() {
            cnxn.disconnect();
        }
    }

    public Client client() throws Exception {
        return client("", SESSION_MS);
    }

    public Client client(String chroot, int timeoutMs) throws Exception {
        return connected(new Client(new Gate(server), timeoutMs, 0, null, server + chroot));
    }

    /** A client whose way to the server can be barred. */
    public Client client(Gate gate) throws Exception {
        return connected(new Client(gate, SESSION_MS, 0, null, server));
    }

    public Client resume(long id, byte[] password) throws Exception {
        return connected(unconnected(id, password));
    }

    /** A client with the id and password of a session; nothing is said about its success. */
    public Client unconnected(long id, byte[] password) throws Exception {
        return closeLater(new Client(new Gate(server), SESSION_MS, id, password, server));
    }

    private Client connected(Client client) throws Exception {
        closeLater(client);
        Check.that(client.connected.await(Check.WAIT_S, TimeUnit.SECONDS), "not connected");
        return client;
    }

    public <T extends AutoCloseable> T closeLater(T thing) {
        synchronized (closing) {
            closing.add(0, thing);
        }
        return thing;
    }

    public String path(String name) {
        return root + "/" + name;
    }

    /** Makes a plain node under the root and returns its path. */
    public String node(String name, String data) throws Exception {
        return zk.create(
                path(name), data.getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }

    /** From now on {@link #zk} reads what others have written, on whichever member they are. */
    public void catchUp() {
        zk.sync("/", null, null); // requests of a client are answered in order
    }

    /** Kills the server and waits until it is back. */
    public void restartServer() throws Exception {
        Process process =
                new ProcessBuilder("sh", "-c", System.getenv("CLIENTS_RESTART"))
                        .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                        .redirectError(ProcessBuilder.Redirect.INHERIT)
                        .start();
        Check.that(process.waitFor(40, TimeUnit.SECONDS), "the server does not restart");
        Check.equal(process.exitValue(), 0);
    }

    @Override
    public void close() throws Exception {
        for (AutoCloseable thing : closing) {
            thing.close();
        }
    }
}
