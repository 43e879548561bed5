"""The agent: threads, the two queues between them, stop and restart. Wiring; it decides nothing about data.

One thread a source, one pipeline thread (owns all sampling state), one spool thread (append and sync), one uplink
thread; the caller's thread supervises: heartbeats, systemd, status. Stop order: sources, pipeline, spool, uplink.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Sequence

import structlog

from edge import sources
from edge.batcher import ClosedBatch
from edge.births import Births, Declaring, catalog_of
from edge.campaign.onboard import Onboard
from edge.clock import TimeSources, VanClock
from edge.clock.watch import ClockWatch, MachineTime
from edge.commands import Commands
from edge.detector_state import DetectorStore
from edge.fault_file import FaultFile
from edge.gauges import gauges_of
from edge.model import Emit, SampleBlock, Source, TextTable
from edge.notify import Notifier
from edge.pipeline import Pipeline
from edge.pipeline_thread import PipelineThread, Surroundings
from edge.queues import BoundedQueue, Outgoing
from edge.settings import EdgeSettings, ReplaySource
from edge.sources.can_reading import Turning, read_buses, sharing
from edge.spool import Spool
from edge.spool.thread import SpoolThread, log_spool
from edge.status.file import write_status
from edge.tail.service import Tail
from edge.unmatched import unmatched
from edge.uplink.meter import Meter
from edge.uplink.thread import Uplink
from vantel.identity import DeliveryClass, PayloadKind
from vantel.payloads import Health

SOURCE_RESTARTS_MAX = 20
SOURCE_RESTART_S = 1.0
THREAD_JOIN_S = 2.0

_log = structlog.get_logger("agent")


class Agent:
    """One van. Construct, then run(stop) in the main thread; returns the exit code."""

    def __init__(self, settings: EdgeSettings, time_sources: TimeSources | None = None) -> None:
        """time_sources: instead of those of the machine."""
        self._settings = settings
        self._replay = next((s for s in settings.sources if isinstance(s, ReplaySource)), None)
        self._original = self._replay is not None and self._replay.time == "original"
        self._exit_at_end = self._replay is not None and self._replay.at_end == "exit"
        speed = self._replay.speed if self._replay and not self._original else 1.0
        self._clock = VanClock(speed, time_sources or MachineTime(settings.clock))
        self._texts = TextTable()
        self._spool = Spool.open(settings.van.state_dir / "spool", settings.van.id, settings.spool)
        self._resume = self._spool.position()
        self._sources = [sources.build(s, self._clock, self._texts, self._resume) for s in settings.sources]
        replayed = any(source.replayed for source in self._sources)
        live = not replayed and not any(source.simulated for source in self._sources)
        self._watch = ClockWatch(self._clock, self._spool, settings.clock, live, self._original)
        self._catalog, self._rows = catalog_of(self._sources)
        self._births = Births(
            settings.van.state_dir / "catalogs",
            self._catalog,
            self._clock.boot_id,
            [s.name for s in self._sources],
        )
        offset_ns = 0 if self._original else self._clock.stamp().offset_ns
        boot = "" if self._original else self._clock.boot_id.hex()
        self._onboard = Onboard(settings, self._catalog, boot, self._spool, self._births.find)
        self._pipeline = Pipeline(
            self._catalog, settings, self._texts, offset_ns, self._resume, self._onboard.ledger
        )
        self._learned = DetectorStore(settings.van, self._clock.boot_id, kept=not self._replay)
        now_ns = None if self._original else self._clock.mono_ns
        self._tail = Tail(settings.van.state_dir, self._catalog, self._texts, now_ns)
        self._outgoing: BoundedQueue[Outgoing | ClosedBatch] = BoundedQueue(settings.queue.spool_bytes_max)
        self._commands = Commands(watchable=not self._original)
        self._uplink = Uplink(
            settings.van.id, self._spool.epoch, settings.mqtt, settings.uplink, self._spool,
            on_rebirth=lambda hashes: self._sealing.rebirth(hashes),  # noqa: PLW0108 - made below
            on_command=self._commands.put, on_campaign=self._onboard.put,
            meter=Meter(settings.uplink, settings.van.state_dir),
        )  # fmt: skip
        self._sealing = SpoolThread(
            self._spool, self._outgoing, self._watch, self._births, self._now_ns, self._uplink.wake, self._pipeline.encode,
            stays=self._onboard.stays, kept=self._onboard.kept, upkeep=self._onboard.upkeep,
            replayed=replayed, simulated=all(source.simulated for source in self._sources),
        )  # fmt: skip
        self._stop_sources = threading.Event()
        self._stop_pipeline = threading.Event()
        self._stop_spool = threading.Event()
        self._stop_uplink = threading.Event()
        around = Surroundings(
            self._clock, self._tail, self._learned,
            FaultFile(settings.faults_file) if settings.faults_file else None,
            original=self._original, replayed=replayed, obey=self._obey, finished=self._sources_finished,
        )  # fmt: skip
        self._judging = PipelineThread(
            self._pipeline, self._outgoing, around, settings.queue.source_bytes_max, self._stop_spool
        )
        self._source_threads: list[threading.Thread] = []
        self._failure = ""
        self.starts_anew = False
        """Left because other processes declared signals that the catalog in use does not have."""

    def run(self, stop: threading.Event, drain: threading.Event) -> int:
        """Run until stop is set; drain ends the sources, and the agent leaves once the cloud has everything.

        A replay with at_end = "exit" drains by itself at its end. Returns the exit code, 0 when all went well.
        """
        settings = self._settings
        notifier = Notifier()
        # Databases, catalog and modules live as long as the agent: a full collection that walks them takes 50 ms.
        gc.collect()
        gc.freeze()
        self._births.remember()
        self._outgoing.put(self._births.current(self._now_ns()), 0, self._stop_pipeline)
        self._onboard.status, self._onboard.unmetered = self.status, lambda: self._uplink.unmetered
        self._judging.forward(self._onboard.attach(self._pipeline, self._now_ns()))
        self._learned.resume(self._pipeline.detector)
        threads = [
            self._start("uplink", lambda: self._uplink.run(self._stop_uplink)),
            self._start("spool", lambda: self._sealing.run(self._stop_spool)),
            self._start("pipeline", lambda: self._judging.run(self._stop_pipeline)),
        ]
        self._start("clock", lambda: self._watch.run(self._stop_uplink))
        learned = self._start("detector-state", lambda: self._learned.run(self._stop_spool))
        tail = self._start("tail", lambda: self._tail.run(self._stop_pipeline))
        self._source_threads = [
            self._start(f"source-{'+'.join(s.name for s in group)}", lambda g=group: self._run_sources(g))  # type: ignore[misc]
            for group in sharing(self._sources)
        ]
        notifier.ready(f"{len(self._catalog)} signals, epoch {self._spool.epoch.text}")
        _log.info("running", van=settings.van.id, epoch=self._spool.epoch.text, signals=len(self._catalog),
                  resume_position=self._resume, recovered=self._spool.recovery.records)  # fmt: skip
        for line in unmatched(settings, self._catalog):
            _log.warning("settings", problem=line)
        self._supervise(stop, drain, notifier)
        if not self.starts_anew:
            notifier.stopping("sealing what is in memory")
        self._leave(threads)
        tail.join(THREAD_JOIN_S)
        learned.join(THREAD_JOIN_S)
        write_status(settings.van.state_dir, self.status())
        return 1 if self._failure else 0

    def status(self) -> dict[str, object]:
        """What `vantel-edge status` shows: plain JSON values, units in the names."""
        backlog = self._spool.backlog()
        return {
            "van": self._settings.van.id,
            "epoch": self._spool.epoch.text,
            "t_unix_s": time.time(),
            "clock_anchor_unix_ns": self._clock.anchor_unix_ns,
            "clock_speed": self._clock.speed,
            "clock": self._watch.status(),
            "catalog_hash": f"{self._catalog.hash:016x}",
            "signals": len(self._catalog),
            "samples_produced": self._pipeline.samples_produced,
            "samples_thinned": self._pipeline.samples_thinned,
            "events_produced": self._pipeline.events_produced,
            "samples_shed": self._judging.shed_total,
            "sources_finished": self._sources_finished(),
            "sources": {source.name: getattr(source, "counters", {}) for source in self._sources},
            "queue_blocks": len(self._judging),
            "queue_outgoing": len(self._outgoing),
            "spool": {c.label: {"envelopes": n, "bytes": size} for c, (n, size) in backlog.items()},
            "spool_degraded": self._spool.degraded,
            "captures": self._onboard.counts(),
            "uplink": self._uplink.counters(),
            "connected": self._uplink.connected,
            "failure": self._failure,
        }

    def _supervise(self, stop: threading.Event, drain: threading.Event, notifier: Notifier) -> None:
        """Status, watchdog and health until it is time to leave."""
        settings = self._settings
        next_health = time.monotonic() + settings.health.period_s
        seen = self._beats()
        degraded = ""
        while not stop.wait(min(0.2, settings.health.status_period_s)) and not self._failure:
            now = time.monotonic()
            if (
                notifier.due(now)
                and all(beats != before for beats, before in zip(self._beats(), seen, strict=True))
                and not self._uplink.stalled
            ):
                seen = self._beats()
                notifier.watchdog(now)
            if now >= next_health and not self._sources_finished():
                next_health = now + settings.health.period_s
                self._outgoing.put(self._health(), 0, self._stop_pipeline)
            if notifier.status_due(now, settings.health.status_period_s):
                write_status(settings.van.state_dir, self.status())
                notifier.status(self._line())
            if self._spool.degraded != degraded:
                degraded = self._spool.degraded
                log_spool(degraded)
            if any(s.restart_due() for s in self._sources if isinstance(s, Declaring)):
                self.starts_anew = True
                return
            if drain.is_set():
                self._stop_sources.set()
            if (drain.is_set() or self._exit_at_end) and self._drained():
                return

    def _beats(self) -> tuple[int, int]:
        """Signs of life of pipeline and spool."""
        return self._judging.beats, self._sealing.beats

    def _leave(self, threads: Sequence[threading.Thread]) -> None:
        """Stop in order: sources, pipeline (seals the partial window), spool, uplink."""
        uplink, spool, pipeline = threads
        self._stop_sources.set()
        for thread in self._source_threads:
            thread.join(THREAD_JOIN_S)
        self._stop_pipeline.set()
        pipeline.join(THREAD_JOIN_S)
        self._stop_spool.set()
        spool.join(THREAD_JOIN_S)
        self._stop_uplink.set()
        uplink.join(THREAD_JOIN_S)
        self._spool.close()
        _log.info("left", epoch=self._spool.epoch.text, failure=self._failure or None)

    def _start(self, name: str, body: Callable[[], None]) -> threading.Thread:
        """Start a thread whose unexpected end stops the agent; systemd starts it again."""

        def guarded() -> None:
            try:
                body()
            except Exception as cause:  # the thread wrapper is the one place that may catch all
                _log.exception("thread failed", thread=name)
                self._failure = f"{name}: {cause}"

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def _run_sources(self, group: Sequence[Source]) -> None:
        """Run sources that share a thread; one that fails goes on in a thread of its own, with its restarts counted."""
        if len(group) == 1:
            self._run_source(group[0])
            return

        def failed(bus: Turning, cause: Exception) -> None:
            source = next(s for s in group if s.name == bus.name)
            _log.error("source failed", source=source.name, cause=str(cause), exc_info=cause)
            self._source_threads.append(
                self._start(f"source-{source.name}", lambda: self._run_source(source))
            )

        read_buses([(bus, self._emit_of(bus)) for bus in group], self._stop_sources, failed)  # type: ignore[misc]

    def _emit_of(self, source: Source) -> Emit:
        rows = self._rows[self._sources.index(source)]
        wait_until = self._stop_sources if source.replayed else None

        def emit(block: SampleBlock) -> None:
            block = SampleBlock(
                rows.take(block.slot), block.t_mono_ns, block.value, block.quality, block.position
            )
            self._judging.put(block, wait_until)

        return emit

    def _run_source(self, source: Source) -> None:
        """Run a source, again after an exception; a source that keeps failing is given up, the others go on."""
        emit = self._emit_of(source)
        for attempt in range(SOURCE_RESTARTS_MAX):
            try:
                source.run(emit, self._stop_sources)
                return
            except Exception as cause:  # a source must not take the agent down
                _log.error(
                    "source failed", source=source.name, attempt=attempt + 1, cause=str(cause), exc_info=cause
                )
                if source.replayed:
                    raise
                if self._stop_sources.wait(SOURCE_RESTART_S * (attempt + 1)):
                    return
        _log.error("source given up", source=source.name, fix="repair it and restart the agent")

    def _now_ns(self) -> int:
        return time.time_ns() if self._original else self._clock.mono_ns()

    def _health(self) -> Outgoing:
        spool_bytes = sum(size for _, size in self._spool.backlog().values())
        gauges = gauges_of(
            self._uplink.counters(),
            self._pipeline.campaigns.gauges,
            spool_bytes,
            self._settings.van.state_dir,
            self._settings.mqtt.certificate_file,
        )
        health = Health(
            self._now_ns(),
            self._spool.accounts(),
            self._pipeline.samples_produced,
            self._judging.shed_total,
            gauges,
        )
        return Outgoing(DeliveryClass.P1, PayloadKind.HEALTH, health.encode(), 0)

    def _obey(self) -> None:
        """Carry out the commands that came, in the thread that owns the windows, and spool their results."""
        for order in self._commands.take(self._watch.judged_unix_ns()):
            if order.watch_s is not None:
                real_ns = int(order.watch_s * 1e9 * self._clock.speed)
                self._pipeline.watch(self._clock.mono_ns() + real_ns if real_ns else None)
            if order.rebirth:
                self._sealing.rebirth((self._catalog.hash,))
            if order.resend is not None:
                self._sealing.resend(order.result.command_id, order.resend)
            elif order.onboard is not None:
                self._onboard.ask(order.onboard)
            elif order.fetch is not None:
                self._judging.forward(self._onboard.fetched(order.fetch))
            else:
                self._onboard.heard(order)
                self._judging.forward([order.outgoing])
        self._judging.forward(self._onboard.obey())

    def _sources_finished(self) -> bool:
        return bool(self._source_threads) and not any(thread.is_alive() for thread in self._source_threads)

    def _drained(self) -> bool:
        return (
            self._judging.done.is_set()
            and self._outgoing.idle
            and not any(envelopes for envelopes, _ in self._spool.backlog().values())
        )

    def _line(self) -> str:
        waiting = sum(envelopes for envelopes, _ in self._spool.backlog().values())
        link = "connected" if self._uplink.connected else "offline"
        return f"{link}, {self._pipeline.samples_produced} samples, {waiting} envelopes waiting"
