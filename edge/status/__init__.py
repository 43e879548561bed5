"""What the running agent says about itself: the file in its state folder, and the screen of `vantel-edge status`."""
