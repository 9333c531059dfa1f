"""The `fxmesh` command: starts and watches the platform, and talks to it.

`main` builds the typer application from `commands/`, one file a topic, each with a `register(app)`.
`supervisor/` starts, watches and stops the processes; `nats` finds the server they share. Commands that talk
to the running platform go through `calls` (one invocation), `link` (stubs, streams, unknown outcomes) and
`addresses`; `requests/` holds what each asks and shows, `inputs` and `render` what is typed and what is seen.
`output` holds what every command prints, the shape of `--json` and the exit codes. Modules imported by `main`
stay light (no grpc, no rich): a command imports what it needs when it runs, so that `fxmesh --help` answers
at once.
"""
