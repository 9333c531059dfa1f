"""Starts, watches and stops the processes of a platform.

Reading order: `plan` (which processes), `preflight` (can they start), `child` with `launch` and `guard` (one
OS process and what keeps it from becoming an orphan), `probe` (is it well), `process` (one entry of the plan,
kept alive), `supervisor` (all of them), `state` (what others may read of it), `view` (what a person sees),
`start`, `stop` and `inspect` (behind `up`, `down` and `status`), `logs`.
"""
