"""Where the base ends and the quote begins in a symbol without separator.

Such a symbol has two readings only where one quote of its venue ends in another (`AEUR` in `EUR`, `GUSD` in `USD`):
`ADAEUR` is ADA-EUR or AD-AEUR. No length decides that, and no listing of a day, but tables, so a key stays for life:

- A quote that few bases had names them (`only`); behind any other base its first letters belong to the base.
- Every other quote that ends in a quote gives way to the coins that end in the letters by which the two differ
  (`COINS_ENDING_IN`): `MOGUSD` is MOG-USD, `MOGGUSD` is MOG-GUSD. Behind all else it is the quote.

Quotes of which neither says which is meant cannot be built. A venue that lists a coin missing here is told of by the
vendor's definition (`definitions`): the coin belongs in the table before a lake keeps its first day. Source of the
coins: the venues' own lists of symbols (Gemini API, "List Symbols"; Binance API, "Exchange Information"), and tickers
that are in use elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_COINS = {
    "A": """
        ACA ADA ALPACA ALPHA ARIA ARPA ATA AURA AURORA AVA BANANA BERA BETA BOBA DATA DIA DORA ELA ENA ERA EVA FIDA GALA
        GIGA HANA IOTA KAIA KAVA KDA LA LAVA LINA LISTA LOKA LUMIA LUNA MANA MANTA MAVIA MEGA MELANIA MINA MIRA MOCA
        NEXA NOIA NOVA ORCA PDA PHA PIZZA SAGA SAHARA SEDA SPA SUPRA TARA THETA TIA TRIA UMA VANA VELA VIA VRA XPLA ZETA
        ZORA
    """,
    "B": "ARB BB BNB BOB CHSB CKB DGB FB HUB KUB LAB MOB NUB PHB RLB SGB SHIB SUB TNB TRB USDB VIB",
    "G": """
        BANG BORG BTG BULLDOG CFG DAG DOG EDG EGG ENG ERG FEG FROG GOG HEDG HOG LONG MOG MONG MOODENG OMG ONG PAXG PENG
        PIG RING SLG STG STRONG SWAG USDG WCFG WING XVG YGG ZIG
    """,
    "PY": "",
    "RL": "",
}
COINS_ENDING_IN: Mapping[str, frozenset[str]] = {letters: frozenset(words.split()) for letters, words in _COINS.items()}

# Without its last letters each of these is a coin as well, and would be the base: why the longer one is meant. No list
# of the venues shows the shorter coin on such a quote; where even the longer one is in none, the reason is an
# assumption [U].
BOTH_ARE_COINS: Mapping[str, str] = {
    "ARB": "Arbitrum is traded in USD on Binance US; AR was not traded in BUSD there",
    "ATA": "AT (APRO) is not traded in AUSD [U]",
    "BB": "B is younger than the end of BUSD",
    "BETA": "BET is older than AUSD and gone",
    "BOBA": "BOB is not traded in AUSD [U]",
    "GALA": "GAL became G before AUSD was listed",
    "KAIA": "KAI is not traded in AUSD [U]",
    "LAB": "LA is younger than the end of BUSD",
    "LUNA": "LUN is older than AUSD and gone",
    "MIRA": "MIR is older than AUSD and gone",
    "MONG": "MON is younger than the pairs in GUSD [U]",
    "OMG": "OM is not traded in GUSD [U]",
    "ONG": "ON is not traded in GUSD [U]",
    "PAXG": "PAX Gold is traded in USD on Gemini; PAX never was there",
    "SHIB": "Shiba Inu is traded in USD on Binance US; SHI never was there",
    "WING": "WIN is not traded in GUSD [U]",
}


@dataclass(frozen=True, slots=True)
class Quotes:
    """The quotes of a venue, longest first, each with the bases it is not the quote of, or the only ones it is."""

    names: tuple[str, ...]
    only: Mapping[str, frozenset[str]]
    letters: Mapping[str, tuple[str, ...]]

    def is_meant(self, base: str, quote: str) -> bool:
        """Say whether a symbol that ends in this quote is of this base; a shorter quote may end it as well."""
        if quote in self.only:
            return base in self.only[quote]
        return not any(base + letters in COINS_ENDING_IN[letters] for letters in self.letters[quote])


def quotes_of(names: str, only: Mapping[str, str] | None = None) -> Quotes:
    """Return the quotes named as words; `only` names the bases of those quotes that few bases had.

    Raises ValueError for a quote that ends in another one where nothing says which of the two is meant.
    """
    words = tuple(sorted(names.split(), key=len, reverse=True))
    few = {quote: frozenset(bases.split()) for quote, bases in (only or {}).items()}
    letters = {
        quote: tuple(quote.removesuffix(other) for other in words if quote != other and quote.endswith(other))
        for quote in words
    }
    undecided = [quote for quote in words if quote not in few and not COINS_ENDING_IN.keys() >= set(letters[quote])]
    if undecided or not set(words) >= few.keys():
        raise ValueError(f"quotes {names}: undecided {undecided}, not a quote {sorted(few.keys() - set(words))}")
    return Quotes(words, few, letters)


def split_pair(text: str, quotes: Quotes) -> tuple[str, str] | None:
    """Split `BTCUSDT` into (BTC, USDT); None where no quote leaves a base."""
    for quote in quotes.names:
        base = text.removesuffix(quote)
        if base not in {"", text} and quotes.is_meant(base, quote):
            return base, quote
    return None
