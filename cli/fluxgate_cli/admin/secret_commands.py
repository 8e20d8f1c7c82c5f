"""``fluxgate admin rotate-signing-key`` and ``rewrap``: secrets replaced on the box, without the API."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fluxgate_cli import options
from fluxgate_cli.admin import options as admin_options
from fluxgate_cli.admin.options import Given
from fluxgate_cli.errors import UsageError
from fluxgate_cli.logs import LogFormat, LogLevel, make_logger
from fluxgate_cli.output import OutputFormat, console, print_data, print_json, say


def rotate_signing_key(
    database: admin_options.Database = "",
    master_key_file: admin_options.MasterKeyFile = None,
    state_dir: options.StateDir = options.DEFAULT_STATE,
    revoke: Annotated[
        bool,
        typer.Option("--revoke", help="Now, and with all that the keys there are have signed."),
    ] = False,
    output: options.Output = OutputFormat.TABLE,
) -> None:
    """Replace the key that signs tokens. With --revoke every token there is opens nothing any more.

    Replicas that serve need no restart: they take the new key from the database at the next call.

    \b
    Examples:
      fluxgate admin rotate-signing-key              announced now, signs in a day
      fluxgate admin rotate-signing-key --revoke     somebody else may have the key
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin import store  # noqa: PLC0415 - 0.5 s no other command needs
    from fluxgate_cli.admin.beside import default_database  # noqa: PLC0415
    from fluxgate_cli.admin.environment import settings_from  # noqa: PLC0415

    given = Given(database, master_key_file)
    settings = settings_from(os.environ, given, default_database(state_dir))
    log = make_logger(LogFormat.CONSOLE, LogLevel.WARNING, colours=False)

    async def replace() -> dict[str, object]:
        await store.prepare(settings, log)
        async with store.opened(settings, log, sealing=False) as access:
            made = await access.signing_keys.replace(revoke=revoke)
        return {
            "kid": made.kid,
            "signs_from": made.signs_from.isoformat().replace("+00:00", "Z"),
            "revoked": list(made.revoked),
        }

    made = asyncio.run(replace())
    if output is OutputFormat.JSON:
        print_json(made)
        return
    if revoke:
        say(
            "every token there was opens nothing any more; clients get new ones at POST /oauth/token"
        )
    print_data(f"key:        {made['kid']}\nsigns from: {made['signs_from']}")


def rewrap(
    database: admin_options.Database = "",
    master_key_file: admin_options.MasterKeyFile = None,
    state_dir: options.StateDir = options.DEFAULT_STATE,
    output: options.Output = OutputFormat.TABLE,
) -> None:
    """Seal every secret in the database with the first master key, so that the others can be taken away.

    Beside processes that serve, and as often as you like: what is sealed with it already stays as it is.

    \b
    Examples:
      fluxgate admin rewrap
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_admin.secret_box import SecretBoxError  # noqa: PLC0415 - 0.5 s no other command needs
    from fluxgate_cli.admin import store  # noqa: PLC0415
    from fluxgate_cli.admin.beside import default_database  # noqa: PLC0415
    from fluxgate_cli.admin.environment import settings_from  # noqa: PLC0415

    given = Given(database, master_key_file)
    settings = settings_from(os.environ, given, default_database(state_dir))
    log = make_logger(LogFormat.CONSOLE, LogLevel.WARNING, colours=False)

    async def seal() -> dict[str, int]:
        await store.prepare(settings, log)
        async with store.opened(settings, log, sealing=False) as access:
            with _progress(await access.sealed_rows()) as advance:
                try:
                    done = await access.rewrap(advance)
                except SecretBoxError as error:
                    raise UsageError(str(error)) from None
        return {"secrets": done.looked_at, "sealed_anew": done.changed, "unreadable": done.lost}

    done = asyncio.run(seal())
    if output is OutputFormat.JSON:
        print_json(done)
        return
    if done["unreadable"]:
        say(
            f"{done['unreadable']} answers to idempotency keys are opened by no master key; they are soon forgotten"
        )
    print_data(f"secrets:     {done['secrets']}\nsealed anew: {done['sealed_anew']}")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("sealing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
