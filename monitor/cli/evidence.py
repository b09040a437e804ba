"""The verb `evidence`: a release's record as one file for an auditor or a post-mortem, and the check of such a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import typer

from monitor.cli.output import Output, OutputOption, console, print_json
from monitor.cli.scorecard import ArmingNumber, EventsFile
from monitor.core.errors import MonitorError

if TYPE_CHECKING:
    from monitor.cli.evidence_files import Pack
    from monitor.core.budget import Budget

EVIDENCE_EXAMPLE: Final = "rollback-budget evidence model-v42 --out evidence/model-v42.zip"
FAILED: Final = 1


class WrongUse(MonitorError):
    """Options that do not go together; the message says which do."""

    exit_code: ClassVar[int] = 2


def evidence(
    release: Annotated[
        str | None, typer.Argument(metavar="RELEASE", help="The candidate's name, as in its budget.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.zip", help="Where the pack is written.")
    ] = None,
    events: EventsFile = None,
    arming: ArmingNumber = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget", metavar="FILE", help="The budget as it was armed, where the record lacks it."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    verify: Annotated[
        Path | None,
        typer.Option(
            "--verify", metavar="FILE.zip", help="Check a pack instead: its manifest and its chain."
        ),
    ] = None,
    kept: Annotated[
        str | None,
        typer.Option(
            "--sha256", metavar="HEX", help="With --verify: the manifest's SHA-256, as it was kept."
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Pack a release's record: scorecard, chained decisions, explanations, debts, budget, manifest; or check a pack.

    Ends with 1 where a verdict does not follow from its own record, or a pack is not as its manifest says.
    """
    if verify is not None:
        if release is not None or any((out, events, arming, budget, force)):
            raise WrongUse("--verify FILE.zip checks a pack: it goes with --sha256 and --output alone")
        _verify(verify, kept, output)
        return
    if release is None or out is None:
        raise WrongUse("name the release and --out FILE.zip, or a pack to be checked with --verify FILE.zip")
    if kept is not None:
        raise WrongUse("--sha256 goes with --verify FILE.zip")
    _write(release, out, events, arming, budget, output, force=force)


def _write(
    release: str,
    out: Path,
    events: str | None,
    arming: int | None,
    budget: str | None,
    output: Output,
    *,
    force: bool,
) -> None:
    from monitor.adapters.evidence_zip import check_place, write_pack
    from monitor.cli.evidence_files import pack_of
    from monitor.cli.on_record import on_record
    from monitor.engine.arming_record import arming_record

    check_place(out, force=force)  # before anything is read
    given = None if budget is None else _budget(budget)
    found = on_record(events)
    pack = pack_of(arming_record(found.decisions(), release, arming), found, given)
    size = write_pack(out, pack.files, force=force)
    if output is Output.JSON:
        print_json(_as_json(out, pack, size))
    else:
        _print(out, pack, size)
    if pack.disagreeing:
        raise typer.Exit(FAILED)


def _budget(name: str) -> Budget:
    from monitor.config.files import load_budgets

    found = load_budgets([name])
    if len(found) != 1:
        raise WrongUse(f"--budget {name}: {len(found)} budgets; name the one file as it was armed")
    return found[0]


def _as_json(out: Path, pack: Pack, size: int) -> dict[str, object]:
    return {
        "file": str(out),
        "size": size,
        "release": pack.card.identity.release,
        "arming": pack.card.identity.arming,
        "result": pack.card.result.value,
        "decisions": len(pack.chain.lines),
        "chain_end": pack.chain.end,
        "manifest_sha256": pack.manifest_sha256,
        "explained": pack.explained,
        "disagreeing": list(pack.disagreeing),
        "problems": list(pack.problems),
    }


def _print(out: Path, pack: Pack, size: int) -> None:
    from monitor.engine.page_words import plain

    people, card = console(), pack.card
    who = plain(f"{card.identity.release}, arming {card.identity.arming}")
    people.print(f"{out}: {len(pack.files)} files, {size:,} bytes: {who}: {card.result.words}", style="bold")
    people.print(f"  {len(pack.chain.lines)} decisions; the chain ends at {pack.chain.end}")
    if pack.disagreeing:
        ids = ", ".join(one[:12] for one in pack.disagreeing[:5])
        words = (
            f"{len(pack.disagreeing)} of {pack.explained} decisions DO NOT FOLLOW from their record: {ids}"
        )
        people.print(f"  {words}; explanations.md says why", style="bold red")
    else:
        people.print(f"  {pack.explained} decisions carry evidence, and each follows from it")
    for words in pack.problems:
        people.print(f"  not whole: {plain(words)}", style="yellow")
    people.print(f"  keep elsewhere: the manifest's SHA-256 {pack.manifest_sha256}")


def _verify(path: Path, kept: str | None, output: Output) -> None:
    from monitor.adapters.evidence_zip import read_pack
    from monitor.core.evidence_pack import MANIFEST, digest_of, first_difference
    from monitor.engine.page_words import plain

    files = read_pack(path)
    difference = first_difference(files, kept)
    manifest = digest_of(files[MANIFEST]) if MANIFEST in files else None
    if output is Output.JSON:
        told = {"file": str(path), "holds": difference is None, "difference": difference}
        print_json({**told, "manifest_sha256": manifest, "was_kept": kept is not None})
    elif difference is not None:
        console().print(f"{path}: {plain(difference)}", style="bold red")
    else:
        people = console()
        people.print(f"{path}: its {len(files)} files and its chain are as its manifest says", style="green")
        if kept is None:
            people.print(f"  compare with what was kept elsewhere: the manifest's SHA-256 {manifest}")
        else:
            people.print(f"  and the manifest is the one whose SHA-256 was kept: {manifest}")
    if difference is not None:
        raise typer.Exit(FAILED)
