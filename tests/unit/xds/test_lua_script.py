"""What users write into a script stays data: it cannot end the string it stands in."""

from __future__ import annotations

import re

import pytest

from fluxgate.ir.policies.lua import Lua
from fluxgate.xds.httpfilters.lua_script import build_lua, quoted, script_of


def source_in(script: str) -> str:
    """The source as Lua reads it: a long bracket ends at the first bracket of its level."""
    found = re.search(r"local SOURCE = \[(=+)\[\n", script)
    assert found is not None
    rest = script[found.end() :]
    return rest[: rest.index(f"]{found[1]}]")]


@pytest.mark.parametrize(
    "source",
    [
        "plain",
        "]]",
        "]=]",
        "]=] os.exit() --[=[",
        "]==]]=]",
        "ends with ]",
        "ends with ]=",
        "ends with ]==",
        "\nstarts with a line",
        "-- quotes \" ' and \\ back",
    ],
)
def test_a_source_cannot_end_its_bracket(source: str) -> None:
    assert source_in(script_of(Lua("plugin/default/x", source))) == source


def test_names_are_escaped() -> None:
    assert quoted('a"]\n\\') == '"a\\034\\093\\010\\092"'


def test_equal_scripts_share_a_state_and_others_do_not() -> None:
    one, same = build_lua(Lua("x", "return")), build_lua(Lua("x", "return"))
    assert one.SerializeToString() == same.SerializeToString()
    assert one.SerializeToString() != build_lua(Lua("y", "return")).SerializeToString()
