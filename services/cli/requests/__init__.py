"""What each command asks of the services and shows of their answers, a file a topic, as in `commands/`.

Heavy to import (grpc, the contracts): a command imports its topic when it runs. Functions take a `Link` and
what was typed, and return an exit code other than 0 where an answer is no success.
"""
