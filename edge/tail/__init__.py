"""Live values of the running agent: the socket that gives them, and the screen of `vantel-edge tail`."""
