// Tests of node-zookeeper-client against the server named on the command line.
'use strict';

const { deepStrictEqual, notStrictEqual, ok, strictEqual } = require('assert');
const { ACL, CreateMode, Id, Permission } = require('node-zookeeper-client');
const { main, refused, watcher } = require('./harness');

const OWNER = 'ephemeralOwner';
const hex = (stat, field) => stat[field].toString('hex');

const tests = {
  async a_node_is_made_read_changed_and_removed({ zk, path }, n = path('n')) {
    strictEqual(await zk.create(n, Buffer.from('one')), n);
    let [data, stat] = await zk.getData(n);
    deepStrictEqual([data.toString(), stat.version, stat.dataLength], ['one', 0, 3]);
    strictEqual(hex(stat, 'czxid'), hex(stat, 'mzxid'));
    stat = await zk.setData(n, Buffer.from('three'), 0);
    deepStrictEqual([stat.version, stat.dataLength], [1, 5]);
    await zk.remove(n, 1);
    strictEqual(await zk.exists(n), null);
  },

  async refusals_name_their_reason({ zk, path }) {
    await zk.create(path('a'));
    await zk.create(path('a/b'));
    await zk.create(path('e'), CreateMode.EPHEMERAL);
    await refused('NODE_EXISTS', zk.create(path('a')));
    await refused('NO_NODE', zk.create(path('x/y')));
    await refused('NO_CHILDREN_FOR_EPHEMERALS', zk.create(path('e/c')));
    await refused('NOT_EMPTY', zk.remove(path('a'), -1));
    await refused('BAD_VERSION', zk.remove(path('a/b'), 3));
    await refused('BAD_VERSION', zk.setData(path('a/b'), Buffer.alloc(0), 3));
    await refused('NO_NODE', zk.getData(path('missing')));
  },

  async sequential_names_count_up({ zk, path }) {
    const names = await Promise.all(Array.from({ length: 100 }, () =>
      zk.create(path('n-'), CreateMode.EPHEMERAL_SEQUENTIAL)));
    deepStrictEqual(names, names.map((_, n) => path(`n-${String(n).padStart(10, '0')}`)));
  },

  async children_and_unicode_names({ zk, root, path }) {
    const wanted = ['b', 'größe', '日本語'];
    for (const name of wanted) await zk.create(path(name), Buffer.from(name));
    const [names, stat] = await zk.getChildren(root);
    deepStrictEqual(names.sort(), wanted);
    strictEqual(stat.numChildren, 3);
    await zk.mkdirp(path('x/y/z'));
    ok(await zk.exists(path('x/y/z')));
  },

  async a_large_value_survives({ zk, path }) {
    const value = Buffer.alloc(1_000_000, 'abcdefg');
    await zk.create(path('n'), value);
    const [data] = await zk.getData(path('n'));
    ok(data.equals(value));
  },

  async a_transaction_is_all_or_nothing({ zk, path }, n = path('n')) {
    const results = await zk.commit(zk.raw.transaction()
      .create(n)
      .setData(n, Buffer.from('x'), 0)
      .check(n, 1)
      .create(path('m'))
      .remove(path('m'), 0));
    strictEqual(results.length, 5);
    const error = await refused('NO_NODE', zk.commit(zk.raw.transaction()
      .remove(n, 1)
      .check(path('missing'), 0)
      .create(path('o'))));
    strictEqual(error.results.length, 3);
    ok(await zk.exists(n));
  },

  async acls_admit_whom_they_name({ zk, path, client }, n = path('n')) {
    const bob = await client();
    bob.raw.addAuthInfo('digest', Buffer.from('bob:1'));
    await bob.create(n, Buffer.from('mine'), ACL.CREATOR_ALL_ACL);
    await refused('NO_AUTH', zk.getData(n));
    const [list] = await bob.getACL(n);
    strictEqual(list[0].id.scheme, 'digest');
    ok(list[0].id.id.startsWith('bob:'));
    await bob.setACL(n, [new ACL(Permission.READ, new Id('world', 'anyone'))], 0);
    strictEqual((await zk.getData(n))[0].toString(), 'mine');
    await refused('NO_AUTH', zk.setData(n, Buffer.alloc(0), -1));
  },

  async a_chroot_is_invisible_inside({ zk, root, server, unconnected }) {
    const inside = unconnected({}, server + root);
    await inside.connect();
    strictEqual(await inside.create('/n'), '/n');
    deepStrictEqual((await zk.getChildren(root))[0], ['n']);
  },

  async one_shot_watches_fire_once({ zk, root, path }) {
    const [data, absent, child] = [watcher(), watcher(), watcher()];
    await zk.create(path('n'));
    await zk.getData(path('n'), data);
    await zk.exists(path('m'), absent);
    await zk.getChildren(root, child);
    await zk.setData(path('n'), Buffer.alloc(0), -1);
    await zk.create(path('m'));
    await data.next('NODE_DATA_CHANGED', path('n'));
    await absent.next('NODE_CREATED', path('m'));
    await child.next('NODE_CHILDREN_CHANGED', root);
    const deleted = watcher();
    await zk.exists(path('n'), deleted);
    await zk.remove(path('n'), -1);
    await deleted.next('NODE_DELETED', path('n'));
  },

  async watches_come_back_on_a_new_connection({ zk, path, client }) {
    const [other, data, absent] = [await client(), watcher(), watcher()];
    await zk.create(path('n'));
    await other.getData(path('n'), data);
    await other.exists(path('m'), absent);
    const connected = other.once('connected');
    other.cut(false);
    await connected;
    await zk.setData(path('n'), Buffer.alloc(0), -1);
    await zk.create(path('m'));
    await data.next('NODE_DATA_CHANGED', path('n'));
    await absent.next('NODE_CREATED', path('m'));
  },

  async ephemerals_go_with_their_session({ zk, path, client }, e = path('e')) {
    const [other, gone] = [await client(), watcher()];
    await other.create(e, CreateMode.EPHEMERAL);
    strictEqual(hex(await zk.exists(e, gone), OWNER), other.session);
    other.close();
    await gone.next('NODE_DELETED', e);
  },

  async a_client_that_is_gone_expires({ zk, path, client, unconnected }, e = path('e')) {
    const [other, gone] = [await client({ sessionTimeout: 4_000 }), watcher()];
    await other.create(e, CreateMode.EPHEMERAL);
    await zk.exists(e, gone);
    other.cut(true);
    await gone.next('NODE_DELETED', e);
    const late = unconnected({
      sessionId: other.raw.getSessionId(), sessionPassword: other.raw.getSessionPassword(),
    });
    const expired = late.once('expired');
    late.raw.connect();
    await expired;
  },

  async a_session_resumes_with_id_and_password({ zk, path, client }, e = path('e')) {
    const other = await client();
    await other.create(e, CreateMode.EPHEMERAL);
    other.cut(true);
    const heir = await client({
      sessionId: other.raw.getSessionId(), sessionPassword: other.raw.getSessionPassword(),
    });
    strictEqual(heir.session, other.session);
    strictEqual(hex(await zk.exists(e), OWNER), heir.session);
  },
};

const restarting = {
  async sessions_and_watches_outlive_a_killed_server({ zk, path, restartServer }) {
    const [data, session] = [watcher(), zk.session];
    await zk.create(path('e'), CreateMode.EPHEMERAL);
    await zk.create(path('n'), Buffer.from('kept'));
    await zk.getData(path('n'), data);
    const connected = zk.once('connected');
    await restartServer();
    await connected;
    strictEqual(zk.session, session);
    notStrictEqual(await zk.exists(path('e')), null);
    strictEqual((await zk.getData(path('n')))[0].toString(), 'kept');
    await zk.setData(path('n'), Buffer.alloc(0), 0);
    await data.next('NODE_DATA_CHANGED', path('n'));
  },
};

main(process.argv[2], tests, restarting);
