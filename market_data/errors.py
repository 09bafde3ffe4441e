"""Every error this project raises on purpose.

    MarketDataError
    ├── ConfigurationError          permanent   settings or venues file: wrong value, unknown name
    ├── LakeError                   permanent   the lake refused: rights, wrong URL, damaged document
    │   ├── LakeUnavailable         transient   the store did not answer, or answered 429 / 5xx for too long
    │   ├── LakeConflict            transient   an object changed under a conditional write: another writer is at work
    │   ├── LakeObjectMissing       permanent   the object asked for is not in the lake
    │   ├── LakeOriginMismatch      permanent   the lake was filled from another vendor address
    │   ├── AnswerDamaged           permanent   a kept answer of the vendor's is none: it is asked again
    │   └── LakeFormatTooNew        permanent   a later version wrote what this one must not read, or not change
    ├── VendorError                 permanent   the vendor's answer cannot be used
    │   ├── VendorUnavailable       transient   connection, 5xx or 429 for longer than the retries waited
    │   ├── VendorNotReady          transient   the day is not exported yet: costs no attempt
    │   ├── VendorBusy              transient   the account may go on after `not_before`
    │   │   ├── VendorQuotaExceeded             its quota of requests or bytes is used up
    │   │   └── VendorKeyInUse                  403 / 274: the key is in use from another address
    │   └── VendorAccessDenied      permanent   401 / 403: key missing, wrong or expired
    ├── ScratchError                transient   the local disk is full or fails: no verdict on the vendor's bytes
    │   └── DecoderLost                         the process that decoded a file was ended, mostly for its memory
    ├── TickFileInvalid             permanent   the bytes of one tick file are not what the format says
    ├── RefreshFailed               permanent   a held file could not be replaced by what the vendor sends now
    ├── TicksIncomplete             permanent   a read was asked for days that the lake does not hold whole
    └── AlertUndelivered            transient   the address for what needs a person did not take a message

`is_transient` says whether the same call may succeed later without a change of code, key or settings.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar


class MarketDataError(Exception):
    """Base of all errors raised on purpose; its text says what was tried, on what, and the remedy."""

    is_transient: ClassVar[bool] = False


class ConfigurationError(MarketDataError):
    """A setting, an environment variable or the venues file is wrong (permanent)."""


class LakeError(MarketDataError):
    """The lake refused an operation for a reason that waiting does not mend (permanent)."""


class LakeUnavailable(LakeError):
    """The object store could not be reached or was overloaded for longer than its client retried (transient)."""

    is_transient = True


class LakeConflict(LakeError):
    """A conditional write found another generation than the one it was told to replace (transient)."""

    is_transient = True


class LakeObjectMissing(LakeError):
    """An object that was asked for by its key is not in the lake (permanent)."""


class LakeOriginMismatch(LakeError):
    """The lake was filled from another vendor address than this run uses (permanent)."""


class AnswerDamaged(LakeError):
    """What the lake keeps is no answer of the vendor's (permanent, until it is asked again)."""


class LakeFormatTooNew(LakeError):
    """A later version of market_data wrote what this one cannot read, or must not change (permanent)."""


class VendorError(MarketDataError):
    """The vendor answered with something that cannot be used (permanent)."""


class VendorUnavailable(VendorError):
    """The vendor could not be reached, or stayed overloaded for longer than the retries waited (transient)."""

    is_transient = True


class VendorNotReady(VendorError):
    """The vendor has not exported the day yet (transient; the re-run sensor counts no attempt)."""

    is_transient = True


class VendorBusy(VendorError):
    """The vendor serves this account again after `not_before` (transient)."""

    is_transient = True

    def __init__(self, message: str, *, not_before: datetime) -> None:
        super().__init__(message)
        self.not_before = not_before


class VendorQuotaExceeded(VendorBusy):
    """The account's quota of requests or bytes is used up until `not_before` (transient)."""


class VendorKeyInUse(VendorBusy):
    """The key is in use from another address, and free again after `not_before` (transient)."""


class VendorAccessDenied(VendorError):
    """401 or 403: the key is missing, wrong or expired (permanent)."""


class ScratchError(MarketDataError):
    """The machine that a run works on fails it, mostly by a full disk: no verdict on the bytes (transient)."""

    is_transient = True


class DecoderLost(ScratchError):
    """The process that decoded a tick file ended in the midst of it; the bytes themselves may be right (transient)."""


class TickFileInvalid(MarketDataError):
    """The bytes of one tick file are not what the vendor's format says (permanent for these bytes)."""


class RefreshFailed(MarketDataError):
    """What the vendor sends now for a file that is held cannot replace it; it stays as it is (permanent)."""


class TicksIncomplete(MarketDataError):
    """A read was asked for days that the lake does not hold whole; the text names each day with its cause."""


class AlertUndelivered(MarketDataError):
    """The address for what needs a person did not take a message; it is sent again at the next look (transient)."""

    is_transient = True
