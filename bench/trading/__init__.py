"""Trading beside what it rests on, on one machine, in one run.

    python -m bench.trading [risk] [orders] [recovery] [--orders 100000] [--callers 1,32] [--rounds 5]

risk       pre-trade checks alone, in this process; the target is 50,000 a second
orders     PlaceOrder of the real process over gRPC, committed to its database file, beside a bare gRPC echo
           and bare SQLite commits on the same disk: one row a commit, and as many rows as there are callers
recovery   a restart of the real process on 100,000 orders until it takes the next one (the target is 10 s),
           and the journal replayed, which must give the same bytes

Reading order: risk; surroundings, commits, orders; filling, recovery; __main__.
"""
