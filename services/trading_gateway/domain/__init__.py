"""Trading as pure values and one state machine: no clock, no I/O, no wire; every number a whole one.

Reading order: `values`, `orders`, `positions`, `accounts`, `fills`, `transactions` (the nouns); `feeds` and
`sessions` (markets as seen from ticks); `inputs` and `reports` (all that can happen) and `changes` (all that
comes of it); `book` on `holdings` and `working`, with `placing`, `legs`, `families`, `settling`,
`bookkeeping`, `valuation`, `limits`, `checks`, `storms`, `margin_watch`, `stop_out` (the rules); `matching`,
`conditions` and `venue` (the paper venue); `links`, `venue_views` and `simulated` (venues outside); `engine`
(one input after the other); `autotrade`, `reconcile` with `ledger_check`, `replaying`.

Numbers: prices are raw at the instrument's digits, sizes raw at two decimals of the base currency, costs raw
at the sum of both scales in the quote currency, cash in minor units of the account currency.
"""
