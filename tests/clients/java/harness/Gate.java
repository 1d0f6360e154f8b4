package harness;

import java.net.InetSocketAddress;
import java.util.Collection;
import org.apache.zookeeper.client.HostProvider;

/** The one server of a client, and a bar that keeps the client from reconnecting to it. */
public final class Gate implements HostProvider {
    private final InetSocketAddress server;
    private boolean barred;

    public Gate(String server) {
        String[] parts = server.split(":");
        this.server = new InetSocketAddress(parts[0], Integer.parseInt(parts[1]));
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
        return 1;
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
        return server;
    }

    @Override
    public void onConnected() {}

    @Override
    public boolean updateServerList(Collection<InetSocketAddress> servers, InetSocketAddress now) {
        return false;
    }
}
