"""Sources of samples: CAN buses, GNSS receivers, inertial sensors, replay of recordings, synthetic van, probe for fault
injection, the machine, services, modems, other processes.

build() makes the source of a section of the settings; it reads and checks recordings, so it may take seconds and
raises RecordingError (a ValueError) with file, cause and fix.
"""

from __future__ import annotations

from edge.clock import VanClock
from edge.model import Source, TextTable
from edge.settings import CanSource as CanSection
from edge.settings import GnssSource as GnssSection
from edge.settings import ImuSource as ImuSection
from edge.settings import ModemSource as ModemSection
from edge.settings import ProbeSource as ProbeSection
from edge.settings import ReplaySource as ReplaySection
from edge.settings import SyntheticSource as SyntheticSection
from edge.settings import UnitsSource as UnitsSection
from edge.settings.sources import PluginSource as PluginSection
from edge.settings.sources import SocketSource as SocketSection
from edge.settings.sources import SourceSection


def build(
    section: SourceSection,
    clock: VanClock,
    texts: TextTable,
    resume_position: int,
) -> Source:
    """The source of a section. resume_position: where a replay goes on, 0 for a fresh start."""
    if isinstance(section, CanSection):
        from edge.sources.can_bus import CanBus

        return CanBus(section, clock, texts)
    if isinstance(section, GnssSection):
        from edge.sources.gnss import GnssReceiver

        return GnssReceiver(section, clock)
    if isinstance(section, ImuSection):
        from edge.sources.imu_iio import ImuSource

        return ImuSource(section, clock)
    if isinstance(section, UnitsSection):
        from edge.sources.units import UnitsSource

        return UnitsSource(section, clock)
    if isinstance(section, ModemSection):
        from edge.sources.modem import ModemSource

        return ModemSource(section, clock, texts)
    if isinstance(section, ReplaySection):
        from edge.sources.replay import ReplaySource

        return ReplaySource(section, clock, texts, resume_position)
    if isinstance(section, SyntheticSection):
        from edge.sources.synthetic import SyntheticSource

        return SyntheticSource(section, clock)
    if isinstance(section, ProbeSection):
        from edge.sources.probe import ProbeSource

        return ProbeSource(section, clock)
    if isinstance(section, SocketSection):
        from edge.sources.socket_source import SocketSource

        return SocketSource(section, clock, texts)
    if isinstance(section, PluginSection):
        from edge.sources.plugin import PluginSource

        return PluginSource(section, clock, texts)
    from edge.sources.system import SystemSource

    return SystemSource(section, clock, texts)
