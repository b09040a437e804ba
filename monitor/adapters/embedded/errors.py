"""What can go wrong with an embedded server: always with the remedy."""

from __future__ import annotations

from monitor.core.errors import MonitorError


class EmbeddedUnavailable(MonitorError):
    """An embedded server cannot be had or did not come up; the message names the cause and the way out."""

    def __init__(self, what: str, cause: str, remedy: str) -> None:
        super().__init__(f"{what}: {cause}; {remedy}")
        self.what, self.cause, self.remedy = what, cause, remedy


EXTRA_REMEDY = 'install the extra: pip install "rollback-budget-monitor[embedded]"'
OWN_KAFKA_REMEDY = "or point ROLLBACK_BUDGET_KAFKA at a Kafka of your own"
OWN_REDIS_REMEDY = "or point ROLLBACK_BUDGET_REDIS at a Redis or Valkey of your own"
