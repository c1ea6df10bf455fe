"""Draws the state machines from the code: ``python doc/draw_machines.py`` writes into ``doc/machines``.

A machine becomes ``NAME.dot`` (Graphviz), ``NAME.svg`` (if the command ``dot`` is there to make it) and
``NAME.rst``, a table of what each state takes and refuses. ``automat-visualize`` draws a node for each
transition, in any order; here an arrow bears all inputs that lead the same way, what changes no state stands
inside the state, and the text is the same each time: tests/test_machines_drawn.py compares it with the files.
"""

import shutil
import subprocess
from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("machines")
MACHINES = {
    "link": "lttngnet.sessiond.link:link_machine:Link",
    "lifecycle": "lttngnet.sessiond.lifecycle:lifecycle_machine:Lifecycle",
    "routing": "lttngnet.consumer.routing:routing_machine:Routing",
    "relay_control": "lttngnet.relayd.handshake:relay_control:RelayControl",
    "live_viewer": "lttngnet.relayd.viewer:live_viewer:LiveViewer",
    "application": "lttngnet.sessiond.ust.handshake:registering:Registering",
    "agent": "lttngnet.sessiond.agents.conversation:conversation_machine:Conversation",
}
MANY = 5
"""From so many states on, an input that leads into one state is drawn once, from a list of those states."""

HEAD = """\
digraph {{
    // Made by doc/draw_machines.py of {source}. Do not edit.
    rankdir={direction}; nodesep=0.35; ranksep=0.45;
    node [shape=box, style="rounded,filled", fillcolor="#eef3f8", color="#4a6785"];
    node [fontname="Helvetica", fontsize=12];
    edge [fontname="Helvetica", fontsize=11, color="#4a6785"];
    begin [shape=circle, style=filled, fillcolor="#4a6785", label="", width=0.15];
"""
DIRECTIONS = {"lifecycle": "TB"}


@dataclass
class Machine:
    """What was found of a machine.

    Attributes:
        source: where it stands in the code.
        inputs: their names, as the protocol orders them.
        states: their names, the first one first, then as they stand in the code.
        steps: where an input leads from a state: (state, input) → state.
        idle: those of them that do nothing else.
    """

    source: str
    inputs: list[str]
    states: list[str]
    steps: dict[tuple[str, str], str]
    idle: set[tuple[str, str]]

    @property
    def everywhere(self) -> list[str]:
        """The inputs that every state takes, and stays."""
        return [i for i in self.inputs if all(self.steps.get((s, i)) == s for s in self.states)]


def read(where: str) -> Machine:
    """Read the machine ``module:machine:Protocol``."""
    module_name, machine_name, protocol_name = where.split(":")
    module = import_module(module_name)
    automaton: Any = getattr(module, machine_name).__automat_automaton__
    protocol = vars(module)[protocol_name]
    steps = {}
    idle = set()
    for state, taken, following, outputs in automaton.allTransitions():
        steps[state.name, taken] = following.name
        if all(output.name == "returns(None)" for output in outputs):
            idle.add((state.name, taken))
    known = {taken for _, taken in steps}
    inputs = [name for name in vars(protocol) if name in known]
    found = [value for value in vars(module).values() if type(value).__module__ == "automat._typed"]
    states = [state.name for state in dict.fromkeys(found) if state in automaton.states()]
    states.sort(key=lambda name: name != automaton.initialState.name)  # stable: only the first one moves
    return Machine(f"{module_name}.{machine_name}", inputs, states, steps, idle)


def dot(machine: Machine, direction: str = "LR") -> str:
    """Return a machine as Graphviz text."""
    lines = [HEAD.format(source=machine.source, direction=direction)]
    lines.append(f"    begin -> {_id(machine.states[0])};\n")
    lines.extend(f"    {_id(state)} [label=<{_label(machine, state)}>];\n" for state in machine.states)
    arrows: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for taken in machine.inputs:
        for target in machine.states:
            sources = [s for s in machine.states if s != target and machine.steps.get((s, taken)) == target]
            groups = [tuple(sources)] if len(sources) >= MANY else [(source,) for source in sources]
            for group in groups:
                arrows.setdefault((group, target), []).append(taken)
    for number, ((sources, target), inputs) in enumerate(arrows.items()):
        label = r"\n".join(f" {taken} " for taken in inputs)
        if len(sources) == 1:
            lines.append(f'    {_id(sources[0])} -> {_id(target)} [label="{label}"];\n')
            continue
        whole = set(sources) == set(machine.states) - {target}
        names = "any other state" if whole else r"\n".join(sources)
        look = 'shape=note, style="dashed", color="#888888", fontsize=10'
        lines.append(f'    from{number} [label="{names}", {look}];\n')
        lines.append(f'    from{number} -> {_id(target)} [label="{label}", style=dashed];\n')
    if machine.everywhere:
        lines.append(
            f'    label="every state also takes: {", ".join(machine.everywhere)}"; fontname="Helvetica";'
        )
        lines.append(" fontsize=11;\n")
    return "".join((*lines, "}\n"))


def table(machine: Machine) -> str:
    """Return what each state takes and refuses, as a table of reStructuredText."""
    rows = [
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 16 52 32",
        "",
        "   * - State",
        "     - Takes",
    ]
    rows.append("     - Has no transition for")
    for state in machine.states:
        taken = [i for i in machine.inputs if (state, i) in machine.steps and i not in machine.everywhere]
        refused = [i for i in machine.inputs if (state, i) not in machine.steps]
        moves = []
        for each in taken:
            following = machine.steps[state, each]
            moves.append(f"``{each}``" + ("" if following == state else f" → {following}"))
        rows += [f"   * - {state}", f"     - {', '.join(moves) or '—'}"]
        rows.append(f"     - {', '.join(f'``{each}``' for each in refused) or '—'}")
    return "\n".join(rows) + "\n"


def files() -> dict[str, str]:
    """Return the texts that are made of the code, by the names of their files."""
    made = {}
    for name, where in MACHINES.items():
        machine = read(where)
        made[f"{name}.dot"] = dot(machine, DIRECTIONS.get(name, "LR"))
        made[f"{name}.rst"] = table(machine)
    return made


def _label(machine: Machine, state: str) -> str:
    """Return the text in a state's box: its name, and what it takes without leaving."""
    stays = [
        i for i in machine.inputs if machine.steps.get((state, i)) == state and i not in machine.everywhere
    ]
    acts = [i for i in stays if (state, i) not in machine.idle]
    ignores = [i for i in stays if (state, i) in machine.idle]
    lines = [f"<b>{escape(state)}</b>", *(f'<font point-size="10">{escape(i)}</font>' for i in acts)]
    if all((state, each) in machine.idle for each in machine.inputs if not each.startswith("_")):
        ignores = ["all"]
    if ignores:
        lines.append(f'<font point-size="10"><i>unmoved by {", ".join(ignores)}</i></font>')
    return "<br/>".join(lines)


def _id(state: str) -> str:
    return f'"{state}"'


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text)
    if shutil.which("dot") is None:
        print("the pictures are as they were: there is no command dot (Graphviz)")
        return
    for name in MACHINES:
        picture = FOLDER / f"{name}.svg"
        subprocess.run(["dot", "-Tsvg", FOLDER / f"{name}.dot", "-o", picture], check=True)


if __name__ == "__main__":
    main()
