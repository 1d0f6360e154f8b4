"""Runs every kazoo test against the server named on the command line."""

import sys

import acl  # noqa: F401  (importing a module registers its tests)
import basics  # noqa: F401
import coordination  # noqa: F401
import directory  # noqa: F401
import multi  # noqa: F401
import queues  # noqa: F401
import sessions  # noqa: F401
import watches  # noqa: F401
from harness import run_all

sys.exit(run_all(sys.argv[1]))
