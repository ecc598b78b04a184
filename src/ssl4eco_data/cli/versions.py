"""Commands about the versions of a dataset: list, diff, publish, rollback, drop, prune."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ssl4eco_data.cli.common import PASS_ON, AsJson, DatasetPath, app, out, print_json, readable

versions_app = typer.Typer(no_args_is_help=True, help="Versions of a dataset: list, compare, serve, remove.")
app.add_typer(versions_app, name="versions", rich_help_panel=PASS_ON)
Version = Annotated[str, typer.Argument(metavar="VERSION", help="id of a version, as `list` shows it")]


@versions_app.command(name="list")
def list_versions(dataset: DatasetPath, as_json: AsJson = False) -> None:
    """Every version, the oldest first, and which one is served.

    Example: ssl4eco versions list data/alps
    """
    with readable():
        from ssl4eco_data.store.objects import place_of
        from ssl4eco_data.store.versions import begun, latest, versions

        root = place_of(dataset)
        known, served = versions(root), latest(root)
        rows = [
            {"version": v, "begun": begun(v).isoformat(), "state": _state(root, v, served)} for v in known
        ]
        if as_json:
            print_json(rows)
            return
        for row in rows:
            out.print(f"{row['version']}  {row['state']}", markup=False)
        if not rows:
            out.print("no versions: the dataset was built without versions.enabled, or not at all")


@versions_app.command()
def diff(
    dataset: DatasetPath,
    old: Annotated[str, typer.Argument(metavar="[OLD]", help="the served one without")] = "",
    new: Annotated[str, typer.Argument(metavar="[NEW]", help="the newest complete one without")] = "",
    as_json: AsJson = False,
) -> None:
    """What differs between two versions: locations, scenes, dates, candidates, pixels, files.

    Without OLD and NEW: from the served version to the newest; where that is the served one, from
    the one before.
    Example: ssl4eco versions diff data/alps
    """
    with readable():
        from ssl4eco_data.store import diff as difference
        from ssl4eco_data.store.objects import place_of
        from ssl4eco_data.store.versions import pair, version_place

        root = place_of(dataset)
        change = difference(*(version_place(root, v) for v in pair(root, old, new)))
        if as_json:
            print_json(change)
            return
        for line in change.lines():
            out.print(line, markup=False)


@versions_app.command()
def publish(dataset: DatasetPath, version: Version) -> None:
    """Serve a complete version, whatever the limits of [versions] say.

    Example: ssl4eco versions publish data/alps 20261121T030000Z
    """
    with readable():
        _serve(dataset, version)


@versions_app.command()
def rollback(
    dataset: DatasetPath,
    version: Annotated[
        str, typer.Argument(metavar="[VERSION]", help="the one before the served one without")
    ] = "",
) -> None:
    """Serve an older version again; nothing is removed, and the next build begins from it.

    Mend first what made the newer one wrong: a build that runs on a schedule would publish it again.
    Example: ssl4eco versions rollback data/alps
    """
    with readable():
        _serve(dataset, version or None)


@versions_app.command()
def drop(dataset: DatasetPath, version: Version) -> None:
    """Remove a version that is not served, for instance one that was refused.

    Example: ssl4eco versions drop data/alps 20261121T030000Z
    """
    with readable():
        from ssl4eco_data import pipeline
        from ssl4eco_data.store.objects import place_of

        pipeline.drop_version(place_of(dataset), version)
        out.print(f"removed {version}")


@versions_app.command()
def prune(
    dataset: DatasetPath,
    keep: Annotated[int, typer.Option(metavar="N", min=1, help="newest versions to keep")] = 3,
    min_age_days: Annotated[
        float, typer.Option(metavar="DAYS", min=0.0, help="remove none that is younger")
    ] = 14.0,
) -> None:
    """Remove old versions; never the served one, nor the one being built and the one it began from.

    Example: ssl4eco versions prune data/alps --keep 2
    """
    with readable():
        from ssl4eco_data import pipeline
        from ssl4eco_data.store import PruneRule
        from ssl4eco_data.store.objects import place_of

        rule = PruneRule(keep=keep, min_age_days=min_age_days)
        gone = pipeline.prune_versions(place_of(dataset), rule)
        out.print(f"removed {', '.join(gone)}" if gone else "nothing to remove")


def _serve(dataset: str, version: str | None) -> None:
    from ssl4eco_data import pipeline
    from ssl4eco_data.store.objects import place_of

    out.print(f"version {pipeline.serve_version(place_of(dataset), version)} is served")


def _state(root: Any, version: str, served: str | None) -> str:
    from ssl4eco_data.store.versions import is_complete, unfinished

    note = unfinished(root)
    if version == served:
        return "served"
    waits = note is not None and note.version == version
    if is_complete(root, version):
        return "complete, not served yet" if waits else "complete"
    return "being built" if waits else "not complete"
