"""The faulty disk of the simulation, under the name that the spool's own tests use."""

from __future__ import annotations

from vantel_rig.sim.disk import Fault, FaultyDisk, Inode

__all__ = ["Fault", "FaultyDisk", "Inode"]
