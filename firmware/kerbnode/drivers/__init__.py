"""Drivers: one part a file. What they need of the board is handed in; what they measure is integers."""
