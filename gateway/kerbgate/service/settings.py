"""`kerb gateway settings`: the reference of the configuration, made from the one table of settings.

gateway/SETTINGS.md is what this prints, and a test holds it to that.
"""

from typing import Any

from kerbgate import config, settings

_HEAD = """\
# Settings of the gateway

`kerb gateway settings` prints this page from the table that the program itself reads.

One TOML file. A section in double brackets is written once for each link; the others once, or not at all. A key that is
not in this table is an error with file, line and hint. Relative paths count from the folder of the file.
`kerb gateway init` writes a file with all of it as comments, `kerb gateway check` reads one without starting anything.

| setting | default | what it is |
| --- | --- | --- |
"""


def rows() -> list[dict[str, Any]]:
    """One row a setting: section, whether it repeats, name, type, default (None: must be given), help."""
    return [
        {
            "section": setting.section,
            "repeats": setting.section in config.ARRAYS,
            "name": setting.name,
            "type": setting.kind.__name__,
            "default": setting.default,
            "help": setting.help,
        }
        for setting in settings.SETTINGS
    ]


def markdown() -> str:
    """The reference as a page."""
    lines: list[str] = []
    for row in rows():
        section = f"[[{row['section']}]]" if row["repeats"] else f"[{row['section']}]"
        lines.append(f"| `{section} {row['name']}` | {_default(row['default'])} | {row['help']} |\n")
    return _HEAD + "".join(lines)


def _default(value: Any) -> str:
    if value is None:
        return "must be given"
    if value == "":
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
