"""The seven services of fxmesh, the pure packages they share and what runs them.

Pure values first: `errors`, `money`, `market`, `quant`. Then `runtime` (what a process needs), then one
folder a service, all seven of the same shape. `replay` and `cli` are the only packages that may import
several services.
"""
