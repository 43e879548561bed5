"""The servers of the local stack, one module each.

Each class writes its server's configuration into a folder (`configure`, which also chooses the ports), runs it as a
`Process`, and says by the server's own protocol whether it is ready (`ready`). A port clash shows in `clashed`.
"""
