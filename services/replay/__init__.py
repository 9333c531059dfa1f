"""The whole platform in one process: the same seven compositions on transports in memory, over a tick file.

Lockstep paces it, so every run over a file gives the same bytes. The one package besides the command line
that may import several services. Reading order: platform (who is composed with what), run (one file through
it), outputs (what is written), `__main__` (the command).
"""
