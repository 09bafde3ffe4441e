"""Asset checks of the `ticks` step: each judges what the lake holds, read back once the unit is committed or given up.

They are partitioned check specs of the step itself, so a day has its results also when the step raises afterwards, and
a failed data type shows a failed coverage check. Partitioned checks are a preview of Dagster 1.13: the minor version is
pinned, and that one warning silenced.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

import dagster as dg
from dagster._utils.warnings import PreviewWarning

from market_data.checks.facts import observe_unit
from market_data.checks.rules import LAYOUT_RULE, UNIT_RULES, UnitFacts, Verdict, judge_findings, judge_layout
from market_data.defs.tables import make_table
from market_data.lake.base import TickLake
from market_data.model.data_types import DataType
from market_data.model.tick_file import DataTypeDay
from market_data.quality.gap_verdict import verdict_of_gaps
from market_data.quality.judge_gaps import JudgedUnit
from market_data.ticks.rules import FAMILIES, Family, Rule, rules_for

_DESCRIPTIONS = {name: (rule.__doc__ or "").removeprefix("Judge that ").strip() for name, rule in UNIT_RULES.items()}

# A day of which one of these failed can be healed by running it again; what the data themselves are cannot.
HEALED_BY_A_RERUN = (*UNIT_RULES, LAYOUT_RULE)
_ABOUT_TICKS = "ticks_"
GAPS_CHECK = f"{_ABOUT_TICKS}gaps"
_ABOUT_GAPS = (
    "no improbable span without rows for a reason that concerns readers; the table has each with its cause "
    "(quality/gaps.py, quality/causes.py)"
)


def is_about_ticks(check_name: str) -> bool:
    """Whether a check judges the ticks themselves, by the findings in the receipt."""
    return check_name.startswith(_ABOUT_TICKS)


def _families(data_type: DataType) -> dict[str, Family]:
    """Return the families of rules about the ticks of a data type, by check name."""
    used = {rule.family for rule in rules_for(data_type, {})}
    return {f"{_ABOUT_TICKS}{family}": family for family in FAMILIES if family in used}


def build_check_specs(
    raw_keys: Mapping[DataType, dg.AssetKey],
    layout_keys: Mapping[str, dg.AssetKey],
    days: dg.DailyPartitionsDefinition,
) -> list[dg.AssetCheckSpec]:
    """Return one spec for each rule of each raw asset, and one for each layout."""
    pairs = [(key, name, text) for key in raw_keys.values() for name, text in _DESCRIPTIONS.items()]
    for data_type, key in raw_keys.items():
        for name, family in _families(data_type).items():
            rules = [rule.name for rule in rules_for(data_type, {}) if rule.family == family]
            pairs.append((key, name, f"the ticks broke none of: {', '.join(rules)} (ticks/rules.py)"))
    pairs += [(key, GAPS_CHECK, _ABOUT_GAPS) for key in raw_keys.values()]
    pairs += [(key, LAYOUT_RULE, "exactly the objects that the receipts name") for key in layout_keys.values()]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=PreviewWarning)
        return [
            dg.AssetCheckSpec(name, asset=key, description=text, partitions_def=days, blocking=False)
            for key, name, text in pairs
        ]


def _rules_of(data_type: DataType) -> dict[str, Callable[[UnitFacts], Verdict]]:
    """Return the rules of a raw asset, by check name."""
    about_ticks = {name: partial(judge_findings, family=family) for name, family in _families(data_type).items()}
    return dict(UNIT_RULES) | about_ticks


def unit_check_keys(data_type: DataType, key: dg.AssetKey) -> list[dg.AssetCheckKey]:
    """Return the checks of one raw asset."""
    return [dg.AssetCheckKey(key, name) for name in (*_rules_of(data_type), GAPS_CHECK)]


def check_unit(
    lake: TickLake, unit: DataTypeDay, key: dg.AssetKey, wanted: Collection[dg.AssetCheckKey]
) -> Iterator[dg.AssetCheckResult]:
    """Yield the results of the wanted rules for one raw asset."""
    rules = {name: rule for name, rule in _rules_of(unit.data_type).items() if dg.AssetCheckKey(key, name) in wanted}
    if rules:
        facts = observe_unit(lake, unit)
        for name, rule in rules.items():
            yield check_result(key, name, rule(facts))


def check_gaps(judged: JudgedUnit, key: dg.AssetKey, rules: Iterable[Rule]) -> dg.AssetCheckResult:
    """Return the result of the look for gaps in one raw asset."""
    return check_result(key, GAPS_CHECK, verdict_of_gaps(judged, rules))


def check_layouts(
    lake: TickLake,
    units: Sequence[DataTypeDay],
    keys: Mapping[str, dg.AssetKey],
    wanted: Collection[dg.AssetCheckKey],
) -> Iterator[dg.AssetCheckResult]:
    """Yield one result for each layout: all data types of the venue-day together."""
    asked = {layout: key for layout, key in keys.items() if dg.AssetCheckKey(key, LAYOUT_RULE) in wanted}
    if not asked:
        return
    # the layouts' rule looks at the listing alone: the footers were read for the raw assets' rules
    facts = [observe_unit(lake, unit, has_footers=False) for unit in units]
    for layout, key in asked.items():
        yield check_result(key, LAYOUT_RULE, _together([judge_layout(item, layout) for item in facts]))


def _together(verdicts: Sequence[Verdict]) -> Verdict:
    failed = [verdict for verdict in verdicts if not verdict.is_passed]
    names = ("wrong", "objects", "size_bytes", "unnamed")
    counts = {name: sum(item.counts.get(name, 0) for item in verdicts) for name in names}
    if not failed:
        more = f"; {counts['unnamed']} more were replaced, or are of killed runs" if counts["unnamed"] else ""
        summary = f"{counts['objects']} objects as the receipts name them{more}"
        return Verdict(is_passed=True, summary=summary, counts=counts)
    worst = tuple(case for verdict in failed for case in verdict.worst)
    return Verdict(is_passed=False, summary="; ".join(item.summary for item in failed), counts=counts, worst=worst)


def check_result(key: dg.AssetKey, name: str, verdict: Verdict) -> dg.AssetCheckResult:
    """Return a verdict as Dagster shows it."""
    metadata: dict[str, dg.MetadataValue] = {}
    if verdict.worst:
        metadata["worst cases"] = make_table(verdict.worst)
    # zeros too: Dagster's plots would draw a line over the days without
    metadata |= {count: dg.MetadataValue.int(value) for count, value in verdict.counts.items()}
    return dg.AssetCheckResult(
        passed=verdict.is_passed,
        asset_key=key,
        check_name=name,
        severity=dg.AssetCheckSeverity.ERROR if verdict.is_error else dg.AssetCheckSeverity.WARN,
        description=verdict.summary,
        metadata=metadata,
    )
