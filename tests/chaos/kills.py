"""Goal: hundreds of SIGKILLs of agents, bridge and worker, and faults of the servers, leave no mark in the database.

Method: real processes and servers. A drive is replayed once undisturbed; then, round after round, under new van ids,
while hunters kill agents, bridge and worker at named points and at random, the servers are killed, restarted and
stopped, and the vans' network (a namespace, where there is root) is cut. After each round: all signal and event points equal to the undisturbed run's, ledger residual 0, no dead letter.
Counts are kept in a state file, so that a run goes on where it stopped.

    .venv/bin/python -m tests.chaos.kills --agent 300 --bridge 100 --worker 100 --state kills.json

Exit codes: 0 all kills done and nothing wrong, 1 a promise is broken, 3 interrupted, goes on with the same --state.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vantel_rig.cloud_side import CloudSide
from vantel_rig.content import Points, difference, points_of
from vantel_rig.drives import drive
from vantel_rig.process import Process, ProcessError
from vantel_rig.report import join_ledger
from vantel_rig.stack import Stack
from vantel_rig.van import Van

from .partition import Island, missing
from .victims import SCRIPT, Hunter

FAST = {"backoff_s_min": 0.2, "backoff_s_max": 1.0, "resend_after_s": 2.0, "stable_after_s": 1.0}
WINDOWS = {"window_s": 1.0, "window_live_s": 1.0}
ROUND_S_MAX = 1500.0
CALM_S_MAX = 300.0
TELL_PERIOD_S = 30.0
SESSION_TIMEOUT_S = 6.0
VICTIMS = ("agent", "bridge", "worker")


def tell(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


@dataclass
class State:
    """What earlier runs reached. servers: faults of the servers by name; kills: deaths by victim and point."""

    rounds: int = 0
    kills: dict[str, dict[str, int]] = field(default_factory=lambda: {name: {} for name in VICTIMS})
    servers: dict[str, int] = field(default_factory=dict)
    compared_points: int = 0
    failures: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path | None) -> State:
        """From a state file, or fresh."""
        return cls(**json.loads(path.read_text())) if path is not None and path.exists() else cls()

    def total(self, victim: str) -> int:
        """Kills of a victim so far."""
        return sum(self.kills[victim].values())

    def add(self, victim: str, deaths: Counter[str]) -> None:
        """Count deaths."""
        for cause, count in deaths.items():
            self.kills[victim][cause] = self.kills[victim].get(cause, 0) + count


def source(speed: float) -> dict[str, Any]:
    """A recorded drive of a minute, once."""
    return {**drive(0, time="original", speed=speed, loop=False), "at_end": "exit"}


def spikes() -> list[dict[str, Any]]:
    """Events all along the drive."""
    spike = {"signal": "imu.ax_fwd_mps2", "kind": "spike", "magnitude": 400.0, "at_s": 5.0, "every_s": 5.0}
    return [{**spike, "mark": "kill"}]


class Chaos:
    """One invocation: servers, cloud side, the undisturbed run, then rounds."""

    def __init__(
        self, folder: Path, state: State, seed: int, vans: int, server_faults: bool, **cloud: Any
    ) -> None:
        self.folder, self.state, self.seed, self.vans = folder, state, seed, vans
        self.server_faults = server_faults
        self.stack = Stack(folder / "stack")
        self._cloud_sections = cloud
        self.cloud: CloudSide | None = None
        self._calm: Points = {}
        self._island: Island | None = None

    def __enter__(self) -> Chaos:
        self.stack.start()
        if self.server_faults and not missing():
            self._island = Island(self.stack.mqtt_port).__enter__()
        kafka = {"session_timeout_s": SESSION_TIMEOUT_S}
        self.cloud = CloudSide(self.stack, self.folder / "cloud", kafka=kafka, **self._cloud_sections)
        self.cloud.provision()
        for name in ("bridge", "worker"):
            self.cloud.launch(name)
        for name in ("bridge", "worker"):
            self.cloud.wait_healthy(name)
        return self

    def __exit__(self, *_: object) -> None:
        if self.cloud is not None:
            self.cloud.stop()
        self.stack.stop()
        if self._island is not None:
            self._island.__exit__(None, None, None)

    def _van(self, name: str, speed: float, mqtt: dict[str, Any] | None = None) -> Van:
        return Van(
            name, self.folder / name, self.stack.mqtt_port, [source(speed)], faults=spikes(), uplink=FAST,
            batch=WINDOWS, health={"period_s": 2.0}, mqtt=mqtt or {},
        )  # fmt: skip

    def calm(self) -> int:
        """The undisturbed run; how many points it has."""
        assert self.cloud is not None
        van = self._van(f"calm-{self.state.rounds}", 4.0).start()
        if not van.wait_exit(CALM_S_MAX):
            raise ProcessError(f"the undisturbed run did not end:\n{van.tail()}")
        self.cloud.wait_drained(60.0)
        self._calm = points_of(self.cloud.settings.influx, van.id)
        if not any(measurement == "events" for measurement, *_ in self._calm) or len(self._calm) < 10_000:
            raise ProcessError(f"the undisturbed run has {len(self._calm)} points only")
        return len(self._calm)

    def round(self, goals: dict[str, int], speed: float) -> list[str]:
        """One drive of each van under fire; what went wrong."""
        cloud = self.cloud
        assert cloud is not None
        number = self.state.rounds
        mqtt = dict(self._island.mqtt) if self._island is not None else {}
        vans = [self._van(f"rough-{number}-{place}", speed, mqtt) for place in range(self.vans)]
        hunters = self._hunters(vans)
        over = threading.Event()
        disturber = threading.Thread(target=self._disturb, args=(over, number), daemon=True)
        for name in ("bridge", "worker"):
            cloud.kill(name)
        done = {name: self.state.total(name) for name in VICTIMS}

        def goal(kind: str) -> bool:
            return done[kind] + sum(h.kills for h in hunters if h.kind == kind) >= goals[kind]

        for hunter in hunters:
            hunter.start(lambda kind=hunter.kind: goal(kind))  # type: ignore[misc]
        if self.server_faults:
            disturber.start()
        agents = [hunter for hunter in hunters if hunter.kind == "agent"]
        give_up_s = time.monotonic() + ROUND_S_MAX
        tell_s = time.monotonic() + TELL_PERIOD_S
        while time.monotonic() < give_up_s and not all(h.ended_by_itself or h.failures for h in agents):
            if all(goal(name) for name in VICTIMS) or any(h.failures for h in hunters):
                break
            if time.monotonic() >= tell_s:
                tell_s += TELL_PERIOD_S
                kills = {
                    name: done[name] + sum(h.kills for h in hunters if h.kind == name) for name in VICTIMS
                }
                tell(f"round {number + 1}: kills so far {kills}")
            time.sleep(0.2)
        over.set()
        for hunter in hunters:
            hunter.call_off()
        if disturber.ident is not None:
            disturber.join(90.0)
        for hunter in hunters:
            self.state.add(hunter.kind, hunter.deaths)
        self.state.rounds += 1
        return [*(text for h in hunters for text in h.failures), *self._verdict(vans)]

    def _hunters(self, vans: list[Van]) -> list[Hunter]:
        cloud = self.cloud
        assert cloud is not None
        base = self.seed * 1000 + self.state.rounds * 10

        island = self._island.program() if self._island is not None else []

        def agent(van: Van, env: dict[str, str]) -> Process:
            return van.start([*island, sys.executable, str(SCRIPT), "edge"], env).process

        def program(name: str, env: dict[str, str]) -> Process:
            return cloud.launch(name, (sys.executable, str(SCRIPT), "cloud"), env)

        def ready(van: Van) -> bool:
            try:
                van.wait_ready()
            except (RuntimeError, TimeoutError):
                return False
            return True

        def healthy(name: str) -> bool:
            try:
                cloud.wait_healthy(name, 60.0)
            except (RuntimeError, TimeoutError):
                return False
            return True

        hunters = [
            Hunter("agent", lambda env, van=van: agent(van, env), lambda _, van=van: ready(van), base + place)  # type: ignore[misc]
            for place, van in enumerate(vans)
        ]
        for place, name in enumerate(("bridge", "worker")):
            launch = lambda env, name=name: program(name, env)  # noqa: E731
            hunters.append(Hunter(name, launch, lambda _, name=name: healthy(name), base + 8 + place))  # type: ignore[misc]
        return hunters

    def _disturb(self, over: threading.Event, number: int) -> None:
        """Faults of the servers, one after another, until the round is over."""
        rng = random.Random(self.seed * 7919 + number)
        while not over.wait(rng.uniform(2.0, 6.0)):
            if self._island is not None and rng.random() < 0.3:
                self._island.cut()
                over.wait(rng.uniform(1.0, 15.0))
                self._island.join()
                self.state.servers["partition"] = self.state.servers.get("partition", 0) + 1
                continue
            server = rng.choice(("mosquitto", "mosquitto", "kafka", "influxdb"))
            what = rng.choice(("kill", "stop and go"))
            if what == "kill":
                self.stack.kill(server)
                over.wait(rng.uniform(0.0, 3.0))
                self.stack.start_again(server)
            else:
                self.stack.pause(server)
                over.wait(rng.uniform(1.0, 8.0))
                self.stack.resume(server)
            name = f"{server} {what}"
            self.state.servers[name] = self.state.servers.get(name, 0) + 1

    def _verdict(self, vans: list[Van]) -> list[str]:
        """After the round, all undisturbed: everything drains, nothing differs, nothing is missing."""
        cloud = self.cloud
        assert cloud is not None
        wrong: list[str] = []
        for name in ("bridge", "worker"):
            if not cloud.process(name).running:
                cloud.launch(name)
            cloud.wait_healthy(name, 120.0)
        for van in vans:
            if van.alive and not van.wait_exit(CALM_S_MAX):
                wrong.append(f"{van.id} did not drain:\n{van.tail()}")
        cloud.wait_drained(120.0)
        for van in vans:
            wrong += self._compare(van)
        letters = [f"{letter.van} {letter.reason}: {letter.detail}" for letter in cloud.dead_letters()]
        return wrong + [f"dead letter {text}" for text in letters[:5]]

    def _compare(self, van: Van) -> list[str]:
        assert self.cloud is not None
        found, wrong = points_of(self.cloud.settings.influx, van.id), []
        self.state.compared_points += len(found)
        differs = difference(self._calm, found)
        if differs:
            wrong.append(f"{van.id}: {differs}")
        sheet = join_ledger(self.cloud.settings, [van.folder / "state"], van.id)
        ledger = sheet["ledger"]
        if ledger["residual"] or ledger["stored"] != ledger["produced"]:
            wrong.append(f"{van.id}: ledger {ledger}, residual at {sheet['residual_at']}")
        return wrong


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.kills", description=(__doc__ or "").split("\n\n")[0],
                                     epilog="Example: python -m tests.chaos.kills --agent 300 --state kills.json")  # fmt: skip
    parser.add_argument("--agent", type=int, default=300, help="SIGKILLs of agents in all")
    parser.add_argument("--bridge", type=int, default=100, help="SIGKILLs of the bridge in all")
    parser.add_argument("--worker", type=int, default=100, help="SIGKILLs of the worker in all")
    parser.add_argument("--vans", type=int, default=2, help="vans at once")
    parser.add_argument("--speed", type=float, default=1.0, help="replay this many times as fast")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--adapter", choices=("faust", "aiokafka"), default="faust", help="adapter of the worker"
    )
    parser.add_argument("--no-server-faults", action="store_true", help="leave the servers alone")
    parser.add_argument("--state", type=Path, help="keep the counts here and go on from them")
    parser.add_argument("--folder", type=Path, help="logs and data; default: a temporary folder")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser.parse_args()


def main() -> int:
    """Rounds until the goals are reached."""
    args = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as ^C: the island and the servers go, too
    state = State.load(args.state)
    goals = {"agent": args.agent, "bridge": args.bridge, "worker": args.worker}
    folder = args.folder or Path(tempfile.mkdtemp(prefix="vantel-kills-"))

    wrong: list[str] = []
    try:
        worker = {"adapter": args.adapter}
        with Chaos(folder, state, args.seed, args.vans, not args.no_server_faults, worker=worker) as chaos:
            tell(f"undisturbed: {chaos.calm()} points; files in {folder}")
            while not wrong and any(state.total(name) < goals[name] for name in VICTIMS):
                wrong = chaos.round(goals, args.speed)
                state.failures += wrong
                if args.state is not None:
                    args.state.write_text(json.dumps(asdict(state), indent=1))
                counts = ", ".join(f"{name} {state.total(name)}/{goals[name]}" for name in VICTIMS)
                tell(
                    f"round {state.rounds}: kills {counts}; servers {state.servers}; wrong: {wrong or 'nothing'}"
                )
    except KeyboardInterrupt:
        tell("interrupted; the same --state goes on after the last whole round")
        return 3
    result = {**asdict(state), "total": {name: state.total(name) for name in VICTIMS}}
    if args.json:
        print(json.dumps(result, indent=1))  # noqa: T201
    return int(bool(state.failures))


if __name__ == "__main__":
    sys.exit(main())
