"""One writer's attempt at one unit (venue, data type, day): claim its receipt, write its objects, commit, delete.

Order of every attempt: read the receipt, observe the objects, claim the receipt, write objects, commit the receipt,
delete. Each step of the receipt is conditional on the generation read. The name of a published object holds the id of
its content, so an object that is there is right, whoever wrote it, and the commit alone switches readers over. Why two
writers, or one that was killed and lives on, cannot spoil a committed unit:

- Nobody writes other bytes under a name. A writer that lost its claim may still put an object: it is one that nobody
  names, or the same bytes.
- Only a writer whose commit has succeeded deletes, and only what it observed before its claim and what its receipt does
  not name, on the generation observed. So what may still be deleted late is what some committed receipt did not name.
- An object that the receipt read at the claim names is kept as it is: no late delete can be on its way, for whoever
  committed that receipt named it too. Any other object that is found under a name that is needed is never adopted: it
  is written again, the same bytes, on the generation observed, in all layouts. From then on a late delete is refused.
  (On a local lake a copy carries its source's generation: the source is written anew, so its copies are new as well.)
- When such a write is refused, the writer first observes the object again, *then* confirms that the claim is still its
  own, and writes on that condition.
- Bytes that the vendor has changed lie beside the former ones, under a name with their id, until the commit: killed
  before it, the unit is as it was. Other raw objects have plain names. A writer that finds a claim it did not make, or
  a publication that an earlier version left `replacing`, decodes every file again and writes its raw object anew, after
  its own claim: from then on no older writer holds a generation that still matches.

The index's part of the receipt is written last: it names the receipt's generation, so an old one is not believed.

A killed attempt leaves a claim and maybe objects that nobody names: the next run takes over and removes them. Readers
only see what a receipt in state `committed` names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from market_data.errors import LakeConflict, LakeError, ScratchError
from market_data.index.store import save_part
from market_data.ingest.assess import PublicationTarget, Work, is_object_held, unnamed_objects
from market_data.ingest.objects import delete_observed
from market_data.lake.base import GZIP_CONTENT, PARQUET_CONTENT, ObjectStat, TickLake
from market_data.lake.keys import (
    PublishedName,
    failed_key,
    is_of_data,
    object_key,
    raw_key,
    receipt_key,
    staging_key,
)
from market_data.model.instruments import parse_instrument_key
from market_data.model.tick_file import DataTypeDay, Outcome
from market_data.receipts.evidence import FileEvidence
from market_data.receipts.receipt import PublishedObject, Receipt
from market_data.receipts.store import save_receipt
from market_data.ticks.decode import DecodedObject

_WRITE_ATTEMPTS = 5
_SOME_ID = "0" * 16


@dataclass(slots=True)
class Attempt:
    """A unit at work: what is to be done, what was observed before the claim, and the receipt as it is now.

    The unit is claimed unless its work `is_current`: then `receipt` is as it was found.
    """

    lake: TickLake
    target: PublicationTarget
    writer: str
    work: Work
    observed: Mapping[str, ObjectStat]
    receipt: Receipt
    generation: int

    @property
    def unit(self) -> DataTypeDay:
        """The unit that is at work."""
        return self.receipt.unit

    def raw_of(self, file: FileEvidence) -> ObjectStat | None:
        """Return the vendor's bytes of a file in the lake (puts are whole, and only verified bytes are put)."""
        return self.observed.get(raw_key(self.unit, file.vendor_symbol, file.raw_id))

    @contextmanager
    def reading(self, key: str) -> Iterator[None]:
        """Read what was observed before the claim: gone since, it is a LakeConflict, and the unit is begun anew."""
        try:
            yield
        except (LakeError, ScratchError) as error:
            if self.lake.stat(key) is None:
                text = "another run, or a deletion, took it away while this run was reading it"
                raise LakeConflict(f"{self.lake.uri(key)}: {text}") from error
            raise

    def object_keys(self, file: FileEvidence) -> tuple[str, ...]:
        """Return what the keys of a file of one instrument will be like: raw, and published; of a group, raw alone."""
        keys = [raw_key(self.unit, file.vendor_symbol, _SOME_ID)]
        if file.instrument_key is not None:
            symbol = parse_instrument_key(file.instrument_key)[2]
            name = PublishedName(self.unit, file.instrument_type, symbol, _SOME_ID)
            keys += [object_key(layout, name) for layout in self.target.layouts]
        return tuple(keys)

    def release(self, evidence: Iterable[FileEvidence]) -> Receipt:
        """Keep what is proven and give the claim back; what was published before stays as it is."""
        self.save(self.receipt.with_evidence(evidence).released())
        save_part(self.lake, self.receipt, self.generation)
        return self.receipt

    def publish(
        self,
        evidence: Sequence[FileEvidence],
        decoded: Mapping[str, Sequence[DecodedObject]],
        executor: Executor,
        now: Callable[[], datetime],
    ) -> Receipt:
        """Write the objects of the decoded files into every layout, commit, and delete what nobody names any more.

        `decoded` is by vendor symbol.
        """
        files = self.receipt.with_evidence(evidence)
        symbols = {file.vendor_symbol for file in files.files if file.outcome is Outcome.STORED}
        kept = [item for item in self.receipt.objects if item.vendor_symbol in symbols - decoded.keys()]
        new = [(symbol, item) for symbol, items in decoded.items() for item in items]
        named = {item.name(self.unit): item for item in self.receipt.objects}
        written = list(executor.map(lambda pair: self._keep_or_write(named, *pair), new))
        committed = files.committed(
            [*kept, *written],
            decoder_version=self.target.decoder_version,
            layouts=self.target.layouts,
            at=now(),
        )
        self.save(committed)
        save_part(self.lake, committed, self.generation)
        unnamed = unnamed_objects(self.receipt, self.observed)
        due = [stat for stat in unnamed if not (self.target.keep_replaced and is_of_data(stat.key))]
        list(executor.map(lambda stat: delete_observed(self.lake, stat.key, stat.generation), due))
        return self.receipt

    def put_raw(
        self, file: FileEvidence, put: Callable[[str, int], ObjectStat], raw_id: str | None = None
    ) -> ObjectStat:
        """Store the vendor's bytes of a file through `put(key, if_generation)`."""
        return self._write(raw_key(self.unit, file.vendor_symbol, raw_id), put)

    def keep_aside(self, file: FileEvidence, body: Path) -> None:
        """Keep the bytes that were refused for a file, instead of those kept before."""
        self.lake.put_file(body, failed_key(self.unit, file.vendor_symbol), content_type=GZIP_CONTENT)

    def stage(self, item: DecodedObject) -> DecodedObject:
        """Move a decoded file from scratch into the lake, where it waits for the rest of its unit."""
        key = staging_key(self.unit, self.writer, item.instrument_type, item.stem)
        self.lake.take_file(item.path, key, crc32c=item.crc32c, content_type=PARQUET_CONTENT)
        return replace(item, staged_key=key)

    def _keep_or_write(
        self, named: Mapping[PublishedName, PublishedObject], vendor_symbol: str, item: DecodedObject
    ) -> PublishedObject:
        planned = _planned(vendor_symbol, item)
        name = planned.name(self.unit)
        keys = {layout: object_key(layout, name) for layout in self.target.layouts}
        if name in named and self._is_held(named[name]):
            generations = {layout: self.observed[key].generation for layout, key in keys.items()}
        else:
            generations = self._write_object(item, keys)
        # of what was named before, what a later version added is kept
        published = named.get(name, planned).changed(**planned.fields() | {"generations": generations})
        if item.staged_key is not None:
            delete_observed(self.lake, item.staged_key)
        return published

    def _is_held(self, item: PublishedObject) -> bool:
        """Whether an object that the receipt names is in every layout as it says, and in no other."""
        return tuple(item.generations) == self.target.layouts and is_object_held(self.unit, item, self.observed)

    def _write_object(self, item: DecodedObject, keys: Mapping[str, str]) -> dict[str, int]:
        source, generations = item.staged_key, {}
        for layout, key in keys.items():
            written = self._write(key, partial(self._put_object, item, source))
            generations[layout] = written.generation
            source = source or key
        return generations

    def _put_object(self, item: DecodedObject, source: str | None, key: str, if_generation: int) -> ObjectStat:
        if source is not None:
            return self.lake.copy(source, key, if_generation=if_generation)
        return self.lake.take_file(
            item.path, key, crc32c=item.crc32c, if_generation=if_generation, content_type=PARQUET_CONTENT
        )

    def _write(self, key: str, put: Callable[[str, int], ObjectStat]) -> ObjectStat:
        seen = self.observed.get(key)
        generation = seen.generation if seen else 0
        for _ in range(_WRITE_ATTEMPTS):
            try:
                return put(key, generation)
            except LakeError as error:
                found = self.lake.stat(key)
                # also for a copy whose source who took over deleted or replaced: giving way is the cause to tell
                self._confirm_claim()
                if not isinstance(error, LakeConflict):
                    raise
                generation = found.generation if found else 0
        raise LakeConflict(
            f"{self.lake.uri(key)}: refused {_WRITE_ATTEMPTS} times; other writers are at work on {self.unit}"
        )

    def _confirm_claim(self) -> None:
        stat = self.lake.stat(receipt_key(self.unit))
        if stat is None or stat.generation != self.generation:
            raise LakeConflict(f"{self.unit}: another run took the unit over while this one was writing")

    def save(self, receipt: Receipt) -> Receipt:
        """Write the receipt on condition that nobody else did; raises LakeConflict (transient) when another run has."""
        try:
            self.generation = save_receipt(self.lake, receipt, self.generation)
        except LakeConflict as error:
            raise LakeConflict(f"{self.unit}: another run took the unit over ({error})") from error
        self.receipt = receipt
        return receipt


def _planned(vendor_symbol: str, item: DecodedObject) -> PublishedObject:
    return PublishedObject(
        vendor_symbol=vendor_symbol,
        instrument_type=item.instrument_type,
        instrument_key=item.instrument_key,
        stem=item.stem,
        rows=item.rows,
        size_bytes=item.size_bytes,
        crc32c=item.crc32c,
        content_id=item.content_id,
        generations={},
    )
