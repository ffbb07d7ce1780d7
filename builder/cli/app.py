"""The command table, and the Typer application that it makes."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from builder import __version__
from builder.cli.settings import Settings

if TYPE_CHECKING:
    from builder.core.patience import Patience
    from builder.engine.early import Launcher

# name → where it is, and a line of help. A command's module is imported when the command is run.
COMMANDS = {
    "build": ("builder.cli.build:build", "Build an image from a Dockerfile."),
    "verify": ("builder.cli.verify:verify", "Build again and say what came out otherwise."),
    "plan": ("builder.cli.explain:plan", "Say what a build would run, and why."),
    "explain": ("builder.cli.explain:explain", "Say all that made a step run."),
    "context ls": ("builder.cli.contextls:ls", "List what is in a build context, and what is not."),
    "check": ("builder.cli.check:check", "Check a Dockerfile without building it."),
    "lock": ("builder.cli.lock:lock", "Write down what the names in a Dockerfile lead to."),
    "run": ("builder.cli.container:run", "Run a command in a new container."),
    "ps": ("builder.cli.container:ps", "List containers."),
    "rm": ("builder.cli.container:rm", "Remove containers."),
    "images": ("builder.cli.image:images", "List images."),
    "inspect": ("builder.cli.image:inspect", "Show all about images and containers, as JSON."),
    "history": ("builder.cli.image:history", "Show the steps that an image is made of."),
    "size": ("builder.cli.size:size", "Show what each step added to an image."),
    "diff": ("builder.cli.diff:diff", "Compare two images path by path."),
    "tag": ("builder.cli.image_change:tag", "Give an image another name."),
    "rmi": ("builder.cli.image_change:rmi", "Remove images."),
    "image prune": ("builder.cli.image_change:image_prune", "Remove images that have no name."),
    "pull": ("builder.cli.pull:pull", "Fetch an image from a registry."),
    "push": ("builder.cli.registry:push", "Send an image to a registry."),
    "login": ("builder.cli.registry:login", "Log in to a registry."),
    "logout": ("builder.cli.registry:logout", "Log out of a registry."),
    "save": ("builder.cli.archive:save", "Write images to an archive."),
    "load": ("builder.cli.archive:load", "Read images from an archive."),
    "import": ("builder.cli.image_tree:import_", "Make an image from the files of a tar."),
    "export": ("builder.cli.image_tree:export", "Write the files of a container or image as a tar."),
    "squash": ("builder.cli.image_tree:squash", "Make one layer of an image's layers."),
    "builds ls": ("builder.cli.builds:ls", "List builds."),
    "builds show": ("builder.cli.builds:show", "Show what a build did."),
    "builds logs": ("builder.cli.builds:logs", "Show what the steps of a build printed."),
    "builds rm": ("builder.cli.builds:rm", "Forget builds."),
    "index create": ("builder.cli.index:create", "Make an index of images that registries have."),
    "index inspect": ("builder.cli.index:inspect", "Show what a registry has under a name."),
    "profile": ("builder.cli.profile:profile", "Show where the time of a build went."),
    "graph": ("builder.cli.graph.command:graph", "Draw the steps of a build or an image."),
    "shell": ("builder.cli.shell:shell", "Open a shell in the files of a step."),
    "du": ("builder.cli.space:du", "Show what takes the room in the store."),
    "prune": ("builder.cli.space:prune", "Give back the room that nobody needs."),
    "bootstrap": ("builder.cli.system:bootstrap", "Make a base image from this machine, without a registry."),
    "doctor": ("builder.cli.doctor:doctor", "Say what this machine lets pybuild do."),
    "parse": ("builder.cli.system:parse", "Show how a Dockerfile is read."),
}

# What `image NAME` stands for.
IMAGE_COMMANDS = {
    "build": ["build"], "history": ["history"], "import": ["import"],
    "inspect": ["inspect", "--type=image"], "load": ["load"],
    "ls": ["images"], "list": ["images"], "prune": ["image prune"], "pull": ["pull"], "push": ["push"],
    "rm": ["rmi"], "remove": ["rmi"], "save": ["save"], "tag": ["tag"],
}  # fmt: skip

# What `builds NAME` stands for; `builds` alone is the list.
BUILDS_COMMANDS = {
    "ls": ["builds ls"], "list": ["builds ls"], "show": ["builds show"], "logs": ["builds logs"],
    "rm": ["builds rm"],
}  # fmt: skip
CONTEXT_COMMANDS = {"ls": ["context ls"], "list": ["context ls"]}
INDEX_COMMANDS = {"create": ["index create"], "inspect": ["index inspect"]}
# Docker's names for what there is once.
BUILDER_COMMANDS = {"build": ["build"], "du": ["du"], "prune": ["prune"]}
_GROUPS = {
    "image": IMAGE_COMMANDS, "builds": BUILDS_COMMANDS, "context": CONTEXT_COMMANDS, "index": INDEX_COMMANDS,
    "builder": BUILDER_COMMANDS, "buildx": BUILDER_COMMANDS, "system": {"df": ["du"]},
}  # fmt: skip

# Options of the program itself that take a value, before the command's name.
_VALUED = ("--root", "--ca-bundle")
# Of those, what people write behind the command's name as well.
_ANYWHERE = "--ca-bundle"


def run(
    arguments: Sequence[str],
    launcher: Launcher | None = None,
    uid: int = 0,
    *,
    patience: Patience | None = None,
) -> int:
    """One command; its exit code: 0, 1 for an error, 2 for wrong usage, or what a container answered."""
    arguments = _ungrouped(_hoisted(arguments))
    name = _command_name(arguments)
    app = make_app([name] if name in COMMANDS else list(COMMANDS))
    command = typer.main.get_command(app)
    arguments = list(arguments)
    if name in ("build", "verify", "plan"):
        from builder.cli.build import normalise, refuse_unbuilt

        if name == "build":
            refuse_unbuilt(command)
        arguments = normalise(arguments)
    elif name in COMMANDS:
        arguments = _switched(arguments, command.commands[name])  # type: ignore[attr-defined]  # it is a group
    settings = Settings(None, launcher, uid=uid, patience=patience)
    code = command.main(arguments, prog_name="pybuild", standalone_mode=True, obj=settings)
    return code if isinstance(code, int) else 0


def make_app(names: Sequence[str]) -> typer.Typer:
    """The application with these commands; all of them for help."""
    app = typer.Typer(
        help="Build container images from Dockerfiles and run them, without a daemon.",
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,  # rich costs as much at start as all the rest
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_program)
    for name in names:
        where, help_line = COMMANDS[name]
        module, _, function = where.partition(":")
        settings = {"allow_interspersed_args": False} if name == "run" else {}
        app.command(name, help=help_line, context_settings=settings)(
            getattr(importlib.import_module(module), function)
        )
    return app


def _program(
    context: typer.Context,
    root: Annotated[
        Path | None,
        typer.Option("--root", metavar="DIR", help="The state directory (default: PYBUILD_ROOT)."),
    ] = None,
    ca_bundle: Annotated[
        Path | None,
        typer.Option(
            "--ca-bundle", metavar="FILE", help="Trust these certificates too (default: PYBUILD_CA_BUNDLE)."
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(f"pybuild {__version__}")
        raise typer.Exit
    context.obj = context.obj._replace(root=root, ca_bundle=ca_bundle)


def _hoisted(arguments: Sequence[str]) -> list[str]:
    """``build --ca-bundle FILE`` is ``--ca-bundle FILE build``; what `run` runs has options of its own."""
    rest, first = list(arguments), list[str]()
    end = rest.index("--") if "--" in rest else len(rest)
    if _command_name(rest) != "run":
        for at in reversed(range(end)):
            if rest[at] == _ANYWHERE and at + 1 < end:
                first[:0] = rest[at : at + 2]
                del rest[at : at + 2]
            elif rest[at].startswith(f"{_ANYWHERE}="):
                first.insert(0, rest.pop(at))
    return first + rest


def _ungrouped(arguments: Sequence[str]) -> list[str]:
    """``image ls`` is ``images``, ``builds`` is ``builds ls``, and so on."""
    rest = list(arguments)
    at = next(
        (i for i, word in enumerate(rest) if not word.startswith("-") and rest[i - 1] not in _VALUED), -1
    )
    commands = _GROUPS.get(rest[at], {}) if at >= 0 else {}
    if at + 1 < len(rest) and rest[at + 1] in commands:
        rest[at : at + 2] = commands[rest[at + 1]]
    elif at >= 0 and rest[at] == "builds":
        rest[at] = "builds ls"
    return rest


def _switched(arguments: list[str], command: typer.core.TyperCommand) -> list[str]:
    """``--switch=false``, as Docker takes it, in the forms that the parser knows."""
    switches = {
        name: option.secondary_opts
        for option in command.params
        if getattr(option, "is_flag", False)
        for name in option.opts
    }
    normal: list[str] = []
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if argument == "--":
            return normal + arguments[index:]
        if name in switches and equals and value.lower() in ("1", "t", "true"):
            normal.append(name)
        elif name in switches and equals and value.lower() in ("0", "f", "false"):
            normal += [other for other in switches[name] if other.startswith("--")][:1]
        else:
            normal.append(argument)
    return normal


def _command_name(arguments: Sequence[str]) -> str | None:
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in _VALUED:
            skip = True
        elif not argument.startswith("-"):
            return argument
    return None
