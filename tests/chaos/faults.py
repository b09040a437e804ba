"""What goes wrong in a real world: each fault does its harm, undoes it, and returns; the numbers are the campaign's.

The letters are those of the fault plan: F1 a killed worker, F12 lost state, F31 an actuator that fails, and so on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.chaos import harm_cluster as cluster
from tests.chaos import harm_servers as servers
from tests.chaos import harm_traffic as traffic
from tests.chaos import harm_workers as workers
from tests.chaos.clocks import COMPILER
from tests.chaos.limits import TRACER
from tests.chaos.setup import Setup
from tests.chaos.world import World

Harm = Callable[[World, Random], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        code: Its number in the fault plan.
        on: What it strikes; two that strike the same do not happen at once.
        weight: How often it is drawn, against the others.
        target_s: Within how many seconds all that is on the log has to be in the store again.
        brokers: How many it needs.
        cluster: Whether the store has to be a cluster; None where it may be either.
        tool: A program that it needs; where that is not installed, it is not drawn.
    """

    code: str
    name: str
    harm: Harm
    on: str
    weight: int
    target_s: float
    brokers: int = 1
    cluster: bool | None = None
    tool: str = ""

    def fits(self, setup: Setup) -> bool:
        """Tell whether it can happen in such a world, and is wanted in it."""
        is_wanted = not setup.only or self.name in setup.only or self.code in setup.only
        can_be = not self.tool or shutil.which(self.tool) is not None
        return (
            is_wanted and can_be and self.brokers <= setup.brokers and self.cluster in (None, setup.cluster)
        )


FAULTS: tuple[Fault, ...] = (
    Fault("F1", "worker killed", workers.kill_worker, "workers", 6, workers.SESSION_S + 5),
    Fault("F1", "all workers killed", workers.kill_all_workers, "workers", 2, workers.SESSION_S + 5),
    Fault(
        "F2",
        "all killed as a decision is published",
        workers.kill_as_decided,
        "workers",
        4,
        workers.SESSION_S + 5,
    ),
    Fault("F3", "worker stopped for 1-3 s", workers.freeze_briefly, "workers", 2, workers.SESSION_S + 5),
    Fault(
        "F3",
        "worker stopped beyond its session",
        workers.freeze_beyond_session,
        "workers",
        4,
        workers.SESSION_S + 5,
    ),
    Fault(
        "F4",
        "event loop blocked beyond its session",
        workers.loop_blocked,
        "workers",
        3,
        workers.SESSION_S + 5,
    ),
    Fault("F5", "rolling restart", workers.roll, "workers", 2, workers.SESSION_S + 5),
    Fault("F6", "rebalance storm", workers.storm, "workers", 1, workers.SESSION_S + 5),
    Fault("F7", "broker killed", servers.broker_killed, "broker", 2, 15.0),
    Fault("F8", "brokers restarted in turn", servers.brokers_rolled, "broker", 2, 15.0, brokers=3),
    Fault("F8", "two of three brokers killed", servers.majority_killed, "broker", 2, 15.0, brokers=3),
    Fault("F9", "broker stopped for 3-10 s", servers.broker_frozen, "broker", 2, 15.0),
    Fault("F11", "store killed", servers.store_killed, "store", 3, 10.0, cluster=False),
    Fault("F12", "FLUSHALL", servers.state_flushed, "store", 2, 90.0),
    Fault("F12", "a partition's state deleted", servers.partition_deleted, "store", 2, 90.0),
    Fault("F12", "a bit or a field damaged", servers.bit_flipped, "store", 2, 90.0),
    Fault("F12", "an older state put back", servers.yesterday_restored, "store", 2, 90.0),
    Fault("F14", "store's disk full", servers.disk_full, "store", 2, 10.0, cluster=False),
    Fault(
        "F14", "store's disk does not sync", servers.syncs_fail, "store", 2, 10.0, cluster=False, tool=TRACER
    ),
    Fault("F14", "file rewritten, store killed", servers.file_rewritten, "store", 2, 10.0, cluster=False),
    Fault("F15", "primary killed", cluster.primary_killed, "store", 3, 10.0, cluster=True),
    Fault("F15", "primary stopped and replaced", cluster.primary_stopped, "store", 3, 10.0, cluster=True),
    Fault("F15", "replica takes over unasked", cluster.taken_over, "store", 3, 10.0, cluster=True),
    Fault("F15", "two primaries of the same slots", cluster.two_primaries, "store", 4, 10.0, cluster=True),
    Fault("F15", "slot moved", cluster.slot_moved, "store", 3, 10.0, cluster=True),
    Fault("F16", "primary killed, replica behind", cluster.replica_behind, "store", 4, 10.0, cluster=True),
    Fault("F18", "store's memory full", servers.store_refuses_writes, "store", 2, 10.0, cluster=False),
    Fault("F18", "store set to evict, and evicts", servers.store_evicts, "store", 2, 20.0, cluster=False),
    Fault("F19", "store stopped for 2-8 s", servers.store_frozen, "store", 2, 10.0, cluster=False),
    Fault("F19", "way to the store slow", workers.way_slow, "workers", 2, 10.0, cluster=False),
    Fault("F19", "answers of the store lost", workers.answers_lost, "workers", 2, 10.0, cluster=False),
    Fault("F19", "answers of the store cut", workers.answers_cut, "workers", 2, 10.0, cluster=False),
    Fault("F19", "way to the store deaf", workers.way_deaf, "workers", 2, 10.0, cluster=False),
    Fault("F29", "worker cut off the store", workers.way_shut, "workers", 2, 10.0, cluster=False),
    Fault("F20", "200 records of poison", traffic.poison, "traffic", 2, 10.0),
    Fault(
        "F21",
        "a record that crashes the decoder",
        workers.decoder_crashes,
        "workers",
        1,
        workers.SESSION_S + 5,
    ),
    Fault("F22", "batches sent again", traffic.repeats, "traffic", 2, 10.0),
    Fault("F24", "1,500 new cohorts to one partition", traffic.crowd, "traffic", 1, 10.0),
    Fault("F26", "old records again", traffic.history_again, "traffic", 1, 10.0),
    Fault("F26", "group set back, all killed", servers.group_set_back, "workers", 2, workers.SESSION_S + 5),
    Fault("F27", "worker's clock an hour wrong", workers.clock_wrong, "workers", 3, 10.0),
    Fault("F27", "store's clock an hour wrong", servers.store_clock_wrong, "workers", 2, 11.0, cluster=False),
    Fault(
        "F27", "broker's clock an hour behind", servers.broker_clock_behind, "broker", 2, 15.0, tool=COMPILER
    ),
    Fault("F27", "broker's clock steps", servers.broker_clock_steps, "broker", 2, 15.0, tool=COMPILER),
    Fault("F28", "producers' clocks wrong", traffic.wrong_clocks, "traffic", 2, 10.0),
    Fault("F30", "one partition's source silent", traffic.source_silent, "traffic", 2, 10.0),
    Fault("F31", "flag system fails", traffic.actuator_fails, "effects", 3, 15.0),
    Fault("F33", "paging system fails", traffic.pager_fails, "effects", 2, 15.0),
    Fault("F35", "broken budgets and commands", traffic.broken_orders, "traffic", 1, 10.0),
    Fault("F36", "worker has a tenth of its time", workers.time_stolen, "workers", 1, workers.SESSION_S + 5),
    Fault("F36", "worker can open nothing more", workers.no_more_files, "workers", 2, workers.SESSION_S + 5),
    Fault("F36", "worker has no memory left", workers.no_more_memory, "workers", 2, workers.SESSION_S + 5),
    Fault("F36", "worker cannot write its log", workers.logs_full, "workers", 1, workers.SESSION_S + 5),
)
"""Every kind, in the order of the table."""
