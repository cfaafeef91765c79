"""Settings from the environment, read in one place. Every one is optional and has a default under GOLD_LAKE_ROOT."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import Field, ValidationError, create_model, model_validator

from gold_assets.delta import storage
from gold_assets.delta.errors import UserError
from gold_assets.delta.places import absolute, refuse_overlaps
from gold_assets.gold.safeguards import Safeguards
from gold_assets.settings import PREFIX, Fields, ReadingFields

if TYPE_CHECKING:
    # Imported where they are used: who only reads has no engine, with which they come.
    from gold_assets.checks.findings import Limits
    from gold_assets.declaring.project import Project
    from gold_assets.declaring.table import Table
    from gold_assets.gold.lake import Lake
    from gold_assets.gold.production import Production

_Kind = TypeVar("_Kind", bound="ReadingSettings")

_CATALOG_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*){1,2}")
_BETWEEN_URLS = re.compile(r"[\s,;]+(?=[A-Za-z0-9]+://)")
"""A comma within a URL, as in ``mailto://…?to=a,b``, is part of it."""
OF_ALL_PROJECTS = (
    "storage_options",
    "engine",
    "spark_master",
    "spark_remote",
    "spark_conf",
    "spark_jars",
    "alert_urls",
    "ui_url",
)
"""Where a project's own prefix says nothing of one of these, GOLD_ does."""


_STORE_OPTIONS: dict[str, tuple[str, str]] = {}
"""By name, which setting gave this process a store's option, and the value."""


class ReadingSettings(ReadingFields):
    """What readers need: where the publications are, and what their store asks for. They need no project and no engine."""

    prefix: ClassVar[str] = PREFIX
    project: ClassVar["Project"]

    @model_validator(mode="before")
    @classmethod
    def _make_paths_absolute(cls, values: dict[str, object]) -> dict[str, object]:
        root = absolute(str(values.get("lake_root", cls.model_fields["lake_root"].default)))
        for name, field in cls.model_fields.items():
            if "{lake_root}" in str(field.default):
                given = values.get(name)
                given = str(given) if given else str(field.default).replace("{lake_root}", root)
                if not (
                    values.get("engine") == "spark" and _CATALOG_NAME.fullmatch(given) and not Path(given).exists()
                ):
                    given = absolute(given)
                values[name] = given
        values["lake_root"] = root
        return values

    @classmethod
    def setting(cls, field: str) -> str:
        """The environment variable that gives the field, for people: the project's own; GOLD_ where only that says what all projects share."""
        own = cls.prefix + field.upper()
        return PREFIX + field.upper() if field in OF_ALL_PROJECTS and not os.environ.get(own) else own

    def store_options(self) -> dict[str, str]:
        """``storage_options`` as a store's environment variables by name. Raises ``UserError``, which shows none of them."""
        if self.storage_options is None:
            return {}
        setting = self.setting("storage_options")
        form = """a JSON object of a store's environment variables, such as {"AWS_ENDPOINT_URL": "https://…"}"""
        try:
            options = json.loads(self.storage_options.get_secret_value())
        except ValueError:
            options = None
        if not isinstance(options, dict) or not all(isinstance(value, str) for value in options.values()):
            raise UserError(f"{setting} is no such text as expected, {form}: correct it or unset it.")
        if unknown := storage.unknown_options(options):
            raise UserError(
                f"{setting} names {', '.join(unknown)}, expected {form}, with names that begin with AWS_, AZURE_ or "
                "GOOGLE_: correct it or unset it."
            )
        return options


class Settings(ReadingSettings, Fields):
    """The project's settings. A field ``x`` is read from the environment variable ``GOLD_X``; ``settings.py`` says what each is.

    Paths may be local or URIs (``s3://…``); a local one is made absolute. On Spark a table's may be its name in the catalog, such as
    ``main.sales.transactions``, where nothing is at a path of that name. Dates are UTC. ``load_settings`` adds a field for the path of
    each table.
    """

    production: ClassVar["Production | None"] = None
    """Of a branch, whose ``project`` has those of its tables alone that it changes, where the others are."""
    declared: ClassVar["Project"]
    """The project with all its tables."""

    @model_validator(mode="after")
    def _check(self) -> "Settings":
        prefix = self.prefix
        if self.partitions_end is not None and self.partitions_end < self.partitions_start:
            raise UserError(
                f"{prefix}PARTITIONS_END is {self.partitions_end}, before {prefix}PARTITIONS_START {self.partitions_start}: "
                "set it to that date or a later one, or leave it out for a window that includes today."
            )
        known = [column.name for column in self.project.source.columns]
        if unknown := [name for name in self.silver_columns or {} if name not in known]:
            raise UserError(
                f"{prefix}SILVER_COLUMNS gives a column for {unknown[0]}, expected for some of {', '.join(known)}: correct it."
            )
        refuse_overlaps(
            {
                f"{prefix}SOURCE_PATH": self.source_path,
                **{table.path_setting: self._place(table) for table in self.tables},
                f"{prefix}PUBLISHED_PATH": self.published_path,
                f"{prefix}CHECKPOINT_PATH": self.checkpoint_path,
            }
        )
        _ = self.lake  # which refuses what no lake can be at
        return self

    def alert_addresses(self) -> list[str]:
        """``alert_urls`` one by one. Raises ``UserError``, which shows none of them."""
        text = self.alert_urls.get_secret_value().strip(" \t\n,;")
        urls = _BETWEEN_URLS.split(text) if text else []
        if not all(re.match(r"[A-Za-z0-9]+://.", url) for url in urls):
            raise UserError(
                f"{self.setting('alert_urls')} is none as expected, URLs of apprise such as slack://… or mailto://… with blanks or commas "
                "between them: correct it or unset it."
            )
        return urls

    @property
    def tables(self) -> "Sequence[Table]":
        """The project's tables."""
        return self.project.tables

    @cached_property
    def lake(self) -> "Lake":
        """Where Silver and the tables made from it are."""
        from gold_assets.gold.lake import Lake

        places = {table.name: self._place(table) for table in self.tables}
        return Lake(
            self.project,
            self.source_path,
            places,
            self.silver_columns or {},
            self.published_path,
            self.safeguards,
            self.production,
        )

    @property
    def of_branch(self) -> str:
        """In a branch, which tables are its own, in a sentence; else empty."""
        if self.production is None:
            return ""
        own, others = (
            ", ".join(names) for names in ([table.name for table in self.tables], self.production.code_versions)
        )
        if not own:
            return f"This branch changes no table: all are read from production, {others}."
        return f"This branch makes {own}, and " + (
            f"reads from production {others}." if others else "no table is production's."
        )

    @property
    def written_places(self) -> Mapping[str, str]:
        """By what people call them, the places that are written."""
        places = {**self.lake.named_places, "checkpoint": self.checkpoint_path}
        del places["Silver"]
        return places

    @property
    def safeguards(self) -> Safeguards:
        """When Gold does not follow Silver by itself."""
        return Safeguards(
            self.sealed_before, self.seal_after_days, self.fuse_lost_share, self.fuse_gained_share, self.fuse_least_rows
        )

    def _place(self, table: "Table") -> str:
        return str(getattr(self, _field(self.project, table)))

    @property
    def names_tables(self) -> bool:
        """Whether the lake has a table that is named as in Spark's catalog, and is to be found there first."""
        return any(is_catalog_name(place) for place in (self.source_path, *self.lake.places.values()))

    @property
    def limits(self) -> "Limits":
        """What the checks hold the tables to."""
        from gold_assets.checks.findings import Limits

        return Limits(
            first_date=self.partitions_start,
            last_date=self.partitions_end,
            quarantined_share=self.quarantined_share,
            fresh_by_hour=self.fresh_by_hour,
            publish_while_rolling_out=self.publish_while_rolling_out,
        )


def path_fields(project: "Project") -> dict[str, Any]:
    """The fields whose names or defaults the project gives: the paths of its tables, and Silver's."""
    paths: dict[str, Any] = {
        _field(project, table): (
            str,
            Field(default=f"{{lake_root}}/{table.default_path}", description=f"The table `{table.name}`."),
        )
        for table in project.tables
    }
    silver = Field(
        default=f"{{lake_root}}/silver/{project.source.name}",
        description=Fields.model_fields["source_path"].description,
    )
    return {**paths, "source_path": (str, silver)}


def loaded(
    base: type[_Kind],
    project: "Project | None",
    fields: Mapping[str, Any] = MappingProxyType({}),
    told: Mapping[str, str] = MappingProxyType({}),
    **of_kind: Any,
) -> _Kind:
    """The settings of the environment, but for what is ``told`` by field. ``of_kind`` are attributes of their class."""
    if project and project.env_prefix != PREFIX:
        root = Field(default=f"data/{project.name}", description=base.model_fields["lake_root"].description)
        fields = {**fields, "lake_root": (str, root)}
    kind = create_model(base.__name__, __base__=base, **fields)
    if project:
        kind.prefix, kind.project = project.env_prefix, project
    for name, value in of_kind.items():
        setattr(kind, name, value)
    shared = {name: os.environ.get(kind.setting(name)) for name in OF_ALL_PROJECTS if name in kind.model_fields}
    values: dict[str, Any] = {
        "_env_prefix": kind.prefix,
        **told,
        **{name: text for name, text in shared.items() if text},
    }
    try:
        settings = kind(**values)
    except ValidationError as error:
        first: dict[str, Any] = dict(error.errors()[0])
        setting = kind.setting(str(first["loc"][0]))
        raise UserError(
            f"{setting} is {first['input']!r}, expected {_expected(first, project)}: correct it or unset it."
        ) from None
    options, setting = settings.store_options(), kind.setting("storage_options")
    for name, value in options.items():
        other, its_value = _STORE_OPTIONS.get(name.upper(), (setting, value))
        if other != setting and its_value != value:
            raise UserError(
                f"{setting} gives {name} another value than {other}, and a process has one for all projects: give each project a code "
                "location of its own."
            )
        _STORE_OPTIONS[name.upper()] = setting, value
    storage.use(options)
    return settings


def is_catalog_name(place: str) -> bool:
    """Whether the settings name a table so, and not by its path."""
    return _CATALOG_NAME.fullmatch(place) is not None


def _field(project: "Project", table: "Table") -> str:
    return table.path_setting.removeprefix(project.env_prefix).lower()


def _expected(error: Mapping[str, Any], project: "Project | None") -> str:
    if error["loc"][0] == "silver_columns" and project:
        column = project.source.columns[0].name
        return f'a JSON object from our column to yours, such as {{"{column}": "your_{column}"}}'
    if "date" in error["type"]:
        return "a date such as 2017-01-31"
    return str(error.get("ctx", {}).get("expected", error["msg"]))
