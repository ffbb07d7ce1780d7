"""RUN: one exec vertex."""

from __future__ import annotations

from builder.core.errors import Kind, PybuildError, Unsupported
from builder.core.location import Location
from builder.core.suggest import did_you_mean
from builder.frontend.dockerfile.arguments import proxy_environment
from builder.frontend.dockerfile.convert_meta import command_args
from builder.frontend.dockerfile.convert_mounts import Origin, convert_mounts
from builder.frontend.dockerfile.instructions import Command, InvalidFlag, Run
from builder.frontend.dockerfile.node import Heredoc
from builder.frontend.dockerfile.scope import Scope
from builder.frontend.dockerfile.stage_state import StageState
from builder.llb.definition import Edge, Vertex
from builder.llb.ops import ExecOp, FileOp, InputMount, MakeFileAction

_SCRIPTS = "/dev/pipes"
_SECURITIES = ("sandbox", "insecure")


class NotAllowed(PybuildError):
    """The Dockerfile wants more than the caller grants."""

    kind = Kind.DENIED
    code = "not-allowed"


def convert_run(state: StageState, run: Run, origin: Origin, *, is_trigger: bool) -> None:
    """``origin`` gives the tree that a mount's from means. Raises Unsupported, InvalidFlag, NotAllowed, …"""
    _refuse_flags(run)
    args = command_args(state, _command(run))
    inputs = [] if state.edge is None else [state.edge]
    mounts = [InputMount(input=len(inputs) - 1, target="/", output=0)]
    if run.script is not None and _is_executable(run.script):
        mounts.append(InputMount(input=len(inputs), target=_SCRIPTS, is_read_only=True))
        inputs.append(inline_file(state.scope, run.script, mode="0755", location=run.node.location))
    asked = convert_mounts(state, run, origin, first_input=len(inputs))
    inputs += asked.inputs
    mounts += asked.trees
    request = state.scope.request
    settings = request.settings
    op = ExecOp(
        args=args,
        env=(*(f"{name}={value}" for name, value in state.env.items()), *asked.env),
        cwd=state.cwd,
        user=state.image.user,
        mounts=tuple(mounts),
        network=run.network if run.network not in ("", "default") else request.network or "default",
        security=_security(state, run),
        hostname=request.build_args.get("BUILDKIT_SANDBOX_HOSTNAME", ""),
        host_names=tuple(name for name, _ in settings.hosts),
        host_addresses=tuple(address for _, address in settings.hosts),
        ulimits=settings.ulimits,
        shm_size=settings.shm_size,
        cgroup_parent=settings.cgroup_parent,
        confinement=settings.security,
        limits=settings.limits,
        times=settings.times,
        argument_names=tuple(name for name, _ in state.arguments),
        unkeyed_env=proxy_environment(request.build_args),
        other_mounts=asked.others,
    )
    summary = "" if run.script is None else f" ({_summary(run.script.content_as_written)})"
    vertex = Vertex(
        op=op,
        inputs=tuple(inputs),
        platform=state.platform,
        name=state.instruction_name(
            run.node, is_trigger=is_trigger, summary=summary, secrets=asked.variables
        ),
        location=run.node.location,
        ignores_cache=state.ignores_cache,
    )
    state.edge = state.scope.graph.add(vertex)
    state.commit(f"RUN {_arguments_text(state)}{' '.join(args)} # buildkit", has_layer=True)


def _refuse_flags(run: Run) -> None:
    for name, words in (("device", run.devices),):
        for word in words:
            raise Unsupported(
                f"RUN --{name} is not supported yet",
                hint="leave the flag out, or build with another tool for now",
                location=word.location,
            )


def _security(state: StageState, run: Run) -> str:
    word = run.security
    if word is None:
        return "sandbox"
    if word.text not in _SECURITIES:
        raise InvalidFlag(
            f'invalid security mode "{word.text}"',
            hint=did_you_mean(word.text, _SECURITIES, otherwise="it is sandbox or insecure"),
            location=word.location,
        )
    if word.text == "insecure" and "security.insecure" not in state.scope.request.settings.entitlements:
        raise NotAllowed(
            "security.insecure is not allowed",
            hint="if you trust this Dockerfile with the machine, build with --allow security.insecure",
            location=word.location,
        )
    return word.text


def _command(run: Run) -> Command:
    """What the shell is given: bodies of heredocs go with it, or are all of it."""
    script = run.script
    if script is not None:
        return Command((f"{_SCRIPTS}/{script.name}",) if _is_executable(script) else (script.content,), True)
    if not run.node.heredocs:
        return run.command
    bodies = (f"\n{heredoc.content_as_written}{heredoc.name}" for heredoc in run.node.heredocs)
    return Command(("".join((*run.command.words, *bodies)),), True)


def _is_executable(script: Heredoc) -> bool:
    """As written: tabs that <<- takes away stand before the ``#!`` and hide it, in Docker too."""
    return script.content_as_written.startswith("#!")


def inline_file(scope: Scope, heredoc: Heredoc, *, mode: str, location: Location) -> Edge:
    """A tree that holds a heredoc's body under its name."""
    action = MakeFileAction(
        destination=f"/{heredoc.name}",
        data=heredoc.content.encode("utf-8", "surrogateescape"),
        mode=mode,
    )
    op = FileOp(actions=(action,), base=-1)
    return scope.graph.add(Vertex(op=op, name="[internal] preparing inline document", location=location))


def _summary(body: str) -> str:
    first, newline, _ = body.strip().replace("\r\n", "\n").partition("\n")
    return f"{first}..." if newline else first


def _arguments_text(state: StageState) -> str:
    """``|2 A=1 B=2 ``: every ARG of the stage, with the value that RUN sees."""
    if not state.arguments:
        return ""
    pairs = [f"{name}={state.env.get(name, value)}" for name, value in state.arguments]
    return " ".join((f"|{len(pairs)}", *pairs, ""))
