"""The only reader of the environment, of the settings file and of the venues file.

Environment: MARKET_DATA_CONFIG (venues file; default: the one in this package), MARKET_DATA_LAKE_URL (`file:///...` or
`gs://bucket/prefix`; default ./.market_data/lake), MARKET_DATA_VENDOR (`tardis`, or `simulator` when said),
TARDIS_API_KEY, or TARDIS_API_KEY_FILE (a file that holds the key alone; an empty one is no key), TARDIS_API_URL,
TARDIS_DATASETS_URL, MARKET_DATA_ENGINE (`in_process`, `multiprocess`, `k8s`), MARKET_DATA_AUTOMATION (`off`; `on`
starts the sensors and the schedule), MARKET_DATA_ALERT_URL (takes a POST of what needs a person), or
MARKET_DATA_ALERT_URL_FILE (a file that holds the address alone), DAGSTER_HOME (default ./.market_data/dagster).

A settings file holds lines `NAME=value` of these. MARKET_DATA_SETTINGS names one; else ./.market_data/settings.env is
used, which `market-data demo` writes, unless the environment itself says what is read from where: then it alone holds.
So made-up data are read where the demo was run and nothing else was asked for, and never mix with anything.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Literal

from dotenv.parser import parse_stream
from pydantic import (
    SecretStr,
)

from market_data.errors import ConfigurationError
from market_data.settings.venues_file import DEFAULT_VENUES_FILE, SettingsModel, VenuesFile, load_venues_file

DEFAULT_API_URL = "https://api.tardis.dev/v1"
DEFAULT_DATASETS_URL = "https://datasets.tardis.dev/v1"
DEFAULT_SIMULATOR_URL = "http://127.0.0.1:8750/v1"
DEFAULT_LAKE_DIRECTORY = Path(".market_data/lake")
DEFAULT_DAGSTER_HOME = Path(".market_data/dagster")
DEFAULT_SETTINGS_FILE = Path(".market_data/settings.env")
# What says what is read from where: any of them in the environment keeps the default settings file from being used.
OWN_SOURCES = (
    "MARKET_DATA_CONFIG",
    "MARKET_DATA_LAKE_URL",
    "MARKET_DATA_VENDOR",
    "TARDIS_API_KEY",
    "TARDIS_API_KEY_FILE",
    "TARDIS_API_URL",
    "TARDIS_DATASETS_URL",
)
_NAMES = (
    *OWN_SOURCES,
    "MARKET_DATA_ENGINE",
    "MARKET_DATA_AUTOMATION",
    "MARKET_DATA_ALERT_URL",
    "MARKET_DATA_ALERT_URL_FILE",
    "DAGSTER_HOME",
)
_SECRETS = {"TARDIS_API_KEY", "MARKET_DATA_ALERT_URL"}


class Engine(StrEnum):
    """How Dagster executes the steps of a run."""

    IN_PROCESS = "in_process"
    MULTIPROCESS = "multiprocess"
    K8S = "k8s"


class Settings(SettingsModel):
    """Everything a run is told. `lake_url` is absolute; `config_hash` names the content of the venues file.

    `needs_simulator`: the vendor is a simulator and nobody said where one runs, so that whoever needs it starts one.
    """

    venues_file: Path
    config: VenuesFile
    lake_url: str
    vendor: Literal["tardis", "simulator"]
    api_url: str
    datasets_url: str
    api_key: SecretStr | None
    api_key_file: Path | None = None
    engine: Engine
    is_automation_on: bool
    alert_url: SecretStr | None = None
    dagster_home: Path
    needs_simulator: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """The same as variables for other processes; they look for no settings file."""
        return {
            "MARKET_DATA_SETTINGS": "",
            "MARKET_DATA_CONFIG": str(self.venues_file.absolute()),
            "MARKET_DATA_LAKE_URL": self.lake_url,
            "MARKET_DATA_VENDOR": self.vendor,
            "TARDIS_API_URL": self.api_url,
            "TARDIS_DATASETS_URL": self.datasets_url,
            "TARDIS_API_KEY": self.api_key.get_secret_value() if self.api_key else "",
            "TARDIS_API_KEY_FILE": "",
            "MARKET_DATA_ENGINE": self.engine,
            "MARKET_DATA_AUTOMATION": "on" if self.is_automation_on else "off",
            "MARKET_DATA_ALERT_URL": self.alert_url.get_secret_value() if self.alert_url else "",
            "MARKET_DATA_ALERT_URL_FILE": "",
            "DAGSTER_HOME": str(self.dagster_home),
        }

    @property
    def config_hash(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of the venues file's meaning (not of its spelling)."""
        meaning = json.dumps(self.config.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(meaning.encode()).hexdigest()[:12]

    @property
    def sources(self) -> str:
        """What a command's numbers are about, in words: from which vendor, into which lake, by which venues file."""
        vendor = "simulator (made-up data)" if self.vendor == "simulator" else self.datasets_url
        return f"vendor {vendor}, lake {self.lake_url}, venues file {self.venues_file}"

    @property
    def origin(self) -> str:
        """What the lake is filled from; a lake holds one origin."""
        return "simulator" if self.vendor == "simulator" else self.datasets_url


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment (or the variables given, and no settings file) and the venues file.

    Raises ConfigurationError (permanent) that says what to mend.
    """
    env = process_environment() if environ is None else environ
    venues_file = Path(env.get("MARKET_DATA_CONFIG") or DEFAULT_VENUES_FILE)
    config = load_venues_file(venues_file)
    vendor = env.get("MARKET_DATA_VENDOR") or "tardis"
    engine = env.get("MARKET_DATA_ENGINE") or Engine.IN_PROCESS
    if vendor not in {"tardis", "simulator"}:
        raise ConfigurationError(f"MARKET_DATA_VENDOR is {vendor!r}; it must be 'tardis' or 'simulator'")
    if engine == "celery":
        raise ConfigurationError(
            "MARKET_DATA_ENGINE is 'celery', which is no engine of steps any more: Celery workers take whole runs. "
            "Unset it, and have a launcher of runs in dagster.yaml (docker/launcher_workers.yaml is one)"
        )
    if engine not in list(Engine):
        raise ConfigurationError(f"MARKET_DATA_ENGINE is {engine!r}; it must be one of {', '.join(Engine)}")
    automation = env.get("MARKET_DATA_AUTOMATION") or "off"
    if automation not in {"on", "off"}:
        raise ConfigurationError(f"MARKET_DATA_AUTOMATION is {automation!r}; it must be 'on' or 'off'")
    api_url, datasets_url = _web_address(env, "TARDIS_API_URL"), _web_address(env, "TARDIS_DATASETS_URL")
    if vendor == "simulator" and bool(api_url) != bool(datasets_url):
        raise ConfigurationError(
            "MARKET_DATA_VENDOR is 'simulator', so TARDIS_API_URL and TARDIS_DATASETS_URL must name a running one: "
            "start `market-data simulator --port 8750` and set both to http://127.0.0.1:8750/v1"
        )
    api_key_file = _secret_file(env, "TARDIS_API_KEY")
    api_key = read_key_file(api_key_file) if api_key_file else _checked_key(env.get("TARDIS_API_KEY") or "")
    return Settings(
        venues_file=venues_file,
        config=config,
        lake_url=lake_url_of(env),
        vendor="simulator" if vendor == "simulator" else "tardis",
        api_url=api_url or (DEFAULT_SIMULATOR_URL if vendor == "simulator" else DEFAULT_API_URL),
        datasets_url=datasets_url or (DEFAULT_SIMULATOR_URL if vendor == "simulator" else DEFAULT_DATASETS_URL),
        api_key=SecretStr(api_key) if api_key else None,
        api_key_file=api_key_file,
        engine=Engine(engine),
        is_automation_on=automation == "on",
        alert_url=_alert_url(env),
        dagster_home=Path(env.get("DAGSTER_HOME") or DEFAULT_DAGSTER_HOME).absolute(),
        needs_simulator=vendor == "simulator" and not api_url,
    )


def read_key_file(path: Path) -> str:
    """Return the key that a file holds, "" of an empty one.

    Raises ConfigurationError (permanent), which never shows what the file holds.
    """
    return _checked_key(
        _read_secret(path, "the vendor's key", "TARDIS_API_KEY_FILE"),
        f"the file {path}, which TARDIS_API_KEY_FILE names,",
    )


def _secret_file(environ: Mapping[str, str], name: str) -> Path | None:
    """Return the file that holds a secret instead of a variable."""
    if environ.get(name) and environ.get(f"{name}_FILE"):
        raise ConfigurationError(f"{name} and {name}_FILE are both set: unset one of the two variables")
    return Path(environ[f"{name}_FILE"]) if environ.get(f"{name}_FILE") else None


def _read_secret(path: Path, what: str, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return "\N{REPLACEMENT CHARACTER}"
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {what} from {path}, which {name} names: {error.strerror}. "
            "Name a file that this user may read, or unset the variable"
        ) from error


def _checked_key(text: str, where: str = "TARDIS_API_KEY") -> str:
    key = text.strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError(f"{where} holds a space, a line end or a character beyond ASCII: copy it again")
    return key


def process_environment() -> Mapping[str, str]:
    """Return the variables of this process, with those of the settings file that is used (see the module)."""
    named = os.environ.get("MARKET_DATA_SETTINGS")
    if not named:
        is_own = any(os.environ.get(name) for name in OWN_SOURCES)
        if is_own or not DEFAULT_SETTINGS_FILE.is_file():
            return os.environ
    path = Path(named or DEFAULT_SETTINGS_FILE)
    values = _read_settings_file(path)
    for name in _NAMES if named else ():
        if (said := os.environ.get(name)) and name in values and said != values[name]:
            shown = "another value" if name in _SECRETS else repr(values[name])
            raise ConfigurationError(
                f"{name} is set, and the settings file {path}, which MARKET_DATA_SETTINGS names, says {shown}: "
                "unset one of the two variables"
            )
    return {**os.environ, **values}


def _read_settings_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise ConfigurationError(
            f"there is no settings file {path.absolute()}, which MARKET_DATA_SETTINGS names. `market-data demo` writes "
            f"{DEFAULT_SETTINGS_FILE}; without the variable the environment alone is read"
        )
    try:
        bindings = list(parse_stream(io.StringIO(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the settings file {path}: {error}") from error
    if wrong := [binding.original.line for binding in bindings if binding.error]:
        raise ConfigurationError(
            f"line {wrong[0]} of the settings file {path} is not NAME=value; quote what is odd in it"
        )
    values = {binding.key: binding.value for binding in bindings if binding.key is not None}
    if unknown := sorted(values.keys() - set(_NAMES)):
        raise ConfigurationError(f"the settings file {path} names {unknown[0]}. Known names: {', '.join(_NAMES)}")
    return {name: value or "" for name, value in values.items()}


def _web_address(environ: Mapping[str, str], name: str) -> str | None:
    url = environ.get(name)
    if url and not url.startswith(("https://", "http://")):
        raise ConfigurationError(f"{name} is {url!r}; it must start with https:// (or http://)")
    return url


def _alert_url(environ: Mapping[str, str]) -> SecretStr | None:
    """Return an address that is shown nowhere, as it may hold a token."""
    where, text = "MARKET_DATA_ALERT_URL", environ.get("MARKET_DATA_ALERT_URL") or ""
    if file := _secret_file(environ, where):
        text = _read_secret(file, "the address of alerts", f"{where}_FILE")
        where = f"what the file {file} holds, which {where}_FILE names,"
    url = text.strip()
    if not url:
        return None
    if not url.startswith(("https://", "http://")) or not (url.isascii() and url.isprintable()) or " " in url:
        raise ConfigurationError(f"{where} is no address: it must start with https:// (or http://) and hold no space")
    return SecretStr(url)


def lake_url_of(environ: Mapping[str, str] | None = None) -> str:
    """Return the lake's URL: MARKET_DATA_LAKE_URL, or the default directory below the current one."""
    env = process_environment() if environ is None else environ
    return env.get("MARKET_DATA_LAKE_URL") or DEFAULT_LAKE_DIRECTORY.absolute().as_uri()
