"""The real Alertmanager, where one is installed; elsewhere the contract server stands alone, and pytest says so.

`ROLLBACK_BUDGET_TEST_ALERTMANAGER` names the program; else it is looked for on the path, as Debian calls it
(`apt-get install prometheus-alertmanager`) and as its makers do. Nothing is installed here.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import httpx

from monitor.adapters.pagers.alertmanager import AlertmanagerPager
from tests.adapters.pagers.rigs import NOBODY, RIGS, Pages, Rig, over, page_of, words
from tests.adapters.pagers.systems import Asked, Front, Said

PROGRAM = (
    os.environ.get("ROLLBACK_BUDGET_TEST_ALERTMANAGER")
    or shutil.which("prometheus-alertmanager")
    or shutil.which("alertmanager")
)
READY_S = 60.0  # how long a start may take on a busy machine
STARTS = 3  # its port was free a moment before

if PROGRAM is None:
    warnings.warn(
        "no Alertmanager is installed: its pager is tested against the contract server alone; "
        "`make integration-alertmanager` is the command for the real one",
        stacklevel=1,
    )


@asynccontextmanager
async def real_alertmanager(program: str, notified: str | None = None) -> AsyncIterator[str]:
    """Run an Alertmanager on loopback, and yield its URL.

    Args:
        notified: A webhook receiver's URL that it notifies at once, also of what is resolved.
    """
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(STARTS):
            process, url = await asyncio.to_thread(_started, program, Path(folder), notified)
            if await _is_ready(url, process):
                break
        else:
            raise AssertionError(await asyncio.to_thread(Path(folder, "log").read_text, "utf-8"))
        try:
            yield url
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 30)


def _started(program: str, folder: Path, notified: str | None) -> tuple[subprocess.Popen[bytes], str]:
    receiver: dict[str, object] = {"name": "people"}
    if notified:
        receiver["webhook_configs"] = [{"url": notified, "send_resolved": True}]
    route = {"receiver": "people", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
    config = folder / "alertmanager.yml"
    config.write_text(json.dumps({"route": route, "receivers": [receiver]}), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        program,
        f"--config.file={config}",
        f"--storage.path={folder}/data",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with (folder / "log").open("w") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT), f"http://{address}"


async def _is_ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until it answers; False where it has ended, as when somebody else was faster to its port."""
    async with asyncio.timeout(READY_S), httpx.AsyncClient(verify=NOBODY) as client:
        while process.poll() is None:
            try:
                if (await client.get(f"{url}/-/ready")).is_success:
                    return True
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
    return False


@asynccontextmanager
async def _real_rig(program: str) -> AsyncIterator[Rig]:
    async with real_alertmanager(program) as url:
        seen: set[str] = set()

        async def forward(asked: Asked) -> Said:
            async with httpx.AsyncClient(verify=NOBODY) as client:
                json_type = {"content-type": "application/json"}
                answer = await client.post(f"{url}{asked.path}", content=asked.body, headers=json_type)
            if answer.is_success:
                seen.update(page_of(alert) for alert in asked.json)
            return Said(answer.status_code, answer.json() if answer.content else None)

        def alerts() -> list[str]:
            return [page_of(alert) for alert in httpx.get(f"{url}/api/v2/alerts", verify=NOBODY).json()]

        def pages() -> Pages:
            fires = alerts()
            return {one: "open" if one in fires else "resolved" for one in seen}

        yield Rig(
            "alertmanager (the real one)",
            Front(forward),
            over(lambda base, http: AlertmanagerPager([base], http, words)),
            pages,
            lambda: len(alerts()),
            acknowledges=False,
            refusal=Said(400, "bad labels"),
        )


@asynccontextmanager
async def _in_process(make: Callable[[], Rig]) -> AsyncIterator[Rig]:
    yield make()


AllRigs = Mapping[str, Callable[[], AbstractAsyncContextManager[Rig]]]
RIGS_WITH_REAL: AllRigs = {
    **{name: partial(_in_process, make) for name, make in RIGS.items()},
    **({"real alertmanager": partial(_real_rig, PROGRAM)} if PROGRAM else {}),
}
