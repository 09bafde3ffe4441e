"""The venues file: what is wanted of which venue, within which limits, and what to say when it is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from market_data.errors import ConfigurationError
from market_data.lake.keys import LAYOUTS
from market_data.model.data_types import DataType, parse_data_type
from market_data.model.instruments import INSTRUMENT_TYPES
from market_data.model.limits import (
    DEFAULT_DAYS_PER_RUN,
    DEFAULT_FILES_AT_ONCE,
    DEFAULT_KEEP_RUNS_DAYS,
    DEFAULT_MAX_INFLATION_RATIO,
    GIGABYTE,
    MOST_DAYS_PER_RUN,
    RunLimits,
    size_limits_of,
)
from market_data.model.venues import parse_venue
from market_data.quality.agreement_rules import AGREEMENT_RULE_NAMES, AGREEMENT_RULES
from market_data.quality.gap_rules import GAP_RULE_NAMES, GAP_RULES
from market_data.settings.faults import describe_faults
from market_data.ticks.rules import RULE_NAMES, RULES, Override, Rule, Severity, rules_for
from market_data.universe.listing import GROUP_TYPES
from market_data.universe.rules import Selection
from market_data.universe.waivers import Waiver

DEFAULT_VENUES_FILE = Path(__file__).with_name("venues.yaml")


_FIRST_VENDOR_DAY = date(2019, 3, 30)


def _known(known: tuple[str, ...], what: str) -> BeforeValidator:
    def check(value: object) -> object:
        if not isinstance(value, str):
            return value
        folded = {name.upper(): name for name in known}.get(value.strip().upper().replace("-", "_"))
        if folded is None:
            raise ValueError(f"unknown {what} {value!r}. Known: {', '.join(known)}")
        return folded

    return BeforeValidator(check)


def _to_data_type(value: object) -> object:
    try:
        return parse_data_type(value) if isinstance(value, str) else value
    except ConfigurationError as error:
        raise ValueError(str(error)) from error


def _named(known: Iterable[str]) -> WithJsonSchema:
    """Let editors propose the names, and take other spellings of them."""
    return WithJsonSchema({"anyOf": [{"enum": list(known)}, {"type": "string"}]})


_InstrumentType = Annotated[str, _known(INSTRUMENT_TYPES, "instrument type"), _named(INSTRUMENT_TYPES)]


_Layout = Annotated[str, _known(LAYOUTS, "layout"), _named(LAYOUTS)]


_Group = Annotated[str, _known(tuple(GROUP_TYPES), "grouped file"), _named(GROUP_TYPES)]


_ConfiguredDataType = Annotated[DataType, BeforeValidator(_to_data_type), _named(DataType)]


def _refuse_repeated(values: tuple[str, ...]) -> tuple[str, ...]:
    repeated = [value for number, value in enumerate(values) if value in values[:number]]
    if repeated:
        raise ValueError(f"{repeated[0]} is named twice")
    return values


_Once = AfterValidator(_refuse_repeated)


def _refuse_repeated_keys(value: object) -> object:
    """Refuse a key that stands again in another spelling: the last one would win without a word."""
    seen: dict[str, object] = {}
    for key in value if isinstance(value, Mapping) else ():
        other = seen.setdefault(str(key).strip().lower().replace("-", "_"), key)
        if other is not key:
            raise ValueError(f"{other!r} stands again as {key!r}")
    return value


_EachOnce = BeforeValidator(_refuse_repeated_keys)


_OWNER = re.compile(r"team:\S.*|[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")


def _check_owner(value: str) -> str:
    if _OWNER.fullmatch(value) is None:
        raise ValueError(f"owner {value!r} is neither a team (team:market-data) nor an e-mail address (ann@firm.com)")
    return value


_Owner = Annotated[str, AfterValidator(_check_owner)]


_ALL_RULES = (*RULES, *GAP_RULES, *AGREEMENT_RULES)
_ALL_RULE_NAMES = (*RULE_NAMES, *GAP_RULE_NAMES, *AGREEMENT_RULE_NAMES)
_RuleName = Annotated[str, _known(_ALL_RULE_NAMES, "rule"), _named(_ALL_RULE_NAMES)]


class SettingsModel(BaseModel):
    """What people may say, and nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _no_number(value: object) -> object:
    """Refuse a number for a day: pydantic would count seconds since 1970."""
    if isinstance(value, int | float):
        raise ValueError(f"{value} is a number; a day is written as 2024-08-08")  # noqa: TRY004  pydantic's word for it
    return value


_Day = Annotated[date, BeforeValidator(_no_number)]


class RuleSettings(SettingsModel):
    """What is different for one rule (`ticks/rules.py`): another limit, another severity, or off."""

    limit: float | None = Field(default=None, ge=0, strict=True)
    severity: Severity | None = None
    is_off: bool = Field(default=False, strict=True)


class WaiverSettings(SettingsModel):
    """A person's word that a day stands without some files: see `Waiver`. `day`, or `from` and `to` (inclusive)."""

    data_type: _ConfiguredDataType
    symbol: str = Field(min_length=1)
    day: _Day | None = None
    first_day: _Day | None = Field(default=None, alias="from")
    last_day: _Day | None = Field(default=None, alias="to")
    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _one_day_or_a_range(self) -> Self:
        first, last = self._bounds
        if first is None or last is None or (self.day and (self.first_day or self.last_day)):
            raise ValueError("give either `day`, or `from` and `to`")
        if first > last:
            raise ValueError(f"`from` {first} is after `to` {last}")
        return self

    @property
    def _bounds(self) -> tuple[date | None, date | None]:
        return self.first_day or self.day, self.last_day or self.day

    @property
    def waiver(self) -> Waiver:
        """The same as the domain's plain value."""
        first, last = self._bounds
        assert first is not None and last is not None  # noqa: S101, PT018  validated above
        return Waiver(self.data_type, self.symbol, first, last, self.reason)


_ALSO_YES_OR_NO = WithJsonSchema(
    {
        "anyOf": [
            {"type": "boolean"},
            {"type": "array", "items": {"anyOf": [{"enum": list(GROUP_TYPES)}, {"type": "string"}]}},
        ]
    }
)


class VenueSettings(SettingsModel):
    """What is wanted of one venue; see `Selection` for the meaning of each filter. `owners` are those of its assets."""

    data_types: Annotated[tuple[_ConfiguredDataType, ...], _Once] = Field(min_length=1)
    instrument_types: tuple[_InstrumentType, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_instruments: int | None = Field(default=None, ge=1, strict=True)
    prefer_grouped: Annotated[tuple[_Group, ...], _ALSO_YES_OR_NO] = ("OPTIONS",)
    quality: Annotated[dict[_ConfiguredDataType, Annotated[dict[_RuleName, RuleSettings], _EachOnce]], _EachOnce] = (
        Field(default_factory=dict)
    )
    owners: Annotated[tuple[_Owner, ...], _Once] = ()
    waivers: tuple[WaiverSettings, ...] = ()

    @field_validator("prefer_grouped", mode="before")
    @classmethod
    def _all_or_none(cls, value: object) -> object:
        """Read `true` as every grouped file, `false` as none."""
        return (tuple(GROUP_TYPES) if value else ()) if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _quality_says_something(self) -> Self:
        for data_type, named in self.quality.items():
            if data_type not in self.data_types:
                raise ValueError(f"`quality` speaks of {data_type}, which is not among the venue's `data_types`")
            known = {rule.name for rule in rules_for(data_type, {}, _ALL_RULES)}
            if useless := sorted(named.keys() - known):
                raise ValueError(
                    f"`quality` changes {useless[0]} of {data_type}, which no file of {data_type} is judged by. Its "
                    f"rules: {', '.join(sorted(known))}"
                )
        return self

    @property
    def selection(self) -> Selection:
        """The same as the domain's plain value."""
        return Selection(**self.model_dump(exclude={"quality", "owners", "waivers"}))

    @property
    def rules(self) -> dict[DataType, tuple[Rule, ...]]:
        """The rules for the ticks of each data type, with this venue's overrides."""
        return self._overridden(RULES)

    @property
    def gap_rules(self) -> dict[DataType, tuple[Rule, ...]]:
        """What gaps mean in each data type, with this venue's overrides."""
        return self._overridden(GAP_RULES)

    @property
    def agreement_rules(self) -> dict[DataType, tuple[Rule, ...]]:
        """The rules about how data types agree, with this venue's overrides."""
        return self._overridden(AGREEMENT_RULES)

    def _overridden(self, rules: Sequence[Rule]) -> dict[DataType, tuple[Rule, ...]]:
        changes = {
            data_type: {name: Override(change.limit, change.severity, change.is_off) for name, change in named.items()}
            for data_type, named in self.quality.items()
        }
        return {data_type: rules_for(data_type, changes.get(data_type, {}), rules) for data_type in self.data_types}


class LimitSettings(SettingsModel):
    """What one run may take; see `RunLimits`. Gigabytes are 10^9 bytes; a backfill gives a run `days_per_run`.

    Dagster forgets runs, and keeps how days stand, `keep_runs_days` after their end; null keeps all.
    """

    files_at_once: int = Field(default=DEFAULT_FILES_AT_ONCE, ge=1, strict=True)
    days_per_run: int = Field(default=DEFAULT_DAYS_PER_RUN, ge=1, le=MOST_DAYS_PER_RUN, strict=True)
    scratch_gb: float | None = Field(default=None, gt=0, strict=True)
    daily_quota_gb: float | None = Field(default=None, gt=0, strict=True)
    keep_replaced_hours: float = Field(default=0, ge=0, le=24 * 366, strict=True)
    keep_runs_days: int | None = Field(default=DEFAULT_KEEP_RUNS_DAYS, ge=1, le=3660, strict=True)
    max_csv_gb: Annotated[dict[_ConfiguredDataType, Annotated[float, Field(gt=0, strict=True)]], _EachOnce] = Field(
        default_factory=dict
    )
    max_inflation_ratio: float = Field(default=DEFAULT_MAX_INFLATION_RATIO, gt=1, strict=True)

    @property
    def run_limits(self) -> RunLimits:
        """The same as the domain's plain value."""
        return RunLimits(
            files_at_once=self.files_at_once,
            scratch_bytes=None if self.scratch_gb is None else round(self.scratch_gb * GIGABYTE),
            daily_quota_bytes=None if self.daily_quota_gb is None else round(self.daily_quota_gb * GIGABYTE),
            keep_replaced=timedelta(hours=self.keep_replaced_hours),
            sizes=size_limits_of(self.max_csv_gb, self.max_inflation_ratio),
        )


class AutomationSettings(SettingsModel):
    """How the sensors work: how often they look, how many days they launch at a look, and how re-runs wait.

    The wait before a re-run doubles from `first_wait_seconds`; after `max_attempts` a day is left to people.
    """

    check_every_seconds: int = Field(default=900, ge=1, strict=True)
    days_per_check: int = Field(default=3, ge=1, strict=True)
    first_wait_seconds: float = Field(default=900, ge=0, strict=True)
    max_attempts: int = Field(default=5, ge=1, strict=True)


class VenuesFile(SettingsModel):
    """The venues file: first and last day of all partitions, the venues, the layouts, limits and automation.

    Without `end_date`, which is included, each day becomes a partition when it is over.
    """

    start_date: _Day = Field(default=_FIRST_VENDOR_DAY, ge=_FIRST_VENDOR_DAY)
    end_date: _Day | None = None
    venues: dict[str, VenueSettings] = Field(min_length=1)
    layouts: Annotated[tuple[_Layout, ...], _Once] = Field(default=LAYOUTS, min_length=1)
    automation: AutomationSettings = AutomationSettings()
    limits: LimitSettings = LimitSettings()

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Self:
        if self.end_date is not None and self.end_date < self.start_date:
            raise ValueError(f"end_date {self.end_date} is before start_date {self.start_date}")
        return self

    def newest_day(self, today: date) -> date:
        """Return the last day that can be asked for: yesterday, or `end_date` where that is earlier."""
        yesterday = today - timedelta(days=1)
        return yesterday if self.end_date is None else min(yesterday, self.end_date)

    @field_validator("venues", mode="before")
    @classmethod
    def _canonical_venues(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        canonical: dict[str, Any] = {}
        for name, settings in value.items():
            try:
                venue = parse_venue(str(name))
            except ConfigurationError as error:
                raise ValueError(str(error)) from error
            if venue in canonical:
                raise ValueError(f"venue {venue} is configured twice, the second time as {name!r}")
            canonical[venue] = settings
        return canonical


def _construct_date(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> object:
    try:
        return loader.construct_yaml_timestamp(node)
    except ValueError as error:
        raise yaml.YAMLError(f"{node.value} in line {node.start_mark.line + 1} is no date: {error}") from error


class _UniqueKeysLoader(yaml.SafeLoader):
    """YAML as it is, but a key that stands twice is a fault: plain YAML keeps the last one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  PyYAML's signature
        lines: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if key.value in lines:
                raise yaml.YAMLError(f"the key {key.value!r} of line {lines[key.value]} stands again in line {line}")
            lines[key.value] = line
        return super().construct_mapping(node, deep)


_UniqueKeysLoader.add_constructor("tag:yaml.org,2002:timestamp", _construct_date)


def load_venues_file(path: Path) -> VenuesFile:
    """Read a venues file; raises ConfigurationError (permanent) with the place of each fault in the file."""
    try:
        document = _UniqueKeysLoader(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the venues file {path}: {error.strerror}. MARKET_DATA_CONFIG names it; without that variable "
            "the file in the package is used"
        ) from error
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # the last two are PyYAML's, of odd numbers and depths
        raise ConfigurationError(f"cannot read the venues file {path} as YAML: {error}") from error
    try:
        return VenuesFile.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(f"the venues file {path} has faults:\n{describe_faults(error, VenuesFile)}") from error
