"""What is assumed of the vendor's refusals and tick files. Pure; see `assumption`."""

from __future__ import annotations

import re
from collections.abc import Callable

from market_data.accept.assumption import Assumption, assumption
from market_data.accept.evidence import Evidence, FileSeen, Seen
from market_data.model.tick_file import Outcome

_MD5 = re.compile(r'"[0-9a-f]{32}"')
_OK = 200
_PATIENCE_SECONDS = 60
_PERCENT_ABOVE = 5.0


def each_file(look: Callable[[FileSeen], Seen]) -> Callable[[Evidence], Seen]:
    """Return a look at all files that were asked for."""
    return lambda evidence: (found for file in evidence.files for found in look(file))


def each_taken(look: Callable[[FileSeen], Seen]) -> Callable[[Evidence], Seen]:
    """Return a look at the files that went through the pipeline."""
    return lambda evidence: (found for file in evidence.taken for found in look(file))


def _refuses(why: str, *statuses: int) -> Callable[[Evidence], Seen]:
    def look(evidence: Evidence) -> Seen:
        for answer in evidence.refused(why):
            is_json = isinstance(answer.value, dict) and "message" in answer.value
            yield answer.status in statuses and is_json, f"{why}: {answer}"

    return look


@assumption("I")
def no_pages(evidence: Evidence) -> Seen:
    """No page in HTML stands between (our User-Agent is let through)."""
    for answer in evidence.answers:
        is_page = b"<html" in answer.body[:2000].lower() or "text/html" in answer.headers.get("content-type", "")
        yield not is_page, f"a page in HTML: {answer}"


@assumption("D", each_file)
def free_days(file: FileSeen) -> Seen:
    """The first day of a month needs no key."""
    yield file.answer.status not in {401, 403}, str(file.answer)


@assumption("I", each_file)
def listed_files(file: FileSeen) -> Seen:
    """What is listed for a day exists."""
    yield file.answer.status == _OK, f"{file}: {file.answer}"


def good(look: Callable[[FileSeen], Seen]) -> Callable[[Evidence], Seen]:
    """Look at the answers that brought a file."""
    return lambda evidence: (found for file in evidence.files if file.answer.status == _OK for found in look(file))


@assumption("R", good)
def length(file: FileSeen) -> Seen:
    """A tick file's answer tells its length."""
    length = file.answer.headers.get("content-length", "")
    yield length.isdecimal(), f"{file}: Content-Length {length!r}"


@assumption("R", good)
def encoding(file: FileSeen) -> Seen:
    """A tick file is sent as it is, without Content-Encoding."""
    encoding = file.answer.headers.get("content-encoding", "identity")
    yield encoding == "identity", f"{file}: Content-Encoding {encoding}, so the bytes are not the file"


@assumption("R", good)
def validators(file: FileSeen) -> Seen:
    """A tick file's answer has an ETag or x-md5."""
    named = [name for name in ("etag", "x-md5") if file.answer.headers.get(name)]
    yield bool(named), f"{file}: neither ETag nor x-md5: a refresh fetches it whole"


@assumption("R", good)
def md5_form(file: FileSeen) -> Seen:
    """x-md5 is 32 hexadecimal digits in double quotes."""
    if told := file.answer.headers.get("x-md5"):
        yield _MD5.fullmatch(told) is not None, f"{file}: x-md5 {told[:60]}"


@assumption("U", good)
def md5(file: FileSeen) -> Seen:
    """x-md5 is the MD5 of the file's bytes."""
    told = file.answer.headers.get("x-md5", "").strip('"')
    if told and "md5" in file.facts:
        yield told == file.facts["md5"], f"{file}: x-md5 {told[:60]}, its bytes have {file.facts['md5']}"


@assumption("C", good)
def redirects(file: FileSeen) -> Seen:
    """At most one redirect, to a storage host."""
    yield len(file.answer.hosts) <= 1, f"{file}: led to {', '.join(file.answer.hosts)}"


@assumption("I", good)
def first_byte(file: FileSeen) -> Seen:
    """The first byte comes within 60 s."""
    yield file.answer.seconds < _PATIENCE_SECONDS, f"{file}: the first byte came after {file.answer.seconds:.0f} s"


@assumption("D", each_taken)
def file_format(file: FileSeen) -> Seen:
    """A file is whole gzip of the format's columns, symbol and day."""
    if file.evidence is not None and file.evidence.error_class != "VendorUnavailable":
        yield file.evidence.outcome is not Outcome.FAILED, f"{file}: {file.evidence.error}"


def _count_is_nothing(statistic: str, words: str) -> Callable[[Evidence], Seen]:
    def look(file: FileSeen) -> Seen:
        stats = file.evidence.stats if file.evidence else None
        if stats is not None and statistic in stats.counts:
            count = stats.counts[statistic]
            yield count == 0, f"{file}: {count} of {stats.rows} {words}"

    return each_taken(look)


@assumption("U", each_taken)
def rules(file: FileSeen) -> Seen:
    """No rule of severity error is broken."""
    if file.evidence is not None and file.evidence.stats is not None:
        errors = [finding for finding in file.evidence.findings if finding.severity.is_error]
        yield not errors, f"{file}: {errors[0].text if errors else ''}"


def _fact(name: str, expected: str, words: str) -> Callable[[Evidence], Seen]:
    def look(file: FileSeen) -> Seen:
        if name in file.facts:
            yield file.facts[name] == expected, f"{file}: {words} {file.facts[name]}"

    return each_taken(look)


@assumption("C", each_taken)
def iv_unit(file: FileSeen) -> Seen:
    """Implied volatility: percent on Deribit, fractions elsewhere."""
    if "median_iv" in file.facts:
        is_percent = float(file.facts["median_iv"]) > _PERCENT_ABOVE
        yield is_percent == (file.venue == "DERIBIT"), f"{file}: the median of mark_iv is {file.facts['median_iv']}"


@assumption("D", each_taken)
def arrival(file: FileSeen) -> Seen:
    """Rows arrive seconds after their event."""
    delay = file.evidence.stats.measures.get("median_delay_seconds") if file.evidence and file.evidence.stats else None
    if delay is not None:
        yield -1 < delay < _PATIENCE_SECONDS, f"{file}: rows arrive {delay:.1f} s after their event"


ASSUMPTIONS: tuple[Assumption, ...] = (
    free_days,
    Assumption("paid_days", "D", "Another day without a key: 401, in JSON", _refuses("a day that is not free", 401)),
    Assumption(
        "no_symbol", "I", "A symbol that is none: 400 or 404, in JSON", _refuses("a symbol that is none", 400, 404)
    ),
    Assumption(
        "no_day", "I", "A day not exported: 400 or 404, in JSON", _refuses("a day that is not exported", 400, 404)
    ),
    Assumption(
        "end_is_exclusive",
        "U",
        "availableTo is the first day without a file",
        _refuses("the day availableTo", 400, 404),
    ),
    no_pages,
    listed_files,
    length,
    encoding,
    validators,
    md5_form,
    md5,
    redirects,
    first_byte,
    file_format,
    Assumption(
        "arrival_order",
        "D",
        "Rows are sorted by local_timestamp",
        _count_is_nothing("arrival_steps_back", "rows step back"),
    ),
    arrival,
    Assumption(
        "sides", "D", "Sides are the documented words", _count_is_nothing("sides_unknown", "sides are other words")
    ),
    Assumption(
        "snapshot_first",
        "D",
        "A day of L2 opens with a snapshot",
        _count_is_nothing("opens_without_snapshot", "opens without"),
    ),
    Assumption("prices", "I", "Prices are above 0", _count_is_nothing("prices_not_positive", "prices are not")),
    Assumption(
        "option_terms",
        "R",
        "An option's row has type, strike and expiry",
        _count_is_nothing("rows_without_terms", "rows lack one"),
    ),
    Assumption(
        "expiry",
        "U",
        "No row comes a minute after a contract's expiry",
        _count_is_nothing("rows_after_expiry", "rows do"),
    ),
    rules,
    Assumption("newlines", "D", "Lines end in LF", _fact("line_end", "LF", "lines end in")),
    Assumption(
        "exponents", "U", "Numbers are written without an exponent", _fact("exponents", "none", "a number is written")
    ),
    Assumption("gzip_members", "R", "A tick file is one gzip member", _fact("members", "one", "its members are")),
    iv_unit,
)
