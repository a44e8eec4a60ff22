"""The configuration: one table, a file made from it, and errors that name file, line, key and what to do."""

import dataclasses
import re
from pathlib import Path

import pytest

from kerbgate import config, settings
from kerbgate.errors import ConfigError

GOOD = """
[gateway]
site = "harbour"
state = "state"
[[inlet]]
url = "serial:/dev/ttyACM0"
[[outlet]]
name = "council"
url = "mqtt://broker:1883"
credentials = "secret"
[store]
synchronous = "NORMAL"
"""


def load(tmp_path: Path, text: str) -> config.Config:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return config.load(path)


def test_values_are_read_and_defaults_fill_the_rest(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD)
    assert loaded.gateway == config.GatewaySettings("harbour", tmp_path / "state", tmp_path / "state/registry.sqlite")
    assert loaded.store == config.StoreSettings(synchronous="NORMAL")
    assert loaded.outlets == (config.OutletSettings("council", "mqtt://broker:1883", credentials=tmp_path / "secret"),)
    assert loaded.inlets == (config.InletSettings("serial:/dev/ttyACM0"),)


@pytest.mark.parametrize(
    ("section", "cls"),
    [
        ("gateway", config.GatewaySettings),
        ("store", config.StoreSettings),
        ("clock", config.ClockSettings),
        ("service", config.ServiceSettings),
        ("alarms", config.AlarmSettings),
        ("morning", config.MorningSettings),
        ("inlet", config.InletSettings),
        ("outlet", config.OutletSettings),
    ],
)
def test_the_table_and_the_settings_are_the_same(section: str, cls: type) -> None:
    rows = {setting.name: setting for setting in settings.SETTINGS if setting.section == section}
    fields = {field.name: field for field in dataclasses.fields(cls)}
    assert list(rows) == list(fields)
    for name, setting in rows.items():
        assert setting.help
        if fields[name].default is not dataclasses.MISSING:
            assert setting.default == (fields[name].default or setting.kind())
            assert setting.check(setting.default) is None


def test_the_written_file_names_every_setting_and_is_read_back(tmp_path: Path) -> None:
    text = config.render(
        {"gateway": {"site": "s1"}, "inlet": {"url": "serial:/dev/x"}, "outlet": {"name": "c", "url": "mqtt://h"}}
    )
    for setting in settings.SETTINGS:
        assert setting.help in text and f"{setting.name} = " in text
    loaded = load(tmp_path, text)
    assert (loaded.gateway.site, loaded.inlets[0].url, loaded.outlets[0].prefix) == (
        "s1",
        "serial:/dev/x",
        "kerbstone/1",
    )
    uncommented = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.M)
    assert load(tmp_path, uncommented) == loaded  # the defaults that it shows are the defaults


@pytest.mark.parametrize(
    ("change", "line", "cause", "hint"),
    [
        (('site = "harbour"', 'sight = "harbour"'), 3, "'sight'", "did you mean 'site'?"),
        (("[store]", "[stor]"), 11, "unknown section 'stor'", "did you mean 'store'?"),
        (('url = "serial', 'uri = "serial'), 6, "'uri'", "url"),
        (('"harbour"', '"Harbour West"'), 3, "site = 'Harbour West'", "at most 32"),
        (('"NORMAL"', '"OFF"'), 12, "synchronous = 'OFF'", "FULL, NORMAL"),
        (('"NORMAL"', '"NORMAL"\ncommit_count = "many"'), 13, "commit_count in store is not a number", "frames wait"),
        (('"NORMAL"', '"NORMAL"\ncommit_count = true'), 13, "commit_count in store is not a number", "frames wait"),
        (('"NORMAL"', '"NORMAL"\ncommit_count = 0'), 13, "commit_count = 0", "from 1 to 10000"),
        (("[[inlet]]", "[inlet]"), 5, "[inlet] is a single table", "[[inlet]]"),
        (('site = "harbour"\n', ""), 2, "site is missing", "add: site"),
        (('name = "council"', 'name = "council"\nprefix = "a/#"'), 9, "prefix = 'a/#'", "without +, #"),
        (("[store]", '[clock]\nsource = "gps"\n[store]'), 12, "source = 'gps'", "shared:/absolute/path"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_a_hint(
    tmp_path: Path, change: tuple[str, str], line: int, cause: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(*change))
    assert caught.value.cause.startswith(f"{tmp_path / 'gateway.toml'}:{line}: ")
    assert cause in caught.value.cause and hint in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "a = ",
        "[gateway\n",
        "gateway = 3\n",
        "inlet = [1]\n[gateway]\nsite='s'\n",
        GOOD + '[[outlet]]\nname = "council"\nurl = "mqtt://other"\n',
        "[gateway]\nsite = 's'\n" + "[[inlet]]\nurl = 'serial:/x'\n" * 65,
        "#" * (config.MAX_FILE + 1),
    ],
)
def test_anything_else_is_our_own_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert caught.value.hint


def test_bytes_that_are_no_text_are_our_own_error(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not TOML"):
        config.load(tmp_path / "c.toml")
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "absent.toml")
    assert "kerb gateway init" in caught.value.hint
