"""The watcher beside a real worker on a real Kafka: it pages when the worker is gone, and says so when it is back."""

from __future__ import annotations

from pathlib import Path

from tests.adapters.receiver import SECRET, Receiver, receiver
from tests.integration.stage import Stage, staged
from tests.integration.workers import Worker, eventually

LIMITS = {
    "watch_every_s": 1,
    "watch_delay_s": 6,
    "watch_silence_s": 3,
    "watch_blind_s": 86_400,  # the topic is shared: another test's workers may have ended blind
    "watch_ping_every_s": 1,
}


def start_watcher(stage: Stage, name: str, told: Receiver) -> Worker:
    """Start the watcher: the stage's topic and group, no state store, a pager and a ping URL of its own."""
    settings = {
        "kafka_bootstrap": stage.access.bootstrap,
        "redis_url": "redis://127.0.0.1:9/0",  # nobody is there, and nobody is asked
        "traces_topic": stage.traces,
        "group": stage.name,
        "log_format": "json",
        "pager_webhook_url": told.url,
        "pager_webhook_secret": SECRET,
        "watch_ping_url": told.url + "/ping",
        "webhook_allow_private": True,
        **LIMITS,
    }
    texts = {key.upper(): str(value) for key, value in settings.items()}
    watcher = Worker(f"{stage.name}-{name}", stage.folder, texts, verb="watch")
    stage.workers.append(watcher)
    return watcher.start()


def pings(told: Receiver) -> int:
    return sum(one.method == "GET" for one in told.got)


def notices(told: Receiver) -> list[dict[str, object]]:
    """Return the notices about the watcher's page, in their order."""
    return [dict(one.json) for one in told.got if one.method == "POST"]


def page(told: Receiver) -> dict[str, object]:
    """Return the last of them; empty before the first."""
    return (notices(told) or [{}])[-1]


async def test_a_killed_worker_is_paged_by_the_watchers_own_path_and_resolved_when_one_is_back(
    kafka: str, tmp_path: Path, unique: str
) -> None:
    async with receiver() as told, staged(kafka, tmp_path, unique, partitions=2) as stage:
        worker = stage.worker("w")
        await worker.ready()
        watcher = start_watcher(stage, "watcher", told)

        async def is_pinged() -> bool:
            assert watcher.is_running, watcher.log[-4_000:]
            return pings(told) > 0 and page(told).get("state") == "resolved"

        await eventually(is_pinged, "all is well, and the dead-man's switch hears of it")
        worker.kill()

        async def is_paged() -> bool:
            assert watcher.is_running, watcher.log[-4_000:]
            return page(told).get("state") == "opened"

        await eventually(is_paged, "nobody reads, and a person hears of it")
        opened = page(told)
        assert opened["about"] == "blind"
        assert str(opened["title"]).startswith("Nobody watches: ")
        before, so_far = pings(told), len(notices(told))
        worker.start()

        async def is_resolved() -> bool:
            assert watcher.is_running, watcher.log[-4_000:]
            news = [one for one in notices(told)[so_far:] if one["state"] == "resolved"]
            assert {one["page_id"] for one in news} <= {opened["page_id"]}
            return bool(news) and pings(told) > before

        await eventually(is_resolved, "the page is over, and the pings go on")
        assert await watcher.terminate() == 0
        assert "Traceback" not in watcher.log
        counts = await worker.metrics()
        assert counts.get('events_total{result="rejected"}', 0) == 0, "a canary fits the contract"
