"""What market data tells beside ticks: sessions that begin and end, and a quote before the first tick. Each
says whether it was news.
"""

from __future__ import annotations

from services.trading_gateway.domain.book import Book
from services.trading_gateway.domain.feeds import Quote
from services.trading_gateway.domain.inputs import SessionStarted
from services.trading_gateway.domain.markets import LIVE, Session


def started(book: Book, asked: SessionStarted) -> bool:
    """A session, as it is now. A replay takes its symbols: their live prices stand still until the next live
    tick.
    """
    session, known = asked.session, book.markets.sessions
    if known.get(session.session_id) == session:
        return False
    known[session.session_id] = book.changes.sessions[session.session_id] = session
    for symbol in session.symbols if session.replay else ():
        feed = book.markets.feed(LIVE, symbol)
        if feed is not None:
            feed.rest()
            book.changes.feeds[LIVE, symbol] = feed.state
    return True


def ended(book: Book, session: Session, symbol: str) -> bool:
    """No tick of a symbol follows."""
    feed = book.markets.follow(session, symbol)
    if feed.state.ended:
        return False
    feed.end()
    book.changes.feeds[feed.state.scope, symbol] = feed.state
    return True


def quoted(book: Book, session: Session, quote: Quote) -> bool:
    """A quote that was asked for, where no tick was read yet."""
    feed = book.markets.follow(session, quote.symbol)
    if feed.state.quote is not None:
        return False
    feed.seed(quote)
    book.changes.feeds[feed.state.scope, quote.symbol] = feed.state
    return True
