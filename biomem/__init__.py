"""Brain-inspired memory and computing, simulated."""
