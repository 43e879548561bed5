"""A process of its own beside the agent: ROS 2 diagnostics and odometry to the agent's socket (docs/ros2.md)."""
