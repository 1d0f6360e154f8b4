"""A client process that a test kills or freezes: doomed.py HOST:PORT EPHEMERAL SECONDS

Makes the ephemeral node, prints `session ID PASSWORD` and then each state of its session; ends with
its standard input.
"""

import sys

from kazoo.client import KazooClient
from kazoo.retry import KazooRetry

server, node, seconds = sys.argv[1:]
zk = KazooClient(
    server, timeout=float(seconds), connection_retry=KazooRetry(max_tries=-1, max_delay=0.2)
)
zk.start()
zk.create(node, ephemeral=True)
zk.add_listener(lambda state: print(state, flush=True))
print("session", zk.client_id[0], zk.client_id[1].hex(), flush=True)
sys.stdin.read()
