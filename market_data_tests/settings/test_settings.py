"""Settings: what is read, and what a person is told when the environment or the venues file is wrong."""

from __future__ import annotations

import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from market_data.defs.partitions import daily_partitions
from market_data.defs.resources import build_resources
from market_data.demo.story import _quote
from market_data.errors import ConfigurationError
from market_data.lake.keys import LAYOUTS
from market_data.model.data_types import DataType
from market_data.model.venues import VENUES
from market_data.settings.environment import (
    DEFAULT_SIMULATOR_URL,
    OWN_SOURCES,
    Engine,
    Settings,
    lake_url_of,
    load_settings,
)
from market_data.settings.venues_file import DEFAULT_VENUES_FILE, load_venues_file

GOOD = "venues: {binance: {data_types: [trades]}}\n"
URL = "http://127.0.0.1:8750/v1"
KNOWN_TYPES = ", ".join(DataType)


def _load(tmp_path: Path, text: str | bytes) -> Settings:
    path = tmp_path / "venues.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_settings({"MARKET_DATA_CONFIG": str(path)})


def _faults(tmp_path: Path, text: str | bytes) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        _load(tmp_path, text)
    head, *lines = str(caught.value).split("\n")
    assert head == f"the venues file {tmp_path / 'venues.yaml'} has faults:"
    return [line.strip() for line in lines]


@pytest.mark.parametrize(
    "text", ["a: 0x_", "a: !!int abc", "a: 1" + "0" * 5000, "[" * 3000, "a: [", "a: \x00", "a: !x y"]
)
def test_what_is_no_yaml_is_told_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "venues.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="cannot read the venues file"):
        load_venues_file(path)


def test_the_default_file_loads_without_any_environment() -> None:
    settings = load_settings({})
    assert settings.venues_file == DEFAULT_VENUES_FILE
    assert list(settings.config.venues) == ["BINANCE", "BINANCE-FUTURES", "BINANCE-DELIVERY", "DERIBIT"]
    assert settings.config.start_date == date(2019, 3, 30)
    assert settings.config.layouts == LAYOUTS
    assert (settings.vendor, settings.engine, settings.api_key) == ("tardis", Engine.IN_PROCESS, None)
    assert settings.origin == settings.datasets_url == "https://datasets.tardis.dev/v1"
    assert settings.lake_url == (Path.cwd() / ".market_data/lake").as_uri()


def test_the_environment_is_read(tmp_path: Path) -> None:
    path = tmp_path / "venues.yaml"
    path.write_text(GOOD)
    environ = {
        "MARKET_DATA_CONFIG": str(path),
        "MARKET_DATA_LAKE_URL": "gs://bucket/prefix",
        "MARKET_DATA_VENDOR": "simulator",
        "MARKET_DATA_ENGINE": "multiprocess",
        "TARDIS_API_URL": URL,
        "TARDIS_DATASETS_URL": URL,
        "TARDIS_API_KEY": " a-secret\n",
    }
    settings = load_settings(environ)
    assert (settings.lake_url, settings.engine, settings.origin) == ("gs://bucket/prefix", "multiprocess", "simulator")
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "a-secret", "a line end from a secrets file is not part of the key"
    assert "a-secret" not in repr(settings)


def test_every_spelling_of_names_is_understood(tmp_path: Path) -> None:
    text = """
        layouts: [BY-DATE, by_type]
        venues:
          okex_swap:
            data_types: [TRADES, book-snapshot-25, incremental_book_l2]
            instrument_types: [perpetual, spot-pair]
            prefer_grouped: [perpetuals]
          binance: {data_types: [quotes], prefer_grouped: true}
          Deribit: {data_types: [quotes], prefer_grouped: false}
    """
    config = _load(tmp_path, text).config
    assert config.layouts == ("by_date", "by_type")
    okx = config.venues["OKX-SWAP"]
    assert okx.data_types == (DataType.TRADES, DataType.BOOK_SNAPSHOT_25, DataType.INCREMENTAL_BOOK_L2)
    assert okx.instrument_types == ("PERPETUAL", "SPOT_PAIR")
    assert okx.selection.prefer_grouped == ("PERPETUALS",)
    assert config.venues["BINANCE"].prefer_grouped == ("SPOT", "PERPETUALS", "FUTURES", "OPTIONS", "COMBOS")
    assert config.venues["DERIBIT"].prefer_grouped == ()


def test_owners_are_teams_and_e_mail_addresses(tmp_path: Path) -> None:
    text = "venues: {{binance: {{data_types: [trades], owners: {}}}}}"
    owners = (
        _load(tmp_path, text.format("[team:market-data, ann.lee+ticks@firm.co.uk]")).config.venues["BINANCE"].owners
    )
    assert owners == ("team:market-data", "ann.lee+ticks@firm.co.uk")
    assert _load(tmp_path, GOOD).config.venues["BINANCE"].owners == ()
    for wrong in ("market-data", "team:", "team: x", "ann@firm", ".ann@firm.com"):
        (fault,) = _faults(tmp_path, text.format(f"[team:a, '{wrong}']"))
        told = f"owner {wrong!r} is neither a team (team:market-data) nor an e-mail address (ann@firm.com)"
        assert fault == f"venues.BINANCE.owners, item 2: {told}"
    assert _faults(tmp_path, text.format("[team:a, team:a]")) == ["venues.BINANCE.owners: team:a is named twice"]
    assert _faults(tmp_path, text.format("team:a")) == [
        "venues.BINANCE.owners: must be a list, such as [a, b]; found 'team:a'"
    ]


def test_the_hash_names_the_meaning_of_the_file_and_not_its_spelling(tmp_path: Path) -> None:
    one = _load(tmp_path, GOOD).config_hash
    assert _load(tmp_path, "# a comment\nvenues:\n  BINANCE:\n    data_types:\n    - Trades\n").config_hash == one
    assert _load(tmp_path, GOOD.replace("trades", "quotes")).config_hash != one
    assert len(one) == 12


def test_an_unknown_venue_is_named_with_the_known_ones(tmp_path: Path) -> None:
    (fault,) = _faults(tmp_path, "venues: {binanse: {data_types: [trades]}}")
    assert fault == f"venues: unknown venue 'binanse'. Known venues: {', '.join(VENUES)}"


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            "venues: {binance: {data_types: [trades], filter: [BTC]}}",
            [
                (
                    "venues.BINANCE.filter: unknown key. Known keys: data_types, instrument_types, include, exclude, "
                    "max_instruments, prefer_grouped, quality, owners, waivers"
                )
            ],
        ),
        (
            "venues: {binance: {data_types: [trades], quality: {trades: {}, TRADES: {}}}}",
            ["venues.BINANCE.quality: 'trades' stands again as 'TRADES'"],
        ),
        (
            f"{GOOD}\nlimits: {{max_csv_gb: {{book-ticker: 1, Book_Ticker: 2}}}}",
            ["limits.max_csv_gb: 'book-ticker' stands again as 'Book_Ticker'"],
        ),
        (
            f"{GOOD}\nlimits: {{scratch_gb: .inf}}",
            ["limits.scratch_gb: must be a number, and not without end; found inf"],
        ),
        (f"{GOOD}\nlimits: {{scratch_gb: 0}}", ["limits.scratch_gb: must be more than 0; found 0"]),
        (
            "venues: {binance: {data_types: [trades], quality: {trades: {silence: {severity: fatal, is_off: maybe}}}}}",
            [
                "venues.BINANCE.quality.trades.silence.severity: must be one of 'warn', 'error'; found 'fatal'",
                "venues.BINANCE.quality.trades.silence.is_off: must be true or false; found 'maybe'",
            ],
        ),
        (
            "venues: {binance: {data_types: [trades], waivers: [{data_type: trades, symbol: A, day: 2024-08-08}]}}",
            ["venues.BINANCE.waivers, item 1, reason: is missing"],
        ),
        (
            "venues: {binance: {data_types: [trades], quality: {trade: {}}}}",
            [f"venues.BINANCE.quality.trade: unknown data type 'trade'. Known data types: {KNOWN_TYPES}"],
        ),
        (
            "venues: {binance: {data_types: [trades], quality: {trades: {silence: {limits: 3}}}}}",
            ["venues.BINANCE.quality.trades.silence.limits: unknown key. Known keys: limit, severity, is_off"],
        ),
        (
            f"layout: [by_date]\n{GOOD}",
            ["layout: unknown key. Known keys: start_date, end_date, venues, layouts, automation, limits"],
        ),
        (
            "venues: {binance: {data_types: [trades, trade]}}",
            [f"venues.BINANCE.data_types, item 2: unknown data type 'trade'. Known data types: {KNOWN_TYPES}"],
        ),
        (
            "venues: {binance: {data_types: [trades], instrument_types: [SPOT]}}",
            [
                (
                    "venues.BINANCE.instrument_types, item 1: unknown instrument type 'SPOT'. Known: SPOT_PAIR, "
                    "PERPETUAL, FUTURE, OPTION, COMBO, PREDICTION"
                )
            ],
        ),
        (
            "venues: {binance: {data_types: [trades], prefer_grouped: [OPTION]}}",
            [
                (
                    "venues.BINANCE.prefer_grouped, item 1: unknown grouped file 'OPTION'. Known: SPOT, PERPETUALS, "
                    "FUTURES, OPTIONS, COMBOS"
                )
            ],
        ),
        (
            f"layouts: [by_moon]\n{GOOD}",
            ["layouts, item 1: unknown layout 'by_moon'. Known: by_date, by_venue, by_type"],
        ),
        (
            "venues:\n  okex-swap: {data_types: [trades]}\n  OKX_SWAP: {data_types: [trades]}",
            ["venues: venue OKX-SWAP is configured twice, the second time as 'OKX_SWAP'"],
        ),
        (
            "venues: {binance: {data_types: [trades], max_instruments: 0}}",
            ["venues.BINANCE.max_instruments: must be 1 or more; found 0"],
        ),
        (
            "venues: {binance: {data_types: [trades], max_instruments: many}}",
            ["venues.BINANCE.max_instruments: must be a whole number; found 'many'"],
        ),
        (
            "venues: {binance: {data_types: [trades], max_instruments: true}}",
            ["venues.BINANCE.max_instruments: must be a whole number; found True"],
        ),
        (f"limits: {{files_at_once: yes}}\n{GOOD}", ["limits.files_at_once: must be a whole number; found True"]),
        (f"start_date: 1723075200\n{GOOD}", ["start_date: 1723075200 is a number; a day is written as 2024-08-08"]),
        (
            "venues: {binance: {data_types: [trades], quality: {quotes: {crossed: {limit: 1}}}}}",
            ["venues.BINANCE: `quality` speaks of quotes, which is not among the venue's `data_types`"],
        ),
        (
            "venues: {binance: {data_types: [trades], quality: {trades: {silence: {limit: 1}}}}}",
            [
                (
                    "venues.BINANCE: `quality` changes silence of trades, which no file of trades is judged by. Its "
                    "rules: after_expiry, arrival_order, clock_skew, delay_shifted, gap_ours, gap_type_silent, "
                    "gap_unknown, gap_vendor_incident, gap_venue_or_recorder, negative_amount, not_finite, "
                    "price_not_positive, prices_mostly_wrong, repeated_id, repeated_row, rounded, "
                    "rows_unlike_weekdays, trades_of_other_prices, trades_outside_book, unknown_side"
                )
            ],
        ),
        (
            f"start_date: 2019-03-29\n{GOOD}",
            ["start_date: must not be before 2019-03-30, the vendor's first day; found 2019-03-29"],
        ),
        (
            f"automation: {{first_wait_seconds: soon, retries: 3}}\n{GOOD}",
            [
                "automation.first_wait_seconds: must be a number; found 'soon'",
                (
                    "automation.retries: unknown key. Known keys: check_every_seconds, days_per_check, "
                    "first_wait_seconds, max_attempts"
                ),
            ],
        ),
        (f"start_date: soon\n{GOOD}", ["start_date: must be a date, such as 2019-03-30; found 'soon'"]),
        ("venues: {binance: {data_types: [trades, TRADES]}}", ["venues.BINANCE.data_types: trades is named twice"]),
        (f"layouts: [by_date, by_date]\n{GOOD}", ["layouts: by_date is named twice"]),
        ("venues: {binance: {include: [BTC]}}", ["venues.BINANCE.data_types: is missing"]),
        ("venues: {binance: {data_types: []}}", ["venues.BINANCE.data_types: is empty; name at least one"]),
        ("venues: {}", ["venues: is empty; name at least one"]),
        (
            "venues: {binance: {data_types: [trades], include: BTCUSDT}}",
            ["venues.BINANCE.include: must be a list, such as [a, b]; found 'BTCUSDT'"],
        ),
        (
            "venues: {binance: {data_types: [trades], include: [1]}}",
            ["venues.BINANCE.include, item 1: must be text, in quotes if need be; found 1"],
        ),
        ("venues: {binance: }", ["venues.BINANCE: must be keys with values (`key: value`); found nothing"]),
        ("venues: [binance]", ["venues: must be keys with values (`key: value`); found ['binance']"]),
        ("", ["the whole file: must be keys with values (`key: value`); found nothing"]),
        ("start_date: 2020-01-01", ["venues: is missing"]),
        (
            "venues: {binance: {data_types: [trade], max_instruments: 0}}",
            [
                f"venues.BINANCE.data_types, item 1: unknown data type 'trade'. Known data types: {KNOWN_TYPES}",
                "venues.BINANCE.max_instruments: must be 1 or more; found 0",
            ],
        ),
    ],
)
def test_a_fault_of_the_venues_file_is_told_with_its_place_and_what_would_be_right(
    tmp_path: Path, text: str, faults: list[str]
) -> None:
    assert _faults(tmp_path, text) == faults


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("venues: {binance: [", "expected the node content, but found '<stream end>'"),
        ("venues:\n\tbinance: 1", "found character '\\t' that cannot start any token"),
        (b"venues: \xff", "'utf-8' codec can't decode byte 0xff in position 8"),
        (
            "venues:\n  binance: {data_types: [trades]}\n  binance: {data_types: [quotes]}",
            "the key 'binance' of line 2 stands again in line 3",
        ),
        (
            "venues: {binance: {data_types: [trades], data_types: [quotes]}}",
            "the key 'data_types' of line 1 stands again in line 1",
        ),
    ],
    ids=["unclosed", "tab", "not UTF-8", "venue twice", "key twice"],
)
def test_a_file_that_is_not_unambiguous_yaml_is_refused(tmp_path: Path, text: str | bytes, part: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _load(tmp_path, text)
    assert str(caught.value).startswith(f"cannot read the venues file {tmp_path / 'venues.yaml'} as YAML: ")
    assert part in str(caught.value)


@pytest.mark.parametrize(("name", "why"), [("missing.yaml", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_named_together_with_the_variable(tmp_path: Path, name: str, why: str) -> None:
    path = tmp_path / name
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"MARKET_DATA_CONFIG": str(path)})
    assert str(caught.value) == (
        f"cannot read the venues file {path}: {why}. MARKET_DATA_CONFIG names it; without that variable the file in "
        "the package is used"
    )


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"MARKET_DATA_ENGINE": "docker"},
            "MARKET_DATA_ENGINE is 'docker'; it must be one of in_process, multiprocess, k8s",
        ),
        (
            {"MARKET_DATA_ENGINE": "celery"},
            (
                "MARKET_DATA_ENGINE is 'celery', which is no engine of steps any more: Celery workers take whole runs. "
                "Unset it, and have a launcher of runs in dagster.yaml (docker/launcher_workers.yaml is one)"
            ),
        ),
        (
            {"TARDIS_API_KEY": "one", "TARDIS_API_KEY_FILE": "two"},
            "TARDIS_API_KEY and TARDIS_API_KEY_FILE are both set: unset one of the two variables",
        ),
        (
            {"TARDIS_API_KEY_FILE": "/nowhere/key"},
            (
                "cannot read the vendor's key from /nowhere/key, which TARDIS_API_KEY_FILE names: No such file or "
                "directory. Name a file that this user may read, or unset the variable"
            ),
        ),
        ({"MARKET_DATA_AUTOMATION": "yes"}, "MARKET_DATA_AUTOMATION is 'yes'; it must be 'on' or 'off'"),
        ({"MARKET_DATA_VENDOR": "kaiko"}, "MARKET_DATA_VENDOR is 'kaiko'; it must be 'tardis' or 'simulator'"),
        (
            {"MARKET_DATA_VENDOR": "simulator", "TARDIS_API_URL": URL},
            (
                "MARKET_DATA_VENDOR is 'simulator', so TARDIS_API_URL and TARDIS_DATASETS_URL must name a running one: "
                "start `market-data simulator --port 8750` and set both to http://127.0.0.1:8750/v1"
            ),
        ),
        (
            {"TARDIS_DATASETS_URL": "datasets.tardis.dev/v1"},
            "TARDIS_DATASETS_URL is 'datasets.tardis.dev/v1'; it must start with https:// (or http://)",
        ),
    ],
)
def test_a_wrong_variable_is_named_with_what_it_must_be(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    assert str(caught.value) == message
    assert not caught.value.is_transient


def test_a_key_may_stand_in_a_file_of_its_own_which_children_are_told_as_a_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("made-up-key\n")
    settings = load_settings({"TARDIS_API_KEY_FILE": str(path)})
    assert (settings.api_key and settings.api_key.get_secret_value()) == "made-up-key"
    told = load_settings(settings.environment)
    assert (told.api_key, told.api_key_file) == (settings.api_key, None)
    assert "made-up-key" not in repr(build_resources(settings))
    path.write_text("")
    assert load_settings({"TARDIS_API_KEY_FILE": str(path)}).api_key is None
    path.write_bytes(b"made-up\xff")
    with pytest.raises(ConfigurationError, match="beyond ASCII: copy it again") as caught:
        load_settings({"TARDIS_API_KEY_FILE": str(path)})
    assert "made-up" not in str(caught.value)


@pytest.mark.parametrize("key", ["a-sec ret", "a-sec\nret", "a-secrét", "a-sec\x00ret"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"TARDIS_API_KEY": key})
    assert str(caught.value).startswith("TARDIS_API_KEY holds a space, a line end or a character beyond ASCII")
    assert "a-sec" not in str(caught.value)


@pytest.mark.parametrize("url", ["hooks.example/T0KEN", "https://a b/T0KEN", "ftp://a/T0KEN"])
def test_an_address_for_alerts_is_a_secret_also_where_it_is_wrong(url: str) -> None:
    with pytest.raises(ConfigurationError, match="MARKET_DATA_ALERT_URL is no address") as caught:
        load_settings({"MARKET_DATA_ALERT_URL": url})
    assert "T0KEN" not in str(caught.value)
    settings = load_settings({"MARKET_DATA_ALERT_URL": "https://hooks.example/T0KEN"})
    assert "T0KEN" not in repr(settings)
    assert load_settings(settings.environment).alert_url == settings.alert_url


def test_an_address_for_alerts_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "alert_url"
    environ = {"MARKET_DATA_ALERT_URL_FILE": str(path)}
    with pytest.raises(
        ConfigurationError, match=r"cannot read the address of alerts from .*MARKET_DATA_ALERT_URL_FILE"
    ):
        load_settings(environ)
    path.write_text("https://hooks.example/T0KEN\n")
    settings = load_settings(environ)
    assert (settings.alert_url and settings.alert_url.get_secret_value()) == "https://hooks.example/T0KEN"
    assert load_settings(settings.environment).alert_url == settings.alert_url
    with pytest.raises(ConfigurationError, match="both set: unset one of the two variables"):
        load_settings({**environ, "MARKET_DATA_ALERT_URL": "https://hooks.example/other"})
    path.write_text("")
    assert load_settings(environ).alert_url is None
    path.write_text("hooks.example/T0KEN")
    with pytest.raises(ConfigurationError, match="MARKET_DATA_ALERT_URL_FILE names, is no address") as caught:
        load_settings(environ)
    assert "T0KEN" not in str(caught.value)


DEMO = """\
# a comment
MARKET_DATA_LAKE_URL=file:///made/up
MARKET_DATA_VENDOR=simulator
DAGSTER_HOME=/made/dagster
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment that says nothing."""
    monkeypatch.chdir(tmp_path)
    for name in (*OWN_SOURCES, "MARKET_DATA_SETTINGS", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def _write_settings(path: Path, text: str = DEMO) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_settings_file_in_the_directory_is_used_where_the_environment_says_nothing(directory: Path) -> None:
    assert load_settings().vendor == "tardis"
    _write_settings(directory / ".market_data" / "settings.env")
    settings = load_settings()
    assert (settings.vendor, settings.lake_url, settings.origin) == ("simulator", "file:///made/up", "simulator")
    assert (settings.dagster_home, settings.needs_simulator) == (Path("/made/dagster"), True)
    assert (settings.api_url, settings.datasets_url) == (DEFAULT_SIMULATOR_URL, DEFAULT_SIMULATOR_URL)
    assert lake_url_of() == "file:///made/up"
    assert load_settings({}).vendor == "tardis", "variables that are given are all there is"


@pytest.mark.parametrize("name", OWN_SOURCES)
def test_made_up_data_never_mix_with_what_the_environment_names(
    directory: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _write_settings(directory / ".market_data" / "settings.env")
    values = {
        "MARKET_DATA_CONFIG": str(DEFAULT_VENUES_FILE),
        "MARKET_DATA_VENDOR": "tardis",
        "MARKET_DATA_LAKE_URL": "gs://bucket/ticks",
        "TARDIS_API_KEY_FILE": "/dev/null",
    }
    monkeypatch.setenv(name, values.get(name, URL))
    settings = load_settings()
    assert settings.vendor == "tardis"
    assert settings.lake_url != "file:///made/up"
    assert lake_url_of() == settings.lake_url
    assert settings.dagster_home == directory / ".market_data" / "dagster"


def test_what_a_process_is_told_tells_its_children_the_same(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_settings(directory / ".market_data" / "settings.env")
    settings = load_settings()
    monkeypatch.setenv("MARKET_DATA_SETTINGS", str(directory / "another.env"))
    for name, value in settings.environment.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings.model_copy(update={"needs_simulator": False})


def test_a_named_settings_file_is_used_anywhere_and_refused_where_a_variable_says_otherwise(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = _write_settings(directory / "elsewhere" / "mine.env")
    monkeypatch.setenv("MARKET_DATA_SETTINGS", str(named))
    monkeypatch.setenv("MARKET_DATA_VENDOR", "simulator")
    assert load_settings().lake_url == "file:///made/up"
    monkeypatch.setenv("MARKET_DATA_LAKE_URL", "gs://bucket/ticks")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert str(caught.value) == (
        f"MARKET_DATA_LAKE_URL is set, and the settings file {named}, which MARKET_DATA_SETTINGS names, says "
        "'file:///made/up': unset one of the two variables"
    )


def test_a_key_in_a_settings_file_is_not_shown_when_another_one_is_set(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = _write_settings(directory / "mine.env", "TARDIS_API_KEY=TD.one-secret\n")
    monkeypatch.setenv("MARKET_DATA_SETTINGS", str(named))
    monkeypatch.setenv("TARDIS_API_KEY", "TD.other-secret")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "TARDIS_API_KEY is set" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no settings file {path}, which MARKET_DATA_SETTINGS names."),
        ("MARKET_DATA_LAKE=x\n", "the settings file {path} names MARKET_DATA_LAKE. Known names: MARKET_DATA_CONFIG, "),
        (b"MARKET_DATA_LAKE_URL=\xff\xfe", "cannot read the settings file {path}: "),
        ("DAGSTER_HOME=/a\nMARKET_DATA_CONFIG='it'\"'\"'s'\n", "line 2 of the settings file {path} is not NAME=value;"),
    ],
)
def test_a_wrong_settings_file_is_named(
    directory: Path, monkeypatch: pytest.MonkeyPatch, text: str | bytes | None, message: str
) -> None:
    path = directory / "mine.env"
    if text is not None:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    monkeypatch.setenv("MARKET_DATA_SETTINGS", str(path))
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert str(caught.value).startswith(message.format(path=path))


def test_a_last_day_ends_the_partitions(tmp_path: Path) -> None:
    config = _load(tmp_path, f"start_date: 2024-08-01\nend_date: 2024-08-31\n{GOOD}").config
    assert config.newest_day(date(2024, 8, 9)) == date(2024, 8, 8)
    assert config.newest_day(date(2026, 8, 9)) == date(2024, 8, 31)
    days = daily_partitions(config.start_date, config.end_date)
    assert days.get_partition_keys(current_time=datetime(2026, 8, 9, tzinfo=UTC))[-1] == "2024-08-31"
    assert days.get_partition_keys(current_time=datetime(2024, 8, 9, tzinfo=UTC))[-1] == "2024-08-08"
    assert _faults(tmp_path, f"start_date: 2024-08-02\nend_date: 2024-08-01\n{GOOD}") == [
        "the whole file: end_date 2024-08-01 is before start_date 2024-08-02"
    ]


@pytest.mark.parametrize("value", ["/plain", "/a b/c=d", "/it's/here", "/#1/$HOME/`x`", 'file:///a%20"b"'])
def test_a_shell_and_the_settings_file_read_what_the_demo_writes_alike(
    directory: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    path = _write_settings(directory / "mine.env", f"MARKET_DATA_LAKE_URL={_quote(value)}\n")
    monkeypatch.setenv("MARKET_DATA_SETTINGS", str(path))
    assert lake_url_of() == value
    script = f'set -a; . "{path}"; set +a; printf %s "$MARKET_DATA_LAKE_URL"'
    assert subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout == value
