"""Ports of inference over LightGBM, files, the bus and the peers."""
