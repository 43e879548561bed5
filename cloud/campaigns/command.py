"""vantel-cloud campaign: push, list, status, revoke, key. Builds its objects; the words are checked here, the rest is below.

Exit codes: 0 done, 1 a van did not take it or the rollout stopped itself, 65 a file or a server, 78 settings.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cloud.campaigns.desired import Desired, chosen
from cloud.campaigns.ramp import Outcome, percents_of, roll_out, shown, stages
from cloud.campaigns.rollout import Fleet, RolloutError
from cloud.connection import ConnectionRefused
from cloud.kafka.clients import KafkaUnavailable
from cloud.settings import CloudSettings, SettingsError, load
from vantel.campaign.document import Campaign
from vantel.campaign.grammar import parse
from vantel.campaign.limits import CampaignError
from vantel.campaign.signature import new_key
from vantel.campaign.text import campaign_of

app = typer.Typer(help="Say what vans collect.", no_args_is_help=True, rich_markup_mode=None)
Config = Annotated[Path | None, typer.Option("--config", "-c", help="settings file (TOML)")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for programs")]
Key = Annotated[Path, typer.Option("--key", help="the operator's private key, PEM")]
Vans = Annotated[
    list[str] | None, typer.Option("--van", help="a van, or a pattern with * and ?; can be repeated")
]
Groups = Annotated[
    list[str] | None, typer.Option("--group", help="a group of [campaign.groups] in the settings")
]


def _fail(text: str, code: int = 65) -> typer.Exit:
    print(f"vantel-cloud campaign: {text}", file=sys.stderr)
    return typer.Exit(code)


def _settings(config: Path | None) -> CloudSettings:
    from cloud import log

    try:
        settings = load(config)
    except SettingsError as cause:
        print(cause, file=sys.stderr)
        raise typer.Exit(78) from None
    log.configure_for_command(settings.log)
    return settings


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except (RolloutError, KafkaUnavailable, ConnectionRefused, CampaignError, ValueError) as cause:
        raise _fail(str(cause)) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as cause:
        raise _fail(f"{path}: {cause.strerror}") from None


@app.command(
    epilog="Example: vantel-cloud campaign push door.toml --key op.key --group munich --ramp 1,10,100 --soak-s 600"
)
def push(
    file: Annotated[Path, typer.Argument(help="the campaign (TOML, docs/campaigns.md)")],
    key: Key,
    van: Vans = None,
    group: Groups = None,
    percent: Annotated[float, typer.Option(min=0.0, max=100.0, help="of the chosen vans")] = 100.0,
    ramp: Annotated[str, typer.Option(help="shares in percent, one stage after the other")] = "100",
    soak_s: Annotated[float, typer.Option(min=0.0, help="watch a stage for so long before the next")] = 300.0,
    wait_s: Annotated[
        float, typer.Option(min=0.0, help="wait so long for answers; vans that are away get it later")
    ] = 30.0,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Give vans a campaign, in stages. Stops, and takes it back, when a van rejects it or goes over its budget."""
    try:
        campaign = campaign_of(_read(file).decode(errors="replace"))
        if campaign.condition.strip():
            parse(campaign.condition)  # signals and types depend on the van: it judges them
        percents = percents_of(ramp, percent)
    except CampaignError as cause:
        raise _fail(f"{file}: {cause}") from None
    except ValueError:
        raise _fail(
            f"--ramp {ramp} --percent {percent:g}: give rising shares in percent, as 1,10,100; nothing was sent",
            2,
        ) from None
    private = _read(key)
    outcome: Outcome = _run(
        _push(_settings(config), campaign, private, van or [], group or [], percents, soak_s, wait_s)
    )
    told = {"campaign": campaign.name, "version": campaign.version, "vans": outcome.states, "stopped": outcome.stopped,
            "answered_s": round(outcome.answered_s, 3)}  # fmt: skip
    if as_json:
        print(json.dumps(told))
    else:
        for name, state in sorted(outcome.states.items()):
            print(f"{name}: {state}")
        print(
            f"stopped and taken back: {outcome.stopped}" if outcome.stopped else f"{len(outcome.sent)} vans"
        )
    raise typer.Exit(1 if outcome.stopped else 0)


async def _push(
    settings: CloudSettings, campaign: Campaign, private: bytes, vans: Sequence[str], groups: Sequence[str],
    percents: Sequence[float], soak_s: float, wait_s: float,
) -> Outcome:  # fmt: skip
    async with Fleet(settings) as fleet:
        wanted = chosen(
            fleet.desired.vans, vans or ([] if groups else ["*"]), settings.campaign.groups, groups
        )
        if not wanted:
            raise ValueError("no van fits; --van with its name works before it was ever heard of")

        async def send(part: Sequence[str]) -> None:
            now_ms = int(time.time() * 1000)
            await fleet.send([fleet.desired.with_campaign(van, campaign, now_ms) for van in part], private)

        parts = stages(wanted, campaign.name, percents)
        outcome = await roll_out(
            parts, send, lambda part: fleet.states(part, campaign.name), soak_s, wait_s, time.monotonic
        )
        if outcome.stopped:
            now_ms = int(time.time() * 1000)
            await fleet.send(
                [fleet.desired.without(van, campaign.name, now_ms) for van in outcome.sent], private
            )
        return outcome


@app.command(epilog="Example: vantel-cloud campaign revoke door --key op.key --van 'van-0*'")
def revoke(
    name: Annotated[str, typer.Argument(help="name of the campaign")],
    key: Key,
    van: Vans = None,
    config: Config = None,
) -> None:
    """Take a campaign back, from all vans or those named."""
    private = _read(key)

    async def work() -> list[str]:
        async with Fleet(_settings(config)) as fleet:
            having = fleet.desired.having(name)
            if not having:
                raise _unknown(name, fleet.desired)
            wanted = [item for item in chosen(having, van or ["*"], {}, []) if item in having]
            if not wanted:
                raise ValueError(
                    f"no van that fits has {name}; those that have it: {', '.join(sorted(having))}"
                )
            now_ms = int(time.time() * 1000)
            await fleet.send([fleet.desired.without(item, name, now_ms) for item in wanted], private)
            return wanted

    print(f"taken back from {len(_run(work()))} vans")


@app.command("list", epilog="Example: vantel-cloud campaign list --config cloud.toml")
def list_all(config: Config = None, as_json: AsJson = False) -> None:
    """All campaigns, how many vans shall have each, and how many do."""
    rows = _run(_rows(_settings(config), None))
    names = sorted({row["campaign"] for row in rows})
    counts = [
        {"campaign": name, "vans": sum(row["campaign"] == name for row in rows),
         "active": sum(row["campaign"] == name and row["state"] == "active" for row in rows)}
        for name in names
    ]  # fmt: skip
    if as_json:
        print(json.dumps(counts, indent=2))
        return
    if not counts:
        print("none; `vantel-cloud campaign push` gives vans one")
    for count in counts:
        print(f"{count['campaign']}: {count['active']} active of {count['vans']} vans")


@app.command(epilog="Example: vantel-cloud campaign status door --json")
def status(
    name: Annotated[str | None, typer.Argument(help="only this campaign")] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """What each van says: active, rejected with reason and place, expired, over budget, silent. Exits 1 on an alarm."""
    rows = _run(_rows(_settings(config), name))
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            print(f"{row['van']} {row['campaign']} {row['version']}: {row['state']}, {row['captures']} captures, {row['bytes_today']} bytes today{_waiting(row['bodies_waiting'])}")  # fmt: skip
    raise typer.Exit(1 if any(row["alarm"] for row in rows) else 0)


def _unknown(name: str, desired: Desired) -> ValueError:
    names = sorted({campaign.name for item in desired.sets.values() for campaign in item.campaigns})
    return ValueError(f"no van shall have a campaign {name!r}; there are: {', '.join(names) or 'none'}")


def _waiting(bodies: int) -> str:
    return f", {bodies} wait for an unmetered link" if bodies else ""


async def _rows(settings: CloudSettings, name: str | None) -> list[dict[str, Any]]:
    async with Fleet(settings) as fleet:
        if name is not None and not fleet.desired.having(name):
            raise _unknown(name, fleet.desired)
        rows = []
        for van, item in sorted(fleet.desired.sets.items()):
            for campaign in item.campaigns:
                if name in (None, campaign.name):
                    state = fleet.desired.refusal(van) or fleet.desired.state(van, campaign.name)
                    known = None if isinstance(state, str) else state
                    text = shown(state)
                    rows.append({
                        "van": van, "campaign": campaign.name, "version": campaign.version, "state": text,
                        "captures": known.captures if known else 0, "bytes_today": known.bytes_today if known else 0,
                        "first_data_unix_ns": known.first_data_unix_ns if known else 0,
                        "bodies_waiting": known.bodies_waiting if known else 0,
                        "alarm": text not in ("active", "waiting", "expired", "no answer"),
                    })  # fmt: skip
        return rows


@app.command(
    epilog="Example: vantel-cloud campaign key operator; then campaign.keys_file = operator.pub on the vans"
)
def key(name: Annotated[Path, typer.Argument(help="writes NAME.key and NAME.pub")]) -> None:
    """Make a pair of keys: the private one stays with the operators, the public one goes to the vans."""
    private, public = new_key()
    paths = name.with_suffix(".key"), name.with_suffix(".pub")
    if any(path.exists() for path in paths):
        raise _fail(f"{paths[0]} or {paths[1]} exists; a key is never overwritten")
    try:
        paths[0].touch(mode=0o600)
        paths[0].write_bytes(private)
        paths[1].write_bytes(public)
    except OSError as cause:
        raise _fail(f"{cause.filename}: {cause.strerror}") from None
    print(f"{paths[0]}: keep it secret\n{paths[1]}: campaign.keys_file of the vans")
