"""`push`, `login`, `logout`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from builder.cli.content_trust import DisableContentTrust, refuse_content_trust
from builder.cli.context import opened, patience_of, rendered, settings_of
from builder.core.errors import Kind, PybuildError


class LoginIncomplete(PybuildError):
    """A login needs a name and a password, and there is nobody to ask."""

    kind = Kind.INVALID
    code = "login-incomplete"


def push(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME[:TAG]")],
    all_tags: Annotated[
        bool, typer.Option("-a", "--all-tags", help="Every tag of the repository that is here.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only the name.")] = False,
    disable_content_trust: DisableContentTrust = True,
) -> None:
    """Send an image to a registry."""
    from builder.engine.push import push as push_image

    refuse_content_trust(is_disabled=disable_content_trust)
    with rendered("quiet" if quiet else "auto") as renderer, opened(context, renderer) as engine:
        pushed = push_image(engine, name, all_tags=all_tags)
    for reference, digest, size in pushed:
        print(reference if quiet else f"{reference.tag}: digest: {digest} size: {size}")


def login(
    context: typer.Context,
    server: Annotated[str, typer.Argument(metavar="[SERVER]")] = "",
    username: Annotated[str, typer.Option("-u", "--username", metavar="NAME")] = "",
    password: Annotated[str, typer.Option("-p", "--password", metavar="PASSWORD")] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Log in to a registry."""
    from builder.engine.login import has_login, log_in, renew

    if password_stdin and password:
        raise LoginIncomplete("--password and --password-stdin are two passwords", hint="give one of them")
    if password_stdin and not username:
        raise LoginIncomplete("--password-stdin needs a name", hint="give it with --username")
    if password:
        _warn("a password on the command line is seen by others: use --password-stdin")
    if password_stdin:
        password = sys.stdin.read().rstrip("\r\n")
    config, patience = settings_of(context), patience_of(context)
    if not username and not password and has_login(config, server):
        print("Authenticating with existing credentials...")
        renew(config, server, patience)
    else:
        is_safe = log_in(config, server, *_asked(username, password), patience)
        if not is_safe:
            _warn(f"the password is now in {config.docker_config}, unencrypted: a credential helper is safer")
    print("Login Succeeded")


def logout(context: typer.Context, server: Annotated[str, typer.Argument(metavar="[SERVER]")] = "") -> None:
    """Log out of a registry."""
    from builder.engine.login import log_out

    host, was_known = log_out(settings_of(context), server)
    print(f"Removing login credentials for {host}" if was_known else f"Not logged in to {host}")


def _asked(username: str, password: str) -> tuple[str, str]:
    """What is missing, from whoever sits there."""
    if username and password:
        return username, password
    if not sys.stdin.isatty():
        raise LoginIncomplete(
            "nobody can be asked for a name and a password", hint="use --username and --password-stdin"
        )
    from getpass import getpass

    username = username or input("Username: ").strip()
    password = password or getpass("Password: ")
    if not username or not password:
        raise LoginIncomplete("a login needs a name and a password", hint="nothing was sent")
    return username, password


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
