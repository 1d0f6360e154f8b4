// Runs async functions as tests. Each gets a stage: a root node and clients of its own.
'use strict';

const assert = require('assert');
const { execFile } = require('child_process');
const { promisify } = require('util');
const zookeeper = require('node-zookeeper-client');

const WAIT_MS = 15_000;
const TEST_MS_MAX = 60_000;
const AT_A_TIME = 4;

function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// The callback API of a client, as promises; what it is told comes out of `told`.
class Client {
  constructor(server, options) {
    this.raw = zookeeper.createClient(server, { spinDelay: 100, ...options });
    for (const name of ['create', 'remove', 'setData', 'setACL', 'mkdirp']) {
      this[name] = promisify(this.raw[name]).bind(this.raw);
    }
    this.exists = (path, watcher) => this.answer('exists', path, watcher).then(([stat]) => stat);
    this.getData = (path, watcher) => this.answer('getData', path, watcher);
    this.getChildren = (path, watcher) => this.answer('getChildren', path, watcher);
    this.getACL = (path) => this.answer('getACL', path);
  }

  answer(method, ...parameters) {
    return new Promise((resolve, reject) => {
      const given = parameters.filter((each) => each !== undefined);
      this.raw[method](...given, (error, ...results) => (error ? reject(error) : resolve(results)));
    });
  }

  commit(transaction) {
    return new Promise((resolve, reject) => {
      transaction.commit((error, results) => {
        if (error) reject(Object.assign(error, { results }));
        else resolve(results);
      });
    });
  }

  once(event) {
    return within(WAIT_MS, event, new Promise((resolve) => { this.raw.once(event, resolve); }));
  }

  async connect() {
    const connected = this.once('connected');
    this.raw.connect();
    await connected;
    return this;
  }

  // Loses the connection; when abandoned, the client never comes back.
  cut(abandoned) {
    const manager = this.raw.connectionManager;
    if (abandoned) manager.connect = () => {};
    manager.socket.destroy();
  }

  close() {
    this.raw.close();
  }

  get session() {
    return this.raw.getSessionId().toString('hex');
  }
}

class Stage {
  constructor(server, name) {
    this.server = server;
    this.root = `/node-${process.pid}-${name}`;
    this.clients = [];
  }

  // Fields rather than methods, so that a test can name those it needs in its parameters.
  unconnected = (options, server = this.server) => {
    const client = new Client(server, { sessionTimeout: 10_000, ...options });
    // Of an ensemble, its members in an order of this test, which its first client has drawn: its
    // clients meet on one member, where they see each other's writes at once, and each moves on to
    // the next when it reconnects.
    this.members ??= client.raw.connectionManager.servers;
    client.raw.connectionManager.servers = this.members;
    this.clients.push(client);
    return client;
  };

  client = (options) => this.unconnected(options).connect();

  path = (name) => `${this.root}/${name}`;

  restartServer = () => promisify(execFile)('sh', ['-c', process.env.CLIENTS_RESTART]);
}

// A watcher, and a promise for the one event that it is told.
function watcher() {
  let tell;
  const event = new Promise((resolve) => { tell = resolve; });
  tell.next = (name, path) =>
    within(WAIT_MS, name, event).then((got) => {
      assert.strictEqual(`${got.getName()} ${got.getPath()}`, `${name} ${path}`);
    });
  return tell;
}

async function refused(name, promise) {
  const error = await promise.then(
    () => assert.fail(`no error where ${name} was expected`), (reason) => reason);
  assert.strictEqual(error.name, name);
  return error;
}

async function runOne(server, name, body) {
  const stage = new Stage(server, name);
  try {
    await within(TEST_MS_MAX, 'the test', (async () => {
      stage.zk = await stage.client();
      await stage.zk.create(stage.root);
      await body(stage);
    })());
    console.log(`ok ${name}`);
    return true;
  } catch (error) {
    console.error(error);
    console.log(`FAIL ${name}: ${String(error.message).split('\n')[0]}`);
    return false;
  } finally {
    for (const client of stage.clients) client.close();
  }
}

async function runAll(server, tests, atATime) {
  const waiting = Object.entries(tests)
    .filter(([name]) => name.includes(process.env.CLIENTS_ONLY || ''));
  let passed = true;
  const lane = async () => {
    while (waiting.length > 0) {
      const [name, body] = waiting.shift();
      passed = (await runOne(server, name, body)) && passed;
    }
  };
  await Promise.all(Array.from({ length: atATime }, lane));
  return passed;
}

async function main(server, tests, restarting) {
  let passed = await runAll(server, tests, AT_A_TIME);
  if (process.env.CLIENTS_RESTART) {
    passed = (await runAll(server, restarting, 1)) && passed;
  }
  process.exit(passed ? 0 : 1);
}

module.exports = { main, refused, watcher };
