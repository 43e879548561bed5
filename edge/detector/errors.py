"""What can go wrong with a detector: only its saved state. Data never is an error."""


class DetectorStateError(ValueError):
    """A saved state that this detector cannot take over; it starts from nothing instead."""
