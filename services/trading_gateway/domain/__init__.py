"""Trading as pure values and one state machine: no clock, no I/O, no wire; every number a whole one.

Reading order: `values`, `orders`, `positions`, `accounts`, `fills`, `transactions` (the nouns); `feeds`
(markets as seen from ticks); `inputs` (all that can happen) and `changes` (all that comes of it); `book` with
`placing`, `legs`, `families`, `settling`, `bookkeeping`, `valuation`, `limits`, `checks`, `storms`,
`margin_watch`, `stop_out` (the rules); `matching`, `conditions` and `venue` (the paper venue); `engine` (one
input after the other); `autotrade`, `reconcile` with `ledger_check`, `replaying`.

Numbers: prices are raw at the instrument's digits, sizes raw at two decimals of the base currency, costs raw
at the sum of both scales in the quote currency, cash in minor units of the account currency.
"""
