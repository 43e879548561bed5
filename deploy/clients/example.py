"""Ten samples a second of two signals, again after a lost connection: python example.py [SOCKET [ROUNDS]]."""

import itertools
import math
import sys
import time

from vantel.client import Client

SOCKET = sys.argv[1] if len(sys.argv) > 1 else "/run/vantel/samples.sock"
ROUNDS = range(int(sys.argv[2])) if len(sys.argv) > 2 else itertools.count()
SIGNALS = [("path_cost", "", "float64"), ("Vehicle.Robovan.Drive.SpeedTarget", "m/s", "float64")]

rounds = iter(ROUNDS)
at = next(rounds, None)
while at is not None:
    try:
        with Client(SOCKET, "example", SIGNALS) as van:
            while at is not None:
                van.send({"path_cost": math.sin(0.1 * at), "Vehicle.Robovan.Drive.SpeedTarget": 5.0})
                time.sleep(0.1)
                at = next(rounds, None)
    except PermissionError as refused:
        sys.exit(f"refused: {refused}")
    except OSError as lost:  # the agent is not there, or starts anew: the driving stack goes on
        sys.stderr.write(f"no agent: {lost}\n")
        time.sleep(1.0)
