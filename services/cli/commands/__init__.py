"""The commands, a file a topic; each has `register(app)`, which `main` calls.

A command's function parses its options, calls what does the work, and prints through `output`. Whatever is
slow to import is imported inside the function that needs it.
"""
