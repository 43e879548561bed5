"""Whole-pipe simulation on one seed: real vans, bridge and worker on a simulated world (see vantel_rig.sim.run)."""
