"""What Dagster loads: keys, groups, checks, partitions and engines follow from the settings."""

import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG

from market_data.defs.build import build_definitions
from market_data.settings.environment import Engine, load_settings

PROJECT = Path(__file__).parents[2]


def build(**environ: str) -> dg.Definitions:
    return build_definitions(load_settings(environ))


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build()


def test_each_venue_is_a_group_of_instruments_raw_data_types_and_layouts(definitions: dg.Definitions) -> None:
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    deribit = {key for key in keys if key.startswith("deribit/")}
    assert deribit == {
        "deribit/instruments",
        "deribit/raw/trades",
        "deribit/raw/quotes",
        "deribit/raw/derivative_ticker",
        "deribit/raw/options_chain",
        "deribit/by_date",
        "deribit/by_venue",
        "deribit/by_type",
    }
    groups = {"binance", "binance_futures", "binance_delivery", "deribit"}
    assert {key.split("/")[0] for key in keys} == groups | {"agreement", "coverage", "needs_a_person", "universe"}
    assert {key for key in keys if key.startswith("agreement/")} == {f"agreement/{group}" for group in groups}


def test_all_assets_of_venues_share_one_daily_partitions_definition(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    keys = graph.get_all_asset_keys() - {dg.AssetKey("coverage"), dg.AssetKey("needs_a_person")}
    partitions = {graph.get(key).partitions_def for key in keys}
    assert partitions == {dg.DailyPartitionsDefinition("2019-03-30", timezone="UTC")}


def test_every_raw_asset_and_layout_has_partitioned_checks(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    names: dict[str, set[str]] = {}
    for key in graph.asset_check_keys - {dg.AssetCheckKey(dg.AssetKey("needs_a_person"), "nothing_needs_a_person")}:
        names.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
        assert graph.get_check_spec(key).partitions_def is not None
    about_the_lake = {"coverage", "schema", "row_conservation", "inside_day"}
    about_the_ticks = {"ticks_order", "ticks_values", "ticks_timing", "ticks_identity", "ticks_gaps"}
    assert names["deribit/raw/trades"] == about_the_lake | about_the_ticks
    assert names["deribit/raw/quotes"] == about_the_lake | about_the_ticks | {"ticks_book"}
    assert names["agreement/deribit"] == {"data_types_agree"}
    assert names["deribit/by_type"] == {"matches_receipts"}
    assert "deribit/instruments" not in names


def test_every_asset_of_a_venue_has_the_venues_owners(tmp_path: Path) -> None:
    owners = ["team:market-data", "ann@firm.com"]
    venues = {"binance": {"data_types": ["trades"], "owners": owners}, "deribit": {"data_types": ["trades"]}}
    (tmp_path / "venues.yaml").write_text(yaml.safe_dump({"venues": venues}))
    graph = build(MARKET_DATA_CONFIG=str(tmp_path / "venues.yaml")).resolve_asset_graph()
    owned = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).owners}
    names = ("instruments", "raw/trades", "by_date", "by_venue", "by_type")
    assert owned == {"agreement/binance"} | {f"binance/{name}" for name in names}
    assert all(sorted(graph.get(dg.AssetKey(name.split("/"))).owners) == sorted(owners) for name in owned)


def test_jobs_that_ask_the_vendor_for_nothing_go_to_the_workers_without_the_key(definitions: dg.Definitions) -> None:
    jobs = definitions.resolve_all_job_defs()
    queues = {job.name: job.tags.get(DAGSTER_CELERY_QUEUE_TAG) for job in jobs if not job.name.startswith("__")}
    assert {name for name, queue in queues.items() if queue is None} == {"all_venues", "refresh"}
    others = {"recheck", "judge_agreement", "rebuild_history", "draw_coverage", "combined_universe", "tidy_lake"}
    assert {name for name, queue in queues.items() if queue == "lake"} == others


@pytest.mark.parametrize(
    ("engine", "executor"),
    [
        (Engine.IN_PROCESS, "in_process"),
        (Engine.MULTIPROCESS, "multiprocess"),
        (Engine.K8S, "k8s"),
    ],
)
def test_the_engine_is_chosen_by_configuration_alone(engine: Engine, executor: str) -> None:
    chosen = build(MARKET_DATA_ENGINE=engine).executor
    assert isinstance(chosen, dg.ExecutorDefinition)
    assert chosen.name == executor


def test_the_api_key_is_known_to_dagster_by_its_variable_name_only() -> None:
    resources = build(TARDIS_API_KEY="secret-canary").resources
    assert resources is not None
    assert "secret-canary" not in repr(resources)


def test_dagster_dev_and_dg_dev_load_the_same_location() -> None:
    (entry,) = yaml.safe_load((PROJECT / "workspace.yaml").read_text())["load_from"]
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    module = entry["python_module"]
    assert module["location_name"] == project["code_location_name"] == "market_data"
    assert module["module_name"] == project["code_location_target_module"] == "market_data.definitions"
