"""Arguments, elements and imported names as LibCST nodes: removes one or adds one, and keeps every comment.

The module `comments` decides which comments go with removed code, and removes them before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar, cast

import libcst as cst

__all__ = ["appended", "without", "without_parameters"]

E = TypeVar("E", bound=cst.Arg | cst.BaseElement | cst.BaseDictElement | cst.ImportAlias)
Space = cst.BaseParenthesizableWhitespace

_NOTHING = cst.SimpleWhitespace("")


def without(items: Sequence[E], index: int, before: Space, after: Space) -> tuple[list[E], Space, Space]:
    """Return the items of a comma-separated sequence without one, and the white space inside its brackets.

    Args:
        items: The sequence.
        index: The item that goes.
        before: The space between the opening bracket and the first item.
        after: The space between the last item and the closing bracket, including the argument's own.
    """
    kept: list[E] = [*items[:index], *items[index + 1 :]]
    gone: E = items[index]
    if not kept:
        return [], before, after
    if index < len(items) - 1:
        behind = _space_of(gone)
        if index == 0:  # an item that begins on the line of the bracket leaves its place to the next one
            stays = not isinstance(before, cst.ParenthesizedWhitespace) and not _has_comments(behind)
            return kept, before if stays else _joined(before, behind), after
        kept[index - 1] = _with_space(kept[index - 1], _joined(_space_of(kept[index - 1]), behind))
        return kept, before, after
    last = kept[-1]
    own = gone.whitespace_after_arg if isinstance(gone, cst.Arg) else _NOTHING
    if isinstance(after, cst.ParenthesizedWhitespace):  # the bracket is on its own line
        kept[-1], after = _with_space(last, _NOTHING), _closing(_space_of(last), after)
        if not isinstance(gone.comma, cst.Comma):
            kept[-1] = _without_comma(kept[-1])
    elif isinstance(gone.comma, cst.Comma):  # a trailing comma stays one
        kept[-1] = _with_space(last, _closing(_space_of(last), gone.comma.whitespace_after))
    elif _has_comments(_space_of(last)):
        kept[-1] = _with_space(last, _closing(_space_of(last), own))
    else:
        kept[-1] = _with_arg_space(_without_comma(last), own)
    return kept, before, after


def appended(items: Sequence[E], new: Sequence[E]) -> list[E]:
    """Return a non-empty comma-separated sequence with more items at its end. No comment moves or doubles."""
    last = items[-1]
    between: Space = cst.SimpleWhitespace(" ")
    if len(items) > 1:
        between = _bare(_space_of(items[0]))
    added = [_with_space(item, between) for item in new]
    own = last.whitespace_after_arg if isinstance(last, cst.Arg) else _NOTHING
    if isinstance(last.comma, cst.Comma):
        closing = last.comma.whitespace_after
        added[-1] = _with_space(added[-1], _bare(closing, keep_lines=True))
        first = _commented(between, closing)
    else:
        added[-1] = _with_arg_space(_without_comma(added[-1]), _bare(own, keep_lines=True))
        first = _commented(between, own)
    before = _with_arg_space(_with_space(last, first), _NOTHING)
    return [*items[:-1], before, *added]


def without_parameters(parameters: cst.Parameters, gone: Collection[int]) -> cst.Parameters:
    """Return parameters without some, by their index among those that a call can pass by name."""
    plain = len(parameters.params)
    params = [each for number, each in enumerate(parameters.params) if number not in gone]
    named = [each for number, each in enumerate(parameters.kwonly_params, plain) if number not in gone]
    star = parameters.star_arg
    if not named and isinstance(star, cst.ParamStar):
        star = cst.MaybeSentinel.DEFAULT
    last = [*parameters.params, *parameters.kwonly_params][-1]
    group = named or params
    if not (isinstance(star, cst.Param) or parameters.star_kwarg is not None) and group and group[-1] is not last:
        group[-1] = group[-1].with_changes(comma=last.comma, whitespace_after_param=last.whitespace_after_param)
    return parameters.with_changes(params=params, kwonly_params=named, star_arg=star)


def _space_of(item: cst.Arg | cst.BaseElement | cst.BaseDictElement | cst.ImportAlias) -> Space:
    return item.comma.whitespace_after if isinstance(item.comma, cst.Comma) else _NOTHING


def _with_space(item: E, space: Space) -> E:
    comma = item.comma if isinstance(item.comma, cst.Comma) else cst.Comma()
    return cast("E", item.with_changes(comma=comma.with_changes(whitespace_after=space)))


def _without_comma(item: E) -> E:
    return cast("E", item.with_changes(comma=cst.MaybeSentinel.DEFAULT))


def _with_arg_space(item: E, space: Space) -> E:
    return cast("E", item.with_changes(whitespace_after_arg=space)) if isinstance(item, cst.Arg) else item


def _has_comments(space: Space) -> bool:
    if not isinstance(space, cst.ParenthesizedWhitespace):
        return False
    return space.first_line.comment is not None or any(line.comment is not None for line in space.empty_lines)


def _joined(first: Space, second: Space) -> Space:
    """Return the white space that is left when the item between two spaces is gone."""
    if not isinstance(second, cst.ParenthesizedWhitespace):
        return first
    if not isinstance(first, cst.ParenthesizedWhitespace):
        return second
    return second.with_changes(first_line=first.first_line, empty_lines=[*first.empty_lines, *_lines(second)])


def _closing(first: Space, second: Space) -> Space:
    """Return the space before a closing bracket, which stays in its place unless a comment ends the line."""
    if isinstance(second, cst.ParenthesizedWhitespace):
        if isinstance(first, cst.ParenthesizedWhitespace):
            return _joined(first, second)
        return second
    return first if _has_comments(first) else second


def _lines(space: cst.ParenthesizedWhitespace) -> list[cst.EmptyLine]:
    """Return the lines of white space, with the comment behind a removed item on its own line."""
    comment = space.first_line.comment
    own = [cst.EmptyLine(comment=comment, whitespace=space.last_line)] if comment is not None else []
    return [*own, *space.empty_lines]


def _bare(space: Space, *, keep_lines: bool = False) -> Space:
    """Return white space without the comment at the end of the line before it, and without comment lines."""
    if not isinstance(space, cst.ParenthesizedWhitespace):
        return space
    lines = space.empty_lines if keep_lines else ()
    line = space.first_line.with_changes(comment=None, whitespace=_NOTHING) if space.first_line.comment else space.first_line
    return space.with_changes(first_line=line, empty_lines=lines)


def _commented(space: Space, closing: Space) -> Space:
    """Return the white space between two items, with the comment from behind the first item, which was the last one."""
    if not isinstance(closing, cst.ParenthesizedWhitespace) or closing.first_line.comment is None:
        return space
    if isinstance(space, cst.ParenthesizedWhitespace):
        return space.with_changes(first_line=closing.first_line)
    return closing.with_changes(empty_lines=())
