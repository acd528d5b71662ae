"""Missions: what an object says, what follows from it, and what is written back."""
