"""Templates applied to values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from builder.cli.template.functions import FUNCTIONS, Function
from builder.cli.template.syntax import (
    Action,
    Block,
    Command,
    Field,
    Group,
    InvalidTemplate,
    Jump,
    Literal,
    Operand,
    Part,
    Pipeline,
    Variable,
    parse,
)
from builder.cli.template.syntax import Function as FunctionName
from builder.cli.template.values import Record, Typed, is_true, shown

# Of a number: who counts further made a mistake.
_MAX_RANGE = 1 << 20


class Template:
    """A template that was read; ``functions`` are those that it may call."""

    def __init__(self, parts: tuple[Part, ...], functions: Mapping[str, Function]) -> None:
        self._parts = parts
        self._functions = functions

    @classmethod
    def read(cls, text: str, functions: Mapping[str, Function] = FUNCTIONS) -> Template:
        """Raises InvalidTemplate, also for functions that there are not."""
        parts = parse(text)
        for function in _called(parts):
            if function.name not in functions:
                raise InvalidTemplate(function.at, f'there is no function "{function.name}"')
        return cls(parts, functions)

    def apply(self, value: object) -> str:
        """Raises InvalidTemplate where it asks for what the value does not have."""
        return _Run(self._functions, value).text(self._parts, value)


class _Left(Exception):
    """{{break}} and {{continue}}, with what was written of the body so far."""

    def __init__(self, keyword: str) -> None:
        self.keyword = keyword
        self.written: list[str] = []


class _Run:
    def __init__(self, functions: Mapping[str, Function], root: object) -> None:
        self._functions = functions
        self._variables: list[tuple[str, object]] = [("$", root)]

    def text(self, parts: Sequence[Part], dot: object) -> str:
        written: list[str] = []
        for part in parts:
            try:
                written.append(self._part(part, dot))
            except _Left as left:
                left.written[:0] = written
                raise
        return "".join(written)

    def _part(self, part: Part, dot: object) -> str:
        match part:
            case str():
                return part
            case Jump():
                raise _Left(part.keyword)
            case Action():
                value = self._pipeline(part.pipeline, dot)
                return "" if part.pipeline.variables else shown(value)
            case Block():
                depth = len(self._variables)
                try:
                    return self._block(part, dot)
                finally:
                    del self._variables[depth:]
            case _:
                assert_never(part)

    def _block(self, block: Block, dot: object) -> str:
        if block.keyword == "range":
            return self._range(block, dot)
        value = self._pipeline(block.pipeline, dot)
        if not is_true(value):
            return self.text(block.otherwise, dot)
        return self.text(block.body, value if block.keyword == "with" else dot)

    def _range(self, block: Block, dot: object) -> str:
        names = block.pipeline.variables
        value = self._pipeline(block.pipeline._replace(variables=()), dot)
        pairs: list[tuple[object, object]]
        if isinstance(value, Mapping) and not isinstance(value, Record):
            pairs = [(key, value[key]) for key in sorted(value)]
        elif isinstance(value, list | tuple):
            pairs = list(enumerate(value))
        elif isinstance(value, int) and not isinstance(value, bool) and value < _MAX_RANGE:
            pairs = [(number, number) for number in range(value)]
        elif value is None:
            pairs = []
        else:
            raise InvalidTemplate(block.pipeline.at, f"range can't iterate over {shown(value)}")
        if not pairs:
            return self.text(block.otherwise, dot)
        written = []
        for key, item in pairs:
            depth = len(self._variables)
            given = (item,) if len(names) == 1 else (key, item)
            self._variables += list(zip(names, given, strict=False))
            try:
                written.append(self.text(block.body, item))
            except _Left as left:
                written += left.written
                if left.keyword == "break":
                    break
            finally:
                del self._variables[depth:]
        return "".join(written)

    def _pipeline(self, pipeline: Pipeline, dot: object) -> Any:
        value: Any = None
        for index, command in enumerate(pipeline.commands):
            value = self._command(command, dot, [value] if index else [])
        for name in pipeline.variables:
            if not pipeline.declares:
                self._assign(name, value, pipeline.at)
            else:
                self._variables.append((name, value))
        return value

    def _assign(self, name: str, value: object, at: int) -> None:
        for index in reversed(range(len(self._variables))):
            if self._variables[index][0] == name:
                self._variables[index] = (name, value)
                return
        raise InvalidTemplate(at, f'undefined variable "{name}"')

    def _command(self, command: Command, dot: object, piped: list[object]) -> Any:
        first, *rest = command.operands
        if isinstance(first, FunctionName):
            arguments = [*(self._operand(operand, dot) for operand in rest), *piped]
            return self._call(first, arguments)
        if first == Literal(None):
            raise InvalidTemplate(command.at, "nil is not a command")
        if rest or piped:
            raise InvalidTemplate(command.at, "can't give an argument to what is no function")
        return self._operand(first, dot)

    def _call(self, function: FunctionName, arguments: list[object]) -> Any:
        try:
            return self._functions[function.name](*arguments)
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            # Python says what is wrong with the number or the kind of the arguments.
            raise InvalidTemplate(function.at, f"error calling {function.name}: {error}") from error

    def _operand(self, operand: Operand, dot: object) -> Any:
        match operand:
            case Literal():
                return operand.value
            case Field():
                return _walk(dot, operand.names, operand.at)
            case Variable():
                for name, value in reversed(self._variables):
                    if name == operand.name:
                        return _walk(value, operand.names, operand.at)
                raise InvalidTemplate(operand.at, f'undefined variable "{operand.name}"')
            case FunctionName():
                return self._call(operand, [])
            case Group():
                return _walk(self._pipeline(operand.pipeline, dot), operand.names, operand.at)
            case _:
                assert_never(operand)


def _walk(value: object, names: Sequence[str], at: int) -> object:
    for name in names:
        if not isinstance(value, Mapping):
            what = "nothing" if value is None else f'"{shown(value)[:60]}"'
            raise InvalidTemplate(at, f'there is no ".{name}" in {what}')
        if name in value:
            value = value[name]
        elif isinstance(value, Record) and name in value.absent:
            value = value.absent[name]
        elif isinstance(value, Typed):
            value = None
        else:
            known = ", ".join(sorted(str(key) for key in value)[:30])
            raise InvalidTemplate(at, f'there is no ".{name}"; there is {known}')
    return value


def _called(parts: Sequence[Part]) -> list[FunctionName]:
    found = []
    for part in parts:
        if isinstance(part, str | Jump):
            continue
        found += _called_in(part.pipeline)
        if isinstance(part, Block):
            found += _called(part.body) + _called(part.otherwise)
    return found


def _called_in(pipeline: Pipeline) -> list[FunctionName]:
    found = []
    for command in pipeline.commands:
        for operand in command.operands:
            if isinstance(operand, FunctionName):
                found.append(operand)
            elif isinstance(operand, Group):
                found += _called_in(operand.pipeline)
    return found
