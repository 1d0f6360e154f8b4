package harness;

import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import org.apache.zookeeper.client.HostProvider;

/** The servers of a client, one after the other, and a bar that keeps it from reconnecting. */
public final class Gate implements HostProvider {
    private final List<InetSocketAddress> servers = new ArrayList<>();
    private int turn;
    private boolean barred;

    public Gate(String servers) {
        for (String server : servers.split(",")) {
            String[] parts = server.split(":");
            this.servers.add(new InetSocketAddress(parts[0], Integer.parseInt(parts[1])));
        }
    }

    public synchronized void bar() {
        barred = true;
    }

    public synchronized void open() {
        barred = false;
        notifyAll();
    }

    @Override
    public int size() {
        return servers.size();
    }

    @Override
    public synchronized InetSocketAddress next(long spinDelayMs) {
        try {
            while (barred) {
                wait();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return servers.get(turn++ % servers.size());
    }

    @Override
    public void onConnected() {}

    @Override
    public boolean updateServerList(Collection<InetSocketAddress> servers, InetSocketAddress now) {
        return false;
    }
}
