import static org.apache.zookeeper.KeeperException.Code.*;

import harness.Check;
import harness.Stage;
import harness.Test;
import java.util.Arrays;
import java.util.List;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;

/** Access control lists and the identities that they admit. */
final class Acls {
    private Acls() {}

    private static ACL digest(int permissions, String user) throws Exception {
        return new ACL(
                permissions,
                new Id("digest", DigestAuthenticationProvider.generateDigest(user)));
    }

    private static Stage.Client as(Stage s, String user) throws Exception {
        Stage.Client client = s.client();
        client.addAuthInfo("digest", user.getBytes());
        return client;
    }

    @Test
    static void aDigestAdmitsItsUserOnly(Stage s) throws Exception {
        String n = s.path("n");
        s.zk.create(n, null, Arrays.asList(digest(Perms.ALL, "bob:1")), CreateMode.PERSISTENT);
        Check.refused(NOAUTH, () -> s.zk.getData(n, false, null));
        Check.refused(NOAUTH, () -> as(s, "bob:2").getData(n, false, null));
        as(s, "bob:1").setData(n, "x".getBytes(), 0);
    }

    @Test
    static void theCreatorsAclNeedsAnIdentity(Stage s) throws Exception {
        String n = s.path("n");
        Check.refused(
                INVALIDACL,
                () -> s.zk.create(n, null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        Stage.Client bob = as(s, "bob:1");
        bob.create(n, null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        Check.equal(bob.getACL(n, null), List.of(digest(Perms.ALL, "bob:1")));
    }

    @Test
    static void aReaderDoesNotSeeThePasswordsOfTheList(Stage s) throws Exception {
        String n = s.path("n");
        ACL world = new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE);
        s.zk.create(
                n, null, Arrays.asList(digest(Perms.ALL, "bob:1"), world), CreateMode.PERSISTENT);
        Check.equal(
                s.zk.getACL(n, null),
                List.of(new ACL(Perms.ALL, new Id("digest", "bob:x")), world));
    }

    @Test
    static void theListHasAVersionOfItsOwn(Stage s) throws Exception {
        String n = s.node("n", "");
        Check.equal(s.zk.setACL(n, Ids.OPEN_ACL_UNSAFE, 0).getAversion(), 1);
        Check.refused(BADVERSION, () -> s.zk.setACL(n, Ids.READ_ACL_UNSAFE, 0));
        s.zk.setACL(n, Ids.READ_ACL_UNSAFE, 1);
        Check.refused(NOAUTH, () -> s.zk.setACL(n, Ids.OPEN_ACL_UNSAFE, -1));
        Stat stat = new Stat();
        Check.equal(s.zk.getACL(n, stat), Ids.READ_ACL_UNSAFE);
        Check.equal(stat.getAversion(), 2);
        Check.equal(stat.getVersion(), 0);
    }

    @Test
    static void anAddressIsAnIdentity(Stage s) throws Exception {
        for (String admitted : new String[] {"127.0.0.1", "127.0.0.0/8"}) {
            String n = s.path("in-" + admitted.replace('/', '-'));
            List<ACL> list = Arrays.asList(new ACL(Perms.ALL, new Id("ip", admitted)));
            s.zk.create(n, null, list, CreateMode.PERSISTENT);
            s.zk.setData(n, null, 0);
        }
        List<ACL> list = Arrays.asList(new ACL(Perms.ALL, new Id("ip", "192.0.2.0/24")));
        s.zk.create(s.path("out"), null, list, CreateMode.PERSISTENT);
        Check.refused(NOAUTH, () -> s.zk.getData(s.path("out"), false, null));
    }

    @Test
    static void theSuperUserMayDoEverything(Stage s) throws Exception {
        String n = s.path("n");
        s.zk.create(n, null, Arrays.asList(digest(Perms.READ, "bob:1")), CreateMode.PERSISTENT);
        Stage.Client admin = as(s, "super:secret");
        admin.setData(n, "x".getBytes(), 0);
        admin.setACL(n, Ids.OPEN_ACL_UNSAFE, 0);
        s.zk.getData(n, false, null);
    }

    @Test
    static void deletingIsAMatterOfTheParent(Stage s) throws Exception {
        String parent = s.node("p", "");
        String child = parent + "/c";
        s.zk.create(child, null, Arrays.asList(digest(Perms.ALL, "bob:1")), CreateMode.PERSISTENT);
        s.zk.delete(child, -1);
        s.node("p/c", "");
        s.zk.setACL(parent, Ids.READ_ACL_UNSAFE, -1);
        Check.refused(NOAUTH, () -> s.zk.delete(child, -1));
        Check.refused(NOAUTH, () -> s.node("p/d", ""));
    }

    @Test
    static void aTransactionObeysEveryList(Stage s) throws Exception {
        String n = s.node("n", "");
        s.zk.setACL(n, Ids.READ_ACL_UNSAFE, -1);
        Check.refused(
                NOAUTH,
                () -> s.zk.multi(List.of(Op.check(n, 0), Op.setData(n, null, -1))));
    }

    @Test
    static void aBadSchemeFailsTheSession(Stage s) throws Exception {
        Stage.Client client = s.client();
        client.addAuthInfo("nonsense", "x".getBytes());
        client.told.await(KeeperState.AuthFailed);
        Check.refused(AUTHFAILED, () -> client.exists("/", false));
    }

    @Test
    static void identitiesComeBackOnANewConnection(Stage s) throws Exception {
        Stage.Client bob = as(s, "bob:1");
        String n = s.path("n");
        bob.create(n, "mine".getBytes(), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        bob.told.await(KeeperState.SyncConnected);
        bob.getTestable().closeSocket();
        bob.told.await(KeeperState.SyncConnected);
        Check.equal(new String(bob.getData(n, false, null)), "mine");
    }
}
